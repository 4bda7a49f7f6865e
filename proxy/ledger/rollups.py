"""Rollups: sums and latency histograms by hour and day, key and alias, from which all reports are made.

Pure arithmetic and the SQL that stores it; no connection is held here. A histogram is one integer of 40-bit lanes,
a count each, so that adding two integers adds all their counts; 2^40 counts a lane are never reached. A lane is a
quarter of an octave of 16 microsecond units: its bounds are within 25 % of each other.
"""

from collections.abc import Iterable, Iterator

from proxy.ledger.record import Final

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

_FAILURES = frozenset({"upstream_cut", "upstream_error", "timeout", "refused", "interrupted"})
_LANE = 40
_UNIT_BITS = 4
_MOST_UNITS = (1 << 28) - 1

Group = tuple[int, int, str, str]


def summarise(finals: Iterable[Final]) -> Iterator[tuple[int | str | bytes, ...]]:
    """Rows for `UPSERT`: for each hour and day, key and alias."""
    groups: dict[Group, tuple[int, ...]] = {}
    for final in finals:
        seconds = final.started // 1_000_000
        _add(groups, (HOUR, seconds - seconds % HOUR, final.key, final.alias), _summary(final))
    for (_, start, key, alias), summary in list(groups.items()):
        _add(groups, (DAY, start - start % DAY, key, alias), summary)
    for group, summary in groups.items():
        yield (*group, *summary[: len(SUMS)], *map(pack, summary[len(SUMS) :]))


def _add(groups: dict[Group, tuple[int, ...]], group: Group, summary: tuple[int, ...]) -> None:
    known = groups.get(group)
    groups[group] = summary if known is None else tuple([a + b for a, b in zip(known, summary, strict=True)])


def _summary(final: Final) -> tuple[int, ...]:
    ttft = final.ttft
    return (
        1,
        1 if final.status >= 400 or final.outcome in _FAILURES else 0,
        final.input_tokens,
        final.cached_input_tokens,
        final.cache_write_tokens,
        final.output_tokens,
        final.reasoning_tokens,
        final.audio_milliseconds,
        final.images,
        final.cost or 0,
        1 if final.cost is None else 0,
        1 if final.usage_source == "estimated" else 0,
        0 if ttft is None else 1,
        ttft or 0,
        final.total,
        final.overhead,
        0 if ttft is None else observation(ttft),
        observation(final.total),
        observation(final.overhead),
    )


def observation(microseconds: int) -> int:
    """A histogram of one duration."""
    return 1 << (_LANE * _lane(microseconds))


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


def _lane(microseconds: int) -> int:
    units = min(max(microseconds, 0) >> _UNIT_BITS, _MOST_UNITS)
    bits = units.bit_length()
    return units if bits < 3 else 4 * (bits - 2) + ((units >> (bits - 3)) & 3)


def _bounds(lane: int) -> tuple[int, int]:
    if lane < 4:
        return lane << _UNIT_BITS, (lane + 1) << _UNIT_BITS
    shift = lane // 4 - 1 + _UNIT_BITS
    low = 4 + lane % 4
    return low << shift, (low + 1) << shift


def _counts(histogram: int) -> Iterator[tuple[int, int]]:
    mask = (1 << _LANE) - 1
    lane = 0
    while histogram:
        if count := histogram & mask:
            yield lane, count
        histogram >>= _LANE
        lane += 1
