"""Whether the observer PID keeps something of a TCP connection's two sockets, before, during and after a TLS handshake on it.

Usage: wire_storage.py PID CERTIFICATE KEY; prints one JSON object: for each of these times what the client's and the server's
socket have (true or false), and the size of what is kept.
"""
import ctypes
import json
import os
import pathlib
import socket
import ssl
import struct
import sys

observer, certificate, key = int(sys.argv[1]), sys.argv[2], sys.argv[3]
SYSTEM_CALL = {"x86_64": 321, "aarch64": 280}[os.uname().machine]
LOOKUP, GET_BY_ID, SOCKET_STORAGE = 1, 14, 24
libc = ctypes.CDLL(None, use_errno=True)


def bpf(command, attributes):
    buffer = ctypes.create_string_buffer(attributes.ljust(120, b"\0"), 120)
    return libc.syscall(SYSTEM_CALL, command, buffer, 120)


def storage():
    """The id and the size of the values of the map that keeps connections."""
    for path in pathlib.Path(f"/proc/{observer}/fdinfo").iterdir():
        try:
            fields = dict(line.split(":\t", 1) for line in path.read_text().splitlines() if ":\t" in line)
        except OSError:
            continue
        if fields.get("map_type") == str(SOCKET_STORAGE):
            return int(fields["map_id"]), int(fields["value_size"])
    sys.exit("no storage of sockets")


number, size = storage()
descriptor = bpf(GET_BY_ID, struct.pack("I", number))
if descriptor < 0:
    sys.exit(os.strerror(ctypes.get_errno()))
value = ctypes.create_string_buffer(size)


def is_kept(connection):
    wanted = ctypes.c_int(connection.fileno())
    return bpf(LOOKUP, struct.pack("IIQQ", descriptor, 0, ctypes.addressof(wanted), ctypes.addressof(value))) == 0


class Side:
    def __init__(self, connection, context, server):
        self.connection, self.incoming, self.outgoing = connection, ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.incoming, self.outgoing, server_side=server, server_hostname=None)

    def step(self):
        try:
            self.tls.do_handshake()
        except ssl.SSLWantReadError:
            pass
        self.connection.sendall(self.outgoing.read())

    def take(self):
        self.incoming.write(self.connection.recv(65536))


server_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
server_context.load_cert_chain(certificate, key)
listener = socket.create_server(("127.0.0.1", 0))
ends = socket.create_connection(listener.getsockname()), listener.accept()[0]
client, server = Side(ends[0], ssl._create_unverified_context(), False), Side(ends[1], server_context, True)
said = {"size": size, "before": [is_kept(end) for end in ends]}
client.step()
server.take()
said["during"] = [is_kept(end) for end in ends]
server.step()
client.take()
client.step()
server.take()
# The client's Finished has left; with the tickets the server has said that it takes it.
server.step()
client.take()
said["after"] = [is_kept(end) for end in ends]
print(json.dumps(said))
