"""steady_load.py CA CERTIFICATE KEY: handshakes without a pause, both sides in this process, until SIGTERM.

Says `loaded` after the first one. At its end it prints how many were made and how many failed, and why the first did.
"""

import json
import signal
import socket
import ssl
import sys
import threading

authority, certificate, key = sys.argv[1:4]
stop = threading.Event()
signal.signal(signal.SIGTERM, lambda number, frame: stop.set())

server_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
server_context.load_cert_chain(certificate, key)
client_context = ssl.create_default_context(cafile=authority)
listener = socket.create_server(("127.0.0.1", 0))
made, failures = 0, []


def serve():
    while True:
        connection, _ = listener.accept()
        try:
            connection.settimeout(30)
            with server_context.wrap_socket(connection, server_side=True) as tls:
                tls.sendall(b"ok")
                tls.recv(1)
        except OSError as error:
            failures.append("server: " + str(error))


threading.Thread(target=serve, daemon=True).start()
while not stop.is_set():
    try:
        with socket.create_connection(listener.getsockname(), timeout=30) as connection:
            with client_context.wrap_socket(connection, server_hostname="a.example") as tls:
                assert tls.recv(2) == b"ok"
        made += 1
    except OSError as error:
        failures.append("client: " + str(error))
    if made == 1:
        print("loaded", flush=True)
print(json.dumps({"made": made, "failed": len(failures), "first": failures[:1]}), flush=True)
