"""Queries over the ledger: usage reports from the rollups, and an export of the rows.

Reads only, from a connection that cannot write. Usage is summed from rollups where they have what is asked for, so it
stays fast over any number of rows.
"""

import asyncio
from collections.abc import AsyncIterator, Collection, Iterable, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

import aiosqlite
import msgspec

from proxy.errors import InvalidRequest
from proxy.ledger import periods, rollups, sqlite
from proxy.ledger.grouping import PERIOD, By, Grouping, Span, Values, totals_of
from proxy.ledger.periods import DAY, HOUR
from proxy.ledger.record import UsageRecord
from proxy.ledger.selection import Selection

#: Maximum of lines in one page.
PAGE = 1_000
#: Maximum of parts of a trend.
MAX_TREND_PARTS = 100
_FOREVER = 253_402_300_800  # the year 10,000, in seconds: after all rows
# Histograms are summed in chunks of so many rollups, so that the event loop is not blocked.
_CHUNK_ROLLUPS = 500
# Seconds of a part of a trend from which on it is whole days.
_DAYS_FROM = 7 * DAY
#: Periods whose beginnings are kept: those of hours in three years.
_MAX_PERIODS = 32_768
#: Columns from which the histograms are made, in their order, where rows are read.
_DURATIONS = ("ttft_if_any", "total_if_any", "overhead_if_any")
_EVERYTHING = Selection()
_SUMS = ", ".join(f"sum({name})" for name in rollups.SUMS)
_ROW = ", ".join(UsageRecord.__struct_fields__)


class Latency(msgspec.Struct, frozen=True):
    """The distribution of a duration, in microseconds; None when no request has it."""

    mean: int | None
    p50: int | None
    p95: int | None
    p99: int | None


class UsageLine(msgspec.Struct, frozen=True):
    """One line of a usage report, or its totals."""

    #: Key id, alias, or what else the report is by; a period in ISO 8601. Empty in the totals, and for what has none.
    group: str
    requests: int
    errors: int
    input_tokens: int
    cached_input_tokens: int
    cache_write_tokens: int
    output_tokens: int
    reasoning_tokens: int
    audio_milliseconds: int
    images: int
    #: Nano-dollars, of the priced requests.
    cost: int
    #: Requests whose cost is not known.
    unpriced: int
    #: Nano-dollars that the targets cost the operator, of the requests for which that is known.
    target_cost: int
    #: Requests for which it is not known.
    uncosted: int
    #: Cost less target cost, in nano-dollars, of the requests for which both are known.
    margin: int
    #: Requests whose tokens are estimated.
    estimated: int
    ttft: Latency
    total: Latency
    overhead: Latency
    #: Requests in each part of the time, or of the line's own period; empty where no trend was asked for.
    trend: tuple[int, ...] = ()

    @property
    def has_margin(self) -> bool:
        """Whether what targets cost is known of more than requests that reached none, which cost nothing."""
        return self.requests > 0 and (not self.uncosted or self.target_cost != 0 or self.margin != 0)


class UsageReport(msgspec.Struct, frozen=True):
    """A page of a usage report; the totals are of the whole time and selection."""

    lines: list[UsageLine]
    totals: UsageLine
    #: Of the next page; None at the end.
    cursor: str | None
    #: The time zone of its periods.
    zone: str = "UTC"


class Reports:
    """Runs the queries on one `ledger.db`. All raise StoreFailed when it cannot be read."""

    def __init__(self, connection: aiosqlite.Connection, path: Path) -> None:
        """`connection` is one of `sqlite.open_reader`; `close` closes it."""
        self._connection = connection
        self._path = path
        self._has_periods = False

    async def close(self) -> None:
        """Close the connection."""
        await self._connection.close()

    async def is_current(self) -> bool:
        """Whether all migrations of this version are applied; closes the connection when it raises."""
        try:
            return await sqlite.is_current(self._connection, self._path, sqlite.migrations())
        except BaseException:
            await self.close()
            raise

    async def usage(
        self,
        *,
        by: By,
        metadata_key: str = "",
        zone: str = "UTC",
        tags: Mapping[str, tuple[str, ...]] = {},
        since: datetime | None = None,
        until: datetime | None = None,
        only: Selection = _EVERYTHING,
        limit: int = 100,
        cursor: str | None = None,
        parts: int = 0,
        timeout: float | None = None,  # noqa: ASYNC109 (it raises an error of its own)
    ) -> UsageReport:
        """Usage by one of `By`, sorted by it; in whole hours: `since` is rounded down and `until` up.

        `tags` are those of each key, for lines by tag: a key with two tags is in two lines, and once in the totals.
        Lines by session, user, metadata and outcome, and selections by them, read every row of the time; all others
        read the rollups. `parts` is into how many parts the trend of a line divides the time. Raises InvalidRequest
        when `limit` is not from 1 to 1,000, the cursor is invalid, or more than `timeout` seconds are needed: then the
        connection is to be closed.
        """
        _check_limit(limit)
        grouping = Grouping(by=by, metadata_key=metadata_key, zone=zone, tags=tags)
        span = _seconds(since, 0), _seconds(until, _FOREVER)
        after = None if cursor is None else grouping.value(cursor)
        try:
            async with asyncio.timeout(timeout):
                return await self._usage(grouping, span, only, limit, after, min(parts, MAX_TREND_PARTS))
        except TimeoutError as error:
            await self._connection.interrupt()
            raise InvalidRequest(
                f"this report needs more than {timeout:g} s; choose a shorter time, or filters that need no rows",
                code="report_too_long",
            ) from error

    async def _usage(
        self, grouping: Grouping, span: Span, only: Selection, limit: int, after: str | int | None, parts: int
    ) -> UsageReport:
        await self._prepare(grouping)
        source, bounds = grouping.source(span, rollups.SUMS, only)
        where, start = ("", ()) if after is None else ("WHERE line > ?", (after,))
        found = await self._fetch(
            f"SELECT line, {_SUMS} FROM {source} {where} GROUP BY line ORDER BY line LIMIT ?",
            (*bounds, *start, limit + 1),
        )
        sums, more = found[:limit], len(found) > limit
        if sums and after is None and not more and grouping.by != "tag":
            # The page has all lines: their sum saves a query. A key with two tags would be counted twice.
            totals = (None, *(sum(column) for column in zip(*(row[1:] for row in sums), strict=True)))
        else:
            source, bounds = totals_of(grouping).source(span, rollups.SUMS, only)
            totals = (await self._fetch(f"SELECT NULL, {_SUMS} FROM {source}", bounds))[0]
        wanted = {row[0] for row in sums}
        by_line, overall = await self._histograms(grouping, span, only, wanted)
        trends = await self._trends(grouping, span, only, wanted, parts) if parts and wanted else {}
        lines = [_line(grouping.name(row[0]), row, by_line[row[0]], tuple(trends.get(row[0], ()))) for row in sums]
        return UsageReport(lines, _line("", totals, overall), lines[-1].group if more else None, grouping.zone)

    async def busiest(self, by: By, since: datetime, limit: int) -> list[tuple[str, int]]:
        """The lines with the most requests since then, in whole hours, and how many: by what the rollups have."""
        span = _seconds(since, 0), _FOREVER
        source, bounds = Grouping(by=by).source(span, ("requests",), _EVERYTHING)
        found = await self._fetch(
            f"SELECT line, sum(requests) AS count FROM {source} GROUP BY line ORDER BY count DESC, line LIMIT ?",
            (*bounds, limit),
        )
        return [(str(line), int(count)) for line, count in found]

    async def refused(self, status: int, since: datetime) -> int:
        """How many requests were refused by the gateway with a status since then, in whole hours."""
        first = _seconds(since, 0) // HOUR * HOUR
        query = "SELECT count(*) FROM requests WHERE outcome = 'refused' AND status = ? AND started >= ?"
        ((count,),) = await self._fetch(query, (status, first * 1_000_000))
        return int(count)

    async def export(
        self, *, since: datetime | None = None, until: datetime | None = None, only: Selection = _EVERYTHING
    ) -> AsyncIterator[UsageRecord]:
        """All rows that started from `since` to before `until`, oldest first, in bounded memory."""
        condition, values = only.condition()
        started, id_ = _microseconds(since, 0), ""
        end = _microseconds(until, _FOREVER * 1_000_000)
        while True:
            rows = await self._fetch(
                f"SELECT {_ROW} FROM requests WHERE (started, id) > (?, ?) AND started < ?{condition} "
                "ORDER BY started, id LIMIT ?",
                (started, id_, end, *values, PAGE),
            )
            for row in rows:
                yield _final(row)
            if len(rows) < PAGE:
                return
            started, id_ = rows[-1][1], rows[-1][0]

    async def reported(self, limit: int) -> list[tuple[str, str, int, int, int, int]]:
        """Samples for the estimator, oldest first, from the complete rows with reported usage among the last `limit`.

        A sample is key, alias, text bytes and tokens of the input, and the same of the output without hidden reasoning,
        which has tokens but no text.
        """
        found = await self._fetch(
            "SELECT key, alias, text_in, input_tokens, text_out, max(output_tokens - reasoning_tokens, 0) FROM "
            "(SELECT * FROM requests ORDER BY started DESC, id DESC LIMIT ?) "
            "WHERE usage_source = 'reported' AND outcome = 'complete'",
            (limit,),
        )
        return [
            (str(row[0]), str(row[1]), int(row[2]), int(row[3]), int(row[4]), int(row[5])) for row in reversed(found)
        ]

    async def offsets(self, names: Iterable[str]) -> dict[str, int]:
        """Bytes of journal segments that are stored. Segments without an entry are left out."""
        return await stored_offsets(self._connection, self._path, names)

    async def _prepare(self, grouping: Grouping) -> None:
        """Make the SQL function by which periods of a zone are found, where it is needed."""
        if grouping.needs_periods and not self._has_periods:
            self._has_periods = True
            start_of = lru_cache(_MAX_PERIODS)(_period_start)
            with sqlite.mapped(self._path):
                await self._connection.create_function(PERIOD, 3, start_of, deterministic=True)

    async def _histograms(
        self, grouping: Grouping, span: Span, only: Selection, wanted: Collection[str | int]
    ) -> tuple[dict[str | int | None, tuple[int, int, int]], tuple[int, int, int]]:
        """Sum the histograms of ttft, total and overhead: for each line of `wanted`, and over all lines."""
        by_line: dict[str | int | None, tuple[int, int, int]] = dict.fromkeys((None, *wanted), (0, 0, 0))
        # None has what is in no line of `wanted`; by tag it has everything, since a row may be in several lines.
        is_tag = grouping.by == "tag"
        reads_rows = grouping.needs_rows or only.needs_rows
        columns = _DURATIONS if reads_rows else rollups.HISTOGRAMS
        read = _observed if reads_rows else rollups.unpack
        source, bounds = grouping.source(span, columns, only, once=True)
        query = f"SELECT line, {', '.join(columns)} FROM {source}"
        with sqlite.mapped(self._path):
            async with self._connection.execute(query, bounds) as cursor:
                while rows := list(await cursor.fetchmany(_CHUNK_ROLLUPS)):
                    for value, ttft, total, overhead in rows:
                        added = read(ttft), read(total), read(overhead)
                        lines = (None, *grouping.lines_of(value)) if is_tag else (value if value in by_line else None,)
                        for line in lines:
                            if line in by_line:
                                one, two, three = by_line[line]
                                by_line[line] = (one + added[0], two + added[1], three + added[2])
        if is_tag:
            return by_line, by_line[None]
        one, two, three = (sum(histograms) for histograms in zip(*by_line.values(), strict=True))
        return by_line, (one, two, three)

    async def _trends(
        self, grouping: Grouping, span: Span, only: Selection, wanted: Collection[str | int], parts: int
    ) -> dict[str | int, list[int]]:
        """Requests of each line in each part of the time, or of its own period."""
        if grouping.unit is not None:
            width, count = periods.PARTS[grouping.unit]
            first = "line"
        else:
            source, bounds = totals_of(grouping).source(span, ("requests",), only)
            ((low, high),) = await self._fetch(f"SELECT min(start), max(start) FROM {source}", bounds)
            # Of a day that is read as a whole only its begin is known.
            begin = max(span[0] - span[0] % HOUR, low)
            end = min(span[1], high + (HOUR if high % DAY else DAY))
            # Parts are whole hours; long ones whole days, so that rollups of days do.
            width = -(-max(end - begin, HOUR) // parts)
            width = -(-width // HOUR) * HOUR if width < _DAYS_FROM else -(-width // DAY) * DAY
            first, count = str(int(begin)), parts
        source, bounds = grouping.source(span, ("requests",), only, fine=width % DAY != 0)
        found = await self._fetch(
            f"SELECT line, (start - {first}) / {width} AS part, sum(requests) FROM {source} "
            f"WHERE line IN {sqlite.IN_LIST} GROUP BY line, part",
            (*bounds, sqlite.json_list(wanted)),
        )
        trends: dict[str | int, list[int]] = {line: [0] * count for line in wanted}
        for line, part, requests in found:
            trends[line][min(max(part, 0), count - 1)] += requests
        return trends

    async def _fetch(self, query: str, values: Values) -> list[Any]:
        with sqlite.mapped(self._path):
            return list(await self._connection.execute_fetchall(query, values))


async def stored_offsets(connection: aiosqlite.Connection, path: Path, names: Iterable[str]) -> dict[str, int]:
    """Read the stored bytes of journal segments, for those that have an entry. Raises StoreFailed."""
    query = f"SELECT name, offset FROM segments WHERE name IN {sqlite.IN_LIST}"
    with sqlite.mapped(path):
        rows = await connection.execute_fetchall(query, (sqlite.json_list(names),))
    return {str(name): int(offset) for name, offset in rows}


def _period_start(start: int, unit: periods.Unit, zone: str) -> int:
    return periods.start_of(unit, start, periods.zone_of(zone))


def _observed(microseconds: int | None) -> int:
    """The histogram of one row's duration; empty where it has none."""
    return 0 if microseconds is None else rollups.observation(microseconds)


def _line(group: str, row: tuple[Any, ...], histograms: tuple[int, int, int], trend: tuple[int, ...] = ()) -> UsageLine:
    sums: dict[str, int] = {name: value or 0 for name, value in zip(rollups.SUMS, row[1:], strict=True)}
    answered, ttft, total, overhead = (sums.pop(name) for name in ("answered", "ttft", "total", "overhead"))
    return UsageLine(
        group=group,
        **sums,
        ttft=_latency(ttft, answered, histograms[0]),
        total=_latency(total, sums["requests"], histograms[1]),
        overhead=_latency(overhead, sums["requests"], histograms[2]),
        trend=trend,
    )


def _latency(sum_: int, count: int, histogram: int) -> Latency:
    return Latency(sum_ // count if count else None, *rollups.percentiles(histogram, 0.50, 0.95, 0.99))


def _check_limit(limit: int) -> None:
    if not 1 <= limit <= PAGE:
        raise InvalidRequest(f"limit {limit} is not from 1 to {PAGE}", param="limit")


def _microseconds(moment: datetime | None, default: int) -> int:
    if moment is None:
        return default
    if moment.tzinfo is None:
        raise InvalidRequest(f"{moment} has no time zone; add one, such as Z for UTC")
    since_epoch = moment - datetime(1970, 1, 1, tzinfo=UTC)
    return max((since_epoch.days * DAY + since_epoch.seconds) * 1_000_000 + since_epoch.microseconds, 0)


def _seconds(moment: datetime | None, default: int) -> int:
    return -(-_microseconds(moment, default * 1_000_000) // 1_000_000)


def _final(row: tuple[Any, ...]) -> UsageRecord:
    values = list(row)
    stream = UsageRecord.__struct_fields__.index("stream")
    values[stream] = bool(values[stream])
    return UsageRecord(*values)
