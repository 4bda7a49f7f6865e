"""Whatever a board is about, its sums are those of the rows: in any zone, by anything, for any selection."""

import tempfile
from collections import Counter
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.ledger import periods
from proxy.ledger.board_values import Board, By, Step
from proxy.ledger.boards import Boards
from proxy.ledger.ledger import prepare
from proxy.ledger.record import UsageRecord
from proxy.ledger.selection import Selection
from tests.ledger.samples import final
from tests.ledger.test_boards import ask, stored

HOUR = 3_600
#: The Saturday before clocks are put back in Berlin.
BEGIN = 1_792_800_000
TAGS = {"key_a": ("web", "prod"), "key_b": ("prod",)}

_records = st.lists(
    st.tuples(
        st.integers(0, 5 * 24 * HOUR),
        st.sampled_from(["key_a", "key_b", "key_c"]),
        st.sampled_from(["core", "lite"]),
        st.sampled_from(["", "team_1"]),
        st.sampled_from(["openai", ""]),
        st.one_of(st.none(), st.integers(0, 1_000)),
    ),
    min_size=1,
    max_size=12,
)
_selections = st.sampled_from(
    [
        Selection(),
        Selection(keys=("key_a",)),
        Selection(keys=("key_a", "key_c"), aliases=("core",)),
        Selection(teams=("team_1",), upstreams=("openai",)),
        Selection(tagged=()),
        Selection(aliases=("core",), statuses=("2xx",)),
    ]
)


def chosen(record: UsageRecord, only: Selection) -> bool:
    return (
        (not only.keys or record.key in only.keys)
        and only.tagged is None
        and (not only.aliases or record.alias in only.aliases)
        and (not only.teams or record.team in only.teams)
        and (not only.upstreams or record.upstream in only.upstreams)
    )


def groups_of(record: UsageRecord, by: By) -> tuple[str, ...]:
    if by == "tag":
        return TAGS.get(record.key, ("",))
    if by == "target":
        return (f"{record.upstream}/{record.upstream_model}" if record.upstream else "",)
    return (str(getattr(record, by)),)


@settings(max_examples=25, deadline=None)
@given(
    _records,
    _selections,
    st.sampled_from(["alias", "key", "team", "tag", "upstream", "endpoint", "target"]),
    st.sampled_from(["hour", "day", "week"]),
    st.sampled_from(["UTC", "Europe/Berlin", "America/New_York", "Asia/Kathmandu"]),
    st.tuples(st.integers(0, 2 * 24 * HOUR), st.integers(HOUR, 4 * 24 * HOUR)),
)
def test_sums_of_boards_are_those_of_rows(
    drawn: list[tuple[int, str, str, str, str, int | None]],
    only: Selection,
    by: By,
    step: Step,
    zone: str,
    time: tuple[int, int],
) -> None:
    records = [
        final(number, started=(BEGIN + at) * 1_000_000, key=key, alias=alias, team=team, upstream=upstream, cost=cost)
        for number, (at, key, alias, team, upstream, cost) in enumerate(drawn)
    ]
    since, until = BEGIN + time[0], BEGIN + time[0] + time[1]
    first, end = since - since % HOUR, until + -until % HOUR
    place = periods.zone_of(zone)
    wanted = [one for one in records if chosen(one, only) and first <= one.started // 1_000_000 < end]
    counts: Counter[tuple[str, int]] = Counter()
    costs: Counter[tuple[str, int]] = Counter()
    for one in wanted:
        hour = one.started // 1_000_000 // HOUR * HOUR
        for group in groups_of(one, by):
            counts[group, periods.start_of(step, hour, place)] += 1
            costs[group, periods.start_of(step, hour, place)] += one.cost or 0
    board = Board(since=since, until=until, step=step, zone=zone, only=only, tags=TAGS)
    with tempfile.TemporaryDirectory() as folder:
        prepare(Path(folder))
        stored(Path(folder), *records)

        async def read(boards: Boards) -> None:
            totals = await boards.totals(board)
            assert (totals.requests, totals.cost) == (len(wanted), sum(one.cost or 0 for one in wanted))
            assert totals.unpriced == sum(one.cost is None for one in wanted)
            assert (totals.total.p95 is None) is not bool(wanted)
            series = await boards.series(board, by)
            found = {
                (line.group, start): (totals.requests, totals.cost)
                for line in series.lines
                for start, totals in zip(series.starts, line.values, strict=True)
                if totals.requests
            }
            assert found == {place: (count, costs[place]) for place, count in counts.items()}
            page = await boards.groups(board, by)
            assert {group.group: group.totals.requests for group in page.groups} == {
                group: sum(count for (one, _), count in counts.items() if one == group) for group, _ in counts
            }

        ask(Path(folder), read)
