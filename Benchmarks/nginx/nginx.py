#!/usr/bin/env python3
"""What tlswatch costs a TLS server: `make bench-nginx`, or nginx.py --tlswatch PATH. About four minutes.

Needs root, Linux 6.13, two cores, and the packages nginx-light, openssl, libssl-dev, gcc, bpftool, util-linux
(taskset); with bpftrace it compares itself to ssllatency.bt.

Two independent answers, since shared machines are noisy:
- measured: nginx (ECDSA P-256, TLS 1.3, one worker on core 0), full handshakes from a client on core 1, the
  worker's CPU time per handshake by /proc/PID/schedstat (a round's lower quartile over slices of 20); many short
  rounds in ABBA order, the median of the paired ratios, and beside each the A/A noise floor of the same run. No
  figure is claimed below it.
- by construction: probe hits per handshake times the cost of a hit in a tight loop, plus the run time of the
  programs as the kernel counts it, over the CPU time of an unobserved handshake.
"""
import argparse
import json
import os
import statistics
import sys
import tempfile
import time

import figures
from observers import Nobody, Ssllatency, Tlswatch, first_instruction_is_cheap, programs_of
from server import SERVER_CORE, BenchmarkError, Load, compile_tool, run

STATS = "/proc/sys/kernel/bpf_stats_enabled"


def rounds(load, observers, blocks, milliseconds):
    """{name: [ratio]}, and the CPU nanoseconds of every unobserved round."""
    ratios = {observer.name: [] for observer in observers}
    bare = []
    for block in range(blocks):
        # Rotated, so that no arm always follows the same other one.
        turn = block % len(observers)
        for observer in observers[turn:] + observers[:turn]:
            first = load.handshakes("ms", milliseconds)[1]
            try:
                observer.start()
                load.handshakes("count", 20)  # the first hits fault pages in
                second = load.handshakes("ms", milliseconds)[1]
                third = load.handshakes("ms", milliseconds)[1]
            finally:
                observer.stop()
            load.handshakes("count", 20)
            fourth = load.handshakes("ms", milliseconds)[1]
            ratios[observer.name].append(figures.paired_ratio(first, second, third, fourth))
            bare += [first, fourth]
        print(f"\rblock {block + 1} of {blocks}", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return ratios, bare


def run_time(pid, load, count):
    """Handshakes under the kernel's own statistics, per handshake: nanoseconds of the uprobe programs, their hits
    by program name, nanoseconds of the other programs."""
    def counted():
        return {p["id"]: (p["type"], p.get("name", ""), p.get("run_time_ns", 0), p.get("run_cnt", 0))
                for p in programs_of(pid)}
    with open(STATS, "r+", encoding="ascii") as switch:
        old = switch.read().strip()
        switch.seek(0)
        switch.write("1")
        switch.flush()
        try:
            before = counted()
            made, _ = load.handshakes("count", count)
            after = counted()
        finally:
            switch.seek(0)
            switch.write(old)
            switch.flush()
    time_ns, hits, other_ns = 0, {}, 0
    for program, (kind, name, spent, count_after) in after.items():
        _, _, spent_before, count_before = before.get(program, (kind, name, 0, 0))
        if kind == "kprobe":  # the kernel's type of uprobe programs
            time_ns += spent - spent_before
            hits[name] = hits.get(name, 0) + (count_after - count_before) / made
        else:
            other_ns += spent - spent_before
    return time_ns / made, hits, other_ns / made


def tlswatch_construction(observer, load, hit_ns, count):
    """Nanoseconds that a server's handshake must cost under tlswatch, and how they come about."""
    try:
        observer.start()
        load.handshakes("count", 20)
        before = {tuple(sorted(labels.items())): value
                  for labels, value in observer.samples("tlswatch_probe_hits_total")}
        made, _ = load.handshakes("count", count)
        time.sleep(1.5)  # metrics may be a second old, by contract
        server = others = 0.0
        for labels, value in observer.samples("tlswatch_probe_hits_total"):
            grown = value - before.get(tuple(sorted(labels.items())), 0)
            if not labels.get("library"):
                continue
            if os.path.realpath(labels["library"]) == load.library:
                server += grown
            else:
                others += grown
        if not server:
            raise BenchmarkError("tlswatch_probe_hits_total has no hits with library=" + load.library)
        modes = {labels.get("state", "") for labels, value in observer.samples("tlswatch_probes")
                 if value and os.path.realpath(labels.get("library", "")) == load.library}
        spent, _, other_ns = run_time(observer.pid, load, count)
    finally:
        observer.stop()
    hits = server / made
    # The kernel counts both ends of the connection: the server's share is that of its hits; of the socket
    # tracepoints, which both ends hit alike, half.
    programs = spent * server / (server + others) + other_ns / 2
    each = hit_ns["stepped"] if any("step" in mode for mode in modes) else hit_ns["emulated"]
    return hits * each + programs, (f"{hits:.1f} hits x {each / 1000:.2f} µs ({', '.join(sorted(modes))}) "
                                    f"+ programs {programs / 1000:.2f} µs")


def ssllatency_construction(observer, load, costs, count):
    try:
        observer.start()
        load.handshakes("count", 20)
        spent, hits, _ = run_time(observer.pid, load, count)
    finally:
        observer.stop()
    # Its probes stand on each function's first instruction; half of the hits are entries, half returns.
    cost, parts = spent, []
    for function in ("SSL_do_handshake", "SSL_read", "SSL_write"):
        count_of = sum(value for name, value in hits.items() if name and function.startswith(name))
        cheap = first_instruction_is_cheap(load.library, function)
        each = costs["emulated_pair" if cheap else "stepped_pair"] / 2
        cost += count_of * each
        if count_of:
            parts.append(f"{count_of:.1f} hits x {each / 1000:.2f} µs ({function})")
    return cost, " + ".join([*parts, f"programs {spent / 1000:.2f} µs"])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tlswatch", required=True, help="the release binary")
    parser.add_argument("--blocks", type=int, default=18, help="ABBA blocks per arm (18)")
    parser.add_argument("--milliseconds", type=int, default=400, help="length of a round (400)")
    options = parser.parse_args()
    if os.geteuid() != 0 or (os.cpu_count() or 1) < 2:
        raise BenchmarkError("needs root and two cores")
    with tempfile.TemporaryDirectory(prefix="tlswatch-bench-") as directory:
        measure(options, directory)


def measure(options, directory):
    hit_cost = compile_tool(directory, "hit_cost")
    costs = json.loads(run("taskset", "-c", SERVER_CORE, hit_cost))
    print("cost of a hit, ns: " + ", ".join(f"{name} {value:.0f}" for name, value in costs.items()))
    # A pair is two hits; the dearer way to look at it counts.
    hit_ns = {kind: max(costs[kind + "_entry"], costs[kind + "_pair"] / 2) for kind in ("emulated", "stepped")}
    arms = [
        Nobody(),
        Tlswatch("tlswatch --phases off", options.tlswatch, ["--phases", "off"]),
        Tlswatch("tlswatch", options.tlswatch, []),
    ]
    if Ssllatency.installed():
        arms.append(Ssllatency())
    else:
        print("bpftrace's ssllatency.bt is not installed: no comparison")
    load = Load(directory)
    try:
        load.handshakes("ms", 2 * options.milliseconds)
        built = {}
        for arm in arms[1:]:
            if isinstance(arm, Tlswatch):
                built[arm.name] = tlswatch_construction(arm, load, hit_ns, 500)
            else:
                built[arm.name] = ssllatency_construction(arm, load, costs, 500)
        ratios, bare = rounds(load, arms, options.blocks, options.milliseconds)
    finally:
        load.stop()
    report(ratios, bare, built)


def report(ratios, bare, built):
    handshake = statistics.median(bare)
    floor = figures.noise_floor(ratios["nobody (A/A)"])
    print(f"server CPU per handshake, unobserved: {handshake / 1000:.1f} µs "
          f"(median of {len(bare)} rounds, {min(bare) / 1000:.0f} to {max(bare) / 1000:.0f})")
    goals = {"tlswatch --phases off": 0.01, "tlswatch": 0.02}
    rival = built.get("ssllatency.bt", (None,))[0]
    for name, values in ratios.items():
        print(f"\n{name}")
        if name not in built:
            print(f"  measured         {statistics.median(values):+.2%} by nothing: the noise floor is ±{floor:.2%}")
            continue
        cost, how = built[name]
        print(f"  measured         {figures.claim(values, floor)}, {len(values)} ABBA blocks")
        print(f"  by construction  {cost / handshake:+.2%}: {cost / 1000:.2f} µs = {how}")
        if name in goals:
            print(f"  goal             {figures.verdict(cost / handshake, goals[name])}")
            if rival:
                print(f"  of ssllatency's  {figures.verdict(cost / rival, 0.2)}: {cost / rival:.1%}")


if __name__ == "__main__":
    try:
        main()
    except BenchmarkError as error:
        sys.exit(f"bench-nginx: {error}")
