"""Teams: whom they belong to, and that one with live keys stays."""

from pathlib import Path

from proxy.auth.store import Store
from proxy.auth.values import KeyFields, OrgFields, TeamFields
from tests.auth.stores import refused, run_store


def test_a_team_with_live_keys_cannot_be_deleted(tmp_path: Path) -> None:
    async def test(store: Store) -> None:
        await store.teams.create(TeamFields(name="web"), actor="t")
        await store.keys.add(KeyFields(name="app", team="web"), actor="t")
        assert await refused(store.teams.delete("web", actor="t")) == (409, "team_in_use", None)
        key = await store.keys.revoke("app")
        await store.teams.delete("web", actor="t")
        assert await store.teams.find("web") is None
        assert (await store.keys.get(key.id)).team == ""

    run_store(tmp_path, test)


def test_teams_are_listed_by_organisation(tmp_path: Path) -> None:
    async def test(store: Store) -> None:
        org = await store.orgs.create(OrgFields(name="acme"), actor="t")
        for name in ("one", "two"):
            await store.teams.create(TeamFields(name=name, org="acme"), actor="t")
        await store.teams.create(TeamFields(name="alone"), actor="t")
        assert [team.name for team in await store.teams.list(limit=10, org=org.id)] == ["one", "two"]
        assert [team.name for team in await store.teams.list()] == ["alone", "one", "two"]
        assert (await store.teams.update("one", TeamFields(org=None), actor="t")).org == ""

    run_store(tmp_path, test)


def test_unknown_names_are_refused(tmp_path: Path) -> None:
    async def test(store: Store) -> None:
        await store.teams.create(TeamFields(name="web"), actor="t")
        assert await refused(store.teams.get("x")) == (404, "team_not_found", None)
        assert await refused(store.teams.create(TeamFields(name="web"), actor="t")) == (409, "team_exists", "name")
        assert await refused(store.teams.update("web", TeamFields(org="x"), actor="t")) == (404, "org_not_found", "org")
        assert await refused(store.keys.add(KeyFields(name="a", team="x"), actor="t")) == (
            404,
            "team_not_found",
            "team",
        )
        assert await store.keys.list() == []

    run_store(tmp_path, test)
