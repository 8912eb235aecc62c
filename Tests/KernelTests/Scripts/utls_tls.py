"""Handshakes through the BoringSSL inside the Python module utls, client and server in one process, over TCP.

utls_tls.py AUTHORITY CERTIFICATE KEY COUNT: prints, a line each, what the client says of a handshake. The last one it refuses.
"""

import json
import socket
import sys
import threading

import utls

AUTHORITY, CERTIFICATE, KEY, COUNT = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])


def serve(listener, count):
    context = utls.SSLContext(utls.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATE, KEY)
    context.set_alpn_protocols(["h2"])
    for _ in range(count):
        connection, _ = listener.accept()
        try:
            session = context.wrap_socket(connection, server_side=True)
            session.recv(10)
            session.send(b"x")
            session.close()
        except OSError:
            connection.close()


def connect(address, version, trusted):
    context = utls.SSLContext(utls.PROTOCOL_TLS_CLIENT)
    context.set_alpn_protocols(["h2", "http/1.1"])
    if trusted:
        context.load_verify_locations(AUTHORITY)
    context.maximum_version = version
    session = context.wrap_socket(socket.create_connection(address), server_hostname="a.example")
    said = {"version": session.version(), "cipher": session.cipher()[0], "alpn": session.selected_alpn_protocol()}
    session.send(b"x")
    session.recv(10)
    session.close()
    return said


listener = socket.create_server(("127.0.0.1", 0))
server = threading.Thread(target=serve, args=(listener, COUNT + 1))
server.start()
for index in range(COUNT):
    version = utls.TLSVersion.TLSv1_2 if index % 2 else utls.TLSVersion.TLSv1_3
    print(json.dumps(connect(listener.getsockname(), version, True)))
try:
    connect(listener.getsockname(), utls.TLSVersion.TLSv1_3, False)
    sys.exit("an unknown authority was trusted")
except OSError as error:
    print(error, file=sys.stderr)
server.join()
