"""stalled_reader.py COMMAND…: runs it with a standard error that is full and that nobody reads. Ends with its status."""

import os
import subprocess
import sys

read, write = os.pipe()
os.set_blocking(write, False)
try:
    while True:
        os.write(write, b"x" * 4096)
except BlockingIOError:
    pass
os.set_blocking(write, True)
sys.exit(subprocess.run(sys.argv[1:], stderr=write, check=False).returncode)
