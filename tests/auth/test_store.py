"""The store: teams, organisations and keys over one connection, and what a change of each does to the others."""

from decimal import Decimal
from pathlib import Path

import pytest

from proxy.auth.store import Store
from proxy.auth.values import KeyFields, OrgFields, TeamFields
from proxy.config.tree import Budget, Limits
from proxy.errors import InvalidRequest
from tests.auth.stores import run_store as run


def test_a_key_has_all_that_it_was_given(tmp_path: Path) -> None:
    async def test(store: Store) -> None:
        await store.orgs.create(OrgFields(name="acme"), actor="t")
        team = await store.teams.create(TeamFields(name="web", org="acme"), actor="t")
        budget = Budget(limit=Decimal("500.00"), window="week:sun", zone="Europe/Berlin")
        key, _ = await store.keys.add(
            KeyFields(
                name="app",
                team="web",
                tags=["b", "a", "a"],
                limits=Limits(requests="600/min"),
                budgets=[budget],
                metadata={"who": {"deep": 1}},
            ),
            actor="t",
        )
        assert (key.team, key.team_name, key.tags) == (team.id, "web", ("a", "b"))
        assert (key.limits, key.budgets, key.metadata) == (Limits(requests="600/min"), (budget,), {"who": {"deep": 1}})
        assert await store.keys.get("app") == key
        assert [one.name for one in await store.keys.list(team="web", org="acme", tag="a", name="pp")] == ["app"]
        for nothing in ({"team": "x"}, {"org": "x"}, {"tag": "c"}, {"name": "x"}):
            assert await store.keys.list(**nothing) == []  # type: ignore[arg-type]

    run(tmp_path, test)


def test_what_is_not_given_stays_in_an_update_and_goes_in_a_put(tmp_path: Path) -> None:
    async def test(store: Store) -> None:
        await store.keys.add(KeyFields(name="app", tags=["a"], models=["core"]), actor="t")
        assert (await store.keys.update("app", KeyFields(limits=Limits(concurrent=1)), actor="t")).tags == ("a",)
        written = await store.keys.put("app", KeyFields(models=["core"]), actor="t")
        assert (written.created, written.secret, written.key.tags, written.key.limits) == (False, None, (), None)
        assert written.key.models == frozenset({"core"})
        again = await store.keys.put("app", KeyFields(models=["core"]), actor="t")
        assert again.key.version == written.key.version
        new = await store.keys.put("new", KeyFields(), actor="t")
        assert new.created
        assert new.secret is not None

    run(tmp_path, test)


def test_a_change_for_another_version_is_refused(tmp_path: Path) -> None:
    async def test(store: Store) -> None:
        key, _ = await store.keys.add(KeyFields(name="app"), actor="t")
        await store.keys.update("app", KeyFields(tags=["a"]), actor="t", expected=key.version)
        with pytest.raises(InvalidRequest) as caught:
            await store.keys.update("app", KeyFields(tags=["b"]), actor="t", expected=key.version)
        assert (caught.value.status, caught.value.code) == (412, "version_mismatch")
        assert (await store.keys.get("app")).tags == ("a",)

    run(tmp_path, test)
