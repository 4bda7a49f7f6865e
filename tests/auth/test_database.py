"""The shared connection: one transaction at a time, nested ones are parts, and nothing uncommitted is seen."""

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from proxy.auth.store import Store
from proxy.errors import StoreFailed
from proxy.ledger import sqlite
from tests.auth.stores import run_store


async def make_two_and_fail(store: Store) -> None:
    async with store.database.transaction():
        await store.keys.create("one")
        await store.keys.create("two")
        assert len(await store.keys.list()) == 2
        raise ZeroDivisionError


def test_several_changes_are_all_made_or_none(tmp_path: Path) -> None:
    async def test(store: Store) -> None:
        with pytest.raises(ZeroDivisionError):
            await make_two_and_fail(store)
        assert await store.keys.list() == []
        assert await store.audit.list() == []

    run_store(tmp_path, test)


def test_another_task_sees_nothing_that_is_not_committed(tmp_path: Path) -> None:
    async def test(store: Store) -> None:
        async with store.database.transaction():
            await store.keys.create("one")
            reading = asyncio.create_task(store.keys.list())
            writing = asyncio.create_task(store.keys.create("two"))
            await asyncio.sleep(0)
            assert not reading.done()
        assert {key.name for key in await reading} <= {"one", "two"}
        await writing
        assert [key.name for key in await store.keys.list()] == ["one", "two"]

    run_store(tmp_path, test)


def test_a_database_of_the_first_version_is_migrated_with_its_keys(tmp_path: Path) -> None:
    path = tmp_path / "keys.db"
    sqlite.create_rollback(path, sqlite.migrations("keys_")[:1])
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("INSERT INTO keys (id, name, created, revision) VALUES ('key_000000000001', 'old', 1, 1)")

    async def test(store: Store) -> None:
        (key,) = await store.keys.list()
        assert (key.name, key.team, key.tags, key.version, key.credits) == ("old", "", (), 1, None)

    run_store(tmp_path, test)


def test_one_that_is_not_open_says_so(tmp_path: Path) -> None:
    async def test() -> None:
        with pytest.raises(StoreFailed, match="not open"):
            await Store(tmp_path).keys.list()

    asyncio.run(test())


def test_a_change_that_is_cancelled_while_it_waits_leaves_no_transaction_behind(tmp_path: Path) -> None:
    async def test(store: Store) -> None:
        with closing(sqlite3.connect(tmp_path / "keys.db", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            change = asyncio.create_task(store.keys.create("lost"))
            reading = asyncio.create_task(store.keys.list())
            # Its statement is under way then; if it is not, nothing is left behind either.
            await asyncio.sleep(0.05)
            change.cancel()
            other.execute("COMMIT")
            with pytest.raises(asyncio.CancelledError):
                await change
        assert await reading == []
        await store.keys.create("next")
        assert [key.name for key in await store.keys.list()] == ["next"]

    run_store(tmp_path, test)
