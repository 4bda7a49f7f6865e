"""Queries over the ledger: usage reports from the rollups, and an export of the rows.

Reads only, from a connection that cannot write. Usage is summed from rollups, so it stays fast over any number of rows.
"""

from collections.abc import AsyncIterator, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import aiosqlite
import msgspec

from proxy.errors import InvalidRequest
from proxy.ledger import rollups, sqlite
from proxy.ledger.record import UsageRecord
from proxy.ledger.rollups import DAY, HOUR
from proxy.ledger.selection import Selection

By = Literal["key", "model", "day", "hour"]

#: Maximum of lines in one page.
PAGE = 1_000
_FOREVER = 253_402_300_800  # the year 10,000, in seconds: after all rows
# Histograms are summed in chunks of so many rollups, so that the event loop is not blocked.
_CHUNK_ROLLUPS = 500
#: SQL by which lines are grouped.
_GROUPS = {"key": "key", "model": "alias", "day": f"start - start % {DAY}", "hour": "start"}
#: Columns from which the histograms are made, in their order, where rows are read.
_DURATIONS = ("ttft_if_any", "total", "overhead")
_EVERYTHING = Selection()
_SUMS = ", ".join(f"sum({name})" for name in rollups.SUMS)
_ROW = ", ".join(UsageRecord.__struct_fields__)


class Latency(msgspec.Struct, frozen=True):
    """The distribution of a duration, in microseconds; None when no request has it."""

    mean: int | None
    p50: int | None
    p99: int | None


class UsageLine(msgspec.Struct, frozen=True):
    """One line of a usage report, or its totals."""

    #: Key id, alias, or the day or hour in ISO 8601 (UTC); empty in the totals.
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
    #: Requests whose tokens are estimated.
    estimated: int
    ttft: Latency
    total: Latency
    overhead: Latency


class UsageReport(msgspec.Struct, frozen=True):
    """A page of a usage report; the totals are of the whole time and selection."""

    lines: list[UsageLine]
    totals: UsageLine
    #: Of the next page; None at the end.
    cursor: str | None


class Reports:
    """Runs the queries on one `ledger.db`. All raise StoreFailed when it cannot be read."""

    def __init__(self, connection: aiosqlite.Connection, path: Path) -> None:
        """`connection` is one of `sqlite.open_reader`; `close` closes it."""
        self._connection = connection
        self._path = path

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
        since: datetime | None = None,
        until: datetime | None = None,
        only: Selection = _EVERYTHING,
        limit: int = 100,
        cursor: str | None = None,
    ) -> UsageReport:
        """Usage by key, model, day or hour, sorted by it; in whole hours: `since` is rounded down and `until` up.

        A selection by upstream or outcome reads every row of the time, all others read the rollups. Raises
        InvalidRequest when `limit` is not from 1 to 1,000, or the cursor is invalid.
        """
        _check_limit(limit)
        span = _seconds(since, 0), _seconds(until, _FOREVER)
        source, bounds = _source(by, *span, rollups.SUMS, only)
        group = _GROUPS[by]
        where = "" if cursor is None else f"WHERE {group} > ?"
        after = () if cursor is None else (_group_value(by, cursor),)
        found = await self._fetch(
            f"SELECT {group} AS line, {_SUMS} FROM {source} {where} GROUP BY line ORDER BY line LIMIT ?",
            (*bounds, *after, limit + 1),
        )
        sums, more = found[:limit], len(found) > limit
        if sums and cursor is None and not more:
            # The page has all lines: their sum saves a query.
            totals = (None, *(sum(column) for column in zip(*(row[1:] for row in sums), strict=True)))
        else:
            totals = (await self._fetch(f"SELECT NULL, {_SUMS} FROM {source}", bounds))[0]
        by_line, overall = await self._histograms(by, span, only, {row[0] for row in sums})
        lines = [_line(by, row, by_line[row[0]]) for row in sums]
        return UsageReport(lines, _line(None, totals, overall), lines[-1].group if more else None)

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

    async def _histograms(
        self, by: By, span: tuple[int, int], only: Selection, wanted: set[str | int]
    ) -> tuple[dict[str | int | None, tuple[int, int, int]], tuple[int, int, int]]:
        """Sum the histograms of ttft, total and overhead: for each line of `wanted`, and over all lines."""
        # Each row is added once, to its line or to None, which stands for all lines that are not wanted.
        by_line: dict[str | int | None, tuple[int, int, int]] = dict.fromkeys((None, *wanted), (0, 0, 0))
        columns = _DURATIONS if only.needs_rows else rollups.HISTOGRAMS
        read = _observed if only.needs_rows else rollups.unpack
        source, bounds = _source(by, *span, columns, only)
        query = f"SELECT {_GROUPS[by]}, {', '.join(columns)} FROM {source}"
        with sqlite.mapped(self._path):
            async with self._connection.execute(query, bounds) as cursor:
                while rows := list(await cursor.fetchmany(_CHUNK_ROLLUPS)):
                    for line, ttft, total, overhead in rows:
                        into = line if line in by_line else None
                        one, two, three = by_line[into]
                        by_line[into] = (
                            one + read(ttft),
                            two + read(total),
                            three + read(overhead),
                        )
        one, two, three = (sum(histograms) for histograms in zip(*by_line.values(), strict=True))
        return by_line, (one, two, three)

    async def _fetch(self, query: str, values: tuple[str | int, ...]) -> list[Any]:
        with sqlite.mapped(self._path):
            return list(await self._connection.execute_fetchall(query, values))


async def stored_offsets(connection: aiosqlite.Connection, path: Path, names: Iterable[str]) -> dict[str, int]:
    """Read the stored bytes of journal segments, for those that have an entry. Raises StoreFailed."""
    query = f"SELECT name, offset FROM segments WHERE name IN {sqlite.IN_LIST}"
    with sqlite.mapped(path):
        rows = await connection.execute_fetchall(query, (sqlite.json_list(names),))
    return {str(name): int(offset) for name, offset in rows}


def _source(
    by: By, since: int, until: int, columns: tuple[str, ...], only: Selection = _EVERYTHING
) -> tuple[str, tuple[str | int, ...]]:
    """SQL for the rollups of a time: whole days where possible, hours at the edges, and its parameters.

    Only `columns` are selected: what goes through a UNION is copied, and histograms are long.
    """
    if only.needs_rows:
        return only.rows(since, until, columns)
    since -= since % HOUR
    first, last = -(-since // DAY) * DAY, until - until % DAY
    if by == "hour" or first >= last:
        spans: tuple[tuple[int, int, int], ...] = ((HOUR, since, until),)
    else:
        spans = ((HOUR, since, first), (DAY, first, last), (HOUR, last, until))
        spans = tuple(span for span in spans if span[1] < span[2])
    condition, values = only.condition()
    part = f"SELECT start, key, alias, {', '.join(columns)} FROM rollups WHERE grain = ? AND start >= ? AND start < ?"
    text = f"({' UNION ALL '.join([part + condition] * len(spans))})"
    bounds: list[str | int] = []
    for span in spans:
        bounds += [*span, *values]
    return text, tuple(bounds)


def _observed(microseconds: int | None) -> int:
    """The histogram of one row's duration; empty where it has none."""
    return 0 if microseconds is None else rollups.observation(microseconds)


def _line(by: By | None, row: tuple[Any, ...], histograms: tuple[int, int, int]) -> UsageLine:
    sums: dict[str, int] = {name: value or 0 for name, value in zip(rollups.SUMS, row[1:], strict=True)}
    answered, ttft, total, overhead = (sums.pop(name) for name in ("answered", "ttft", "total", "overhead"))
    return UsageLine(
        group="" if by is None else _group_name(by, row[0]),
        **sums,
        ttft=_latency(ttft, answered, histograms[0]),
        total=_latency(total, sums["requests"], histograms[1]),
        overhead=_latency(overhead, sums["requests"], histograms[2]),
    )


def _latency(sum_: int, count: int, histogram: int) -> Latency:
    return Latency(
        mean=sum_ // count if count else None,
        p50=rollups.percentile(histogram, 0.50),
        p99=rollups.percentile(histogram, 0.99),
    )


def _group_name(by: By, value: str | int) -> str:
    if isinstance(value, str):
        return value
    moment = datetime.fromtimestamp(value, UTC)
    return moment.strftime("%Y-%m-%d" if by == "day" else "%Y-%m-%dT%H:00Z")


def _group_value(by: By, cursor: str) -> str | int:
    if by in ("key", "model"):
        return cursor
    try:
        moment = datetime.strptime(cursor, "%Y-%m-%d" if by == "day" else "%Y-%m-%dT%H:00Z")
    except ValueError as error:
        raise InvalidRequest(f"cursor {cursor!r} is not one of this report", param="cursor") from error
    return int(moment.replace(tzinfo=UTC).timestamp())


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
