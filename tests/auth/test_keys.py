"""Keys: shown once, hashed at rest, found without waiting, gone within a moment of being revoked."""

import asyncio
import os
import re
import shutil
import sqlite3
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.auth.keys import KeyIndex, KeyStore
from proxy.errors import InvalidRequest, StoreFailed

NOW = time.time()


@asynccontextmanager
async def opened(data_dir: Path) -> AsyncIterator[tuple[KeyStore, KeyIndex]]:
    store, index = KeyStore(data_dir), KeyIndex(data_dir)
    await store.open()
    await index.open()
    try:
        yield store, index
    finally:
        await index.close()
        await store.close()


def run(data_dir: Path, test: Callable[[KeyStore, KeyIndex], Any]) -> None:
    async def inner() -> None:
        async with opened(data_dir) as (store, index):
            await test(store, index)

    asyncio.run(inner())


def find(index: KeyIndex, secret: str, later: float = 0) -> str | None:
    key = index.find(secret.encode(), time.time() + later)
    return None if key is None else key.name


def test_a_secret_is_long_random_and_not_stored(tmp_path: Path) -> None:
    async def test(store: KeyStore, _: KeyIndex) -> None:
        key, secret = await store.create("app")
        other = (await store.create("other"))[1]
        assert re.fullmatch(r"prom_sk_[A-Za-z0-9]{40}", secret)
        assert secret != other
        assert re.fullmatch(r"key_[0-9a-f]{12}", key.id)
        assert key.hint == secret[-4:]
        assert secret.encode() not in (tmp_path / "keys.db").read_bytes()
        assert secret not in repr(await store.list())

    run(tmp_path, test)
    assert (tmp_path / "keys.db").stat().st_mode & 0o777 == 0o600


def test_a_key_of_the_store_is_found_after_a_refresh(tmp_path: Path) -> None:
    async def test(store: KeyStore, index: KeyIndex) -> None:
        key, secret = await store.create("app", ["b", "a", "a"])
        await index.refresh()
        found = index.find(secret.encode(), NOW)
        assert found is not None
        assert (found.id, found.models) == (key.id, frozenset({"a", "b"}))

    run(tmp_path, test)


def test_unknown_malformed_and_huge_secrets_are_nobodys(tmp_path: Path) -> None:
    async def test(store: KeyStore, index: KeyIndex) -> None:
        _, secret = await store.create("app")
        await index.refresh()
        for wrong in (b"", b"\xff\x00", secret.encode()[:-1], secret.encode() + b"x", secret.encode() * 50_000):
            assert index.find(wrong, NOW) is None

    run(tmp_path, test)


@given(st.binary(max_size=300))
def test_no_garbage_is_a_key_or_an_error(secret: bytes) -> None:
    async def inner() -> None:
        assert KeyIndex(Path("nowhere")).find(secret, NOW) is None

    asyncio.run(inner())


def test_a_revoked_key_is_gone_and_its_name_is_free(tmp_path: Path) -> None:
    async def test(store: KeyStore, index: KeyIndex) -> None:
        key, secret = await store.create("app")
        await index.refresh()
        assert find(index, secret) == "app"
        assert (await store.revoke("app")).revoked is not None
        await index.refresh()
        assert find(index, secret) is None
        again, _ = await store.create("app")
        assert again.id != key.id
        assert [known.id for known in await store.list(revoked=True)] == [key.id, again.id]
        assert [known.id for known in await store.list()] == [again.id]
        await store.revoke(again.id)
        assert await store.list() == []

    run(tmp_path, test)


def test_an_expired_key_is_gone_at_its_moment_and_frees_its_name(tmp_path: Path) -> None:
    async def test(store: KeyStore, index: KeyIndex) -> None:
        _, secret = await store.create("app", expires=datetime.now(UTC) + timedelta(hours=1))
        await index.refresh()
        assert find(index, secret, later=3_500) == "app"
        assert find(index, secret, later=3_601) is None
        connection = sqlite3.connect(tmp_path / "keys.db")
        connection.execute("UPDATE keys SET expires = 1")
        connection.commit()
        connection.close()
        await store.create("app")

    run(tmp_path, test)


def test_after_a_rotation_the_old_secret_works_until_its_grace_ends(tmp_path: Path) -> None:
    async def test(store: KeyStore, index: KeyIndex) -> None:
        key, first = await store.create("app", ["core"])
        second = await store.rotate("app", 1_000)
        third = await store.rotate(key.id, 100_000)
        await index.refresh()
        assert [find(index, secret) for secret in (first, second, third)] == ["app"] * 3
        assert [find(index, secret, later=1_100) for secret in (first, second, third)] == [None, "app", "app"]
        assert find(index, third, later=10**9) == "app"
        found = index.find(first.encode(), NOW)
        assert found is not None
        assert (found.id, found.models) == (key.id, frozenset({"core"}))
        assert [known.hint for known in await store.list()] == [third[-4:]]

    run(tmp_path, test)


def test_a_rotation_without_grace_ends_the_old_secret(tmp_path: Path) -> None:
    async def test(store: KeyStore, index: KeyIndex) -> None:
        _, first = await store.create("app")
        await index.refresh()
        second = await store.rotate("app", 0)
        await index.refresh()
        assert [find(index, secret) for secret in (first, second)] == [None, "app"]

    run(tmp_path, test)


def test_a_rotated_key_still_expires(tmp_path: Path) -> None:
    async def test(store: KeyStore, index: KeyIndex) -> None:
        await store.create("app", expires=datetime.now(UTC) + timedelta(seconds=50))
        secret = await store.rotate("app", 10)
        await index.refresh()
        assert find(index, secret, later=60) is None

    run(tmp_path, test)


@pytest.mark.parametrize("name", ["", " app", "a" * 65, "a\nb", "a\x00", "key_0123456789ab"])
def test_names_that_cannot_be_are_refused(tmp_path: Path, name: str) -> None:
    async def test(store: KeyStore, _: KeyIndex) -> None:
        with pytest.raises(InvalidRequest):
            await store.create(name)
        assert await store.list(revoked=True) == []

    run(tmp_path, test)


@pytest.mark.parametrize(
    "options",
    [
        {"models": []},
        {"models": ["core", ""]},
        {"expires": datetime(2020, 1, 1, tzinfo=UTC)},
        {"expires": datetime(2120, 1, 1)},
    ],
)
def test_rights_and_expiries_that_mean_nothing_are_refused(tmp_path: Path, options: dict[str, Any]) -> None:
    async def test(store: KeyStore, _: KeyIndex) -> None:
        with pytest.raises(InvalidRequest):
            await store.create("app", **options)

    run(tmp_path, test)


def test_a_live_name_is_taken(tmp_path: Path) -> None:
    async def test(store: KeyStore, _: KeyIndex) -> None:
        await store.create("app")
        with pytest.raises(InvalidRequest) as caught:
            await store.create("app")
        assert caught.value.status == 409
        assert len(await store.list()) == 1

    run(tmp_path, test)


@pytest.mark.parametrize("action", ["revoke", "rotate"])
def test_what_is_not_there_is_told(tmp_path: Path, action: str) -> None:
    async def test(store: KeyStore, _: KeyIndex) -> None:
        await store.create("app")
        await store.revoke("app")
        for name in ("app", "x' OR 1=1 --"):
            with pytest.raises(InvalidRequest) as caught:
                await getattr(store, action)(name)
            assert caught.value.status == 404

    run(tmp_path, test)


def test_listing_is_paged(tmp_path: Path) -> None:
    async def test(store: KeyStore, _: KeyIndex) -> None:
        made = [(await store.create(f"app{number}"))[0].name for number in range(7)]
        found: list[str] = []
        after = None
        while page := await store.list(limit=3, after=after):
            found += [key.name for key in page]
            after = page[-1].id
        assert found == made

    run(tmp_path, test)


def test_a_key_is_found_again_by_name_or_id(tmp_path: Path) -> None:
    async def test(store: KeyStore, _: KeyIndex) -> None:
        key, _secret = await store.create("app")
        assert await store.find("app") == await store.find(key.id) == key
        await store.revoke("app")
        assert await store.find("app") is None
        assert await store.find(key.id) is not None

    run(tmp_path, test)


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


def test_many_keys_load_over_many_pages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("proxy.auth.keys._PAGE", 3)

    async def test(store: KeyStore, index: KeyIndex) -> None:
        made = [await store.create(f"app{number}") for number in range(10)]
        await index.refresh()
        assert [find(index, secret) for _, secret in made] == [key.name for key, _ in made]

    run(tmp_path, test)


def test_a_failing_database_keeps_the_last_keys_and_is_logged_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def test(store: KeyStore, index: KeyIndex) -> None:
        _, secret = await store.create("app")
        await index.refresh()
        connection = index._connection
        assert connection is not None
        index._connection = broken = Broken()  # type: ignore[assignment]
        await index.refresh()
        await index.refresh()
        index._connection = connection
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


def test_two_processes_may_create_at_once(tmp_path: Path) -> None:
    async def test(store: KeyStore, index: KeyIndex) -> None:
        other = KeyStore(tmp_path)
        await other.open()
        made = await asyncio.gather(
            *[(store, other)[number % 2].create(f"app{number}") for number in range(10)],
        )
        await other.close()
        await index.refresh()
        assert all(find(index, secret) for _, secret in made)

    run(tmp_path, test)


def test_a_closed_store_says_so(tmp_path: Path) -> None:
    async def inner() -> None:
        with pytest.raises(StoreFailed, match="not open"):
            await KeyStore(tmp_path).create("app")

    asyncio.run(inner())


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
        async with anew(tmp_path) as other:
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
        async with anew(tmp_path) as other:
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
def test_what_cannot_be_read_is_told_once_and_ends_every_key_after_a_while(
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

        monkeypatch.setattr("proxy.auth.keys.MAX_STALE_SECONDS", 0.0)
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


@asynccontextmanager
async def anew(data_dir: Path) -> AsyncIterator[KeyStore]:
    """The keys of a data directory as a command opens them."""
    store = KeyStore(data_dir)
    await store.open()
    try:
        yield store
    finally:
        await store.close()
