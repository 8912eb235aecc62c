"""A server that leaves in the middle of each handshake: prints its port, and of each connection reads the ClientHello; it closes
the first, resets the second, and so on in turn."""
import socket
import struct

listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
resets = False
while True:
    connection, _ = listener.accept()
    connection.recv(1 << 16)
    if resets:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()
    resets = not resets
