"""Clients of the rustls inside the Python module httpr.

Usage: rustls_clients.py CA PORT COUNT; COUNT handshakes, and one more that it refuses.
"""
import sys

import httpr

authority, port, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
for _ in range(count):
    httpr.Client(ca_cert_file=authority).get(f"https://127.0.0.1:{port}/")
try:
    httpr.Client().get(f"https://127.0.0.1:{port}/")
    sys.exit("an unknown authority was trusted")
except Exception as error:
    print(error, file=sys.stderr)
