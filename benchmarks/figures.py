"""Arithmetic on samples: percentiles, medians over rounds, and intervals for paired differences.

Pure. Nothing here decides what is a good figure; formulas are explained in the README beside this file.
"""

import random
from collections.abc import Callable, Sequence
from statistics import median

RESAMPLES = 2_000
#: The share of resampled values that an interval holds.
CONFIDENCE = 0.95

Interval = tuple[float, float]


def percentile(ordered: Sequence[float], share: float) -> float:
    """The value that `share` (0 to 1) of the sorted samples do not pass (nearest rank); 0.0 of no samples."""
    if not ordered:
        return 0.0
    rank = max(1, -int(-share * len(ordered) // 1))
    return float(ordered[min(rank, len(ordered)) - 1])


def microseconds(samples: Sequence[int]) -> dict[str, float]:
    """Describe nanosecond samples, in microseconds."""
    ordered = sorted(samples)
    named = {"p50": 0.50, "p90": 0.90, "p99": 0.99, "p999": 0.999, "max": 1.0}
    return {name: round(percentile(ordered, share) / 1000, 1) for name, share in named.items()} | {
        "count": len(ordered)
    }


def curve(samples: Sequence[int]) -> list[float]:
    """The distribution of nanosecond samples: the percentiles 0 to 100, in microseconds; empty of no samples."""
    ordered = sorted(samples)
    return [round(percentile(ordered, share / 100) / 1000, 1) for share in range(101)] if ordered else []


def interval(rounds: int, statistic: Callable[[Sequence[int]], float]) -> Interval:
    """Bootstrap over rounds: what `statistic` says of rounds drawn with replacement, given as their indices.

    The draw is seeded: the same figures give the same interval.
    """
    source = random.Random(20_261_121)
    indices = range(rounds)
    values = sorted(statistic(source.choices(indices, k=rounds)) for _ in range(RESAMPLES))
    outside = (1 - CONFIDENCE) / 2
    return percentile(values, outside), percentile(values, 1 - outside)


def paired_difference(system: Sequence[float], base: Sequence[float]) -> tuple[float, Interval]:
    """Median over rounds of system minus base in the same round, with its interval."""
    differences = [one - other for one, other in zip(system, base, strict=True)]

    def of(chosen: Sequence[int]) -> float:
        return median(differences[index] for index in chosen)

    return median(differences), interval(len(differences), of)


def paired_ratio(system: Sequence[float], base: Sequence[float]) -> tuple[float, Interval] | None:
    """Median of `system` over median of `base`, with an interval that draws both from the same rounds.

    None where the base is not above zero: there is nothing to be a multiple of.
    """
    if median(base) <= 0:
        return None

    def of(chosen: Sequence[int]) -> float:
        below = median(base[index] for index in chosen)
        return median(system[index] for index in chosen) / below if below > 0 else float("inf")

    return median(system) / median(base), interval(len(base), of)
