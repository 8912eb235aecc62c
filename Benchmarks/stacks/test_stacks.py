#!/usr/bin/env python3
"""What the benchmark of stacks reads of a process, and makes of its samples; needs neither root nor a kernel: test_stacks.py"""
import contextlib
import io
import mmap
import os
import sys
import tempfile
import types
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from stacks import EMPTY, NOTHING, OFF, ON, Measurement, Subject, breakpoints, report  # noqa: E402


class Breakpoints(unittest.TestCase):
    def test_they_are_where_memory_has_one_and_the_file_has_none(self):
        with tempfile.TemporaryDirectory() as directory:
            path = os.path.join(directory, "library")
            content = bytearray(b"\x90" * (3 * mmap.PAGESIZE))
            content[10] = 0xcc
            with open(path, "wb") as file:
                file.write(content)
            with open(path, "rb") as file:
                memory = mmap.mmap(file.fileno(), 2 * mmap.PAGESIZE, flags=mmap.MAP_PRIVATE, offset=mmap.PAGESIZE,
                                   prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
                first = mmap.mmap(file.fileno(), mmap.PAGESIZE, flags=mmap.MAP_PRIVATE,
                                  prot=mmap.PROT_READ | mmap.PROT_EXEC)
            self.assertEqual(breakpoints(os.getpid(), path), [])
            memory[5] = 0xcc
            memory[mmap.PAGESIZE + 7] = 0xcc
            memory[9] = 0x91
            self.assertEqual(breakpoints(os.getpid(), path),
                             [f"{mmap.PAGESIZE + 5:x}", f"{2 * mmap.PAGESIZE + 7:x}"])
            memory.close()
            first.close()


class Samples(unittest.TestCase):
    def measurement(self, *rounds):
        subject = types.SimpleNamespace(
            handshakes=lambda count, rounds=iter(rounds): next(rounds), programs=lambda: frozenset(),
            sites=lambda: {}, target="/usr/lib/libx.so", server=types.SimpleNamespace(version="1.3"))
        return Measurement(subject, "tlswatch", types.SimpleNamespace(handshakes=200, seed=1))

    def test_what_is_added_is_the_paired_difference(self):
        # Bare, then those that warm up and are not told, observed twice, warmed up, bare.
        measurement = self.measurement(100, 0, 112, 110, 0, 102)
        nothing = measurement.arms[0]
        measurement.sample(nothing)
        self.assertEqual((measurement.added[NOTHING], measurement.bare, measurement.left_out), ([10], [100, 102], 0))

    def test_the_goal_is_a_ratio_to_empty_programs(self):
        measurement = self.measurement()
        measurement.bare = [100.0] * 8
        measurement.runs = {name: [9, 0, 4.25, 0] for name in (NOTHING, OFF, ON, EMPTY)}
        measurement.added = {NOTHING: [0.0] * 8, OFF: [12.0] * 8, ON: [18.0] * 8, EMPTY: [10.0] * 8}
        text = io.StringIO()
        with contextlib.redirect_stdout(text):
            report("x", measurement)
        self.assertIn("at most 1.5: 1.80 ±0.00, missed", text.getvalue())
        self.assertIn("runs 9.0 + 0.0, 4.2 + 0.0 µs", text.getvalue())

    def test_runs_and_times_are_those_of_one_handshake(self):
        # Runs at uprobes and tracepoints, nanoseconds at both, as they grow by 60 handshakes a time; once others ran as well.
        told = [[1000 + 540 * n, 600 * n, (240_000 * n + (1_000_000 if n > 5 else 0)), 120_000 * n] for n in range(9)]
        replies = iter(["", *(" ".join(map(str, counts)) for counts in told), ""])
        subject = types.SimpleNamespace(ask=lambda command: next(replies), handshakes=lambda count: None)
        self.assertEqual(Subject.runs(subject), [9, 10, 4, 2])


if __name__ == "__main__":
    unittest.main()
