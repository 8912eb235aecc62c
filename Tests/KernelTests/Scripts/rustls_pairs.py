"""Handshakes of the rustls inside the Python module rtls with itself: client and server in two threads of one process.

Usage: rustls_pairs.py CA CERTIFICATE KEY. Prints a line of JSON for each: what the client knows, and when its call began and
ended.
"""
import json
import socket
import sys
import threading
import time

import rtls as ssl

authority, certificate, key = sys.argv[1:4]
server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
server.load_cert_chain(certificate, key)
server.set_alpn_protocols(["h2", "http/1.1"])
listener = socket.create_server(("127.0.0.1", 0))


def serve(connection):
    try:
        connection.settimeout(10)
        wrapped = server.wrap_socket(connection, server_side=True)
        wrapped.recv(100)
        wrapped.sendall(b"answer")
        wrapped.close()
    except Exception as error:
        print(error, file=sys.stderr)


def one(name, newest=None):
    client = ssl.create_default_context(cafile=authority)
    client.set_alpn_protocols(["h2", "http/1.1"])
    if newest:
        client.maximum_version = newest
    told = {"name": name}
    connection = socket.create_connection(listener.getsockname(), 10)
    accepted, _ = listener.accept()
    thread = threading.Thread(target=serve, args=(accepted,))
    thread.start()
    told["begin"] = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
    try:
        wrapped = client.wrap_socket(connection, server_hostname=name)
        wrapped.sendall(b"question")
        wrapped.recv(100)
        told |= {"version": wrapped.version(), "cipher": wrapped.cipher()[0], "alpn": wrapped.selected_alpn_protocol()}
        wrapped.close()
    except Exception as error:
        told["error"] = str(error)
        connection.close()
    thread.join()
    told["end"] = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
    print(json.dumps(told), flush=True)


for _ in range(10):
    one("a.example")
one("a.example", ssl.TLSVersion.TLSv1_2)
one("b.example")
