#!/usr/bin/env python3
"""The system call filters of a unit, for a machine that systemd does not run.

confine.py allowed UNIT         the system calls that SystemCallFilter= allows, one a line
confine.py run LIST COMMAND…    runs COMMAND under the filters of tlswatch.service: LIST is what `allowed` wrote

As systemd 252 has it (systemd.exec(5)): the first line decides what is the rule, each later one adds to it or takes
away; what is refused fails with EPERM, what systemd does not know with ENOSYS. `run` takes the python3-seccomp of
Debian, and a process that may have filters (no_new_privs).
"""

import errno
import os
import subprocess
import sys

# What the unit's other settings forbid, which run() does as well.
EXPECTED = {
    "SystemCallArchitectures": "native",
    "SystemCallErrorNumber": "EPERM",
    "RestrictAddressFamilies": "AF_INET AF_INET6 AF_UNIX",
    "RestrictNamespaces": "yes",
    "MemoryDenyWriteExecute": "yes",
}


def settings(path):
    for line in open(path):
        key, separator, value = line.strip().partition("=")
        if separator and not key.startswith(("#", ";")):
            yield key, value


def known_sets():
    """What systemd-analyze says that each set holds: calls, and names of other sets."""
    text = subprocess.run(["systemd-analyze", "syscall-filter"], check=True, capture_output=True, text=True).stdout
    sets, current = {}, None
    for line in text.splitlines():
        # What it tells of this kernel's calls that are in no set comes last, as comments.
        if line.startswith("@"):
            current = sets.setdefault(line.strip(), [])
        elif line.startswith("    ") and not line.strip().startswith("#"):
            current.append(line.strip())
    return sets


def members(name, sets):
    if not name.startswith("@"):
        return {name}
    return set().union(*(members(member, sets) for member in sets[name]))


def allowed(unit):
    found = dict(settings(unit))
    for key, value in EXPECTED.items():
        if found.get(key) != value:
            sys.exit(f"confine: {key}={found.get(key)}: this file knows {value}")
    sets = known_sets()
    calls = None
    for key, value in settings(unit):
        if key != "SystemCallFilter":
            continue
        denies = value.startswith("~")
        named = set().union(*(members(name, sets) for name in value.lstrip("~").split()))
        if calls is None:
            if denies:
                sys.exit("confine: the first SystemCallFilter= is no list of what is allowed")
            # Always there, so that a program can begin and end.
            calls = members("@default", sets) | {"execve"}
        calls = calls - named if denies else calls | named
    return calls


def run(path, command):
    import seccomp
    from seccomp import ALLOW, ERRNO, EQ, MASKED_EQ

    calls = set(open(path).read().split())
    by_hand = {"socket", "mmap", "mprotect", "pkey_mprotect", "shmat", "clone", "clone3", "unshare", "setns"}
    filters = seccomp.SyscallFilter(ERRNO(errno.EPERM))
    for call in sorted(calls - by_hand):
        try:
            filters.add_rule(ALLOW, call)
        except (ValueError, RuntimeError):
            # Of another architecture.
            pass
    # RestrictAddressFamilies: AF_UNIX, AF_INET, AF_INET6.
    for family in (1, 2, 10):
        filters.add_rule(ALLOW, "socket", seccomp.Arg(0, EQ, family))
    # MemoryDenyWriteExecute: nothing that is writable is executable, nothing becomes so.
    for bits in (0, 2, 4):
        filters.add_rule(ALLOW, "mmap", seccomp.Arg(2, MASKED_EQ, 6, bits))
    filters.add_rule(ALLOW, "mprotect", seccomp.Arg(2, MASKED_EQ, 4, 0))
    # RestrictNamespaces: clone3's flags cannot be looked at, so libc has to take clone.
    namespaces = 0x00020000 | 0x02000000 | 0x04000000 | 0x08000000 | 0x10000000 | 0x20000000 | 0x40000000
    filters.add_rule(ALLOW, "clone", seccomp.Arg(0, MASKED_EQ, namespaces, 0))
    filters.add_rule(ERRNO(errno.ENOSYS), "clone3")
    filters.load()
    os.execvp(command[0], command)


if __name__ == "__main__":
    if sys.argv[1] == "allowed":
        print("\n".join(sorted(allowed(sys.argv[2]))))
    else:
        run(sys.argv[2], sys.argv[3:])
