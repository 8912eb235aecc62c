"""A server's peers that make no handshake: odd_peer.py PORT. One after the other, each until the server has closed or is left."""
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


# Another message than a ClientHello: an empty ServerHelloDone.
with socket.create_connection(address) as peer:
    peer.sendall(bytes([22, 3, 3, 0, 4, 14, 0, 0, 0]))
    while peer.recv(4096):
        pass

# It has said hello, and goes.
with socket.create_connection(address) as peer:
    peer.sendall(hello()[:40])
    peer.shutdown(socket.SHUT_WR)
    while peer.recv(4096):
        pass

# It has said hello, and is gone before it has read the answer.
with socket.create_connection(address) as peer:
    peer.sendall(hello())
    peer.recv(1)
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
