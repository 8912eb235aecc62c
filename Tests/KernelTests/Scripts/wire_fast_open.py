"""TLS handshakes whose ClientHello is in the SYN (TCP Fast Open), in a network namespace of its own.

Usage: wire_fast_open.py CERTIFICATE KEY COUNT; prints a JSON line a connection: the client's own address, and whether the kernel
says that the SYN's data was taken.
"""
import ctypes
import json
import socket
import ssl
import subprocess
import sys
import threading

if ctypes.CDLL(None, use_errno=True).unshare(0x40000000):
    sys.exit("unshare")
certificate, key, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
# Clients and servers, without cookies.
with open("/proc/sys/net/ipv4/tcp_fastopen", "w") as setting:
    setting.write(str(0x1 | 0x2 | 0x4 | 0x200))
TCP_FASTOPEN, TCP_FASTOPEN_CONNECT, SYN_DATA = 23, 30, 32


def complete(connection, incoming, outgoing, step):
    """Carries bytes until the step has what it needs."""
    while True:
        try:
            step()
            return connection.sendall(outgoing.read())
        except ssl.SSLWantReadError:
            connection.sendall(outgoing.read())
            incoming.write(connection.recv(65536))


for family, address in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
    listener = socket.create_server((address, 0), family=family)
    listener.setsockopt(socket.IPPROTO_TCP, TCP_FASTOPEN, 16)
    server_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_context.load_cert_chain(certificate, key)
    client_context = ssl._create_unverified_context()

    def serve():
        for _ in range(count):
            connection, _ = listener.accept()
            with server_context.wrap_socket(connection, server_side=True, suppress_ragged_eofs=True) as tls:
                tls.recv(10)
                tls.sendall(b"ok")
                tls.recv(10)

    server = threading.Thread(target=serve)
    server.start()
    for _ in range(count):
        # The SYN goes out with the first bytes: the socket is not connected before, and ssl wraps connected ones alone.
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = client_context.wrap_bio(incoming, outgoing, server_hostname="a.example")
        with socket.socket(family) as connection:
            connection.settimeout(20)
            connection.setsockopt(socket.IPPROTO_TCP, TCP_FASTOPEN_CONNECT, 1)
            connection.connect(listener.getsockname())
            complete(connection, incoming, outgoing, tls.do_handshake)
            tls.write(b"hi")
            complete(connection, incoming, outgoing, lambda: tls.read(10))
            options = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 8)[5]
            host, port = connection.getsockname()[:2]
        print(json.dumps({
            "local": f"[{host}]:{port}" if family == socket.AF_INET6 else f"{host}:{port}",
            "taken": bool(options & SYN_DATA)}))
    server.join()
