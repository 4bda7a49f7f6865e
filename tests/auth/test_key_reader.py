"""Reading the keys: page by page, and anew when the file was replaced."""

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from proxy.auth.key_index import KeyIndex
from proxy.auth.keys import KeyStore
from tests.auth.stores import find, open_store, run


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
