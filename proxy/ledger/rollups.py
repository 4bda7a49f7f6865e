"""Rollups: sums and latency histograms by hour and day, key and alias, from which all reports are made.

Pure arithmetic and the SQL that stores it; no connection is used here. A histogram is one integer of 40-bit lanes, one
count each, so that adding two integers adds all their counts; 2^40 counts in a lane are never reached. A lane is a
quarter of an octave of units of 16 microseconds: its bounds are within 25 % of each other.
"""

from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from itertools import repeat
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
    "estimated",
    "answered",
    "ttft",
    "total",
    "overhead",
)
HISTOGRAMS = ("ttft_histogram", "total_histogram", "overhead_histogram")

_COLUMNS = ("grain", "start", "key", "alias", *SUMS, *HISTOGRAMS)
#: Adds one row of `summarise`; needs the SQL function merge_histograms(a, b).
UPSERT = (
    f"INSERT INTO rollups ({', '.join(_COLUMNS)}) VALUES ({', '.join('?' * len(_COLUMNS))}) "
    "ON CONFLICT (grain, start, key, alias) DO UPDATE SET "
    + ", ".join([f"{name} = {name} + excluded.{name}" for name in SUMS])
    + ", "
    + ", ".join([f"{name} = merge_histograms({name}, excluded.{name})" for name in HISTOGRAMS])
)

#: Outcomes that count as errors, whatever the status.
FAILURES = frozenset({"upstream_cut", "upstream_error", "timeout", "refused", "gateway_shutdown", "interrupted"})
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

Group = tuple[int, int, str, str]
#: A row of the ledger: the fields of a `UsageRecord`, in their order.
Row = tuple[Any, ...]
# Rows whose columns are summed at a time.
_SLICE_ROWS = 250
_MICROSECONDS = 1_000_000
_FIELDS = {name: position for position, name in enumerate(UsageRecord.__struct_fields__)}
_STARTED, _KEY, _ALIAS = _FIELDS["started"], _FIELDS["key"], _FIELDS["alias"]
_STATUS, _OUTCOME, _SOURCE = _FIELDS["status"], _FIELDS["outcome"], _FIELDS["usage_source"]
_COST, _TTFT, _TOTAL, _OVERHEAD = _FIELDS["cost"], _FIELDS["ttft"], _FIELDS["total"], _FIELDS["overhead"]
# The fields from `input_tokens` to `images` are summed as they are, and have the same order in both.
_COUNTS = slice(_FIELDS["input_tokens"], _FIELDS["images"] + 1)


def summarise(rows: Iterable[Row], between: Callable[[], None] | None = None) -> list[tuple[int | str | bytes, ...]]:
    """Rows for `UPSERT`: for each hour and day, key and alias. `between` is called after each slice."""
    members: defaultdict[tuple[int, str, str], list[Row]] = defaultdict(list)
    for row in rows:
        members[row[_STARTED] // (HOUR * _MICROSECONDS), row[_KEY], row[_ALIAS]].append(row)
    if between is not None:
        between()
    groups: dict[Group, list[int]] = {}
    for (hour, key, alias), hour_rows in members.items():
        for at in range(0, len(hour_rows), _SLICE_ROWS):
            _add(groups, (HOUR, hour * HOUR, key, alias), _summary(hour_rows[at : at + _SLICE_ROWS]))
            if between is not None:
                between()
    for (_, start, key, alias), summary in list(groups.items()):
        _add(groups, (DAY, start - start % DAY, key, alias), summary)
    return [(*group, *summary[: len(SUMS)], *map(pack, summary[len(SUMS) :])) for group, summary in groups.items()]


def _add(groups: dict[Group, list[int]], group: Group, summary: list[int]) -> None:
    known = groups.get(group)
    groups[group] = summary if known is None else [a + b for a, b in zip(known, summary, strict=True)]


def _summary(rows: list[Row]) -> list[int]:
    """The columns of one group: summed column by column, which costs far less than row by row."""
    columns = list(zip(*rows, strict=True))
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
        columns[_SOURCE].count("estimated"),
        len(ttfts),
        sum(ttfts),
        sum(totals),
        sum(overheads),
        observation(*ttfts),
        observation(*totals),
        observation(*overheads),
    ]


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
