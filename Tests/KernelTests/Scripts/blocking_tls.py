"""Client and server of Python's ssl module on blocking sockets, in two threads of one process.

Usage: blocking_tls.py CA CERTIFICATE KEY COUNT; prints one JSON object of what ssl itself says.
"""
import json
import socket
import ssl
import sys
import threading

authority, certificate, key, count = sys.argv[1:4] + [int(sys.argv[4])]

server_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
server_context.load_cert_chain(certificate, key)
server_context.set_alpn_protocols(["h2", "http/1.1"])
client_context = ssl.create_default_context(cafile=authority)
client_context.set_alpn_protocols(["http/1.1"])

listener = socket.create_server(("127.0.0.1", 0))
listener.settimeout(30)


def serve():
    for _ in range(count):
        connection, _ = listener.accept()
        connection.settimeout(None)
        with server_context.wrap_socket(connection, server_side=True) as tls:
            tls.sendall(b"ok")
            tls.recv(1)


thread = threading.Thread(target=serve, daemon=True)
thread.start()
port = listener.getsockname()[1]
clients = []
for _ in range(count):
    raw = socket.create_connection(("127.0.0.1", port))
    with client_context.wrap_socket(raw, server_hostname="a.example") as tls:
        tls.recv(2)
        clients.append({"local": "%s:%d" % tls.getsockname(), "version": tls.version(),
                        "cipher": tls.cipher()[0], "alpn": tls.selected_alpn_protocol()})
thread.join(30)
print(json.dumps({"port": port, "clients": clients}))
