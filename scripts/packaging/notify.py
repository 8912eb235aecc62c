#!/usr/bin/env python3
"""notify.py SOCKET LOG: stands in for a service manager: writes each line that it is told into LOG, until it is ended.

It listens once SOCKET is there.
"""

import os
import socket
import sys

path, log = sys.argv[1:]
receiver = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
# The daemon is another user.
os.umask(0)
receiver.bind(path)
with open(log, "a", buffering=1) as lines:
    while True:
        lines.write(receiver.recv(4096).decode(errors="replace").rstrip("\n") + "\n")
