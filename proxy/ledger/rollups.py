"""Rollups: sums and latency histograms by hour and day and by `DIMENSIONS`, from which most reports are made.

They are there several times: once by all dimensions, and in `VIEWS` by some of them, so that a report reads as few as
it needs. With thousands of keys, those by all dimensions are millions.

Pure arithmetic and the SQL that stores it; no connection is used here. A histogram is one integer of 40-bit lanes, one
count each, so that adding two integers adds all their counts; 2^40 counts in a lane are never reached. A lane is a
quarter of an octave of units of 16 microseconds: its bounds are within 25 % of each other.
"""

from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from itertools import repeat
from operator import itemgetter
from typing import Any

from proxy.ledger.record import UsageRecord

HOUR = 3_600
DAY = 86_400

#: Columns that are sums, in the order of a summary.
SUMS = (
    "requests",
    "errors",
    "input_tokens",
    "cached_input_tokens",
    "cache_write_tokens",
    "output_tokens",
    "reasoning_tokens",
    "audio_milliseconds",
    "images",
    "cost",
    "unpriced",
    "target_cost",
    "uncosted",
    "margin",
    "estimated",
    "answered",
    "ttft",
    "total",
    "overhead",
)
HISTOGRAMS = ("ttft_histogram", "total_histogram", "overhead_histogram")

#: Fields of a row by which there is a sum of its own.
DIMENSIONS = ("key", "alias", "team", "org", "endpoint", "upstream", "upstream_model")
#: By what the sums of each view are, those with the fewest rows first. Their places are stored, and in migrations.
VIEWS: tuple[tuple[str, ...], ...] = (
    ("endpoint",),
    ("alias",),
    ("upstream", "upstream_model"),
    ("team", "org"),
    ("key",),
    ("alias", "team", "org", "endpoint", "upstream", "upstream_model"),
    DIMENSIONS,
)
# The view that each one is summed from: the one by all dimensions, or that without keys.
_ALL, _WITHOUT_KEYS = len(VIEWS) - 1, len(VIEWS) - 2
_SOURCES = tuple(
    _ALL if "key" in view or number == _WITHOUT_KEYS else _WITHOUT_KEYS for number, view in enumerate(VIEWS)
)
# Which dimensions a view has, in their order.
_HAS = tuple(tuple(name in view for name in DIMENSIONS) for view in VIEWS)

_COLUMNS = ("view", "grain", "start", *DIMENSIONS, *SUMS, *HISTOGRAMS)
#: Adds one row of `summarise`; needs the SQL function merge_histograms(a, b).
UPSERT = (
    f"INSERT INTO rollups ({', '.join(_COLUMNS)}) VALUES ({', '.join('?' * len(_COLUMNS))}) "
    f"ON CONFLICT (view, grain, start, {', '.join(DIMENSIONS)}) DO UPDATE SET "
    + ", ".join([f"{name} = {name} + excluded.{name}" for name in SUMS])
    + ", "
    + ", ".join([f"{name} = merge_histograms({name}, excluded.{name})" for name in HISTOGRAMS])
)

#: Outcomes that count as errors, whatever the status.
FAILURES = frozenset({"upstream_cut", "upstream_error", "timeout", "refused", "gateway_shutdown", "interrupted"})
#: The outcome of an attempt that lost a race, which is a row beside that of its request.
LOST = "hedge_lost"
#: What counts requests, and not what they used.
_OF_REQUESTS = frozenset({"requests", "errors", "answered", "ttft", "total", "overhead", *HISTOGRAMS})
_LANE_BITS = 40
#: The unit of 16 microseconds, as a shift.
_UNIT_BITS = 4
_LANES = 108


def _bounds(lane: int) -> tuple[int, int]:
    if lane < 4:
        return lane << _UNIT_BITS, (lane + 1) << _UNIT_BITS
    shift = lane // 4 - 1 + _UNIT_BITS
    low = 4 + lane % 4
    return low << shift, (low + 1) << shift


# Where each lane begins; the last one has no end.
_LOWS = tuple(_bounds(lane)[0] for lane in range(_LANES))

# Start, and the dimensions.
Group = tuple[int | str, ...]
_Sums = dict[Group, list[int]]
#: A row of the ledger: the fields of a `UsageRecord`, in their order.
Row = tuple[Any, ...]
# Rows whose columns are summed at a time.
_SLICE_ROWS = 250
_MICROSECONDS = 1_000_000
_FIELDS = {name: position for position, name in enumerate(UsageRecord.__struct_fields__)}
_STARTED, _UPSTREAM = _FIELDS["started"], _FIELDS["upstream"]
_DIMENSIONS = tuple(_FIELDS[name] for name in DIMENSIONS)
_STATUS, _OUTCOME, _SOURCE = _FIELDS["status"], _FIELDS["outcome"], _FIELDS["usage_source"]
_COST, _TTFT, _TOTAL, _OVERHEAD = _FIELDS["cost"], _FIELDS["ttft"], _FIELDS["total"], _FIELDS["overhead"]
_TARGET_COST = _FIELDS["target_cost"]
# The fields from `input_tokens` to `images` are summed as they are, and have the same order in both.
_COUNTS = slice(_FIELDS["input_tokens"], _FIELDS["images"] + 1)


def view_of(columns: Iterable[str]) -> int:
    """The smallest view that is by all of these columns."""
    wanted = set(columns)
    return next(number for number, view in enumerate(VIEWS) if wanted.issubset(view))


def summarise(rows: Iterable[Row], between: Callable[[], None] | None = None) -> list[tuple[int | str | bytes, ...]]:
    """Rows for `UPSERT`: for each view, and each hour and day. `between` is called after each slice."""
    members: defaultdict[tuple[int, tuple[str, ...]], list[Row]] = defaultdict(list)
    dimensions_of = itemgetter(*_DIMENSIONS)
    for row in rows:
        members[row[_STARTED] // (HOUR * _MICROSECONDS), dimensions_of(row)].append(row)
    if between is not None:
        between()
    # Of each view, by start and dimensions.
    hours: list[_Sums] = [{} for _ in VIEWS]
    for (hour, group), hour_rows in members.items():
        for at in range(0, len(hour_rows), _SLICE_ROWS):
            _add(hours[_ALL], (hour * HOUR, *group), _summary(hour_rows[at : at + _SLICE_ROWS]))
            if between is not None:
                between()
    found: list[tuple[int | str | bytes, ...]] = []
    # From the last one, so that each one's source is complete.
    for view in range(_ALL, -1, -1):
        if view != _ALL:
            _project(hours[_SOURCES[view]], _HAS[view], hours[view])
        days: _Sums = {}
        for (start, *dimensions), summary in hours[view].items():
            assert isinstance(start, int)
            _add(days, (start - start % DAY, *dimensions), summary)
        found += _packed(view, HOUR, hours[view])
        found += _packed(view, DAY, days)
        if between is not None:
            between()
    return found


def _project(source: _Sums, has: tuple[bool, ...], view: _Sums) -> None:
    """Sum up by some of the dimensions."""
    for (start, *dimensions), summary in source.items():
        kept = [name if is_kept else "" for name, is_kept in zip(dimensions, has, strict=True)]
        _add(view, (start, *kept), summary)


def _packed(view: int, grain: int, sums: _Sums) -> Iterator[tuple[int | str | bytes, ...]]:
    for group, summary in sums.items():
        yield (view, grain, *group, *summary[: len(SUMS)], *map(pack, summary[len(SUMS) :]))


def _add(groups: _Sums, group: Group, summary: list[int]) -> None:
    known = groups.get(group)
    groups[group] = summary if known is None else [a + b for a, b in zip(known, summary, strict=True)]


def _summary(rows: list[Row]) -> list[int]:
    """The columns of one group: summed column by column, which costs far less than row by row."""
    columns = list(zip(*rows, strict=True))
    if LOST in columns[_OUTCOME]:
        return _summary_with_lost(rows)
    failed = [
        status >= 400 or outcome in FAILURES
        for status, outcome in zip(columns[_STATUS], columns[_OUTCOME], strict=True)
    ]
    costs = columns[_COST]
    ttfts = [ttft for ttft in columns[_TTFT] if ttft is not None]
    totals, overheads = columns[_TOTAL], columns[_OVERHEAD]
    return [
        len(rows),
        sum(failed),
        *map(sum, columns[_COUNTS]),
        sum(filter(None, costs)),
        costs.count(None),
        *_target_costs(costs, columns[_TARGET_COST], columns[_UPSTREAM]),
        columns[_SOURCE].count("estimated"),
        len(ttfts),
        sum(ttfts),
        sum(totals),
        sum(overheads),
        observation(*ttfts),
        observation(*totals),
        observation(*overheads),
    ]


def _target_costs(
    costs: tuple[int | None, ...], target_costs: tuple[int | None, ...], upstreams: tuple[str, ...]
) -> tuple[int, int, int]:
    """What targets cost; for how many requests that is not known; and the margin of those for which both are known."""
    if upstreams[0] and target_costs.count(None) == len(target_costs):
        # As nearly everywhere; within one group all have an upstream, or none has one.
        return 0, len(target_costs), 0
    spent = [
        0 if cost is None and not upstream else cost for cost, upstream in zip(target_costs, upstreams, strict=True)
    ]
    both = [price - cost for price, cost in zip(costs, spent, strict=True) if price is not None and cost is not None]
    return sum(filter(None, spent)), spent.count(None), sum(both)


def _summary_with_lost(rows: list[Row]) -> list[int]:
    """The same where there are attempts that lost a race: they cost something, and are no requests of their own."""
    lost = _summary([_without_outcome(row) for row in rows if row[_OUTCOME] == LOST])
    names = (*SUMS, *HISTOGRAMS)
    lost = [0 if name in _OF_REQUESTS else value for name, value in zip(names, lost, strict=True)]
    kept = [row for row in rows if row[_OUTCOME] != LOST]
    return [a + b for a, b in zip(lost, _summary(kept), strict=True)] if kept else lost


def _without_outcome(row: Row) -> Row:
    return (*row[:_OUTCOME], "complete", *row[_OUTCOME + 1 :])


def observation(*microseconds: int) -> int:
    """The histogram of some durations."""
    histogram = 0
    for lane, count in Counter(map(bisect_right, repeat(_LOWS), microseconds)).items():
        histogram += count << (_LANE_BITS * max(lane - 1, 0))
    return histogram


def percentile(histogram: int, share: float) -> int | None:
    """The duration, in microseconds, under which `share` (0 to 1) of the observations lie; None when there are none."""
    return percentiles(histogram, share)[0]


def percentiles(histogram: int, *shares: float) -> tuple[int | None, ...]:
    """The same for several shares."""
    counts = _counts(histogram)
    whole = sum([count for _, count in counts])
    return tuple([_percentile(counts, share * whole) for share in shares])


def _percentile(counts: list[tuple[int, int]], remaining: float) -> int | None:
    result = None
    for lane, count in counts:
        if remaining <= count or lane == counts[-1][0]:
            low, high = _bounds(lane)
            result = int(low + (high - low) * min(remaining / count, 1.0))
            break
        remaining -= count
    return result


def pack(histogram: int) -> bytes:
    """A histogram as stored: how many lanes at its begin are empty, then those up to the last that is not.

    Of a few requests it has some bytes, where all lanes from the first one on would be hundreds.
    """
    if not histogram:
        return b""
    first = ((histogram & -histogram).bit_length() - 1) // _LANE_BITS
    histogram >>= first * _LANE_BITS
    return bytes((first,)) + histogram.to_bytes((histogram.bit_length() + 7) // 8, "little")


def unpack(stored: bytes) -> int:
    """The reverse of `pack`."""
    return int.from_bytes(stored[1:], "little") << stored[0] * _LANE_BITS if stored else 0


def merge_packed(one: bytes, other: bytes) -> bytes:
    """Add two stored histograms: the SQL function merge_histograms."""
    return pack(unpack(one) + unpack(other))


def repack(stored: bytes) -> bytes:
    """A histogram as it was stored before, with its empty lanes: the SQL function repack_histogram, for a migration."""
    return pack(int.from_bytes(stored, "little"))


class SumHistograms:
    """The SQL aggregate sum_histograms."""

    def __init__(self) -> None:
        self._sum = 0

    def step(self, stored: bytes) -> None:
        """Add a stored histogram."""
        self._sum += unpack(stored)

    def finalize(self) -> bytes:
        """The sum, as stored."""
        return pack(self._sum)


def _counts(histogram: int) -> list[tuple[int, int]]:
    """The lanes that are not empty, with their counts; none of a negative one, which only damaged sums have."""
    if histogram <= 0:
        return []
    first = ((histogram & -histogram).bit_length() - 1) // _LANE_BITS
    histogram >>= first * _LANE_BITS
    width = _LANE_BITS // 8
    lanes = histogram.to_bytes((histogram.bit_length() + _LANE_BITS - 1) // _LANE_BITS * width, "little")
    found = [int.from_bytes(lanes[at : at + width], "little") for at in range(0, len(lanes), width)]
    return [(lane, count) for lane, count in enumerate(found, first) if count]
