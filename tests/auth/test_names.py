"""Names of ids: of revoked keys too, and none where there is no store."""

import asyncio
from pathlib import Path

from proxy.auth.keys import KeyStore
from proxy.auth.names import CurrentNames, Names, read_names


def test_without_a_store_there_are_none_and_none_is_made(tmp_path: Path) -> None:
    assert asyncio.run(read_names(tmp_path)) == Names()
    assert list(tmp_path.iterdir()) == []


def test_a_name_is_that_of_the_live_key_else_of_the_revoked_ones(tmp_path: Path) -> None:
    async def make() -> tuple[str, str, str]:
        async with KeyStore(tmp_path) as store:
            first, _ = await store.create("app")
            await store.revoke("app")
            second, _ = await store.create("app")
            gone, _ = await store.create("gone")
            await store.revoke("gone")
        return first.id, second.id, gone.id

    first, second, gone = asyncio.run(make())
    names = asyncio.run(read_names(tmp_path))
    assert (names.keys[first], names.keys[second]) == ("app", "app")
    assert (names.key_ids("app"), names.key_ids("gone")) == ((second,), (gone,))
    assert (names.key_ids(first), names.key_ids("none")) == ((first,), ())


def test_names_are_read_again_once_they_have_changed(tmp_path: Path) -> None:
    async def run() -> None:
        names = CurrentNames(tmp_path)
        assert await names.read() == Names()
        async with KeyStore(tmp_path) as store:
            for number in range(5):
                key, _ = await store.create(f"app-{number}")
                found = await names.read()
                assert found.keys[key.id] == f"app-{number}"
                assert await names.read() is found

    asyncio.run(run())


def test_names_of_a_store_that_was_removed_are_gone(tmp_path: Path) -> None:
    async def run() -> None:
        names = CurrentNames(tmp_path)
        async with KeyStore(tmp_path) as store:
            await store.create("app")
        assert (await names.read()).keys
        (tmp_path / "keys.db").unlink()
        assert await names.read() == Names()

    asyncio.run(run())
