"""Blocks of the dashboard equal what the rows of the ledger say."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import pytest

from proxy.errors import InvalidRequest
from proxy.ledger import tries
from proxy.ledger.board_values import Board, By, Quantiles
from proxy.ledger.boards import Boards
from proxy.ledger.record import UsageRecord
from proxy.ledger.selection import Selection
from proxy.ledger.tries import Try
from tests.ledger.ingesting import ingest
from tests.ledger.samples import STARTED, final, lines, segment

T = TypeVar("T")
HOUR = 3_600
SECOND = STARTED // 1_000_000
DAY = Board(since=SECOND - 12 * HOUR, until=SECOND + 12 * HOUR)


def stored(data_dir: Path, *records: UsageRecord) -> Path:
    """A data directory with these rows."""
    segment(data_dir / "journal", lines(*records), owner=f"dead{records[0].id[-8:]}")
    ingest(data_dir)
    return data_dir


def ask(data_dir: Path, query: Callable[[Boards], Awaitable[T]], **options: Any) -> T:
    """The result of a query."""

    async def run() -> T:
        boards = Boards(data_dir / "ledger.db", **options)
        try:
            return await query(boards)
        finally:
            await boards.close()

    return asyncio.run(run())


def test_totals_are_those_of_the_time_and_the_selection(data_dir: Path) -> None:
    stored(
        data_dir,
        final(1, ttft=None, cost=None, status=502, outcome="upstream_error"),
        final(2, key="key_b"),
        final(3, started=STARTED - 13 * HOUR * 1_000_000),
    )
    totals = ask(data_dir, lambda boards: boards.totals(DAY))
    assert (totals.requests, totals.errors, totals.cost, totals.unpriced) == (2, 1, 330_000, 1)
    assert totals.total.mean == 900_000
    assert totals.ttft.p95 == pytest.approx(200_000, rel=0.25)
    of_key = Board(since=DAY.since, until=DAY.until, only=Selection(keys=("key_b",)))
    assert ask(data_dir, lambda boards: boards.totals(of_key)).requests == 1


def test_a_chart_has_its_largest_lines_and_one_of_all_others(data_dir: Path) -> None:
    records = [final(number, alias=f"alias-{number}", cost=number) for number in range(1, 5)]
    stored(data_dir, *records, final(9, started=STARTED - 24 * HOUR * 1_000_000, alias="alias-4"))
    board = Board(since=SECOND - 36 * HOUR, until=SECOND + HOUR)
    series = ask(data_dir, lambda boards: boards.series(board, "alias", top=2))
    assert [line.group for line in series.lines] == ["alias-4", "alias-3", None]
    assert [[totals.requests for totals in line.values] for line in series.lines] == [[0, 1, 1], [0, 0, 1], [0, 0, 2]]
    assert series.lines[2].values[2].cost == 3


@pytest.mark.parametrize("by", ["alias", "tag"])
def test_a_chart_without_durations_has_all_else(data_dir: Path, by: By) -> None:
    stored(data_dir, final(1, alias="core"), final(2, alias="lite"), final(3, alias="core", status=502))
    whole = ask(data_dir, lambda boards: boards.series(DAY, by, 1))
    found = ask(data_dir, lambda boards: boards.series(DAY, by, 1, durations=False))
    cells = [one for line in found.lines for one in line.values]
    assert any(one.requests for one in cells)
    assert {one.ttft for one in cells} == {Quantiles()}
    assert cells == [
        msgspec.structs.replace(one, ttft=Quantiles(), total=Quantiles(), overhead=Quantiles())
        for line in whole.lines
        for one in line.values
    ]


def test_a_table_is_paged_to_its_end(data_dir: Path) -> None:
    stored(data_dir, *(final(number, key=f"key_{number}", cost=number // 2) for number in range(5)))

    async def pages(boards: Boards) -> list[str]:
        found: list[str] = []
        cursor = None
        while True:
            page = await boards.groups(DAY, "key", limit=2, cursor=cursor)
            found += [group.group for group in page.groups]
            cursor = page.cursor
            if cursor is None:
                return found

    assert ask(data_dir, pages) == ["key_4", "key_2", "key_3", "key_0", "key_1"]


def test_each_line_of_a_table_has_the_hour_of_its_last_use(data_dir: Path) -> None:
    day = 24 * HOUR * 1_000_000
    stored(
        data_dir,
        *(final(number, started=STARTED - number * day, alias="early", key="key_e") for number in (2, 3)),
        final(4),
        final(5, started=STARTED - 2 * day + HOUR * 1_000_000, key="key_b"),
    )
    board = Board(since=SECOND - 90 * HOUR, until=SECOND + HOUR)
    hour = SECOND - SECOND % HOUR
    used = {
        group.group: group.last_used for group in ask(data_dir, lambda boards: boards.groups(board, "alias")).groups
    }
    assert used == {"early": hour - 48 * HOUR, "prometheus-core": hour}
    used = {group.group: group.last_used for group in ask(data_dir, lambda boards: boards.groups(board, "key")).groups}
    assert used == {"key_e": SECOND - 48 * HOUR, "key_b": SECOND - 47 * HOUR, "key_aaaaaaaaaaaa": SECOND}


def test_lines_are_read_by_their_names(data_dir: Path) -> None:
    stored(data_dir, final(1), final(2, key="key_b", started=STARTED + 2_000_000), final(3, key="key_c"))
    found = ask(data_dir, lambda boards: boards.lines(DAY, "key", ("key_b", "key_none")))
    assert {name: (one.totals.requests, one.last_used) for name, one in found.items()} == {
        "key_b": (1, SECOND + 2),
        "key_none": (0, None),
    }


def test_rare_requests_are_found_by_the_hours_that_have_any(data_dir: Path) -> None:
    times = [STARTED - hours * HOUR * 1_000_000 for hours in (0, 1, 30, 31, 60)]
    stored(data_dir, *(final(number, started=started, alias="rare") for number, started in enumerate(times)), final(9))

    async def pages(boards: Boards) -> list[list[str]]:
        found: list[list[str]] = []
        cursor = None
        while True:
            only = Selection(aliases=("rare",), statuses=("2xx",))
            page = await boards.requests(only, since=0, until=DAY.until, before=cursor, limit=2)
            found.append([row.record.id[-1] for row in page.rows])
            cursor = page.cursor
            if cursor is None:
                return found

    assert ask(data_dir, pages) == [["0", "1"], ["2", "3"], ["4"]]


def test_requests_are_paged_from_the_newest(data_dir: Path) -> None:
    stored(data_dir, *(final(number) for number in range(5)))

    async def pages(boards: Boards) -> list[list[str]]:
        found: list[list[str]] = []
        cursor = None
        while True:
            page = await boards.requests(Selection(), since=DAY.since, until=DAY.until, before=cursor, limit=2)
            found.append([row.record.id[-1] for row in page.rows])
            cursor = page.cursor
            if cursor is None:
                return found

    assert ask(data_dir, pages) == [["4", "3"], ["2", "1"], ["0"]]


def test_the_newest_rows_are_those_stored_since(data_dir: Path) -> None:
    stored(data_dir, final(1))

    async def tail(boards: Boards) -> list[list[str]]:
        rows, place, _ = await boards.newest(Selection(), None)
        found = [[row.record.id[-1] for row in rows]]
        await asyncio.to_thread(stored, data_dir, final(3, started=STARTED - 1), final(2, key="key_b"))
        rows, after, _ = await boards.newest(Selection(), place)
        found.append([row.record.id[-1] for row in rows])
        rows, *_ = await boards.newest(Selection(keys=("key_b",)), place)
        found.append([row.record.id[-1] for row in rows])
        rows, *_ = await boards.newest(Selection(), after)
        return [*found, [row.record.id[-1] for row in rows]]

    assert ask(data_dir, tail) == [[], ["3", "2"], ["2"], []]


def test_rows_that_are_left_out_of_the_newest_are_counted(data_dir: Path) -> None:
    stored(data_dir, *(final(number) for number in range(1, 8)), final(8, key="key_b"))

    async def tail(boards: Boards) -> tuple[list[str], int]:
        found = await boards.newest(Selection(keys=(final(1).key,)), 0, 3)
        return [row.record.id[-1] for row in found.rows], found.missed

    assert ask(data_dir, tail) == (["5", "6", "7"], 4)


def test_a_request_has_its_failed_attempts_and_the_one_that_lost(data_dir: Path) -> None:
    failed = (Try("openai/gpt-5", "rate_limited", 17),)
    one = final(1, tries=tries.encode(failed), attempts=2)
    lost = final(2, id=one.id.replace("req_", "hdg_"), outcome="hedge_lost")
    stored(data_dir, one, lost)
    detail = ask(data_dir, lambda boards: boards.request(one.id, Selection()))
    assert detail is not None
    assert (detail.row.record, detail.failed) == (one, failed)
    assert detail.lost is not None
    assert detail.lost.record == lost
    assert ask(data_dir, lambda boards: boards.request(one.id, Selection(keys=("key_b",)))) is None
    assert ask(data_dir, lambda boards: boards.request("req_none", Selection())) is None


def test_a_query_that_takes_too_long_is_an_error(data_dir: Path) -> None:
    stored(data_dir, final(1))
    with pytest.raises(InvalidRequest) as raised:
        ask(data_dir, lambda boards: boards.totals(DAY), seconds=0.0)
    assert raised.value.code == "report_too_long"
