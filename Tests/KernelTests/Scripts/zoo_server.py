"""A server of Python's ssl for many clients at a time: zoo_server.py CERTIFICATE KEY

Prints its port, and then a line of JSON for each handshake: what it knows of it.
"""
import json
import socket
import ssl
import sys
import threading

context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(*sys.argv[1:3])
context.set_alpn_protocols(["http/1.1"])
names = {}
# print() writes a line and its end apart.
one_line = threading.Lock()
context.sni_callback = lambda tls, name, context: names.__setitem__(tls, name)
listener = socket.create_server(("127.0.0.1", 0), backlog=128)
port = listener.getsockname()[1]
print(port, flush=True)


def say(told):
    with one_line:
        print(json.dumps(told), flush=True)


def serve(connection, peer):
    told = {"local": peer[1], "port": port, "outcome": "failed"}
    try:
        connection.settimeout(10)
        with context.wrap_socket(connection, server_side=True) as tls:
            told |= {
                "outcome": "completed", "version": tls.version(), "cipher": tls.cipher()[0], "name": names.pop(tls, None),
                "alpn": tls.selected_alpn_protocol(), "resumed": tls.session_reused,
            }
            say(told)
            if tls.recv(4096):
                tls.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
    except OSError as error:
        connection.close()
        if told["outcome"] == "failed":
            say(told | {"error": str(error)})


while True:
    threading.Thread(target=serve, args=listener.accept(), daemon=True).start()
