"""Runs a command to which the kernel refuses perf_event_open(2), as kernel.perf_event_paranoid=3 does (seccomp(2))."""
import ctypes
import errno
import os
import struct
import sys

ARCHITECTURES = {"x86_64": (0xC000003E, 298), "aarch64": (0xC00000B7, 241)}
architecture, call = ARCHITECTURES[os.uname().machine]


def instruction(code, yes, no, value):
    return struct.pack("HBBI", code, yes, no, value)


LOAD, EQUAL, RETURN = 0x20, 0x15, 0x06
ALLOW, REFUSE = 0x7FFF0000, 0x00050000 | errno.EACCES
program = b"".join([
    instruction(LOAD, 0, 0, 4),  # struct seccomp_data: the architecture
    instruction(EQUAL, 0, 3, architecture),
    instruction(LOAD, 0, 0, 0),  # the call's number
    instruction(EQUAL, 0, 1, call),
    instruction(RETURN, 0, 0, REFUSE),
    instruction(RETURN, 0, 0, ALLOW),
])
text = ctypes.create_string_buffer(program)
filter_ = struct.pack("HxxxxxxP", len(program) // 8, ctypes.addressof(text))
libc = ctypes.CDLL(None, use_errno=True)
PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 38, 22, 2
if libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) or libc.prctl(
        PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.create_string_buffer(filter_), 0, 0):
    sys.exit(f"cannot install the filter: {os.strerror(ctypes.get_errno())}")
os.execv(sys.argv[1], sys.argv[1:])
