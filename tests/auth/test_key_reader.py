"""Reading the keys: page by page, and anew when the file was replaced."""

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from decimal import Decimal
from pathlib import Path

import pytest

from proxy.auth.accounts import Account
from proxy.auth.grants import Grant
from proxy.auth.key_index import KeyIndex
from proxy.auth.keys import KeyStore
from proxy.auth.store import Store
from proxy.auth.values import KeyFields, OrgFields, TeamFields
from proxy.config.tree import Budget, Limits
from tests.auth.stores import find, found, open_store, run, run_store_and_index


def test_many_keys_load_over_many_pages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("proxy.auth.key_reader._PAGE_KEYS", 3)

    async def test(store: KeyStore, index: KeyIndex) -> None:
        made = [await store.create(f"app{number}") for number in range(10)]
        await index.refresh()
        assert [find(index, secret) for _, secret in made] == [key.name for key, _ in made]

    run(tmp_path, test)


def moved_in_place(file: Path, copy: Path) -> None:
    shutil.copy(copy, file.with_suffix(".new"))
    file.with_suffix(".new").rename(file)


def removed_and_restored(file: Path, copy: Path) -> None:
    file.unlink()
    shutil.copy(copy, file)


def overwritten(file: Path, copy: Path) -> None:
    shutil.copyfile(copy, file)


def truncated_and_overwritten(file: Path, copy: Path) -> None:
    file.write_bytes(b"")
    shutil.copyfile(copy, file)


def linked(file: Path, copy: Path) -> None:
    file.unlink()
    file.symlink_to(copy)


def linked_elsewhere(file: Path, copy: Path) -> None:
    """A link in the place of the file, and then another in the place of the link."""
    first = shutil.copy(copy, copy.with_suffix(".first"))
    file.unlink()
    file.symlink_to(first)
    copy.with_suffix(".link").symlink_to(copy)
    copy.with_suffix(".link").rename(file)


REPLACED = pytest.mark.parametrize(
    "replace",
    [moved_in_place, removed_and_restored, overwritten, truncated_and_overwritten, linked, linked_elsewhere],
    ids=lambda one: one.__name__,
)


@REPLACED
def test_after_the_file_was_replaced_a_revocation_and_a_new_key_act(
    tmp_path: Path, replace: Callable[[Path, Path], None]
) -> None:
    async def test(store: KeyStore, index: KeyIndex) -> None:
        _, secret = await store.create("app")
        await index.refresh()
        replace(tmp_path / "keys.db", Path(shutil.copy(tmp_path / "keys.db", tmp_path / "copy")))
        await index.refresh()
        assert find(index, secret) == "app"
        async with open_store(tmp_path) as other:
            await other.revoke("app")
            _, new = await other.create("new")
        await index.refresh()
        assert (find(index, secret), find(index, new), index.failed) == (None, "new", None)

    run(tmp_path, test)


@REPLACED
def test_an_older_copy_holds_as_it_is(tmp_path: Path, replace: Callable[[Path, Path], None]) -> None:
    async def test(store: KeyStore, index: KeyIndex) -> None:
        _, kept = await store.create("kept")
        _, revoked = await store.create("revoked later")
        copy = Path(shutil.copy(tmp_path / "keys.db", tmp_path / "copy"))
        _, later = await store.create("later")
        await store.revoke("revoked later")
        await index.refresh()
        assert (find(index, revoked), find(index, later)) == (None, "later")
        replace(tmp_path / "keys.db", copy)
        await index.refresh()
        assert (find(index, kept), find(index, revoked), find(index, later)) == ("kept", "revoked later", None)

    run(tmp_path, test)


@REPLACED
def test_a_copy_that_says_something_else_by_the_same_revisions_holds(
    tmp_path: Path, replace: Callable[[Path, Path], None]
) -> None:
    async def test(store: KeyStore, index: KeyIndex) -> None:
        _, one = await store.create("one")
        _, two = await store.create("two")
        copy = Path(shutil.copy(tmp_path / "keys.db", tmp_path / "copy"))
        await store.revoke("one")
        await index.refresh()
        replace(tmp_path / "keys.db", copy)
        async with open_store(tmp_path) as other:
            await other.revoke("two")
        await index.refresh()
        assert (find(index, one), find(index, two)) == ("one", None)

    run(tmp_path, test)


def test_a_row_that_was_removed_by_hand_is_no_key_any_more(tmp_path: Path) -> None:
    async def test(store: KeyStore, index: KeyIndex) -> None:
        _, secret = await store.create("app")
        await index.refresh()
        with closing(sqlite3.connect(tmp_path / "keys.db")) as connection, connection:
            connection.execute("DELETE FROM secrets")
            connection.execute("DELETE FROM keys")
        await index.refresh()
        assert find(index, secret) is None

    run(tmp_path, test)


LIMITS, BUDGET = Limits(requests="1/s"), Budget(limit=Decimal(5))


def test_a_key_has_its_own_account_then_its_teams_then_its_organisations(tmp_path: Path) -> None:
    async def test(store: Store, index: KeyIndex) -> None:
        org = await store.orgs.create(OrgFields(name="acme", budgets=[BUDGET]), actor="t")
        team = await store.teams.create(TeamFields(name="web", org="acme"), actor="t")
        key, secret = await store.keys.add(KeyFields(name="app", team="web", limits=LIMITS, tags=["a", "b"]), actor="t")
        await store.credits.add("app", 7, actor="t")
        await index.refresh()
        read = found(index, secret)
        assert (read.team, read.org, read.tags) == (team.id, org.id, ("a", "b"))
        since = read.accounts[0].credits_since
        assert read.accounts == (
            Account("key", key.id, "app", LIMITS, (), 7, since, (Grant(7, since),)),
            Account("team", team.id, "web"),
            Account("org", org.id, "acme", None, (BUDGET,)),
        )
        assert since >= key.created

    run_store_and_index(tmp_path, test)


def test_a_change_of_a_team_or_an_organisation_reaches_the_keys_below_it_without_a_comparison(tmp_path: Path) -> None:
    async def test(store: Store, index: KeyIndex) -> None:
        await store.orgs.create(OrgFields(name="acme"), actor="t")
        for team in ("one", "two"):
            await store.teams.create(TeamFields(name=team, org="acme"), actor="t")
        secrets = [(await store.keys.add(KeyFields(name=team, team=team), actor="t"))[1] for team in ("one", "two")]
        await index.refresh()
        # Only what has a new revision is read from now on.
        index._reader._compare_at = float("inf")
        await store.teams.update("one", TeamFields(limits=LIMITS), actor="t")
        await store.orgs.update("acme", OrgFields(budgets=[BUDGET]), actor="t")
        await index.refresh()
        read = [found(index, secret).accounts for secret in secrets]
        assert [[account.limits for account in accounts] for accounts in read] == [[LIMITS, None], [None, None]]
        assert [accounts[1].budgets for accounts in read] == [(BUDGET,), (BUDGET,)]
        assert read[0][1] is read[1][1]
        await store.teams.update("one", TeamFields(org=None), actor="t")
        await index.refresh()
        assert (found(index, secrets[0]).org, len(found(index, secrets[0]).accounts)) == ("", 1)

    run_store_and_index(tmp_path, test)


def test_a_key_without_accounts_shares_the_empty_ones(tmp_path: Path) -> None:
    async def test(store: Store, index: KeyIndex) -> None:
        _, secret = await store.keys.create("app")
        await index.refresh()
        assert found(index, secret).accounts is ()  # noqa: F632 (that it takes no memory)

    run_store_and_index(tmp_path, test)


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE keys SET limits = '{' WHERE name = 'bad'",
        "UPDATE keys SET budgets = '[{}]' WHERE name = 'bad'",
        "UPDATE keys SET tags = '{}' WHERE name = 'bad'",
        "UPDATE keys SET models = 'x' WHERE name = 'bad'",
        'UPDATE teams SET limits = \'{"requests": "many"}\'',
        "UPDATE teams SET org = 'org_gone'",
    ],
)
def test_a_key_with_a_damaged_value_is_refused_and_the_others_are_not(
    tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def test(store: Store, index: KeyIndex) -> None:
        await store.teams.create(TeamFields(name="web"), actor="t")
        _, bad = await store.keys.add(KeyFields(name="bad", team="web"), actor="t")
        _, good = await store.keys.create("good")
        await index.refresh()
        assert find(index, bad) == "bad"
        with closing(sqlite3.connect(tmp_path / "keys.db")) as connection, connection:
            connection.execute(damage)
        index._reader._compare_at = 0.0
        await index.refresh()
        await store.keys.create("other")
        await index.refresh()
        assert (find(index, bad), find(index, good), index.failed) == (None, "good", None)
        assert caplog.text.count("the key bad (") == 1

    run_store_and_index(tmp_path, test)
