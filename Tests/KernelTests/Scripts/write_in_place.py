"""Writes a file over in place with its own bytes, and maps it at once: says how many bytes of the mapping are not the file's.

A uprobe on the file is such a byte. The mapping is not one of code, which would be looked at and probed again.
"""
import mmap
import os
import sys
import time

path = sys.argv[1]
with open(path, "rb") as file:
    content = file.read()
begun = time.monotonic()
descriptor = os.open(path, os.O_WRONLY)
waited = time.monotonic() - begun
os.write(descriptor, content)
os.close(descriptor)
with open(path, "rb") as file:
    with mmap.mmap(file.fileno(), 0, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ) as mapping:
        differing = sum(1 for one, other in zip(mapping[:], content) if one != other)
print(f"{differing} differing, {waited * 1e3:.0f} ms waited")
