"""TLS handshakes over a link that loses, reorders and doubles packets: two network namespaces joined by TUN devices, whose
packets this program carries between them.

Usage: wire_lossy_link.py CERTIFICATE KEY COUNT LOSS REORDER DOUBLE (shares of 1); prints one JSON object: the pid of the
server and of the client, and the client's own addresses of the connections that completed.
"""
import fcntl
import heapq
import json
import os
import random
import select
import socket
import ssl
import struct
import subprocess
import sys
import time

certificate, key, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
loss, reorder, double = map(float, sys.argv[4:7])
PORT = 443  # in a namespace of its own
SERVER, CLIENT = "10.9.0.1", "10.9.0.2"


def namespace(device, address):
    """Enters a new network namespace, and returns its TUN device."""
    os.unshare(os.CLONE_NEWNET) if hasattr(os, "unshare") else unshare()
    tun = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(tun, 0x400454CA, struct.pack("16sH22x", device.encode(), 0x1001))
    for command in (f"ip link set lo up", f"ip addr add {address}/24 dev {device}", f"ip link set {device} up mtu 1500"):
        subprocess.run(command.split(), check=True)
    return tun


def unshare():
    import ctypes

    if ctypes.CDLL(None, use_errno=True).unshare(0x40000000):
        raise OSError("unshare")


def side(body):
    """Forks a child in the current namespace, which tells its result through a pipe."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(read)
        try:
            os.write(write, json.dumps(body()).encode())
            os._exit(0)
        except BaseException as error:
            os.write(write, json.dumps({"error": repr(error)}).encode())
            os._exit(1)
    os.close(write)
    return pid, read


def serve():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    listener = socket.create_server((SERVER, PORT))
    os.write(ready_write, b"x")
    for _ in range(count):
        connection, _ = listener.accept()
        connection.settimeout(30)
        try:
            tls = context.wrap_socket(connection, server_side=True)
            tls.recv(10)
            tls.sendall(b"ok")
            tls.recv(10)
            tls.close()
        except OSError:
            pass
    return {}


def ask():
    context = ssl._create_unverified_context()
    context.set_alpn_protocols(["h2", "http/1.1"] + ["x" * 200 + str(n) for n in range(8)])
    done = []
    for _ in range(count):
        try:
            with socket.create_connection((SERVER, PORT), timeout=30) as connection:
                with context.wrap_socket(connection, server_hostname="lossy.example") as tls:
                    tls.sendall(b"hi")
                    tls.recv(10)
                    done.append("%s:%d" % tls.getsockname())
        except OSError:
            pass
    return {"done": done}


ready_read, ready_write = os.pipe()
a = namespace("ta", SERVER)
server, server_result = side(serve)
os.read(ready_read, 1)
b = namespace("tb", CLIENT)
client, client_result = side(ask)

seeded = random.Random(5)
queue, number, carried, changed = [], 0, 0, 0
end = time.monotonic() + 60
while time.monotonic() < end:
    pause = max(0.0, min(0.02, queue[0][0] - time.monotonic())) if queue else 0.02
    readable, _, _ = select.select([a, b, client_result], [], [], pause)
    if client_result in readable and not queue:
        break
    for tun in readable:
        if tun == client_result:
            continue
        while True:
            try:
                packet = os.read(tun, 4096)
            except BlockingIOError:
                break
            carried += 1
            if seeded.random() < loss:
                changed += 1
                continue
            due = time.monotonic() + 0.0005
            if seeded.random() < reorder:
                changed += 1
                due += 0.004
            for copy in range(2 if seeded.random() < double else 1):
                number += 1
                heapq.heappush(queue, (due + copy * 0.001, number, b if tun == a else a, packet))
    while queue and queue[0][0] <= time.monotonic():
        _, _, to, packet = heapq.heappop(queue)
        try:
            os.write(to, packet)
        except OSError:
            pass
result = json.loads(os.read(client_result, 1 << 20))
os.kill(server, 9)
for pid in (server, client):
    os.waitpid(pid, 0)
print(json.dumps({"server": server, "client": client, "carried": carried, "changed": changed, **result}))
