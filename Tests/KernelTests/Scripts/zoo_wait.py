"""A program of Python's that has its TLS library before it begins: zoo_wait.py FILE LIBRARY SCRIPT ARGUMENT...

LIBRARY is a module, or the path of a shared library. It is loaded, and SCRIPT begins once FILE is there.
"""
import ctypes
import importlib
import os
import runpy
import sys
import time

file, library, script = sys.argv[1:4]
kept = ctypes.CDLL(library) if "/" in library else importlib.import_module(library)
print("loaded", flush=True)
while not os.path.exists(file):
    time.sleep(0.02)
sys.argv = sys.argv[3:]
runpy.run_path(script, run_name="__main__")
