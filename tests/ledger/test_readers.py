"""Connections that read: bounded, read-only, and stopped when nothing waits for their result."""

import asyncio
import sqlite3
import threading
from pathlib import Path

import pytest

from proxy.errors import InvalidRequest, StoreFailed
from proxy.ledger.readers import Query, Readers
from tests.ledger.ingesting import ingest

#: Takes hours.
ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000000000000) SELECT sum(i) FROM n"


async def until_free(readers: Readers) -> None:
    """Wait until no query runs."""
    while readers.running:  # noqa: ASYNC110 (nothing sets an event at the end of a thread)
        await asyncio.sleep(0.01)


def test_a_query_ends_when_its_task_is_cancelled(data_dir: Path) -> None:
    ingest(data_dir)

    async def run() -> list[tuple[int]]:
        readers = Readers(data_dir / "ledger.db", size=1)
        begun = threading.Event()

        def work(query: Query) -> object:
            begun.set()
            return query.rows(ENDLESS)

        task = asyncio.create_task(readers.run(work))
        await asyncio.to_thread(begun.wait)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        # Its connection is the only one.
        found: list[tuple[int]] = await readers.run(lambda query: query.rows("SELECT 1"))
        await readers.close()
        return found

    assert asyncio.run(run()) == [(1,)]


def test_a_query_ends_at_the_time_limit_and_leaves_no_transaction(data_dir: Path) -> None:
    ingest(data_dir)

    async def run() -> bool:
        readers = Readers(data_dir / "ledger.db", size=1, seconds=0.05)
        seen: list[Query] = []

        def work(query: Query) -> object:
            seen.append(query)
            return query.rows(ENDLESS)

        with pytest.raises(InvalidRequest, match=r"0\.05 s"):
            await readers.run(work)
        await until_free(readers)
        (query,) = seen
        assert query.connection is not None
        is_open = query.connection.in_transaction
        await readers.close()
        return is_open

    assert asyncio.run(run()) is False


def test_a_query_cannot_write(data_dir: Path) -> None:
    ingest(data_dir)

    async def run() -> None:
        readers = Readers(data_dir / "ledger.db")
        try:
            await readers.run(lambda query: query.rows("DELETE FROM requests"))
        finally:
            await readers.close()

    with pytest.raises(StoreFailed, match="readonly"):
        asyncio.run(run())


def test_closing_stops_what_runs(data_dir: Path) -> None:
    ingest(data_dir)

    async def run() -> None:
        readers = Readers(data_dir / "ledger.db")
        begun = threading.Event()

        def work(query: Query) -> object:
            begun.set()
            return query.rows(ENDLESS)

        task = asyncio.create_task(readers.run(work))
        await asyncio.to_thread(begun.wait)
        await readers.close()
        with pytest.raises(StoreFailed):
            await task
        with pytest.raises(StoreFailed, match="closed"):
            await readers.run(work)

    asyncio.run(run())


def test_the_writer_is_not_kept_from_its_checkpoint(data_dir: Path) -> None:
    ingest(data_dir)

    async def run() -> tuple[int, int, int]:
        readers = Readers(data_dir / "ledger.db")
        await readers.run(lambda query: query.rows("SELECT count(*) FROM requests"))
        writer = sqlite3.connect(data_dir / "ledger.db", isolation_level=None)
        writer.execute("INSERT INTO segments VALUES ('x', 1)")
        found: tuple[int, int, int] = writer.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        writer.close()
        await readers.close()
        return found

    assert asyncio.run(run())[0] == 0
