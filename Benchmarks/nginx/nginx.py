#!/usr/bin/env python3
"""What tlswatch costs a real server, nginx: `make bench-nginx`, or nginx.py --tlswatch PATH. About three minutes.

Needs root, two cores, and the packages nginx-light, openssl, libssl-dev, gcc, bpftool, util-linux (taskset); with
bpftrace it compares itself to ssllatency.bt.

nginx (ECDSA P-256, TLS 1.3, one worker on core 0), full handshakes from a client on core 1, the worker's CPU time per
handshake by /proc/PID/schedstat (a round's lower quartile over slices of 20); many short rounds in ABBA order, the
median of the paired ratios, and beside each the A/A noise floor of the same run. No figure is claimed below it: on a
shared machine that can be several hundredths, and ../overhead answers more exactly.
"""
import argparse
import os
import statistics
import sys
import tempfile

import figures
from observers import Nobody, Ssllatency, Tlswatch
from server import Load
from tools import BenchmarkError


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
        report(*rounds(load, arms, options.blocks, options.milliseconds))
    finally:
        load.stop()


def report(ratios, bare):
    floor = figures.noise_floor(ratios[Nobody.name])
    print(f"server CPU per handshake, unobserved: {statistics.median(bare) / 1000:.1f} µs "
          f"(median of {len(bare)} rounds, {min(bare) / 1000:.0f} to {max(bare) / 1000:.0f})")
    for name, values in ratios.items():
        if name == Nobody.name:
            print(f"{name}: {statistics.median(values):+.2%} by nothing: the noise floor is ±{floor:.2%}")
        else:
            print(f"{name}: {figures.claim(values, floor)}, {len(values)} ABBA blocks")


if __name__ == "__main__":
    try:
        main()
    except BenchmarkError as error:
        sys.exit(f"bench-nginx: {error}")
