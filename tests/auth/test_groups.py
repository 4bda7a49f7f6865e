"""What teams and organisations have in common: versions, names, pages, and what the configuration file owns."""

import asyncio
from decimal import Decimal
from pathlib import Path

from proxy.auth.store import Store
from proxy.auth.values import KeyFields, TeamFields
from proxy.config.tree import Budget, Limits
from tests.auth.stores import refused, run_store

BUDGET = Budget(limit=Decimal(5))


def test_put_creates_once_and_replaces_as_a_whole(tmp_path: Path) -> None:
    async def test(store: Store) -> None:
        team, created = await store.teams.put("web", TeamFields(limits=Limits(requests="1/s")), actor="t", expected=0)
        assert created
        again, created = await store.teams.put("web", TeamFields(limits=Limits(requests="1/s")), actor="t")
        assert (again, created) == (team, False)
        assert await refused(store.teams.put("web", TeamFields(), actor="t", expected=0)) == (
            412,
            "version_mismatch",
            None,
        )
        other, _ = await store.teams.put("web", TeamFields(budgets=[BUDGET]), actor="t", expected=1)
        assert (other.limits, other.budgets, other.version) == (None, (BUDGET,), 2)
        renamed, _ = await store.teams.put(team.id, TeamFields(name="net"), actor="t")
        assert (renamed.id, renamed.name) == (team.id, "net")

    run_store(tmp_path, test)


def test_pages_follow_the_names(tmp_path: Path) -> None:
    async def test(store: Store) -> None:
        for name in ("c", "a", "b"):
            await store.teams.create(TeamFields(name=name), actor="t")
        page = await store.teams.list(limit=2)
        assert [team.name for team in page] == ["a", "b"]
        assert [team.name for team in await store.teams.list(after=page[-1].id)] == ["c"]
        assert [team.name for team in await store.teams.list(name="b")] == ["b"]
        assert (await refused(store.teams.list(limit=0)))[2] == "limit"

    run_store(tmp_path, test)


def test_what_the_file_names_cannot_be_changed_here(tmp_path: Path) -> None:
    async def test() -> None:
        async with Store(tmp_path, owner=lambda kind, name: "f.toml:7: budgets.b" if name == "web" else None) as store:
            await store.teams.create(TeamFields(name="web"), actor="t")
            owned = (409, "owned_by_file", None)
            assert await refused(store.teams.update("web", TeamFields(budgets=[BUDGET]), actor="t")) == owned
            assert await refused(store.teams.update("web", TeamFields(name="net"), actor="t")) == owned
            assert await refused(store.teams.delete("web", actor="t")) == owned
            await store.teams.update("web", TeamFields(limits=Limits(concurrent=1), budgets=[]), actor="t")
            await store.keys.create("web")
            assert await refused(store.keys.update("web", KeyFields(budgets=[BUDGET]), actor="t")) == owned

    asyncio.run(test())


def test_a_page_goes_on_behind_what_was_deleted_meanwhile(tmp_path: Path) -> None:
    async def test(store: Store) -> None:
        for name in ("a", "b", "c"):
            await store.teams.create(TeamFields(name=name), actor="t")
        last = (await store.teams.list(limit=2))[-1]
        await store.teams.delete(last.id, actor="t")
        assert [team.name for team in await store.teams.list(after=last.id)] == ["c"]
        assert [team.name for team in await store.teams.list(limit=5, after=last.id, name="c")] == ["c"]

    run_store(tmp_path, test)
