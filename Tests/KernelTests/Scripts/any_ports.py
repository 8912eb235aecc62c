"""any_ports.py COUNT: prints as many ports of loopback as the kernel gives to one who listens on any port, with
SO_REUSEADDR and without, and to one who connects from any port, and holds all of them meanwhile.
"""
import socket
import sys

count = int(sys.argv[1])
kept = []
target = socket.create_server(("127.0.0.1", 0), backlog=count)
for reuse in (0, 1):
    for _ in range(count):
        server = socket.socket()
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, reuse)
        server.bind(("127.0.0.1", 0))
        kept.append(server)
for _ in range(count):
    kept.append(socket.create_connection(target.getsockname()))
for connection in kept:
    print(connection.getsockname()[1])
