"""Medians of paired ratios, and how sure they are."""
import random
import statistics


def paired_ratio(first, second, third, fourth):
    """One ABBA block: what B costs over A. The order cancels a drift that is linear over the block."""
    return (second + third) / (first + fourth) - 1


def interval(ratios, draws=2000, seed=1):
    """The middle 95 % of the median under resampling."""
    generator = random.Random(seed)
    medians = sorted(statistics.median(generator.choices(ratios, k=len(ratios))) for _ in range(draws))
    return medians[int(draws * 0.025)], medians[int(draws * 0.975)]


def noise_floor(null_ratios):
    """What this run would have called a difference where there was none."""
    low, high = interval(null_ratios)
    return max(abs(low), abs(high))


def claim(ratios, floor):
    """A figure, or the refusal to give one."""
    middle = statistics.median(ratios)
    low, high = interval(ratios)
    text = f"{middle:+.2%} [{low:+.2%}, {high:+.2%}]"
    if abs(middle) <= floor or low <= 0 <= high:
        return f"below the noise floor of ±{floor:.2%} (measured {text})"
    return f"{text}, noise floor ±{floor:.2%}"
