"""Opens N TCP connections over loopback and holds them: prints `open`, and ends when its input does."""
import resource
import socket
import sys

count = int(sys.argv[1])
resource.setrlimit(resource.RLIMIT_NOFILE, (2 * count + 64, max(2 * count + 64, resource.getrlimit(resource.RLIMIT_NOFILE)[1])))
listener = socket.socket()
listener.bind(("127.0.0.1", 0))
listener.listen(128)
held = []
for _ in range(count):
    client = socket.create_connection(listener.getsockname())
    held += [client, listener.accept()[0]]
print("open", flush=True)
sys.stdin.read()
