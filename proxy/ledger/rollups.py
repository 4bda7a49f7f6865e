"""Rollups: sums and latency histograms by hour and day and by `DIMENSIONS`, from which most reports are made.

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
DIMENSIONS = ("key", "alias", "team", "org", "endpoint", "upstream")

_COLUMNS = ("grain", "start", *DIMENSIONS, *SUMS, *HISTOGRAMS)
#: Adds one row of `summarise`; needs the SQL function merge_histograms(a, b).
UPSERT = (
    f"INSERT INTO rollups ({', '.join(_COLUMNS)}) VALUES ({', '.join('?' * len(_COLUMNS))}) "
    f"ON CONFLICT (grain, start, {', '.join(DIMENSIONS)}) DO UPDATE SET "
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

#: Grain, start, and the dimensions.
Group = tuple[int | str, ...]
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


def summarise(rows: Iterable[Row], between: Callable[[], None] | None = None) -> list[tuple[int | str | bytes, ...]]:
    """Rows for `UPSERT`: for each hour and day, and the dimensions. `between` is called after each slice."""
    members: defaultdict[tuple[int, tuple[str, ...]], list[Row]] = defaultdict(list)
    dimensions_of = itemgetter(*_DIMENSIONS)
    for row in rows:
        members[row[_STARTED] // (HOUR * _MICROSECONDS), dimensions_of(row)].append(row)
    if between is not None:
        between()
    groups: dict[Group, list[int]] = {}
    days: dict[Group, list[int]] = {}
    for (hour, dimensions), hour_rows in members.items():
        start = hour * HOUR
        for at in range(0, len(hour_rows), _SLICE_ROWS):
            summary = _summary(hour_rows[at : at + _SLICE_ROWS])
            _add(groups, (HOUR, start, *dimensions), summary)
            _add(days, (DAY, start - start % DAY, *dimensions), summary)
            if between is not None:
                between()
    groups.update(days)
    return [(*group, *summary[: len(SUMS)], *map(pack, summary[len(SUMS) :])) for group, summary in groups.items()]


def _add(groups: dict[Group, list[int]], group: Group, summary: list[int]) -> None:
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
    counts = list(_counts(histogram))
    remaining = share * sum(count for _, count in counts)
    result = None
    for lane, count in counts:
        low, high = _bounds(lane)
        result = int(low + (high - low) * min(remaining / count, 1.0))
        remaining -= count
        if remaining <= 0:
            break
    return result


def pack(histogram: int) -> bytes:
    """A histogram as stored: little-endian, without the empty lanes at its end."""
    return histogram.to_bytes((histogram.bit_length() + 7) // 8, "little")


def unpack(stored: bytes) -> int:
    """The reverse of `pack`."""
    return int.from_bytes(stored, "little")


def merge_packed(one: bytes, other: bytes) -> bytes:
    """Add two stored histograms: the SQL function merge_histograms."""
    return pack(unpack(one) + unpack(other))


def _counts(histogram: int) -> Iterator[tuple[int, int]]:
    mask = (1 << _LANE_BITS) - 1
    lane = 0
    while histogram:
        if count := histogram & mask:
            yield lane, count
        histogram >>= _LANE_BITS
        lane += 1
