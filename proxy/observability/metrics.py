"""Metrics: counters, gauges and histograms by name and labels, which other rooms add to and a scrape reads.

Adding to one is a look into a dict. The values of labels are bounded: aliases, upstreams, endpoints, never what a
client can make up.
"""

from bisect import bisect_left
from collections.abc import Callable, Mapping
from typing import Final

Labels = tuple[str, ...]
#: Upper bounds of a histogram's buckets, in seconds.
SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)


class Family:
    """One metric: its name, help, the names of its labels, and a value for each tuple of their values."""

    kind = ""

    def __init__(self, name: str, help: str, labels: Labels) -> None:
        self.name = name
        self.help = help
        self.labels = labels


class Counter(Family):
    """A number that only grows; its name ends in `_total`."""

    kind = "counter"

    def __init__(self, name: str, help: str, labels: Labels) -> None:
        super().__init__(name, help, labels)
        self.values: dict[Labels, int] = {}

    def add(self, amount: int, *labels: str) -> None:
        self.values[labels] = self.values.get(labels, 0) + amount


class Histogram(Family):
    """A distribution of seconds."""

    kind = "histogram"

    def __init__(self, name: str, help: str, labels: Labels, bounds: tuple[float, ...]) -> None:
        super().__init__(name, help, labels)
        self.bounds = bounds
        #: The count of each bucket, the one without a bound last; and the sum.
        self.counts: dict[Labels, list[int]] = {}
        self.sums: dict[Labels, float] = {}

    def observe(self, seconds: float, *labels: str) -> None:
        counts = self.counts.get(labels)
        if counts is None:
            counts = self.counts[labels] = [0] * (len(self.bounds) + 1)
        counts[bisect_left(self.bounds, seconds)] += 1
        self.sums[labels] = self.sums.get(labels, 0.0) + seconds


class Gauge(Family):
    """A number that is read when it is asked for."""

    kind = "gauge"

    def __init__(self, name: str, help: str, labels: Labels, read: Callable[[], Mapping[Labels, float]]) -> None:
        super().__init__(name, help, labels)
        self.read = read


class Metrics:
    """All metrics of one gateway, by name. A name is made once; making it again returns the same one."""

    def __init__(self) -> None:
        self.families: dict[str, Family] = {}

    def counter(self, name: str, help: str, *labels: str) -> Counter:
        return self.families.setdefault(name, Counter(name, help, labels))  # type: ignore[return-value]

    def histogram(self, name: str, help: str, *labels: str, bounds: tuple[float, ...] = SECONDS) -> Histogram:
        return self.families.setdefault(name, Histogram(name, help, labels, bounds))  # type: ignore[return-value]

    def gauge(self, name: str, help: str, read: Callable[[], Mapping[Labels, float]], *labels: str) -> None:
        """`read` is called at each scrape and returns the value for each tuple of labels."""
        self.families[name] = Gauge(name, help, labels, read)
