"""Metrics: counters, gauges and histograms by name and labels, which other rooms add to and a scrape reads.

Adding to one is a look into a dict and one addition in the memory that all workers share (`metrics_memory`). The values
of labels are bounded: aliases, upstreams, endpoints, never what a client can make up; what passes the bound of a family
is counted under `other`.
"""

import threading
import time
from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, MutableSequence, Sequence
from functools import partial
from typing import Any, Final, Literal, NamedTuple

from proxy.observability.metrics_memory import SCRATCH_CELLS, Column, GaugeValues, MetricsMemory, Series

Labels = tuple[str, ...]
GaugeTables = dict[str, dict[Labels, float]]
#: How the values of a gauge in several workers become one.
Merge = Literal["sum", "max", "min"]
#: Upper bounds of a histogram's buckets, in seconds.
SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)
#: Series of one family; the label values of further ones are `other`.
MAX_SERIES: Final = 1_000
OTHER: Final = "other"
NANO: Final = 1_000_000_000
#: Counts what passed the bounds.
CAPPED: Final = "prometheus_gateway_metrics_capped_total"
#: Seconds between two writings of the gauges for other workers' scrapes.
_GAUGES_SECONDS: Final = 1.0
_MERGES: Final[Mapping[str, Callable[[float, float], float]]] = {"sum": lambda a, b: a + b, "max": max, "min": min}


class Snapshot(NamedTuple):
    """A family and the sum of its values over all workers. A histogram's cells are its buckets and its sum."""

    family: "Family"
    values: dict[Labels, list[int]]
    gauges: dict[Labels, float]


class Family:
    """One metric: its name, help, the names of its labels, and a value for each tuple of their values."""

    kind = ""
    #: Cells of one series.
    width = 1
    #: What one unit of the metric is in its cells: money is counted in nano-dollars, time in nanoseconds.
    scale = 1

    def __init__(self, name: str, help: str, labels: Labels) -> None:
        self.name = name
        self.help = help
        self.labels = labels


class Counted(Family):
    """A family whose values are cells of the shared memory."""

    def __init__(self, name: str, help: str, labels: Labels, metrics: "Metrics", staged: bool) -> None:
        super().__init__(name, help, labels)
        self.staged = staged
        self._metrics = metrics
        self._cells: dict[Labels, int] = {}
        column = metrics.column
        self._memory: MutableSequence[int] | memoryview = column.staged if staged else column.direct

    def remember(self, labels: Labels, cell: int) -> None:
        """Use this cell for a series: it has had it before this worker began."""
        self._cells[labels] = cell

    def cell(self, labels: Labels) -> int:
        """The first cell of a series, made where it is new."""
        cell = self._cells.get(labels)
        return cell if cell is not None else self._new_cell(labels)

    def _new_cell(self, labels: Labels) -> int:
        """A cell for a new series; that of `other` where the bounds are reached."""
        if len(labels) != len(self.labels):
            raise ValueError(f"{self.name} has the labels {self.labels}, and got the values {labels}")
        column = self._metrics.column
        if len(self._cells) < MAX_SERIES:
            series = column.allocate(self.name, labels, self.width, self.staged, reserve=not self.labels)
            if series is not None:
                self._cells[labels] = series.cell
                return series.cell
        other = (OTHER,) * len(self.labels)
        self._metrics.capped(self.name)
        if other not in self._cells:
            series = column.allocate(self.name, other, self.width, self.staged, reserve=True)
            if series is None:
                return self._metrics.scratch(self.staged)
            self._cells[other] = series.cell
        # Not kept under its own name: that would not be bounded.
        return self._cells[other]


class Counter(Counted):
    """A number that only grows; its name ends in `_total`."""

    kind = "counter"

    def __init__(self, name: str, help: str, labels: Labels, metrics: "Metrics", scale: int, staged: bool) -> None:
        super().__init__(name, help, labels, metrics, staged)
        self.scale = scale

    def add(self, amount: int, *labels: str) -> None:
        """Add `amount`, not below 0, in units of 1 / `scale`."""
        cell = self._cells.get(labels)
        if cell is None:
            cell = self._new_cell(labels)
        self._memory[cell] += amount

    @property
    def values(self) -> dict[Labels, int]:
        """What this worker has counted."""
        return {labels: self._memory[cell] for labels, cell in self._cells.items()}


class Histogram(Counted):
    """A distribution of seconds, counted in nanoseconds."""

    kind = "histogram"
    scale = NANO

    def __init__(
        self, name: str, help: str, labels: Labels, metrics: "Metrics", bounds: tuple[float, ...], staged: bool
    ) -> None:
        super().__init__(name, help, labels, metrics, staged)
        self.bounds = bounds
        self.width = len(bounds) + 2

    def observe(self, seconds: float, *labels: str) -> None:
        cell = self._cells.get(labels)
        if cell is None:
            cell = self._new_cell(labels)
        memory = self._memory
        memory[cell + bisect_left(self.bounds, seconds)] += 1
        memory[cell + self.width - 1] += int(seconds * NANO)

    @property
    def counts(self) -> dict[Labels, list[int]]:
        """The count of each bucket in this worker, the one without a bound last."""
        memory: Any = self._memory
        return {labels: list(memory[cell : cell + self.width - 1]) for labels, cell in self._cells.items()}

    @property
    def sums(self) -> dict[Labels, float]:
        """The sum of all observations in this worker, in seconds."""
        return {labels: self._memory[cell + self.width - 1] / NANO for labels, cell in self._cells.items()}


class Gauge(Family):
    """A number that is read when it is asked for; that of another worker as it was a second ago."""

    kind = "gauge"

    def __init__(
        self, name: str, help: str, labels: Labels, read: Callable[[], Mapping[Labels, float]], merge: Merge
    ) -> None:
        super().__init__(name, help, labels)
        self.read = read
        self.merge = merge


class Metrics:
    """All metrics of one gateway, by name. A name is made once; making it again returns the same one."""

    def __init__(self, memory: MetricsMemory | None = None, place: int = 0) -> None:
        """`memory` is that of all workers, of which this one is number `place`; its own where there are no others."""
        self.memory = memory if memory is not None else MetricsMemory()
        self.place = place
        self.families: dict[str, Family] = {}
        #: Called before the values are read, and regularly, to count what is waiting to be counted.
        self.folds: list[Callable[[], None]] = []
        self.column: Column = self.memory.columns[place]
        #: Series of the worker before this one, whose families are yet to be made.
        self._adopted: dict[str, list[Series]] = {}
        for series in self.column.adopt():
            self._adopted.setdefault(series.family, []).append(series)
        self._gauges_at = 0.0
        self._reader = _Reader(self.memory, place)
        self._capped = self.counter(CAPPED, "Counts that went to a series named other, for want of room.", "metric")

    # what counts

    def counter(self, name: str, help: str, *labels: str, scale: int = 1, staged: bool = False) -> Counter:
        """`scale` is what one unit of the metric is in what `Counter.add` is given. `staged` is for what is counted in
        batches, and read by others together."""
        found = self.families.get(name)
        if found is None:
            found = self._made(Counter(name, help, labels, self, scale, staged))
        assert isinstance(found, Counter)
        return found

    def histogram(
        self, name: str, help: str, *labels: str, bounds: tuple[float, ...] = SECONDS, staged: bool = False
    ) -> Histogram:
        found = self.families.get(name)
        if found is None:
            found = self._made(Histogram(name, help, labels, self, bounds, staged))
        assert isinstance(found, Histogram)
        return found

    def gauge(
        self, name: str, help: str, read: Callable[[], Mapping[Labels, float]], *labels: str, merge: Merge = "sum"
    ) -> None:
        """`read` is called at each scrape and returns the value for each tuple of labels; `merge` says what those of
        several workers are together."""
        self.families[name] = Gauge(name, help, labels, read, merge)

    def capped(self, name: str) -> None:
        """Count that a family has no room for another series."""
        if name != CAPPED:
            self._capped.add(1, name)

    def scratch(self, staged: bool) -> int:
        """A cell for what has no place at all: of a series without a family, which no scrape shows."""
        return len(self.column.staged if staged else self.column.direct) - SCRATCH_CELLS

    def _made(self, family: Counted) -> Counted:
        self.families[family.name] = family
        for series in self._adopted.pop(family.name, ()):
            if series.width == family.width and len(series.labels) == len(family.labels):
                family.remember(series.labels, series.cell)
        return family

    # what reads

    def sweep(self) -> None:
        """Count what is waiting, and from time to time let other workers see the gauges. Called regularly."""
        for fold in self.folds:
            fold()
        now = time.monotonic()
        if len(self.memory.columns) > 1 and now >= self._gauges_at:
            self._gauges_at = now + _GAUGES_SECONDS
            values: GaugeValues = {name: list(read.items()) for name, read in self._read_gauges().items()}
            self.column.write_gauges(values)

    def read(self) -> Callable[[], list[Snapshot]]:
        """What a scrape reads: on the event loop what only that may, and the rest in the function that is returned,
        which any thread may call."""
        for fold in self.folds:
            fold()
        return partial(self._reader.read, list(self.families.values()), self._read_gauges())

    def _read_gauges(self) -> GaugeTables:
        return {family.name: dict(family.read()) for family in self.families.values() if isinstance(family, Gauge)}


class _Reader:
    """Adds up the values of all workers, in any thread."""

    def __init__(self, memory: MetricsMemory, place: int) -> None:
        self._columns = memory.views()
        self._place = place
        self._lock = threading.Lock()

    def read(self, families: Sequence[Family], gauges: GaugeTables) -> list[Snapshot]:
        """A snapshot of each family; `gauges` are those of this worker."""
        found: dict[str, dict[Labels, list[int]]] = {one.name: {} for one in families if isinstance(one, Counted)}
        now = time.monotonic()
        with self._lock:
            for column in self._columns:
                series = column.series()
                direct, staged = column.values()
                _add(found, series, direct, staged)
            others = [column.gauges(now) for place, column in enumerate(self._columns) if place != self._place]
        return [
            Snapshot(one, found.get(one.name, {}), _merged(one, gauges, others) if isinstance(one, Gauge) else {})
            for one in families
        ]


def _merged(family: Gauge, gauges: GaugeTables, others: Iterable[GaugeValues]) -> dict[Labels, float]:
    values = dict(gauges[family.name])
    merge = _MERGES[family.merge]
    for written in others:
        for labels, value in written.get(family.name, ()):
            values[labels] = merge(values[labels], value) if labels in values else value
    return values


def _add(
    found: dict[str, dict[Labels, list[int]]], series: Iterable[Series], direct: list[int], staged: list[int]
) -> None:
    """Add the values of one worker to those of the others."""
    for one in series:
        values = found.get(one.family)
        cells = (staged if one.staged else direct)[one.cell : one.cell + one.width]
        if values is None or len(cells) < one.width:
            continue
        sums = values.get(one.labels)
        if sums is None or len(sums) != len(cells):
            values[one.labels] = cells
        else:
            for at, cell in enumerate(cells):
                sums[at] += cell
