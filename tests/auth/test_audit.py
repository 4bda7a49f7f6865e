"""The audit table: each change has its row, in the same transaction, and none has a secret."""

from pathlib import Path

import pytest

from proxy.auth.audit import without_secrets
from proxy.auth.store import Store
from proxy.auth.values import KeyFields, TeamFields
from tests.auth.stores import refused, run_store


def test_each_change_has_a_row_with_what_was_before_and_after(tmp_path: Path) -> None:
    async def test(store: Store) -> None:
        await store.teams.create(TeamFields(name="web"), actor="alice")
        key, _ = await store.keys.add(KeyFields(name="app", tags=["a"]), actor="alice")
        await store.keys.update("app", KeyFields(team="web"), actor="bob")
        await store.keys.rotate("app", actor="bob")
        await store.keys.revoke("app", actor="bob")
        await store.teams.delete("web", actor="alice")
        rows = await store.audit.list()
        assert [row.action for row in rows[::-1]] == [
            "team.create",
            "key.create",
            "key.update",
            "key.rotate",
            "key.revoke",
            "team.delete",
        ]
        update = rows[3]
        assert (update.actor, update.object, update.name) == ("bob", key.id, "app")
        assert update.before is not None
        assert update.after is not None
        assert {name for name in update.after if update.after[name] != update.before[name]} == {"team", "version"}
        assert (rows[0].after, rows[-1].before) == (None, None)

    run_store(tmp_path, test)


def test_rows_are_paged_and_filtered(tmp_path: Path) -> None:
    async def test(store: Store) -> None:
        for number in range(5):
            await store.keys.create(f"app{number}", actor=f"user{number % 2}")
        await store.keys.revoke("app0", actor="user0")
        page = await store.audit.list(limit=2)
        after = await store.audit.list(limit=2, before=page[-1].id)
        assert [row.name for row in (*page, *after)] == ["app0", "app4", "app3", "app2"]
        assert [row.name for row in await store.audit.list(actor="user1")] == ["app3", "app1"]
        assert [row.action for row in await store.audit.list(object="app0")] == ["key.revoke", "key.create"]
        assert len(await store.audit.list(action="key")) == 6
        assert len(await store.audit.list(action="key.revoke")) == 1
        assert await store.audit.list(since=2**40) == []

    run_store(tmp_path, test)


def test_a_refused_change_and_one_that_changes_nothing_have_none(tmp_path: Path) -> None:
    async def test(store: Store) -> None:
        await store.keys.add(KeyFields(name="app", tags=["a"]), actor="t")
        await store.keys.update("app", KeyFields(tags=["a"]), actor="t")
        await refused(store.keys.update("app", KeyFields(tags=["b"], team="no such"), actor="t"))
        assert len(await store.audit.list()) == 1
        assert (await store.keys.get("app")).tags == ("a",)

    run_store(tmp_path, test)


def test_no_secret_gets_into_the_file(tmp_path: Path) -> None:
    secrets = []

    async def test(store: Store) -> None:
        secrets.append((await store.keys.create("app"))[1])
        secrets.append(await store.keys.rotate("app", 60))

    run_store(tmp_path, test)
    content = (tmp_path / "keys.db").read_bytes()
    assert not [secret for secret in secrets if secret.encode() in content or secret[8:40].encode() in content]


@pytest.mark.parametrize(
    ("document", "hidden"),
    [
        ({"api_key": "x", "n": 1}, {"api_key": "****", "n": 1}),
        ({"a": [{"Password": "x"}]}, {"a": [{"Password": "****"}]}),
        ({"secrets": ["x", {"y": "z"}]}, {"secrets": ["****", {"y": "****"}]}),
        ({"token": ""}, {"token": ""}),
        ({"webhook_url": "https://h/x", "headers": {"X": "y"}}, {"webhook_url": "****", "headers": {"X": "****"}}),
        (None, None),
    ],
)
def test_texts_under_names_of_secrets_are_hidden(document: object, hidden: object) -> None:
    assert without_secrets(document) == hidden
