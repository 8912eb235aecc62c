#!/usr/bin/env python3
"""What the benchmark of overhead makes of its samples; needs neither root nor a kernel: test_overhead.py"""
import dataclasses
import math
import os
import sys
import types
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "common"))
from arms import EmptyPrograms, EmptyTracepoints, Known, Nothing, Ssllatency, Tlswatch  # noqa: E402
from figures import CLIENT, SERVER, Figure, Round, Sample, figure, quiet, ratio  # noqa: E402
from overhead import (  # noqa: E402
    EMPTY, EMPTY_TRACEPOINTS, KNOWN, NOTHING, OFF, ON, SSLLATENCY, TRACEPOINTS, WIRE, Measurement,
)
from tools import BenchmarkError  # noqa: E402


def sample(before=(300, 500), first=(310, 520), second=(310, 520), after=(300, 500), undisturbed=True):
    return Sample(Round(*before), Round(*first), Round(*second), Round(*after), undisturbed)


class Figures(unittest.TestCase):
    def test_what_is_added_is_the_paired_difference_of_each_side(self):
        one = sample(before=(300, 500), first=(310, 530), second=(312, 532), after=(302, 504))
        self.assertEqual(one.added(SERVER), 10)
        self.assertEqual(one.added(CLIENT), 29)
        self.assertEqual(one.bare_difference(CLIENT), 4)

    def test_a_drift_that_is_linear_adds_nothing(self):
        self.assertEqual(sample(before=(300, 1), first=(301, 1), second=(302, 1), after=(303, 1)).added(SERVER), 0)

    def test_a_figure_is_the_median_and_its_error_ignores_outliers(self):
        values = [9.0, 10.0, 10.0, 10.0, 11.0]
        usual, outlier = figure(values), figure([9.0, 10.0, 10.0, 10.0, 1000.0])
        self.assertEqual((usual.value, usual.count), (10, 5))
        self.assertEqual((outlier.value, outlier.error), (10, usual.error))

    def test_the_error_is_that_of_a_normal_median(self):
        # Quartiles of 1.349 standard deviations; the median's error is 1.2533 of the mean's.
        values = [0.0, 1.0, 2.0, 3.0, 4.0]
        self.assertAlmostEqual(figure(values).error, 1.2533 * (2 / 1.349) / 5 ** 0.5, places=4)

    def test_few_samples_are_no_figure(self):
        self.assertIsNone(figure([1.0, 2.0, 3.0]))

    def test_both_errors_go_into_a_ratio(self):
        share = ratio(Figure(10, 1, 8), Figure(5, 0.5, 4))
        self.assertEqual((share.value, share.count), (2, 4))
        self.assertAlmostEqual(share.error, (0.2 ** 2 + 0.2 ** 2) ** 0.5)
        self.assertIsNone(ratio(Figure(10, 1, 8), Figure(-0.1, 0.5, 4)))
        self.assertIsNone(ratio(None, Figure(5, 0.5, 4)))


class Quiet(unittest.TestCase):
    def assert_left_out(self, one):
        self.assertEqual(quiet([sample(), sample(), sample(), one]), [True, True, True, False])

    def test_alike_rounds_count(self):
        self.assertEqual(quiet([sample(), sample(after=(302, 504))]), [True, True])
        self.assertEqual(quiet([]), [])

    def test_of_two_rounds_that_differ_the_lower_one_counts(self):
        one = sample(before=(300, 500), first=(310, 520), second=(350, 560), after=(320, 540))
        self.assertEqual((one.added(SERVER), one.added(CLIENT)), (10, 20))
        self.assertEqual(quiet([sample(), sample(), one]), [True, True, True])

    def test_a_round_of_few_quiet_handshakes_tells_nothing(self):
        few = dataclasses.replace(sample(after=(250, 400), second=(260, 410)))
        few.after, few.second = few.after._replace(quiet=0.2), few.second._replace(quiet=0.2)
        self.assertEqual((few.added(SERVER), few.bare(CLIENT)), (10, 500))
        self.assertIsNone(few.bare_difference(SERVER))
        self.assertEqual(quiet([few]), [True])

    def test_a_level_that_is_not_the_runs_does_not(self):
        self.assert_left_out(sample(before=(310, 520), first=(320, 540), second=(320, 540), after=(310, 520)))

    def test_a_kind_of_which_neither_round_tells_does_not_count(self):
        for names in (("before", "after"), ("first", "second")):
            few = {name: getattr(sample(), name)._replace(quiet=0.4) for name in names}
            self.assert_left_out(dataclasses.replace(sample(), **few))
        self.assertEqual(quiet([dataclasses.replace(sample(), before=Round(300, 500, 0), after=Round(300, 500, 0))]),
                         [False])

    def test_half_a_run_of_noise_does_not_move_the_level(self):
        noisy = sample(before=(400, 700), first=(410, 720), second=(410, 720), after=(400, 700))
        self.assertEqual(quiet([sample(), noisy, noisy, sample(), noisy]), [True, False, False, True, False])

    def test_other_programs_in_the_kernel_do_not(self):
        self.assert_left_out(sample(undisturbed=False))

    def test_a_short_exchange_may_differ_by_half_a_microsecond(self):
        near = sample(before=(20, 30), first=(22, 33), second=(22, 33), after=(20.4, 30.4))
        self.assertAlmostEqual(near.bare(SERVER), 20.2)
        self.assertEqual(dataclasses.replace(near, after=Round(20.6, 30.4)).bare(SERVER), 20)

    def test_a_sample_begins_once_two_bare_rounds_agree(self):
        rounds = iter([Round(320, 500), Round(310, 500), Round(300, 500), Round(301, 501), Round(302, 502)])
        measurement = Measurement.__new__(Measurement)
        measurement.options = types.SimpleNamespace(handshakes=200, tolerance=0.01)
        measurement.pair = types.SimpleNamespace(round=lambda _: next(rounds))
        self.assertEqual(measurement.settle(Round(400, 500), math.inf), Round(301, 501))


class Probes(unittest.TestCase):
    """Probes that are not there would be measured as free, and those of others as ours."""

    def expect(self, arm, *runs):
        measurement = Measurement.__new__(Measurement)
        measurement.runs = {arm.name: list(runs)}
        measurement.expect_probes(arm)

    def test_each_arm_is_hit_where_it_should_be(self):
        self.expect(Nothing(NOTHING), 0, 0, 0, 0)
        self.expect(Known(KNOWN), 0, 0, 0, 0)
        self.expect(EmptyTracepoints(EMPTY_TRACEPOINTS), 0, 0, 12, 22)
        self.expect(EmptyPrograms(EMPTY, "now", dict), 12, 14, 0, 0)
        self.expect(Ssllatency(SSLLATENCY), 4, 6, 0, 0)
        self.expect(Tlswatch(ON, "now", "tlswatch", "on"), 12, 14, 12, 22)
        self.expect(Tlswatch(WIRE, "now", "tlswatch", "off", handshakes=False, wire=True), 0, 0, 12, 22)

    def test_an_arm_without_its_hits_is_an_error(self):
        for arm, runs in [
            (EmptyTracepoints(EMPTY_TRACEPOINTS), (0, 0, 0, 0)),
            (EmptyPrograms(EMPTY, "now", dict), (0, 0, 12, 22)),
            (Ssllatency(SSLLATENCY), (0, 0, 12, 22)),
            (Tlswatch(ON, "now", "tlswatch", "on"), (0, 0, 12, 22)),
            (Tlswatch(OFF, "now", "tlswatch", "off"), (5, 7, 0, 0)),
            (Tlswatch(TRACEPOINTS, "now", "tlswatch", "off", handshakes=False), (0, 0, 0, 0)),
            (Tlswatch(WIRE, "now", "tlswatch", "off", handshakes=False, wire=True), (0, 0, 0, 0)),
        ]:
            with self.subTest(arm.name), self.assertRaises(BenchmarkError):
                self.expect(arm, *runs)

    def test_hits_of_others_are_seen(self):
        tracepoints = Tlswatch(TRACEPOINTS, "now", "tlswatch", "off", handshakes=False)
        uprobes, sockets, both, none = (1, 1, 0, 0), (0, 0, 12, 22), (12, 14, 12, 22), (0, 0, 0, 0)
        for arm, fine, foreign in [
            (Nothing(NOTHING), [none], [uprobes, sockets]), (Known(KNOWN), [none], [uprobes, sockets]),
            (tracepoints, [sockets], [both]), (EmptyTracepoints(EMPTY_TRACEPOINTS), [sockets], [both]),
            (EmptyPrograms(EMPTY, "now", dict), [uprobes], [both]), (Ssllatency(SSLLATENCY), [uprobes], [both]),
            (Tlswatch(ON, "now", "tlswatch", "on"), [both], []),
        ]:
            for runs, seen in [(each, False) for each in fine] + [(each, True) for each in foreign]:
                with self.subTest(arm.name, runs=runs):
                    measurement = Measurement.__new__(Measurement)
                    measurement.runs = {arm.name: list(runs)}
                    self.assertEqual(measurement.counts_strangers(arm), seen)


if __name__ == "__main__":
    unittest.main()
