"""A key store with its index, for tests of either. Not a test itself."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from proxy.auth.key_index import KeyIndex
from proxy.auth.keys import Key, KeyStore, digest_of
from proxy.auth.store import Store
from proxy.errors import InvalidRequest


@asynccontextmanager
async def open_store_and_index(data_dir: Path) -> AsyncIterator[tuple[KeyStore, KeyIndex]]:
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
        async with open_store_and_index(data_dir) as (store, index):
            await test(store, index)

    asyncio.run(inner())


def find(index: KeyIndex, secret: str, later: float = 0) -> str | None:
    key = index.lookup(digest_of(secret.encode()), time.time() + later)
    return None if key is None else key.name


def run_store(data_dir: Path, test: Callable[[Store], Awaitable[None]]) -> None:
    """The whole store of a data directory, without an index."""

    async def inner() -> None:
        async with Store(data_dir) as store:
            await test(store)

    asyncio.run(inner())


async def refused(change: Awaitable[object]) -> tuple[int, str | None, str | None]:
    """Status, code and param of the error with which a change is refused."""
    with pytest.raises(InvalidRequest) as caught:
        await change
    return caught.value.status, caught.value.code, caught.value.param


@asynccontextmanager
async def open_store(data_dir: Path) -> AsyncIterator[KeyStore]:
    """The keys of a data directory as a command opens them."""
    store = KeyStore(data_dir)
    await store.open()
    try:
        yield store
    finally:
        await store.close()


def run_store_and_index(data_dir: Path, test: Callable[[Store, KeyIndex], Awaitable[None]]) -> None:
    """The whole store, and the index of a gateway beside it."""

    async def inner() -> None:
        async with Store(data_dir) as store:
            index = KeyIndex(data_dir)
            await index.open()
            try:
                await test(store, index)
            finally:
                await index.close()

    asyncio.run(inner())


def found(index: KeyIndex, secret: str) -> Key:
    """The key of a secret as requests have it."""
    key = index.lookup(digest_of(secret.encode()), time.time())
    assert key is not None
    return key
