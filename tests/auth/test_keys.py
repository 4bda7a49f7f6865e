"""The key store: secrets are shown once and hashed at rest; rotation, revocation and expiry."""

import asyncio
import re
import sqlite3
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from proxy.auth.key_index import KeyIndex
from proxy.auth.keys import KeyStore, digest_of
from proxy.auth.values import KeyFields
from proxy.errors import InvalidRequest, StoreFailed
from tests.auth.stores import find, run

NOW = time.time()


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
        found = index.lookup(digest_of(first.encode()), NOW)
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
def test_what_is_not_there_is_reported(tmp_path: Path, action: str) -> None:
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


def test_a_put_by_the_name_of_an_expired_key_makes_another_key(tmp_path: Path) -> None:
    async def test(store: KeyStore, index: KeyIndex) -> None:
        old, secret = await store.create("app", expires=datetime.now(UTC) + timedelta(hours=1))
        connection = sqlite3.connect(tmp_path / "keys.db")
        connection.execute("UPDATE keys SET expires = 1")
        connection.commit()
        connection.close()
        written = await store.put("app", KeyFields(), actor="t")
        assert written.created
        assert written.key.id != old.id
        await index.refresh()
        assert find(index, secret) is None

    run(tmp_path, test)
