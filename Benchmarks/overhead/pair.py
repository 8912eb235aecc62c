"""The measured programs: pair.c, both ends of TLS handshakes in one thread, with libraries of its own; and gopair, Go's."""
import os
import re
import selectors
import shutil
import subprocess

from figures import Round
from tools import BenchmarkError, cache, compile_tool, make_certificate, run

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


class Program:
    """A program that answers commands, one line each."""

    def __init__(self, *command, **environment):
        self.child = subprocess.Popen(
            command, env=dict(os.environ, **environment), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            start_new_session=True)  # an interruption is for the benchmark, which ends it
        self.selector = selectors.DefaultSelector()
        self.selector.register(self.child.stdout, selectors.EVENT_READ)
        self._answer("the start")

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


class Handshakes:
    """What both pairs answer. `target` is the file that is observed."""

    def ask(self, command):
        raise NotImplementedError

    def round(self, handshakes):
        server, client, kept, _ = self.ask(f"round {handshakes}").split()
        return Round(float(server) / 1000, float(client) / 1000, int(kept) / handshakes)

    def warm(self, handshakes):
        self.ask(f"warm {handshakes}")

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


class Pair(Program, Handshakes):
    def __init__(self, bench, kind, version):
        super().__init__(bench.program, kind, version, str(bench.processor), bench.certificate, bench.key,
                         LD_LIBRARY_PATH=bench.used)
        self.bench = bench
        self.target = bench.libssl
        self.library, self.library_version = self.ask("library").split(" ", 1)
        if os.path.realpath(self.library) != os.path.realpath(bench.libssl):
            self.stop()
            raise BenchmarkError(f"the pair loaded {self.library} instead of {bench.libssl}")

    def runs(self, handshakes):
        """How often programs ran for one handshake: at uprobes (server, client), at tracepoints (server, client)."""
        return [float(number) for number in self.ask(f"runs {handshakes}").split()]


class GoPair(Handshakes):
    """gopair makes the handshakes; what stands in the kernel is for a pair beside it, which makes none."""
    OWN = {"round", "warm", "sites"}
    GO = "1.27.3"

    def __init__(self, bench):
        self.bench = bench
        self.target = os.path.join(bench.directory, "gopair")
        root = os.path.join(cache(), f"go-{self.GO}", "go")
        if not os.path.exists(root):
            raise BenchmarkError(f"there is no Go {self.GO} in {cache()}: run `make deps`")
        run(os.path.join(root, "bin", "go"), "-C", os.path.join(HERE, "gopair"), "build", "-o", self.target, ".",
            env=dict(os.environ, GOROOT=root, GOCACHE=os.path.join(cache(), "go-build"), GOPROXY="off",
                     GOPATH=os.path.join(cache(), "go-path"), GOTOOLCHAIN="local", GOTELEMETRY="off", CGO_ENABLED="0"))
        self.kernel = Pair(bench, "tcp", "1.3")
        self.program = Program("taskset", "-c", str(bench.processor), self.target)
        self.library_version = f"Go {self.GO}"

    def ask(self, command):
        return (self.program if command.split()[0] in self.OWN else self.kernel).ask(command)

    def runs(self, handshakes):
        """As of Pair, but of both ends together: they are not told apart."""
        self.ask("count")
        self.warm(handshakes)
        uprobes, tracepoints = (int(number) / handshakes for number in self.ask("counted").split()[:2])
        return [uprobes, uprobes, tracepoints, tracepoints]

    def stop(self):
        self.program.stop()
        self.kernel.stop()
