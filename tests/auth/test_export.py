"""The document of `config export`: what is in it, in which order, and what is not."""

import json
import tomllib
from decimal import Decimal
from pathlib import Path

from proxy.auth.export import as_json, as_toml, exported
from proxy.auth.store import Store
from proxy.auth.values import KeyFields, OrgFields, TeamFields
from proxy.config.tree import Budget, Limits
from tests.auth.stores import run_store


def test_it_has_settings_in_the_order_of_names_and_no_secrets(tmp_path: Path) -> None:
    async def test(store: Store) -> None:
        await store.orgs.put_config("acme", {"api_key": "sk-upstream"}, actor="t")
        await store.orgs.update("acme", OrgFields(limits=Limits(concurrent=9)), actor="t")
        await store.teams.create(TeamFields(name="web", org="acme", budgets=[Budget(limit=Decimal("5.10"))]), actor="t")
        secrets = [
            (await store.keys.add(KeyFields(name=name, team="web", tags=["x"]), actor="t"))[1] for name in ("b", "a")
        ]
        await store.keys.create("gone")
        await store.keys.revoke("gone")
        await store.credits.add("a", 5, actor="t")
        document = await exported(store)
        assert list(document) == ["orgs", "teams", "keys"]
        assert list(document["keys"]) == ["a", "b"]
        assert document["keys"]["a"] == {"team": "web", "tags": ["x"]}
        assert document["orgs"] == {"acme": {"limits": {"concurrent": 9}}}
        assert document["teams"] == {"web": {"org": "acme", "budgets": [{"limit": "5.10"}]}}
        text = as_toml(document)
        assert tomllib.loads(text) == json.loads(as_json(document)) == document
        assert "sk-upstream" not in text
        assert not [secret for secret in secrets if secret[-4:] in text]

    run_store(tmp_path, test)


def test_an_expired_key_is_left_out(tmp_path: Path) -> None:
    async def test(store: Store) -> None:
        await store.keys.create("old")
        async with store.database.transaction() as connection:
            await connection.execute("UPDATE keys SET expires = 1")
        assert (await exported(store))["keys"] == {}

    run_store(tmp_path, test)


def test_an_empty_store_is_an_empty_document(tmp_path: Path) -> None:
    async def test(store: Store) -> None:
        assert tomllib.loads(as_toml(await exported(store))) == {}

    run_store(tmp_path, test)
