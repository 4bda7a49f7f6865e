"""Lines by tag: what is kept of them is never older than the ledger."""

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

import pytest

from proxy.ledger import rollups
from proxy.ledger.board_plan import Plan, plan_of
from proxy.ledger.board_sums import Values
from proxy.ledger.board_tags import KeptParts, Tags, ranked
from proxy.ledger.readers import Query, Readers
from proxy.ledger.record import UsageRecord
from proxy.ledger.selection import Selection
from tests.ledger.samples import STARTED, final
from tests.ledger.test_boards import stored

T = TypeVar("T")
HOUR = 3_600
SECOND = STARTED // 1_000_000
PLAN = plan_of(SECOND - 30 * HOUR, SECOND + 30 * HOUR)
TAGS: Mapping[str, tuple[str, ...]] = {"key_a": ("prod", "web"), "key_b": ("prod",)}
_REQUESTS = rollups.SUMS.index("requests")


def of(requests: int, cost: int = 0) -> tuple[list[int], list[int]]:
    sums = dict.fromkeys(rollups.SUMS, 0) | {"requests": requests, "cost": cost}
    return list(sums.values()), [requests, 0, 0]


def ask(data_dir: Path, work: Callable[[Query], T]) -> T:
    async def run() -> T:
        readers = Readers(data_dir / "ledger.db")
        try:
            return await readers.run(work)
        finally:
            await readers.close()

    return asyncio.run(run())


def counts(
    data_dir: Path, kept: KeptParts, only: Selection | None = None, tags: Mapping[str, tuple[str, ...]] = TAGS
) -> dict[str, int]:
    """The requests of each tag."""

    def work(query: Query) -> Values:
        found = Tags(tags)
        return found.lines(kept.read(query, only or Selection(), found, PLAN))

    return {tag: sums[_REQUESTS] for (_, tag), (sums, _) in ask(data_dir, work).items()}


def test_a_request_of_a_key_with_two_tags_is_in_two_lines_and_in_one_part() -> None:
    tags = Tags(TAGS)
    parts = {(0, tags.part_of["key_a"]): of(3), (0, tags.part_of["key_b"]): of(2), (0, ""): of(1)}
    assert tags.lines(parts) == {(0, "prod"): of(5), (0, "web"): of(3), (0, ""): of(1)}
    assert tags.having(parts, ["web"]) == {(0, tags.part_of["key_a"]): of(3)}
    assert tags.having(parts, ["prod", "web", ""]) == parts


def test_lines_are_ranked_by_their_size_and_then_by_their_names() -> None:
    lines = {(0, "b"): of(1, 5), (1, "b"): of(1, 5), (0, "a"): of(1, 10), (0, "c"): of(9, 1)}
    assert ranked(lines, "cost") == [("a", 10), ("b", 10), ("c", 1)]
    assert ranked(lines, "cost", (10, "a")) == [("b", 10), ("c", 1)]
    assert ranked(lines, "requests") == [("c", 9), ("b", 2), ("a", 1)]
    assert ranked(lines, "group") == [("a", 0), ("b", 0), ("c", 0)]


def test_what_is_stored_later_is_counted(data_dir: Path) -> None:
    kept = KeptParts()
    stored(data_dir, final(1, key="key_a"), final(2, key="key_c"))
    assert counts(data_dir, kept) == {"prod": 1, "web": 1, "": 1}
    stored(data_dir, final(3, key="key_b"), final(4, key="key_a", started=STARTED - 26 * HOUR * 1_000_000))
    assert counts(data_dir, kept) == {"prod": 3, "web": 2, "": 1}


def test_what_an_attempt_that_lost_has_cost_is_counted(data_dir: Path) -> None:
    kept = KeptParts()
    stored(data_dir, final(1, key="key_b"))
    counts(data_dir, kept)
    stored(data_dir, final(2, key="key_b", outcome="hedge_lost", cost=77))
    tags = Tags(TAGS)
    found = ask(data_dir, lambda query: kept.read(query, Selection(), tags, PLAN))
    assert found[0, tags.part_of["key_b"]][0][rollups.SUMS.index("cost")] == 330_000 + 77


def test_other_tags_and_other_selections_are_read_anew(data_dir: Path) -> None:
    kept = KeptParts()
    stored(data_dir, final(1, key="key_a", alias="core"), final(2, key="key_b", alias="lite"))
    assert counts(data_dir, kept) == {"prod": 2, "web": 1}
    assert counts(data_dir, kept, Selection(aliases=("lite",))) == {"prod": 1}
    assert counts(data_dir, kept, tags={"key_a": ("prod",)}) == {"prod": 1, "": 1}
    assert counts(data_dir, kept) == {"prod": 2, "web": 1}


@pytest.mark.parametrize("size", [0, 3, 10_000])
def test_sums_are_the_same_however_few_are_kept(data_dir: Path, size: int) -> None:
    kept = KeptParts(size)
    stored(data_dir, *_of_hours())
    assert counts(data_dir, kept) == {"prod": 20, "web": 10}
    assert counts(data_dir, kept) == {"prod": 20, "web": 10}
    assert kept._count <= size
    assert kept._count == sum(1 + len(parts) for _, parts in kept._kept.values())


def _of_hours() -> list[UsageRecord]:
    return [
        final(number, key="key_a" if number % 2 else "key_b", started=STARTED - number * HOUR * 1_000_000)
        for number in range(20)
    ]


def test_what_is_kept_is_not_read_again(data_dir: Path) -> None:
    kept, tags = KeptParts(), Tags(TAGS)
    stored(data_dir, *_of_hours())
    counts(data_dir, kept)
    read: list[str] = []

    def work(query: Query) -> None:
        assert query.connection is not None
        query.connection.set_trace_callback(read.append)
        kept.read(query, Selection(), tags, PLAN)
        query.connection.set_trace_callback(None)

    ask(data_dir, work)
    assert read
    assert not [text for text in read if "part_of" in text]


def test_an_empty_time_has_nothing(data_dir: Path) -> None:
    stored(data_dir, final(1))
    nothing = Plan((), ())
    assert ask(data_dir, lambda query: KeptParts().read(query, Selection(), Tags(TAGS), nothing)) == {}
