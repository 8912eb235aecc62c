"""The arms: what observes the pair, or stands in its place. Each is started and stopped around every sample."""
import os
import signal
import subprocess
import time
import urllib.error
import urllib.request

from tools import DEADLINE, BenchmarkError, await_within, free_port

SSLLATENCY = "/usr/sbin/ssllatency.bt"
# Those that tlswatch needs for the sockets of sessions; its goal is set against three empty programs.
TRACEPOINTS = ["sock_send_length", "sock_recv_length", "inet_sock_set_state"]


class Unavailable(Exception):
    """This arm cannot be measured here; the text says why."""


class NotReady(BenchmarkError):
    """An observer that did not begin this time."""


class Arm:
    """`kind` is what a user selects and a ratio is formed of; `binary` the label of the binary, if it is of one."""

    def __init__(self, kind, binary=None):
        self.kind = kind
        self.binary = binary
        self.name = f"{kind} ({binary})" if binary else kind

    def start(self, pair):
        raise NotImplementedError

    def stop(self, pair):
        raise NotImplementedError


class Nothing(Arm):
    """The same procedure with nothing attached: what the benchmark calls a difference where there is none."""

    def start(self, pair):
        pass

    def stop(self, pair):
        pass


class Known(Arm):
    """Each side spins for as long in every handshake: an added cost whose figure is known beforehand."""
    MICROSECONDS = 5

    def start(self, pair):
        pair.ask(f"spin {self.MICROSECONDS * 1000}")

    def stop(self, pair):
        pair.ask("spin 0")


class EmptyPrograms(Arm):
    """Empty programs where another arm has its own: what the kernel's exceptions cost, whatever the programs do."""

    def __init__(self, kind, binary, sites_of):
        super().__init__(kind, binary)
        self.sites_of = sites_of

    def start(self, pair):
        sites = self.sites_of()
        if not sites:
            raise Unavailable("the sites of --phases on are not known")
        for library, offsets in sites.items():
            pair.ask(f"empty {library} {' '.join(offsets)}")

    def stop(self, pair):
        pair.ask("detach")


class EmptyTracepoints(Arm):
    def start(self, pair):
        pair.ask("tracepoints " + " ".join(TRACEPOINTS))

    def stop(self, pair):
        pair.ask("detach")


class Process(Arm):
    """An observer that is a process, on the other processors."""

    def __init__(self, kind, binary=None):
        super().__init__(kind, binary)
        self.child = None
        self.log = ""

    def command(self, pair):
        raise NotImplementedError

    def ready(self, pair):
        raise NotImplementedError

    def start(self, pair):
        self.log = os.path.join(pair.bench.directory, "observer.log")
        with open(self.log, "wb") as log:
            self.child = subprocess.Popen(
                ["taskset", "-c", pair.bench.other_processors, *self.command(pair)], stdin=subprocess.DEVNULL,
                stdout=log, stderr=subprocess.STDOUT, start_new_session=True)
        if not await_within(DEADLINE, lambda: self.alive() and self.ready(pair)):
            raise NotReady(f"waited {DEADLINE} s in vain for {self.name} to be ready: {self.output()[-800:].strip()}")

    def output(self):
        with open(self.log, encoding="utf-8", errors="replace") as log:
            return log.read()

    def alive(self):
        if self.child.poll() is not None:
            raise NotReady(f"{self.name} ended with {self.child.returncode}: {self.output()[-800:].strip()}")
        return True

    def stop(self, pair):
        if not self.child:
            return
        self.child.send_signal(signal.SIGINT)
        try:
            self.child.wait(20)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait(10)
        self.child = None


class Tlswatch(Process):
    """`--phases PHASES`, on the library that handshakes or on the one that never does. Or packets: with those of the whole host no
    library can be selected, so what is observed besides is a process that has none."""

    def __init__(self, kind, binary, path, phases, handshakes=True, wire=False):
        super().__init__(kind, binary)
        self.path = path
        self.phases = phases
        self.handshakes = handshakes
        self.wire = wire
        self.idle = None
        self.port = 0

    def command(self, pair):
        self.port = free_port()
        library = pair.target if self.handshakes else pair.bench.unused_libssl
        of = ["--library", library]
        if self.wire:
            self.idle = subprocess.Popen(["sleep", "3600"], stdin=subprocess.DEVNULL)
            of = ["--pid", str(self.idle.pid), "--wire", "all"]
        # Not the settings that this host may have.
        return [self.path, "run", "--config", "/dev/null", "--listen", f"127.0.0.1:{self.port}",
                *of, "--phases", self.phases]

    def stop(self, pair):
        super().stop(pair)
        if self.idle:
            self.idle.kill()
            self.idle.wait(10)
            self.idle = None

    def alive(self):
        if self.child.poll() == 64 and "--phases" in self.output():
            raise Unavailable(f"it does not know --phases {self.phases}")
        return super().alive()

    def ready(self, pair):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/readyz", timeout=10) as answer:
                answer.read()
            return True
        except (urllib.error.URLError, OSError):
            return False


class Ssllatency(Process):
    """bpftrace's tool, on the pair's libraries instead of the system's."""

    def command(self, pair):
        if not os.path.exists(SSLLATENCY):
            raise Unavailable(f"{SSLLATENCY} is missing: Debian's package bpftrace has it")
        script = os.path.join(pair.bench.directory, "ssllatency.bt")
        with open(SSLLATENCY, encoding="utf-8") as file:
            text = file.read()
        for name, path in (("libssl", pair.bench.libssl), ("libcrypto", pair.bench.libcrypto)):
            if f":{name}:" not in text:
                raise Unavailable(f"{SSLLATENCY} does not probe {name}, as it did when this was written")
            text = text.replace(f":{name}:", f":{path}:")
        with open(script, "w", encoding="utf-8") as file:
            file.write(text)
        return ["bpftrace", script]

    def ready(self, pair):
        # Its output is buffered, its probes are not.
        return bool(pair.sites())


class State:
    """What stands in the kernel for the arm: the sites in the pair's libraries, and how many programs."""

    def __init__(self, pair, before):
        self.sites = pair.sites()
        self.programs = len(pair.programs() - before)

    def __eq__(self, other):
        return self.sites == other.sites and self.programs == other.programs


def await_stable(pair, before, seconds=0.5):
    """The state of an arm that is started for the first time: once it no longer changes."""
    state, since = State(pair, before), time.monotonic()
    while time.monotonic() - since < seconds:
        time.sleep(0.02)
        now = State(pair, before)
        if now != state:
            state, since = now, time.monotonic()
    return state


def await_state(pair, before, state):
    """The same state as the first time; False where it does not come about."""
    return await_within(10, lambda: State(pair, before) == state)


def await_bare(pair, before):
    """The kernel lets go of programs later than their holder does. False where others came instead."""
    return await_within(10, lambda: not pair.sites() and pair.programs() == before)
