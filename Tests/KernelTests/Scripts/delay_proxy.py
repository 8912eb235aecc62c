"""A TCP relay that holds back the server's first flight.

Usage: delay_proxy.py TARGET_PORT SECONDS; prints its port; one connection after the other, until it is ended.
"""
import select
import socket
import sys
import time

target, seconds = int(sys.argv[1]), float(sys.argv[2])
listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
while True:
    client, _ = listener.accept()
    server = socket.create_connection(("127.0.0.1", target))
    delayed = False
    while True:
        readable, _, _ = select.select([client, server], [], [], 30)
        if not readable:
            break
        source = readable[0]
        data = source.recv(65536)
        if not data:
            break
        if source is server and not delayed:
            time.sleep(seconds)  # the known answer itself
            delayed = True
        (server if source is client else client).sendall(data)
    client.close()
    server.close()
