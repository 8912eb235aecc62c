"""A TCP client that does not finish a handshake.

Usage: odd_client.py PORT HOW. close: says nothing and closes. garbage: sends what is no TLS and closes.
hold: says nothing and stays. hello: sends a ClientHello and stays. Prints `done` once that has happened.
"""
import signal
import socket
import ssl
import sys

port, how = int(sys.argv[1]), sys.argv[2]
connection = socket.create_connection(("127.0.0.1", port))
if how == "garbage":
    connection.sendall(b"\x00\xff" * 64)
elif how == "hello":
    outgoing = ssl.MemoryBIO()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    tls = context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname="a.example")
    try:
        tls.do_handshake()
    except ssl.SSLWantReadError:
        connection.sendall(outgoing.read())
if how in ("close", "garbage"):
    connection.close()
print("done", flush=True)
if how in ("hold", "hello"):
    signal.pause()
