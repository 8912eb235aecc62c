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
        return level(self.first, self.second)[side] - level(self.before, self.after)[side]

    def bare(self, side):
        return level(self.before, self.after)[side]

    def bare_difference(self, side):
        """None where one of the two tells nothing."""
        return self.after[side] - self.before[side] if is_told(self.before) and is_told(self.after) else None


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


def verdict(share, most):
    """On a ratio that is to be no more than this."""
    sure = abs(share.value - most) > 2 * share.error
    return (f"at most {most}: {share.value:.2f} ±{share.error:.2f}, " + ("met" if share.value <= most else "missed")
            + ("" if sure else ", within the uncertainty"))


# Microseconds. A short exchange may differ by as much, whatever share of it that is.
LEAST = 0.5
# Of the handshakes of a round, so that its quartile is one.
ENOUGH = 0.5
# Two rounds of a kind that are no further apart are taken together.
ALIKE = 0.01


def is_told(one):
    return one.quiet >= ENOUGH


def rounds_agree(one, other, tolerance):
    """Whether two rounds of a kind differ by at most this share, on both sides, and both are of enough handshakes."""
    return is_told(one) and is_told(other) and all(
        abs(one[side] - other[side]) <= max(tolerance * one[side], LEAST) for side in (SERVER, CLIENT))


def level(one, other):
    """What two rounds of a kind tell: their mean, which cancels a drift out, where they are alike; else the lower one, since
    noise only adds. None where neither is of enough quiet handshakes."""
    if rounds_agree(one, other, ALIKE):
        return Round((one.server + other.server) / 2, (one.client + other.client) / 2)
    return min((round for round in (one, other) if is_told(round)), key=lambda round: round.server + round.client,
               default=None)


def quiet(samples, tolerance=0.01):
    """Which of them were taken while the machine was quiet: both levels are known, and the bare one is within three times this
    share of the run's lower quartile, since noise only adds."""
    levels = [level(sample.before, sample.after) for sample in samples]
    known = [one for one in levels if one]
    if not known:
        return [False] * len(samples)
    usual = Round(*(sorted(one[side] for one in known)[len(known) // 4] for side in (SERVER, CLIENT)))
    return [bool(sample.undisturbed and bare and level(sample.first, sample.second)
                 and rounds_agree(usual, bare, 3 * tolerance))
            for sample, bare in zip(samples, levels)]
