"""The ledger is read when a window begins, and again where memory is behind it."""

import asyncio
from collections.abc import Mapping
from pathlib import Path

import pytest

from proxy.auth.grants import Grant
from proxy.errors import StoreFailed
from proxy.ledger.ledger import open_reports, prepare
from proxy.ledger.spending import Payers
from proxy.limits.budget import UNKNOWN, BudgetReservation, Pot, Rule, Spending
from proxy.limits.calendar import Calendar
from proxy.limits.counters import SharedCounters
from proxy.policies.budget_loading import BudgetLoader
from tests.ledger.samples import STARTED, final, lines, opened, segment

LATER = STARTED + 3_600_000_000


def pot_of(counters: SharedCounters, *, credits: bool = False) -> Pot:
    return Pot("one", Rule("The budget", 10**9), Payers(), None if credits else Calendar("year", "UTC"), counters)


def loader_of(
    counters: SharedCounters, data_dir: Path, grants: Mapping[str, tuple[Grant, ...]] | None = None
) -> tuple[BudgetLoader, list[Spending]]:
    warned: list[Spending] = []
    return BudgetLoader(counters, data_dir, grants or {}, warned.append), warned


async def store(data_dir: Path, content: bytes = b"", owner: str = "dead") -> None:
    prepare(data_dir)
    if content:
        segment(data_dir / "journal", content, owner)
    async with open_reports(data_dir):
        pass


def test_what_was_spent_is_loaded_once_for_all_that_wait(tmp_path: Path) -> None:
    async def run() -> None:
        await store(tmp_path, lines(final(1, cost=5)))
        counters = SharedCounters()
        pot, (loader, _) = pot_of(counters), loader_of(counters, tmp_path)
        await asyncio.gather(*[loader.load(pot, LATER) for _ in range(5)])
        assert pot.spending(LATER).counts() == (5, 0)

    asyncio.run(run())


def test_a_ledger_that_cannot_be_read_raises_and_is_tried_again(tmp_path: Path) -> None:
    async def run() -> None:
        prepare(tmp_path)
        counters = SharedCounters()
        pot, (loader, _) = pot_of(counters), loader_of(counters, tmp_path)
        with pytest.raises(StoreFailed):
            await loader.load(pot, LATER)
        assert not pot.spending(LATER).find(1)
        await store(tmp_path, lines(final(1, cost=5)))
        await loader.load(pot, LATER)
        assert pot.spending(LATER).counts() == (5, 0)

    asyncio.run(run())


def test_a_dead_workers_running_requests_cost_what_they_had_reserved(tmp_path: Path) -> None:
    async def run() -> None:
        await store(tmp_path)
        counters = SharedCounters(workers=2)
        pot, (loader, warned) = pot_of(counters), loader_of(counters, tmp_path)
        await loader.load(pot, LATER)
        loader.look()
        other, _ = loader_of(counters, tmp_path)
        counters.place = 1
        other.look()
        counters.place = 0
        loader.look()
        # It dies with one request that ran, and one that was settled and not counted.
        segment(tmp_path / "journal", lines(opened(1, reserved=30), final(2, cost=4)))
        counters.forget(1)
        warned.clear()
        while not warned:
            loader.look()
            await asyncio.sleep(0.01)
        assert pot.spending(LATER).counts() == (34, 0)
        # The row that is made of it is the same cost.
        await store(tmp_path)
        await loader.refresh(pot.spending(LATER), rebase=True)
        assert pot.spending(LATER).counts() == (34, 0)

    asyncio.run(run())


def test_a_request_that_settles_while_the_ledger_is_read_counts_once(tmp_path: Path) -> None:
    async def run() -> None:
        await store(tmp_path)
        counters = SharedCounters()
        pot, (loader, _) = pot_of(counters), loader_of(counters, tmp_path)
        await loader.load(pot, LATER)
        spending = pot.spending(LATER)
        read = loader._read

        def settle_meanwhile(one: Spending, until: int) -> int:
            segment(tmp_path / "journal", lines(final(3, cost=9)), "alive")
            found = read(one, until)
            stale, _ = BudgetReservation(0, (one,)).settle(counters, 9, STARTED)
            assert stale
            return found

        loader._read = settle_meanwhile  # type: ignore[method-assign, assignment]
        await loader.refresh(spending, rebase=False)
        assert spending.counts() == (9, 0)
        loader._read = read  # type: ignore[method-assign]
        await loader.refresh(spending, rebase=False)
        assert spending.counts() == (9, 0)

    asyncio.run(run())


def test_the_limit_of_credits_is_computed_with_what_expired(tmp_path: Path) -> None:
    async def run() -> None:
        second = STARTED // 1_000_000
        await store(tmp_path, lines(final(1, cost=5), final(2, cost=100, started=STARTED - 10_000_000)))
        counters = SharedCounters()
        grants = {"one": (Grant(20, second - 1, second + 60), Grant(40, second - 1, second + 7_200))}
        pot, (loader, _) = pot_of(counters, credits=True), loader_of(counters, tmp_path, grants)
        assert pot.spending(LATER).limit == UNKNOWN
        await loader.load(pot, LATER)
        spending = pot.spending(LATER)
        # 15 of the first grant were lost, and what was spent before there were credits is none of theirs.
        assert (spending.limit, spending.counts(), spending.end) == (45, (5, 0), (second + 7_200) * 1_000_000)
        assert pot.spending(spending.end).limit == UNKNOWN
        await loader.load(pot, spending.end)
        assert pot.spending(spending.end).limit == 5

    asyncio.run(run())


def test_budgets_of_the_configuration_are_loaded_before_a_request_needs_them(tmp_path: Path) -> None:
    async def run() -> None:
        await store(tmp_path)
        counters = SharedCounters()
        pot, (loader, _) = pot_of(counters), loader_of(counters, tmp_path)
        loader.preload([pot])
        await asyncio.gather(*loader._loading.values())
        loader.preload([pot])
        assert not loader._loading

    asyncio.run(run())
