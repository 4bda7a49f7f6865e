"""Journals that are ingested into a database, and what it has then. Not a test itself."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from proxy.ledger.ingest import JournalIngester
from tests.ledger.samples import drain


@asynccontextmanager
async def writing(data_dir: Path, batch: int = 2_000) -> AsyncIterator[JournalIngester]:
    writer = JournalIngester(data_dir, durability="process", batch=batch)
    try:
        yield writer
    finally:
        await writer.release()


def ingest(data_dir: Path, batch: int = 2_000) -> None:
    async def run() -> None:
        async with writing(data_dir, batch) as writer:
            await drain(writer)

    asyncio.run(run())


def query(data_dir: Path, sql: str) -> list[Any]:
    connection = sqlite3.connect(data_dir / "ledger.db")
    try:
        return connection.execute(sql).fetchall()
    finally:
        connection.close()


def rows(data_dir: Path) -> list[Any]:
    return query(data_dir, "SELECT id, outcome, cost FROM requests ORDER BY id")
