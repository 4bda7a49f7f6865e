"""The queries of the dashboard: totals, charts, tables, and the requests themselves.

Sums are read from rollups, so that a block takes milliseconds over any number of rows; filters that rollups do not have
read the rows of the time, within the time limit. Reads only, on connections of its own. Lines by tag are made of those
of keys: totals are never the sum of tags.
"""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar, get_args

from proxy.errors import InvalidRequest
from proxy.ledger import board_plan, board_rows, board_sums
from proxy.ledger.board_rows import NewestRows
from proxy.ledger.board_sums import Source
from proxy.ledger.board_tags import KeptParts, Tags, ranked
from proxy.ledger.board_values import (
    MAX_PERIODS,
    OTHER,
    Board,
    By,
    Group,
    GroupPage,
    Line,
    Order,
    RequestDetail,
    RequestPage,
    Series,
    Totals,
)
from proxy.ledger.periods import HOUR
from proxy.ledger.readers import MAX_QUERY_SECONDS, MAX_READERS, Query, Readers
from proxy.ledger.selection import Selection

T = TypeVar("T")

#: The most lines of a chart, and of one page of a table.
MAX_TOP: Final = 20
MAX_LINES: Final = 1_000


class Boards:
    """Runs the queries on one `ledger.db`. All raise StoreFailed, and InvalidRequest `report_too_long`."""

    def __init__(self, path: Path, *, size: int = MAX_READERS, seconds: float = MAX_QUERY_SECONDS) -> None:
        """`size` is the maximum of connections, which are opened when needed; `seconds` the time limit of a query."""
        self._readers = Readers(path, size=size, seconds=seconds)
        self._parts = KeptParts()

    async def close(self) -> None:
        """Stop the queries that run, and close the connections."""
        await self._readers.close()

    async def totals(self, board: Board) -> Totals:
        """The sums of a time and selection."""
        return await self._run(lambda query: _totals(query, board))

    async def series(
        self, board: Board, by: By, top: int = 8, *, order: Order = "cost", durations: bool = True
    ) -> Series:
        """A chart by the periods of the board: the `top` largest lines, and the line of all others.

        Without `durations` it takes half of the time. Raises InvalidRequest when the time has more than `MAX_PERIODS`
        periods.
        """
        if not 1 <= top <= MAX_TOP:
            raise InvalidRequest(f"top {top} is not from 1 to {MAX_TOP}", param="top")
        if (board.until - board.since) // HOUR > MAX_PERIODS * {"hour": 1, "day": 24, "week": 168}[board.step]:
            raise InvalidRequest(
                f"a chart has at most {MAX_PERIODS} periods; choose a shorter time, or a longer step", param="step"
            )
        _check(by, order)
        return await self._run(lambda query: self._series(query, board, by, top, order, durations))

    async def groups(
        self, board: Board, by: By, *, order: Order = "cost", limit: int = 50, cursor: str | None = None
    ) -> GroupPage:
        """A page of a table, the largest first. Raises InvalidRequest for what is no cursor."""
        _check(by, order)
        _check_limit(limit)
        after = None if cursor is None else _after(cursor)
        return await self._run(lambda query: self._groups(query, board, by, order, limit, after))

    async def lines(self, board: Board, by: By, names: tuple[str, ...]) -> dict[str, Group]:
        """Lines of a table by their names, at most `MAX_LINES`; not by "tag"."""
        _check_limit(max(len(names), 1))
        return await self._run(lambda query: _of_names(query, board, by, names))

    async def requests(
        self, only: Selection, *, since: int, until: int, before: str | None = None, limit: int = 50
    ) -> RequestPage:
        """A page of requests that began in a time, the newest first; `before` is the cursor of the page before."""
        _check_limit(limit)
        place = None if before is None else board_rows.place_of(before)
        return await self._run(lambda query: board_rows.page(query, only, since, until, place, limit))

    async def request(self, id_: str, only: Selection) -> RequestDetail | None:
        """All that is stored of one request; None where the selection has none of that id."""
        return await self._run(lambda query: board_rows.detail(query, id_, only))

    async def newest(self, only: Selection, after: int | None, limit: int = 50) -> NewestRows:
        """The rows that were stored after a place, oldest first, and the place to go on from; None begins at the end.

        Of more than `limit` rows the newest, and how many more: a reader that is slow never falls behind.
        """
        _check_limit(limit)
        return await self._run(lambda query: board_rows.newest(query, only, after, limit))

    async def has_sample(self) -> bool:
        """Whether there are rows of `proxy.ledger.sample`, which every page is to say."""
        return await self._run(board_rows.has_sample)

    async def _run(self, work: Callable[[Query], T]) -> T:
        return await self._readers.run(work)

    def _series(self, query: Query, board: Board, by: By, top: int, order: Order, durations: bool) -> Series:
        starts = board_plan.begins(board.since, board.until, board.step, board.zone)
        periods = board_plan.plan_of(board.since, board.until, starts)
        everything = Source("", board.only).read(query, periods, durations=durations)
        line = partial(_line, count=len(starts), durations=durations)
        if not everything or not by:
            return Series(starts, (line("", everything),) if everything else ())
        if by == "tag":
            tags = Tags(board.tags)
            found = self._parts.read(query, board.only, tags, periods)
            values = tags.lines(found)
            names = tuple(name for name, _ in ranked(values, order))
            covered = board_sums.as_one(tags.having(found, names[:top]))
        else:
            source = Source(by, board.only)
            plan = board_plan.plan_of(board.since, board.until)
            names = tuple(name for name, _ in source.ranked(query, plan, order, top + 1))
            values = source.read(query, periods, names[:top], durations=durations)
            covered = board_sums.as_one(values)
        lines = [line(name, values) for name in names[:top]]
        if len(names) > top:
            lines.append(line(OTHER, board_sums.less(everything, covered)))
        return Series(starts, tuple(lines))

    def _groups(
        self, query: Query, board: Board, by: By, order: Order, limit: int, after: tuple[int, str] | None
    ) -> GroupPage:
        plan = board_plan.plan_of(board.since, board.until)
        if by == "tag":
            tags = Tags(board.tags)
            values = tags.lines(self._parts.read(query, board.only, tags, plan))
            found = ranked(values, order, after)
            names = tuple(name for name, _ in found[:limit])
            groups = _table(values, names, tags.last_used(query, board.only, names, board.since, board.until))
        else:
            found = Source(by, board.only).ranked(query, plan, order, limit + 1, after)
            names = tuple(name for name, _ in found[:limit])
            groups = _of_names(query, board, by, names) if names else {}
        cursor = f"{found[limit - 1][1]}:{names[-1]}" if len(found) > limit else None
        return GroupPage(tuple(groups[name] for name in names), cursor)


def _totals(query: Query, board: Board) -> Totals:
    values = Source("", board.only).read(query, board_plan.plan_of(board.since, board.until))
    return board_sums.totals_of(values.get((0, "")))


def _line(name: str | None, values: board_sums.Values, *, count: int, durations: bool) -> Line:
    found = [values.get((number, name or "")) for number in range(count)]
    return Line(name, tuple(board_sums.totals_of(one, durations=durations) for one in found))


def _of_names(query: Query, board: Board, by: By, names: tuple[str, ...]) -> dict[str, Group]:
    source = Source(by, board.only)
    values = source.read(query, board_plan.plan_of(board.since, board.until), names)
    return _table(values, names, source.last_used(query, names, board.since, board.until))


def _table(values: board_sums.Values, names: tuple[str, ...], used: Mapping[str, int]) -> dict[str, Group]:
    return {name: Group(name, board_sums.totals_of(values.get((0, name))), used.get(name)) for name in names}


def _after(cursor: str) -> tuple[int, str]:
    size, separator, name = cursor.partition(":")
    if not separator or not size.removeprefix("-").isdecimal() or len(size) > 30:
        raise InvalidRequest(f"cursor {cursor!r} is not one of this table", param="cursor")
    return int(size), name


def _check(by: str, order: str) -> None:
    for value, of, name in ((by, By, "by"), (order, Order, "order")):
        known: tuple[Any, ...] = get_args(of)
        if value not in known:
            raise InvalidRequest(f"{name} is one of {', '.join(one for one in known if one)}", param=name)


def _check_limit(limit: int) -> None:
    if not 1 <= limit <= MAX_LINES:
        raise InvalidRequest(f"limit {limit} is not from 1 to {MAX_LINES}", param="limit")
