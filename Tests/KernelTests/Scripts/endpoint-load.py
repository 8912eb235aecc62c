"""endpoint-load.py PORT: what the HTTP endpoint must bear at once.

Twenty slow senders, twenty connections that never say a word, ten scrapers. Says `loaded` when all are at it; SIGTERM
ends it, and it prints how many scrapes were served and how many were not.
"""

import http.client
import signal
import socket
import sys
import threading

port = int(sys.argv[1])
stop = threading.Event()
signal.signal(signal.SIGTERM, lambda number, frame: stop.set())
ready = threading.Barrier(20 + 10 + 1)
lock = threading.Lock()
counts = {"served": 0, "refused": 0}


def send_slowly():
    begun = False
    while not stop.is_set():
        with socket.create_connection(("127.0.0.1", port)) as connection:
            connection.sendall(b"GET /metrics HTTP/1.1\r\nX: ")
            if not begun:
                begun = True
                ready.wait()
            try:
                while not stop.wait(0.02):
                    connection.sendall(b"x")
            except OSError:
                pass  # cut off: once more


def scrape():
    begun = False
    while not stop.is_set():
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        connection.request("GET", "/metrics")
        response = connection.getresponse()
        whole = response.read().endswith(b"\n")
        with lock:
            counts["served" if response.status == 200 and whole else "refused"] += 1
        connection.close()
        if not begun:
            begun = True
            ready.wait()


silent = [socket.create_connection(("127.0.0.1", port)) for _ in range(20)]
threads = [threading.Thread(target=send_slowly) for _ in range(20)] + [
    threading.Thread(target=scrape) for _ in range(10)
]
for thread in threads:
    thread.start()
ready.wait()
print("loaded", flush=True)
stop.wait()
for thread in threads:
    thread.join()
print(counts["served"], counts["refused"], flush=True)
