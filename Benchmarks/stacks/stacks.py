#!/usr/bin/env python3
"""What observation costs a server of each TLS stack but OpenSSL: `make bench-stacks`, or stacks.py --binary PATH.
See ../README.md.

A server of that stack on one processor, full handshakes from a client of OpenSSL's on another; the server process's
CPU time per handshake, of all its threads (a round's lower quartile over slices of 20). One sample of an arm is four
rounds: bare, observed, observed, bare. Printed is the median of the paired differences in microseconds, with its
standard error; as A/A, the same of an arm that is nothing; how often and for how long programs ran for a handshake, by
the kernel's count; and the ratio to programs that do nothing at the same places.
"""
import argparse
import json
import os
import random
import signal
import statistics
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
for neighbour in ("common", "overhead"):
    sys.path.insert(0, os.path.join(HERE, "..", neighbour))
from arms import EmptyPrograms, NotReady, Nothing, Tlswatch, await_bare  # noqa: E402
from figures import figure, ratio, verdict  # noqa: E402
from pair import Bench, Pair  # noqa: E402
from servers import SERVERS  # noqa: E402
from tools import BenchmarkError, await_true, compile_tool, run  # noqa: E402

NOTHING, EMPTY, OFF, ON = "nothing", "empty programs", "off", "on"
# `on` is at most so many times the empty programs at its places.
MOST = 1.5
WARM, COUNTED, SLICE = 40, 60, 20
# So many times COUNTED handshakes: the lower quartile of their times is told.
COUNTS = 8
PAGE = 4096


def breakpoints(pid, path):
    """Hexadecimal offsets in a file at which a process has a breakpoint where the file has none."""
    with open(path, "rb") as file:
        content = file.read()
    found = []
    with open(f"/proc/{pid}/maps", encoding="utf-8") as maps, open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
        for line in maps:
            words = line.split(maxsplit=5)
            if len(words) < 6 or words[5].rstrip("\n") != path or "x" not in words[1]:
                continue
            start, end = (int(word, 16) for word in words[0].split("-"))
            offset = int(words[2], 16)
            memory.seek(start)
            mapped = memory.read(min(end - start, len(content) - offset))
            for page in range(0, len(mapped), PAGE):
                own, other = mapped[page:page + PAGE], content[offset + page:offset + page + PAGE]
                if own != other:
                    found += [f"{offset + page + at:x}" for at, (one, two) in enumerate(zip(own, other))
                              if one == 0xcc and two != 0xcc]
    return found


class Subject:
    """A stack's server, its client, and what stands in the kernel: as the arms of ../overhead want a pair."""

    def __init__(self, bench, client, name):
        self.bench, self.client = bench, client
        self.kernel = Pair(bench, "tcp", "1.3")
        try:
            self.server = SERVERS[name](bench.directory, bench.certificate, bench.key, bench.processor)
        except BenchmarkError:
            self.kernel.stop()
            raise
        self.target = self.server.target
        # What the server has read of the kernel's tables is not to be read in a round.
        self.handshakes(10 * WARM)

    def ask(self, command):
        return self.kernel.ask(command)

    def sites(self):
        found = breakpoints(self.server.pid, self.target)
        return {self.target: found} if found else {}

    def programs(self):
        return self.kernel.programs()

    def handshakes(self, count):
        """Microseconds of the server's CPU time for one."""
        made, nanoseconds = run(
            "taskset", "-c", self.bench.other_processors, self.client, str(self.server.port), str(self.server.pid),
            "count", str(count), self.server.version, env=dict(os.environ, LD_LIBRARY_PATH=self.bench.unused)).split()
        if int(made) != count:
            raise BenchmarkError(f"{made} handshakes instead of {count}")
        return float(nanoseconds) / 1000

    def runs(self):
        """Of a handshake: how often programs ran at uprobes, at tracepoints, and for how many microseconds. The client's socket
        is the server's peer: what runs at its tracepoints runs for both ends."""
        self.ask("count")
        counts = [[int(number) for number in self.ask("counts").split()]]
        for _ in range(COUNTS):
            self.handshakes(COUNTED)
            counts.append([int(number) for number in self.ask("counts").split()])
        self.ask("counted")
        each = [[(after - before) / COUNTED for before, after in zip(*pair)] for pair in zip(counts, counts[1:])]
        uprobes, tracepoints, at_uprobes, at_tracepoints = (
            statistics.quantiles(column, n=4, method="inclusive")[0] for column in zip(*each))
        return [uprobes, tracepoints, at_uprobes / 1000, at_tracepoints / 1000]

    def stop(self):
        self.server.stop()
        self.kernel.stop()


class Measurement:
    """One stack with all of its arms."""

    def __init__(self, subject, binary, options):
        self.subject, self.options = subject, options
        self.on = Tlswatch(ON, None, binary, "on")
        self.arms = [Nothing(NOTHING), Tlswatch(OFF, None, binary, "off"), self.on,
                     EmptyPrograms(EMPTY, None, lambda: self.places)]
        # Where `on` has its probes; known once it was started.
        self.places = {}
        self.runs = {}
        self.bare = []
        self.added = {arm.name: [] for arm in self.arms}
        self.left_out = 0
        self.order = random.Random(options.seed)

    def prepare(self):
        for arm in self.arms:
            before = self.subject.programs()
            self.subject.ask("known")
            try:
                arm.start(self.subject)
                if arm is self.on:
                    await_true("the probes", self.subject.sites)
                    self.places = self.subject.sites()
                self.subject.handshakes(WARM)
                self.runs[arm.name] = self.subject.runs()
            finally:
                arm.stop(self.subject)
            if not await_bare(self.subject, before):
                raise BenchmarkError(f"{arm.name}: other BPF programs come and go; is another tracer running?")
            if self.runs[arm.name][0] == 0 and arm.kind != NOTHING:
                raise BenchmarkError(f"{arm.name}: none of its probes was hit")

    def sample(self, arm):
        count = self.options.handshakes
        first = self.subject.handshakes(count)
        before = self.subject.programs()
        try:
            arm.start(self.subject)
            observed = self.subject.programs()
            self.subject.handshakes(WARM)
            second, third = self.subject.handshakes(count), self.subject.handshakes(count)
            undisturbed = self.subject.programs() == observed
        except NotReady as reason:
            print(f"  a sample is left out: {reason}", file=sys.stderr)
            undisturbed = False
        finally:
            arm.stop(self.subject)
        undisturbed &= await_bare(self.subject, before)
        self.subject.handshakes(WARM)
        fourth = self.subject.handshakes(count)
        if not undisturbed:
            self.left_out += 1
            return
        self.bare += [first, fourth]
        self.added[arm.name].append((second + third - first - fourth) / 2)

    def measure(self, end):
        while time.monotonic() < end:
            arms = list(self.arms)
            self.order.shuffle(arms)
            for arm in arms:
                self.sample(arm)


def report(name, measurement):
    bare = figure(measurement.bare)
    figures = {arm.name: figure(measurement.added[arm.name]) for arm in measurement.arms}
    print(f"\n{name} ({os.path.basename(measurement.subject.target)}), TLS {measurement.subject.server.version}, server: "
          + (f"unobserved {bare.value:.0f} ±{bare.error:.1f} µs" if bare else "too few samples")
          + f"; {measurement.left_out} samples left out")
    for arm in measurement.arms:
        uprobes, tracepoints, at_uprobes, at_tracepoints = measurement.runs[arm.name]
        share = ratio(figures[arm.name], figures[EMPTY]) if arm.kind in (OFF, ON) else None
        print(f"  {arm.name:<15} {str(figures[arm.name] or 'too few'):>14} µs   runs {uprobes:.1f} + {tracepoints:.1f}, "
              f"{at_uprobes:.1f} + {at_tracepoints:.1f} µs"
              + (f"   ÷ {EMPTY} {share.value:.2f} ±{share.error:.2f}" if share else "")
              + f"   {len(measurement.added[arm.name])} samples")
    share = ratio(figures[ON], figures[EMPTY])
    if share:
        print(f"  goal: {ON} ÷ {EMPTY}, {verdict(share, MOST)}")
    return {"stack": name, "bare": measurement.bare, "added": measurement.added, "runs": measurement.runs}


def parse():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--binary", required=True, help="the tlswatch to measure")
    parser.add_argument("--stack", dest="stacks", choices=list(SERVERS), action="append", help="repeatable (all)")
    parser.add_argument("--minutes", type=float, default=9, help="of measuring, for all stacks together (9)")
    parser.add_argument("--handshakes", type=int, default=200, help="in a round (200)")
    parser.add_argument("--seed", type=int, default=1, help="of the arms' order (1)")
    parser.add_argument("--json", metavar="FILE", help="write every sample")
    options = parser.parse_args()
    options.stacks = list(dict.fromkeys(options.stacks or SERVERS))
    if options.handshakes < 2 * SLICE:
        parser.error(f"--handshakes: at least {2 * SLICE}")
    return options


def main():
    options = parse()
    # Nothing that was started may stay: an observer would observe on.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("bench-stacks: terminated"))
    if os.geteuid() != 0:
        raise BenchmarkError("needs root")
    records = []
    weights = sum(SERVERS[name].weight for name in options.stacks)
    for name in options.stacks:
        with tempfile.TemporaryDirectory(prefix="tlswatch-bench-") as directory:
            bench = Bench(directory, None)
            client = compile_tool(os.path.join(directory, "handshakes"),
                                  os.path.join(HERE, "..", "nginx", "handshakes.c"), "-lssl", "-lcrypto")
            subject = Subject(bench, client, name)
            try:
                measurement = Measurement(subject, os.path.abspath(options.binary), options)
                measurement.prepare()
                measurement.measure(
                    time.monotonic() + 60 * options.minutes * SERVERS[name].weight / weights)
                records.append(report(name, measurement))
            finally:
                subject.stop()
        if options.json:
            with open(options.json, "w", encoding="utf-8") as file:
                json.dump(records, file)


if __name__ == "__main__":
    try:
        main()
    except BenchmarkError as error:
        sys.exit(f"bench-stacks: {error}")
