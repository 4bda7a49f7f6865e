"""The store of a gateway in a process of its own: keys made and ended beside it, rows read once it has ended."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from proxy.auth.keys import KeyStore
from proxy.ledger.ledger import open_reports
from proxy.ledger.record import UsageRecord


@asynccontextmanager
async def keys_in(data_dir: Path) -> AsyncIterator[KeyStore]:
    """The keys of a data directory, which is made where it is missing."""
    await asyncio.to_thread(data_dir.mkdir, parents=True, exist_ok=True)
    store = KeyStore(data_dir)
    await store.open()
    try:
        yield store
    finally:
        await store.close()


def make_key(data_dir: Path, name: str = "load") -> str:
    """A new key's secret."""

    async def make() -> str:
        async with keys_in(data_dir) as store:
            return (await store.create(name))[1]

    return asyncio.run(make())


def read_rows(data_dir: Path) -> list[UsageRecord]:
    """All rows, the oldest first."""

    async def read() -> list[UsageRecord]:
        async with open_reports(data_dir) as reports:
            return [row async for row in reports.export()]

    return asyncio.run(read())
