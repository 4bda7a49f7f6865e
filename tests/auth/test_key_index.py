"""The key index: lookups without waiting, refreshed in the background, stale for a bounded time."""

import asyncio
import os
import shutil
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.auth.key_index import KeyIndex
from proxy.auth.keys import KeyStore, digest_of
from proxy.auth.store import Store
from proxy.auth.values import KeyFields, TeamFields
from proxy.config.tree import Limits
from proxy.errors import StoreFailed
from tests.auth.stores import find, run, run_store_and_index

NOW = time.time()


def test_a_key_of_the_store_is_found_after_a_refresh(tmp_path: Path) -> None:
    async def test(store: KeyStore, index: KeyIndex) -> None:
        key, secret = await store.create("app", ["b", "a", "a"])
        await index.refresh()
        found = index.lookup(digest_of(secret.encode()), NOW)
        assert found is not None
        assert (found.id, found.models) == (key.id, frozenset({"a", "b"}))

    run(tmp_path, test)


def test_unknown_malformed_and_huge_secrets_have_no_key(tmp_path: Path) -> None:
    async def test(store: KeyStore, index: KeyIndex) -> None:
        _, secret = await store.create("app")
        await index.refresh()
        for wrong in (b"", b"\xff\x00", secret.encode()[:-1], secret.encode() + b"x", secret.encode() * 50_000):
            assert index.lookup(digest_of(wrong), NOW) is None

    run(tmp_path, test)


@given(st.binary(max_size=300))
def test_no_garbage_is_a_key_or_an_error(secret: bytes) -> None:
    async def inner() -> None:
        assert KeyIndex(Path("nowhere")).lookup(digest_of(secret), NOW) is None

    asyncio.run(inner())


def test_the_watch_sees_what_another_process_does(tmp_path: Path) -> None:
    async def test(store: KeyStore, index: KeyIndex) -> None:
        watching = asyncio.create_task(index.watch(0.01))
        _, secret = await store.create("app")
        async with asyncio.timeout(10):
            while find(index, secret) is None:  # noqa: ASYNC110 - there is no event to wait for
                await asyncio.sleep(0.005)
            await store.revoke("app")
            while find(index, secret) is not None:  # noqa: ASYNC110
                await asyncio.sleep(0.005)
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)

    run(tmp_path, test)


def test_a_failing_database_keeps_the_last_keys_and_is_logged_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def test(store: KeyStore, index: KeyIndex) -> None:
        _, secret = await store.create("app")
        await index.refresh()
        connection = index._reader._connection
        assert connection is not None
        index._reader._connection = broken = Broken()  # type: ignore[assignment]
        await index.refresh()
        await index.refresh()
        index._reader._connection = connection
        assert broken.tried == 2
        assert find(index, secret) == "app"
        assert index.failed
        assert caplog.text.count("are not refreshed") == 1
        await index.refresh()
        assert not index.failed

    run(tmp_path, test)


class Broken:
    """A connection to a disk that fails."""

    tried = 0

    async def execute_fetchall(self, *_: object) -> None:
        self.tried += 1
        raise sqlite3.OperationalError("disk I/O error")


def test_a_remembered_key_works_at_once_and_has_a_lasting_id(tmp_path: Path) -> None:
    async def test(store: KeyStore, index: KeyIndex) -> None:
        key = index.remember("demo", "prom_sk_demo", ["core"])
        assert find(index, "prom_sk_demo") == "demo"
        await store.create("app")
        await index.refresh()
        assert find(index, "prom_sk_demo") == "demo"
        again = index.remember("demo", "prom_sk_other")
        assert again.id == key.id
        assert find(index, "prom_sk_demo") is None
        assert await store.list() != []

    run(tmp_path, test)


def missing(file: Path) -> None:
    file.unlink()


def empty(file: Path) -> None:
    file.write_bytes(b"")


def another_empty(file: Path) -> None:
    file.with_suffix(".new").touch()
    file.with_suffix(".new").rename(file)


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:5000])


def no_database(file: Path) -> None:
    file.write_bytes(b"no database at all" * 500)


def a_directory(file: Path) -> None:
    file.unlink()
    file.mkdir()


def a_pipe(file: Path) -> None:
    file.unlink()
    os.mkfifo(file)


def a_link_to_nothing(file: Path) -> None:
    file.unlink()
    file.symlink_to("nowhere")


@pytest.mark.parametrize(
    "spoil",
    [missing, empty, another_empty, cut, no_database, a_directory, a_pipe, a_link_to_nothing],
    ids=lambda one: one.__name__,
)
def test_what_cannot_be_read_is_reported_once_and_ends_every_key_after_a_while(
    tmp_path: Path,
    spoil: Callable[[Path], None],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    file = tmp_path / "keys.db"

    async def test(store: KeyStore, index: KeyIndex) -> None:
        _, secret = await store.create("app")
        index.remember("demo", "prom_sk_demo")
        await index.refresh()
        copy = shutil.copy(file, tmp_path / "copy")
        spoil(file)
        await index.refresh()
        await index.refresh()
        assert find(index, secret) == "app"
        assert index.failed
        assert caplog.text.count("keys are not refreshed") == 1

        monkeypatch.setattr("proxy.auth.key_index.MAX_STALE_SECONDS", 0.0)
        await index.refresh()
        await index.refresh()
        with pytest.raises(StoreFailed):
            find(index, secret)
        assert find(index, "prom_sk_demo") == "demo"
        assert caplog.text.count("all refused") == 1
        assert not (tmp_path / "nowhere").exists()

        if file.is_dir():
            file.rmdir()
        file.unlink(missing_ok=True)
        shutil.copy(copy, file)
        await index.refresh()
        assert [find(index, secret), find(index, "unknown"), index.failed] == ["app", None, None]

    run(tmp_path, test)


def test_it_says_when_the_first_key_gets_limits_and_when_the_last_one_loses_them(tmp_path: Path) -> None:
    async def test(store: Store, index: KeyIndex) -> None:
        changes: list[bool] = []
        index.follow_accounts(changes.append)
        await store.teams.create(TeamFields(name="web"), actor="t")
        await store.keys.add(KeyFields(name="app", team="web"), actor="t")
        await index.refresh()
        assert changes == []
        await store.teams.update("web", TeamFields(limits=Limits(concurrent=1)), actor="t")
        await index.refresh()
        await index.refresh()
        assert changes == [True]
        await store.keys.revoke("app")
        await index.refresh()
        assert changes == [True, False]

    run_store_and_index(tmp_path, test)


def test_it_knows_of_limits_when_it_is_opened(tmp_path: Path) -> None:
    async def test(store: Store, index: KeyIndex) -> None:
        await store.keys.create("app")
        await store.credits.add("app", 1, actor="t")
        changes: list[bool] = []
        other = KeyIndex(tmp_path)
        other.follow_accounts(changes.append)
        await other.open()
        await other.close()
        assert changes == [True]

    run_store_and_index(tmp_path, test)
