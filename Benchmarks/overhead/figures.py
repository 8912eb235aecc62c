"""Paired differences: which of them count, their median, and how sure it is."""
import dataclasses
import statistics

SERVER, CLIENT = 0, 1


@dataclasses.dataclass
class Sample:
    """Microseconds (server, client) of four rounds: bare, observed twice, bare."""
    before: tuple
    first: tuple
    second: tuple
    after: tuple
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


def quiet(samples, tolerance=0.01, least=0.5):
    """Which of them were taken while the machine was quiet: on both sides the bare rounds agree with each other, and
    the observed ones with each other, within this share of a bare handshake (or `least` microseconds); and the bare
    ones are within three times that of the run's."""
    if not samples:
        return []
    usual = [statistics.median(sample.bare(side) for sample in samples) for side in (SERVER, CLIENT)]

    def side_is_quiet(sample, side):
        limit = max(tolerance * usual[side], least)
        return (abs(sample.bare_difference(side)) <= limit and abs(sample.first[side] - sample.second[side]) <= limit
                and abs(sample.bare(side) - usual[side]) <= 3 * limit)
    return [sample.undisturbed and side_is_quiet(sample, SERVER) and side_is_quiet(sample, CLIENT)
            for sample in samples]
