"""A server's peers that make no handshake: odd_peer.py PORT. One after the other, each until the server has closed or is left.
Prints level and number of each alert that the server has closed with."""
import socket
import ssl
import struct
import sys

address = ("127.0.0.1", int(sys.argv[1]))


def hello():
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    try:
        context.wrap_bio(incoming, outgoing).do_handshake()
    except ssl.SSLWantReadError:
        pass
    return outgoing.read()


def print_alert(peer):
    received = b""
    while more := peer.recv(4096):
        received += more
    print(received[-2], received[-1])


# Another message than a ClientHello: an empty ServerHelloDone.
with socket.create_connection(address) as peer:
    peer.sendall(bytes([22, 3, 3, 0, 4, 14, 0, 0, 0]))
    print_alert(peer)

# It has said half of its hello, and goes.
with socket.create_connection(address) as peer:
    peer.sendall(hello()[:40])
    peer.shutdown(socket.SHUT_WR)
    print_alert(peer)

# It has said hello, and is gone before it has read the answer.
with socket.create_connection(address) as peer:
    peer.sendall(hello())
    peer.recv(1)
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
