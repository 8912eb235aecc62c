"""The measured program (pair.c): both ends of TLS handshakes in one thread, with libraries of its own."""
import os
import re
import selectors
import shutil
import subprocess

from figures import Round
from tools import BenchmarkError, compile_tool, make_certificate, run

HERE = os.path.dirname(os.path.abspath(__file__))
DEADLINE = 120


class Bench:
    """What all pairs of a run share: the program, a certificate, and two copies of the libraries. One copy is loaded
    by nothing but the pair; the other one by nothing at all."""

    def __init__(self, directory, libraries):
        self.directory = directory
        self.program = compile_tool(os.path.join(directory, "pair"), *self.link(libraries))
        self.certificate, self.key = make_certificate(directory)
        self.used = os.path.join(directory, "used")
        self.unused = os.path.join(directory, "unused")
        for copies in (self.used, self.unused):
            os.mkdir(copies)
            for path in libraries or self._linked():
                shutil.copy(path, copies)
        self.libssl, self.libcrypto = self._copy("libssl"), self._copy("libcrypto")
        # The highest processor for the handshakes, all others for the observers.
        processors = sorted(os.sched_getaffinity(0))
        if len(processors) < 2:
            raise BenchmarkError("needs two processors: one for the handshakes, one for what observes them")
        self.processor = processors[-1]
        self.other_processors = ",".join(str(number) for number in processors[:-1])

    def link(self, _libraries):
        """What the compiler makes the program of: here with the libraries that it links by itself."""
        return [f"-I{HERE}", os.path.join(HERE, "pair.c"), os.path.join(HERE, "probes.c"), "-lssl", "-lcrypto", "-lbpf"]

    def _linked(self):
        found = re.findall(r"lib(?:ssl|crypto)\S* => (\S+)", run("ldd", self.program))
        return [os.path.realpath(path) if "/" in path else path for path in found]

    def _copy(self, name):
        found = [os.path.join(self.used, entry) for entry in os.listdir(self.used) if entry.startswith(name + ".so")]
        if len(found) != 1:
            raise BenchmarkError(f"one {name} is needed, there are {len(found)}")
        return found[0]

    @property
    def unused_libssl(self):
        return os.path.join(self.unused, os.path.basename(self.libssl))


class Pair:
    def __init__(self, bench, kind, version):
        self.bench = bench
        self.child = subprocess.Popen(
            [bench.program, kind, version, str(bench.processor), bench.certificate, bench.key],
            env=dict(os.environ, LD_LIBRARY_PATH=bench.used), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            start_new_session=True)  # an interruption is for the benchmark, which ends it
        self.selector = selectors.DefaultSelector()
        self.selector.register(self.child.stdout, selectors.EVENT_READ)
        self._answer("the start")
        self.library, self.library_version = self.ask("library").split(" ", 1)
        if os.path.realpath(self.library) != os.path.realpath(bench.libssl):
            self.stop()
            raise BenchmarkError(f"the pair loaded {self.library} instead of {bench.libssl}")

    def _answer(self, command):
        # By the second: one in which everything was frozen is but one.
        if not any(self.selector.select(1) for _ in range(DEADLINE)):
            raise BenchmarkError(f"the pair did not answer '{command}' in {DEADLINE} s")
        state, _, text = self.child.stdout.readline().decode().rstrip("\n").partition(" ")
        if state != "ok":
            raise BenchmarkError(f"{command.split(' ', maxsplit=1)[0]}: {text or 'the pair ended'}")
        return text

    def ask(self, command):
        self.child.stdin.write(command.encode() + b"\n")
        self.child.stdin.flush()
        return self._answer(command)

    def round(self, handshakes):
        server, client, kept, _ = self.ask(f"round {handshakes}").split()
        return Round(float(server) / 1000, float(client) / 1000, int(kept) / handshakes)

    def warm(self, handshakes):
        self.ask(f"warm {handshakes}")

    def runs(self, handshakes):
        """How often programs ran for one handshake: at uprobes (server, client), at tracepoints (server, client)."""
        return [float(number) for number in self.ask(f"runs {handshakes}").split()]

    def sites(self):
        """{library: [hexadecimal offset]} of the probes that are in place."""
        found = {}
        for word in self.ask("sites").split():
            path, _, offsets = word.rpartition(":")
            if offsets:
                found.setdefault(path, []).extend(offsets.split(","))
        return found

    def programs(self):
        """The ids of all BPF programs on this host that trace."""
        return frozenset(self.ask("programs").split())

    def stop(self):
        if self.child.poll() is None:
            self.child.stdin.close()
            try:
                self.child.wait(10)
            except subprocess.TimeoutExpired:
                self.child.kill()
                self.child.wait(10)
        self.child.stdout.close()
        self.selector.close()
