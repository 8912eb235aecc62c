#!/usr/bin/env python3
"""What observation costs a TLS handshake: `make bench-overhead`, or overhead.py --binary PATH. See ../README.md.

Both ends of each handshake run in one thread, with copies of libssl and libcrypto that nothing else uses. One sample
of an arm is four rounds: bare, observed, observed, bare. Printed is the median of the paired differences in
microseconds of CPU time, server and client apart, with its standard error; beside it, as A/A, the difference of the
two bare rounds of the same samples; and the ratio to bpftrace's ssllatency.bt in the same run.
"""
import argparse
import dataclasses
import json
import os
import random
import signal
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "common"))
from arms import (  # noqa: E402
    EmptyPrograms, EmptyTracepoints, Known, Nothing, NotReady, Ssllatency, Tlswatch, Unavailable, await_bare,
    await_stable, await_state,
)
from figures import CLIENT, SERVER, Sample, figure, quiet, ratio, rounds_agree, verdict  # noqa: E402
from boring import BoringBench  # noqa: E402
from pair import Bench, GoPair, Pair  # noqa: E402
from tools import BenchmarkError  # noqa: E402

NOTHING, KNOWN = "nothing", f"{Known.MICROSECONDS} µs spun"
EMPTY, OFF, ON, FULL = "empty programs", "off", "on", "full"
SSLLATENCY, TRACEPOINTS, EMPTY_TRACEPOINTS = "ssllatency.bt", "tracepoints alone", "three empty tracepoints"
WIRE = "packets alone"
KINDS = {
    "nothing": NOTHING, "known": KNOWN, "empty": EMPTY, "off": OFF, "on": ON, "full": FULL, "ssllatency": SSLLATENCY,
    "tracepoints": TRACEPOINTS, "empty-tracepoints": EMPTY_TRACEPOINTS, "wire": WIRE,
}
# Without TLS nothing but the tracepoints and what looks at packets runs.
WITHOUT_TLS = {NOTHING, KNOWN, TRACEPOINTS, EMPTY_TRACEPOINTS, WIRE}
# Go's pair spins for nobody, and ssllatency.bt knows OpenSSL alone.
GO = "go 1.3"
NOT_OF_GO = {KNOWN, SSLLATENCY}
# (of, to, where, at most), server side; "full 1.3" is a full handshake in TLS 1.3.
GOALS = [(ON, SSLLATENCY, "full 1.3", 1.15), (OFF, SSLLATENCY, "full 1.3", 0.85),
         (TRACEPOINTS, EMPTY_TRACEPOINTS, "tcp", 1.3), (ON, EMPTY, GO, 1.5)]
# bpftrace's tool knows OpenSSL's functions: what observing BoringSSL costs is set against programs that do nothing.
BORINGSSL_GOALS = [(ON, EMPTY, "full 1.3", 1.5)]
# What looking at packets may cost an end of a handshake, µs: more than the tracepoints, which run with it.
MOST_OF_WIRE = 10
WARM = 40


class Measurement:
    """One scenario, such as full handshakes in TLS 1.3, with all of its arms."""

    def __init__(self, bench, scenario, options):
        self.scenario = scenario
        self.options = options
        if scenario == GO:
            self.pair = GoPair(bench)
        else:
            self.pair = Pair(bench, *(scenario.split() if scenario != "tcp" else ("tcp", "1.3")))
        self.before = frozenset()
        self.look_around()
        self.states = {}
        self.runs = {}
        self.notes = []
        self.not_ready = 0
        self.samples = {}
        self.order = random.Random(options.seed)
        self.arms = arms_of(options, scenario, self.known_sites)

    def known_sites(self, name):
        """Of an arm that was started before."""
        return self.states[name].sites if name in self.states else None

    def look_around(self):
        """Which programs of others are loaded; they may come and go."""
        self.before = self.pair.programs()
        self.pair.ask("known")

    def prepare(self):
        """Starts each arm once: whether it can be measured, where its probes are, how often its programs run."""
        self.pair.warm(200)
        self.pair.round(self.options.handshakes)
        for arm in list(self.arms):
            try:
                # Again where others' programs came, went or were counted.
                if not any(self.try_arm(arm) for _ in range(10)):
                    raise BenchmarkError(f"{arm.name}: other BPF programs come and go; is another tracer running?")
                self.expect_probes(arm)
                self.samples[arm.name] = []
            except Unavailable as reason:
                self.notes.append(f"{arm.name}: left out, {reason}")
                self.arms.remove(arm)

    def try_arm(self, arm):
        self.look_around()
        try:
            arm.start(self.pair)
            self.states[arm.name] = await_stable(self.pair, self.before)
            self.pair.warm(WARM)
            self.runs[arm.name] = self.pair.runs(50)
        finally:
            arm.stop(self.pair)
        return await_bare(self.pair, self.before) and not self.counts_strangers(arm)

    def counts_strangers(self, arm):
        """Whether programs were hit that this arm does not have."""
        uprobes, tracepoints = sum(self.runs[arm.name][:2]), sum(self.runs[arm.name][2:])
        without_uprobes = arm.kind in (NOTHING, KNOWN, TRACEPOINTS, EMPTY_TRACEPOINTS, WIRE)
        without_tracepoints = arm.kind in (NOTHING, KNOWN, EMPTY, SSLLATENCY)
        return uprobes > 0 and without_uprobes or tracepoints > 0 and without_tracepoints

    def expect_probes(self, arm):
        """A benchmark of probes that are not there would call them free."""
        uprobes, tracepoints = sum(self.runs[arm.name][:2]), sum(self.runs[arm.name][2:])
        if arm.kind in (EMPTY, OFF, ON, FULL, SSLLATENCY) and uprobes == 0:
            raise BenchmarkError(f"{arm.name}: none of its probes was hit in 50 handshakes")
        if arm.kind in (OFF, ON, FULL, TRACEPOINTS, EMPTY_TRACEPOINTS, WIRE) and tracepoints == 0:
            raise BenchmarkError(f"{arm.name}: none of its tracepoints was hit in 50 handshakes")

    def sample(self, arm, before):
        """One sample, and the bare round at its end, which the next one begins with."""
        count = self.options.handshakes
        earlier = self.before
        self.look_around()
        first = second = None
        try:
            arm.start(self.pair)
            undisturbed = self.before == earlier and await_state(self.pair, self.before, self.states[arm.name])
            observed = self.pair.programs()
            self.pair.warm(WARM)
            first = self.pair.round(count)
            second = self.pair.round(count)
            undisturbed &= self.pair.programs() == observed
        except NotReady as reason:
            self.not_ready += 1
            if self.not_ready > 5:
                raise
            print(f"  a sample is left out: {reason}", file=sys.stderr)
        finally:
            arm.stop(self.pair)
        bare_again = await_bare(self.pair, self.before)
        self.pair.warm(WARM)
        after = self.pair.round(count)
        if first:
            self.samples[arm.name].append(Sample(before, first, second, after, undisturbed and bare_again))
        return after

    def settle(self, bare, end):
        """A bare round that agrees with the one before it: a sample that begins in noise is lost. Gives up on a
        machine that is never quiet; the samples tell then."""
        for _ in range(10):
            if time.monotonic() > end:
                break
            again = self.pair.round(self.options.handshakes)
            if rounds_agree(bare, again, self.options.tolerance):
                return again
            bare = again
        return bare

    def measure(self, end):
        """Until this time; whoever interrupts it gets the figures so far."""
        try:
            self._measure(end)
        except KeyboardInterrupt:
            self.options.interrupted = True

    def _measure(self, end):
        self.pair.warm(WARM)
        bare = self.settle(self.pair.round(self.options.handshakes), end)
        turns = 0
        while time.monotonic() < end:
            turns += 1
            arms = list(self.arms)
            self.order.shuffle(arms)
            for arm in arms:
                if time.monotonic() < end:
                    after = self.sample(arm, bare)
                    bare = after if rounds_agree(bare, after, self.options.tolerance) else self.settle(after, end)
            if sys.stderr.isatty():
                print(f"\r{self.scenario}: {turns} samples an arm", end="", file=sys.stderr, flush=True)
        if sys.stderr.isatty():
            print(file=sys.stderr)

    def stop(self):
        self.pair.stop()


def count_text(runs, side):
    """At uprobes and at tracepoints."""
    return f"{runs[side]:.1f} + {runs[2 + side]:.1f}"


def title(measurement):
    if measurement.scenario == "tcp":
        return "TCP connection without TLS"
    if measurement.scenario == GO:
        return f"Handshake, TLS 1.3, {measurement.pair.library_version}; the runs are of both ends together"
    kind, version = measurement.scenario.split()
    return f"{kind.capitalize()} handshake, TLS {version}, {measurement.pair.library_version}"


def quiet_samples(measurement):
    """{arm: [sample]}, and how many were left out."""
    everything = [sample for samples in measurement.samples.values() for sample in samples]
    kept = iter(quiet(everything, measurement.options.tolerance))
    good = {name: [sample for sample in samples if next(kept)] for name, samples in measurement.samples.items()}
    return good, len(everything), len(everything) - sum(len(samples) for samples in good.values())


def print_table(rows, markdown):
    if markdown:
        print()
        for row in [rows[0], ["---"] * len(rows[0]), *rows[1:]]:
            print("| " + " | ".join(row) + " |")
        print()
        return
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        print("  " + "  ".join(text.ljust(width) for text, width in zip(row, widths)).rstrip())


def base_of(options, scenario):
    """What the others are divided by."""
    if scenario == "tcp":
        return EMPTY_TRACEPOINTS
    return EMPTY if options.boringssl or scenario == GO else SSLLATENCY


def report(measurement):
    """Prints the table; returns the server's figures by arm: {name: (arm, figure)}."""
    good, taken, left_out = quiet_samples(measurement)
    print(f"\n{title(measurement)}")
    for note in measurement.notes:
        print(f"  {note}")
    bare = [figure([sample.bare(side) for samples in good.values() for sample in samples]) for side in (SERVER, CLIENT)]
    print(f"  {left_out} of {taken} samples left out: the machine was not quiet")
    if not all(bare):
        print("  too few samples for a figure")
        return {}
    print(f"  unobserved: server {bare[SERVER].value:.1f} µs, client {bare[CLIENT].value:.1f} µs")
    figures = {arm.name: [(figure([sample.added(side) for sample in good[arm.name]]),
                           figure([difference for sample in good[arm.name]
                                   if (difference := sample.bare_difference(side)) is not None]))
                          for side in (SERVER, CLIENT)] for arm in measurement.arms}
    base_kind = base_of(measurement.options, measurement.scenario)
    base = next((figures[arm.name] for arm in measurement.arms if arm.kind == base_kind), None)
    heads = ["µs added", "A/A", f"÷ {base_kind}", "runs"]
    rows = [["", "server: " + heads[0], *heads[1:], "client: " + heads[0], *heads[1:], "samples"]]
    for arm in measurement.arms:
        row = [arm.name]
        for side in (SERVER, CLIENT):
            added, same = figures[arm.name][side]
            share = ratio(added, base[side][0]) if base and arm.kind not in (base_kind, NOTHING, KNOWN) else None
            row += [str(added or "too few"), str(same or ""), f"{share.value:.2f} ±{share.error:.2f}" if share else "",
                    count_text(measurement.runs[arm.name], side)]
        rows.append(row + [str(len(good[arm.name]))])
    print_table(rows, measurement.options.markdown)
    print_wire(measurement, figures)
    return {arm.name: (arm, figures[arm.name][SERVER][0]) for arm in measurement.arms}


def print_wire(measurement, figures):
    """What looking at packets adds to the tracepoints, which run with it: of each side, against the goal."""
    for wire in (arm for arm in measurement.arms if arm.kind == WIRE and measurement.scenario != "tcp"):
        alone = next((arm for arm in measurement.arms if arm.kind == TRACEPOINTS and arm.binary == wire.binary), None)
        for side, name in ((SERVER, "server"), (CLIENT, "client")):
            both = [figures[arm.name][side][0] for arm in (wire, alone) if arm]
            if len(both) != 2 or not all(both):
                continue
            value, error = both[0].value - both[1].value, (both[0].error ** 2 + both[1].error ** 2) ** 0.5
            outcome = "met" if value <= MOST_OF_WIRE else "missed"
            print(f"  goal: {wire.name} - {alone.name}, {name}, at most {MOST_OF_WIRE} µs: {value:.2f} ±{error:.2f}, {outcome}")


def goals(servers, scenario, wanted):
    for kind, base_kind, where, most in wanted:
        base = next((added for arm, added in servers.values() if arm.kind == base_kind), None)
        for arm, added in servers.values():
            share = ratio(added, base)
            if scenario != where or arm.kind != kind or not share:
                continue
            print(f"  goal: {arm.name} ÷ {base_kind}, server, {verdict(share, most)}")


def arms_of(options, scenario, known_sites):
    """In the order of the table."""
    wanted = {KINDS[name] for name in options.arms}
    if scenario == "tcp":
        wanted &= WITHOUT_TLS
    if scenario == GO:
        wanted -= NOT_OF_GO
    arms = [Nothing(NOTHING)] if NOTHING in wanted else []
    if KNOWN in wanted:
        arms.append(Known(KNOWN))
    if EMPTY_TRACEPOINTS in wanted:
        arms.append(EmptyTracepoints(EMPTY_TRACEPOINTS))
    if SSLLATENCY in wanted:
        arms.append(Ssllatency(SSLLATENCY))
    for label, path in options.binaries:
        for kind, phases in ((TRACEPOINTS, "off"), (OFF, "off"), (ON, "on"), (FULL, "full")):
            if kind in wanted:
                arms.append(Tlswatch(kind, label, path, phases, handshakes=kind != TRACEPOINTS))
        if WIRE in wanted:
            arms.append(Tlswatch(WIRE, label, path, "off", handshakes=False, wire=True))
        if EMPTY in wanted and ON in wanted:
            arms.append(EmptyPrograms(EMPTY, label, lambda name=f"{ON} ({label})": known_sites(name)))
    return arms


def labelled(text):
    label, equals, path = text.partition("=")
    if not equals:
        label, path = os.path.basename(text), text
    if not os.access(path, os.X_OK):
        raise argparse.ArgumentTypeError(f"{path} is no program")
    return label, os.path.abspath(path)


def parse():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0],
                                     epilog="arms: " + ", ".join(KINDS), allow_abbrev=False)
    parser.add_argument("--binary", dest="binaries", type=labelled, action="append", required=True,
                        metavar="[LABEL=]PATH", help="a tlswatch to measure; several are laid beside each other")
    parser.add_argument("--minutes", type=float, default=4, help="of measuring, for all scenarios together (4)")
    parser.add_argument("--kind", dest="kinds", choices=["full", "resumed", "tcp", "go"], action="append",
                        help="repeatable (full and tcp, a connection without TLS); go is a program of Go's")
    parser.add_argument("--tls", dest="versions", choices=["1.2", "1.3"], action="append", help="repeatable (1.3)")
    parser.add_argument("--arms", type=lambda text: text.split(","), default=list(KINDS), metavar="ARM,…",
                        help="only these (all)")
    parser.add_argument("--handshakes", type=int, default=200, help="in a round (200)")
    parser.add_argument("--library", dest="libraries", action="append", metavar="PATH",
                        help="the libssl and the libcrypto to use, both (the ones that cc links)")
    parser.add_argument("--boringssl", action="store_true", help="with BoringSSL instead of OpenSSL (Debian's)")
    parser.add_argument("--tolerance", type=float, default=0.01,
                        help="a sample counts where its bare rounds are within three times this share of the run's (0.01)")
    parser.add_argument("--seed", type=int, default=1, help="of the arms' order (1)")
    parser.add_argument("--markdown", action="store_true", help="print the tables in Markdown")
    parser.add_argument("--json", metavar="FILE", help="write every sample")
    options = parser.parse_args()
    if unknown := set(options.arms) - set(KINDS):
        parser.error(f"no such arm: {', '.join(sorted(unknown))}")
    if len({label for label, _ in options.binaries}) != len(options.binaries):
        parser.error("two binaries have the same label")
    if options.boringssl:
        options.arms = [name for name in options.arms if name != "ssllatency"]
        if "resumed" in (options.kinds or []) and "1.3" in (options.versions or ["1.3"]):
            parser.error("BoringSSL's servers send no tickets of TLS 1.3 before they have data to send")
    options.interrupted = False
    options.scenarios = []
    for kind in options.kinds or ["full", "tcp"]:
        options.scenarios += {"tcp": ["tcp"], "go": [GO]}.get(
            kind, [f"{kind} {version}" for version in options.versions or ["1.3"]])
    options.scenarios = list(dict.fromkeys(options.scenarios))
    return options


def main():
    options = parse()
    # Nothing that was started may stay: an observer would observe on.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("bench-overhead: terminated"))
    if os.geteuid() != 0:
        raise BenchmarkError("needs root")
    with tempfile.TemporaryDirectory(prefix="tlswatch-bench-") as directory:
        measure(options, directory)


def measure(options, directory):
    bench = (BoringBench if options.boringssl else Bench)(directory, options.libraries)
    # A connection without TLS has three arms and is short.
    weights = {scenario: 0.25 if scenario == "tcp" else 1 for scenario in options.scenarios}
    records = []
    for scenario in options.scenarios:
        seconds = 60 * options.minutes * weights[scenario] / sum(weights.values())
        measurement = Measurement(bench, scenario, options)
        try:
            if measurement.before:
                print(f"{scenario}: {len(measurement.before)} tracing programs of others are loaded; every round, bare "
                      "or not, pays for those that it reaches")
            measurement.prepare()
            measurement.measure(time.monotonic() + seconds)
        finally:
            measurement.stop()
            records += [dict(dataclasses.asdict(sample), scenario=scenario, arm=name)
                        for name, samples in measurement.samples.items() for sample in samples]
            if options.json:
                with open(options.json, "w", encoding="utf-8") as file:
                    json.dump(records, file)
        goals(report(measurement), scenario, BORINGSSL_GOALS if options.boringssl else GOALS)
        if options.interrupted:
            sys.exit("bench-overhead: interrupted")


if __name__ == "__main__":
    try:
        main()
    except BenchmarkError as error:
        sys.exit(f"bench-overhead: {error}")
