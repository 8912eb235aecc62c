"""Paired differences: which of them count, their median, and how sure it is."""
import dataclasses
import statistics
import typing

SERVER, CLIENT = 0, 1


class Round(typing.NamedTuple):
    """Microseconds of CPU of one handshake, the lower quartiles of those made while the machine was quiet; and how
    many those were, as a share of what was asked for."""
    server: float
    client: float
    quiet: float = 1


@dataclasses.dataclass
class Sample:
    """Four rounds: bare, observed twice, bare."""
    before: Round
    first: Round
    second: Round
    after: Round
    # Nobody else's BPF programs came or went meanwhile.
    undisturbed: bool = True

    def added(self, side):
        return (self.first[side] + self.second[side]) / 2 - (self.before[side] + self.after[side]) / 2

    def bare(self, side):
        return (self.before[side] + self.after[side]) / 2

    def bare_difference(self, side):
        return self.after[side] - self.before[side]


@dataclasses.dataclass
class Figure:
    """A median, its standard error, and of how many samples it is."""
    value: float
    error: float
    count: int

    def __str__(self):
        return f"{self.value:+.2f} ±{self.error:.2f}"


def figure(values):
    """The standard error of a median of normal values, their spread estimated by the quartiles: outliers do not
    count."""
    if len(values) < 4:
        return None
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return Figure(middle, 1.2533 * (high - low) / 1.349 / len(values) ** 0.5, len(values))


def ratio(figure_of, base):
    """Of two independent figures."""
    if not figure_of or not base or base.value <= 0:
        return None
    value = figure_of.value / base.value
    error = ((figure_of.error / base.value) ** 2 + (value * base.error / base.value) ** 2) ** 0.5
    return Figure(value, error, min(figure_of.count, base.count))


# Microseconds. A short exchange may differ by as much, whatever share of it that is.
LEAST = 0.5
# Of the handshakes of a round, so that its quartile is one.
ENOUGH = 0.25


def rounds_agree(one, other, tolerance):
    """Whether two rounds of a kind differ by at most this share, on both sides, and both are of enough handshakes."""
    return min(one.quiet, other.quiet) >= ENOUGH and all(
        abs(one[side] - other[side]) <= max(tolerance * one[side], LEAST) for side in (SERVER, CLIENT))


def quiet(samples, tolerance=0.01):
    """Which of them were taken while the machine was quiet: the bare rounds agree with each other, and the observed
    ones with each other, within this share; and the bare ones are within three times that of the run's lower
    quartile, since noise only adds."""
    if not samples:
        return []
    usual = Round(*(sorted(sample.bare(side) for sample in samples)[len(samples) // 4]
                    for side in (SERVER, CLIENT)))

    def is_quiet(sample):
        bare = Round(sample.bare(SERVER), sample.bare(CLIENT))
        return (rounds_agree(sample.before, sample.after, tolerance)
                and rounds_agree(sample.first, sample.second, tolerance)
                and rounds_agree(usual, bare, 3 * tolerance))
    return [sample.undisturbed and is_quiet(sample) for sample in samples]
