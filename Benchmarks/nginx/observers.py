"""Who observes nginx: nobody, tlswatch with and without phases, bpftrace's ssllatency.bt."""
import json
import os
import re
import signal
import subprocess
import urllib.error
import urllib.request

from server import CLIENT_CORE
from tools import BenchmarkError, await_true, free_port, run

SSLLATENCY = "/usr/sbin/ssllatency.bt"


class Nobody:
    """Also the A/A arm: what the machine's noise makes of no difference at all."""
    name = "nobody (A/A)"
    pid = 0

    def start(self):
        pass

    def stop(self):
        pass


class Process:
    """An observer that is a process; it runs beside the client, off the server's core."""

    def __init__(self, name, command):
        self.name = name
        self.command = command
        self.child = None

    @property
    def pid(self):
        return self.child.pid if self.child else 0

    def start(self):
        self.child = subprocess.Popen(
            ["taskset", "-c", CLIENT_CORE, *self.command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL, text=True)
        self.await_ready()

    def stop(self):
        if not self.child:
            return
        held = {p["id"] for p in programs_of(self.child.pid)}
        self.child.send_signal(signal.SIGINT)
        try:
            self.child.communicate(timeout=20)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.communicate()
        # The next arm begins when the kernel has let go of every program.
        await_true(f"{self.name} to leave the kernel", lambda: not held & {p["id"] for p in programs()})
        self.child = None

    def await_ready(self):
        raise NotImplementedError

    def alive(self):
        if self.child.poll() is not None:
            raise BenchmarkError(f"{self.name} ended by itself with {self.child.returncode}: {' '.join(self.command)}")


class Tlswatch(Process):
    def __init__(self, name, binary, options):
        self.port = free_port()
        super().__init__(name, [binary, "run", "--listen", f"127.0.0.1:{self.port}", *options])

    def await_ready(self):
        def ready():
            self.alive()
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/readyz", timeout=10) as answer:
                    answer.read()
                return True
            except (urllib.error.URLError, OSError):
                return False
        await_true(self.name, ready)


class Ssllatency(Process):
    def __init__(self):
        super().__init__("ssllatency.bt", ["bpftrace", SSLLATENCY])

    @staticmethod
    def installed():
        return os.path.exists(SSLLATENCY)

    def await_ready(self):
        # bpftrace runs BEGIN when everything is attached; its output is buffered, its programs are not.
        def ready():
            self.alive()
            return len(programs_of(self.pid)) >= 6
        await_true(self.name, ready)


def programs_of(pid):
    """The BPF programs a process holds, as bpftool tells them. By its descriptors: bpftool's own `pids` needs
    what not every build of it has."""
    held = set()
    try:
        for entry in os.listdir(f"/proc/{pid}/fdinfo"):
            with open(f"/proc/{pid}/fdinfo/{entry}", encoding="ascii") as file:
                held |= {int(number) for number in re.findall(r"^prog_id:\s*(\d+)", file.read(), re.MULTILINE)}
    except OSError:
        pass  # the process, or the descriptor, has gone meanwhile
    return [p for p in programs() if p["id"] in held]


def programs():
    return json.loads(run("bpftool", "--json", "prog", "show"))
