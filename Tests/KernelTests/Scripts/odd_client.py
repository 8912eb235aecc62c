"""A TCP client that does not finish a handshake.

Usage: odd_client.py PORT HOW. close: says nothing and closes. garbage: sends what is no TLS and closes.
hold: says nothing and stays. hello: sends a ClientHello and stays. half: sends half of one and closes. pieces: sends one in two
pieces, the second when the first has arrived, and completes the handshake. http: asks for a page without TLS and reads what
comes. reset: sends a ClientHello and resets the connection when the answer has begun. refuse: does not accept the server's
certificate, says so (`sent` and the alert's bytes), and stays until the server closes. Prints `done` once that has happened.
"""
import fcntl
import signal
import socket
import ssl
import struct
import sys
import termios
import time

port, how = int(sys.argv[1]), sys.argv[2]
connection = socket.create_connection(("127.0.0.1", port))
if how == "garbage":
    connection.sendall(b"\x00\xff" * 64)
elif how == "http":
    connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
elif how in ("hello", "half", "pieces", "reset"):
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    tls = context.wrap_bio(incoming, outgoing, server_hostname="a.example")
    try:
        tls.do_handshake()
    except ssl.SSLWantReadError:
        hello = outgoing.read()
    connection.sendall(hello if how in ("hello", "reset") else hello[: len(hello) // 2])
elif how == "refuse":
    connection.settimeout(20)
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    tls = context.wrap_bio(incoming, outgoing, server_hostname="a.example")
    refused = False
    while not refused:
        try:
            tls.do_handshake()
        except ssl.SSLWantReadError:
            connection.sendall(outgoing.read())
            incoming.write(connection.recv(65536))
        except ssl.SSLCertVerificationError:
            refused = True
    alert = outgoing.read()
    connection.sendall(alert)
    print("sent", alert.hex(), flush=True)
    try:
        while connection.recv(65536):
            pass
    except ConnectionResetError:
        pass
if how in ("half", "pieces"):
    while fcntl.ioctl(connection, termios.TIOCOUTQ, b"\0" * 4) != b"\0" * 4:
        time.sleep(0.001)
if how == "reset":
    connection.recv(1)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()
if how in ("half", "http"):
    # What ends it is read after what it sent.
    try:
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(4096):
            pass
    except OSError:
        # It had only looked at what is still unread: reset, or gone already.
        pass
elif how == "pieces":
    connection.sendall(hello[len(hello) // 2 :])
    while True:
        try:
            tls.do_handshake()
            break
        except ssl.SSLWantReadError:
            connection.sendall(outgoing.read())
            incoming.write(connection.recv(65536))
    connection.sendall(outgoing.read())
    tls.write(b"GET / HTTP/1.0\r\n\r\n")
    connection.sendall(outgoing.read())
    assert connection.recv(4096)
if how in ("close", "garbage"):
    connection.close()
print("done", flush=True)
if how in ("hold", "hello"):
    signal.pause()
