"""A TCP server whose peers come to no handshake.

Usage: odd_server.py HOW...: one connection for each, in their order, and for further ones the last. Each reads a ClientHello. close:
closes. reset: resets. http: answers without TLS. silent: says nothing and stays. Prints its port, listening.
"""
import socket
import struct
import sys

kept = []
with socket.create_server(("127.0.0.1", 0)) as listener:
    print(listener.getsockname()[1], flush=True)
    ways = sys.argv[1:]
    while True:
        peer = listener.accept()[0]
        how = ways.pop(0) if len(ways) > 1 else ways[0]
        if how == "silent":
            kept.append(peer)
            continue
        peer.recv(65536)
        if how == "reset":
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        if how == "http":
            try:
                peer.sendall(b"HTTP/1.0 400 Bad Request\r\n\r\n")
                # Not connected any more, if the peer has reset it by then.
                peer.shutdown(socket.SHUT_WR)
                while peer.recv(4096):
                    pass
            except OSError:
                pass
        peer.close()
