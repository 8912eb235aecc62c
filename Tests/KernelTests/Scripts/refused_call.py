"""refused_call.py CALL COMMAND…: runs a command to which the kernel refuses a system call (seccomp(2)): perf_event_open
with EACCES, as kernel.perf_event_paranoid=3 does, or bpf with EPERM, as the filters of containers do."""
import ctypes
import errno
import os
import struct
import sys

ARCHITECTURES = {
    "x86_64": (0xC000003E, {"perf_event_open": 298, "bpf": 321}),
    "aarch64": (0xC00000B7, {"perf_event_open": 241, "bpf": 280}),
}
ERRORS = {"perf_event_open": errno.EACCES, "bpf": errno.EPERM}
architecture, calls = ARCHITECTURES[os.uname().machine]
call = calls[sys.argv[1]]


def instruction(code, yes, no, value):
    return struct.pack("HBBI", code, yes, no, value)


LOAD, EQUAL, RETURN = 0x20, 0x15, 0x06
ALLOW, REFUSE = 0x7FFF0000, 0x00050000 | ERRORS[sys.argv[1]]
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
os.execv(sys.argv[2], sys.argv[2:])
