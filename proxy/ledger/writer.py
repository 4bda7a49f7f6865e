"""The one writer of a data directory: takes what the journals hold into the database, in batches.

Whoever holds the flock on `writer.lock` writes, for all processes that append journals there; the others try for the
lock at each tick. Replaying any journal changes nothing: a row is its request id, and what was read is remembered in
the transaction that stores it. It answers no queries.
"""

import asyncio
import logging
import os
from collections.abc import Iterable
from pathlib import Path

import aiosqlite
import msgspec

from proxy.config.tree import Durability
from proxy.errors import StoreFailed
from proxy.ledger import rollups, segments, sqlite
from proxy.ledger.intake import BATCH, Batch, Intake, breathing, interrupted
from proxy.ledger.record import Final, Opened, Owned

_COLUMNS = ", ".join(Final.__struct_fields__)
_INSERT = (
    f"INSERT INTO requests ({_COLUMNS}) VALUES ({', '.join('?' * len(Final.__struct_fields__))}) "
    "ON CONFLICT (id) DO NOTHING"
)
_OPEN = (
    "INSERT INTO opens (id, owner, attempt, record) VALUES (?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET "
    "owner = excluded.owner, attempt = excluded.attempt, record = excluded.record WHERE excluded.attempt >= attempt"
)
_OFFSET = "INSERT INTO segments (name, offset) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET offset = excluded.offset"
_OWN = (
    "INSERT INTO objects (id, kind, key, upstream, created, alias, model) VALUES (?, ?, ?, ?, ?, ?, ?) "
    "ON CONFLICT (id) DO UPDATE SET alias = excluded.alias, model = excluded.model WHERE key = excluded.key"
)
_DISOWN = "DELETE FROM objects WHERE id = ? AND key = ?"
_AMONG = "(SELECT value FROM json_each(?))"

_log = logging.getLogger(__name__)


class Writer:
    """Ingests `data_dir/journal/` into `data_dir/ledger.db` while it holds `data_dir/writer.lock`."""

    def __init__(self, data_dir: Path, *, durability: Durability, batch: int = BATCH) -> None:
        self._data_dir = data_dir
        self._path = data_dir / "ledger.db"
        self._journal = data_dir / "journal"
        self._durability = durability
        self._batch = batch
        self._intake = Intake(self._journal, batch=batch)
        self._lock: int | None = None
        self._connection: aiosqlite.Connection | None = None
        # One tick at a time: the timer's and those of `flush`.
        self._ticking = asyncio.Lock()
        self._encode = msgspec.json.Encoder().encode
        #: Read positions, and the owners that have entries in `opens`: both as the database has them.
        self._offsets: dict[str, int] = {}
        self._open_owners: set[str] = set()
        #: Why the last tick failed; None when it did not. Nothing is lost: it is tried again.
        self.failed: str | None = None

    @property
    def holds(self) -> bool:
        """Whether this is the writer of the directory now."""
        return self._connection is not None

    async def acquire(self) -> bool:
        """Become the writer if nobody is: open and migrate the database. Raises StoreFailed."""
        if self._connection is not None:
            return True
        with sqlite.mapped(self._data_dir):
            lock = os.open(self._data_dir / "writer.lock", os.O_RDWR | os.O_CREAT, 0o600)
            if not segments.try_lock(lock):
                os.close(lock)
                return False
        try:
            connection = await self._open()
        except BaseException:
            os.close(lock)
            raise
        self._lock, self._connection = lock, connection
        return True

    async def tick(self) -> bool:
        """Take in one batch, if this is the writer or can become it; returns whether there is more.

        Raises StoreFailed, after which the same batch is read again by the next tick.
        """
        # Whoever stops waiting does not stop the transaction half way.
        return await asyncio.shield(self._tick_alone())

    async def _tick_alone(self) -> bool:
        async with self._ticking:
            try:
                more = await self._tick()
            except StoreFailed as error:
                if self.failed is None:
                    _log.error("the ledger cannot be written, the journal keeps what comes: %s", error.message)
                self.failed = error.message
                raise
            if self.failed is not None:
                _log.warning("the ledger is written again")
            self.failed = None
            return more

    def offset(self, name: str) -> int:
        """How far a segment is stored. Meaningful for the one that holds the lock."""
        return self._offsets.get(name, 0)

    async def release(self) -> None:
        """Close the database, then let another process be the writer."""
        async with self._ticking:
            connection, self._connection = self._connection, None
            lock, self._lock = self._lock, None
            if connection is not None:
                await connection.close()
            if lock is not None:
                os.close(lock)

    async def _open(self) -> aiosqlite.Connection:
        connection = await sqlite.open_writer(self._path, self._durability)
        try:
            await sqlite.migrate(connection, self._path, sqlite.migrations())
            with sqlite.mapped(self._path):
                await connection.create_function("merge_histograms", 2, rollups.merge_packed, deterministic=True)
                offsets = await connection.execute_fetchall("SELECT name, offset FROM segments")
                owners = await connection.execute_fetchall("SELECT DISTINCT owner FROM opens")
        except BaseException:
            await connection.close()
            raise
        self._offsets = {str(name): int(offset) for name, offset in offsets}
        self._open_owners = {str(owner) for (owner,) in owners}
        return connection

    async def _tick(self) -> bool:
        if not await self.acquire():
            return False
        with sqlite.mapped(self._journal):
            batch = await asyncio.to_thread(self._intake.read, self._offsets)
        # Segments that are gone were stored; a crash between their end and this is why they may still be listed here.
        gone = [name for name in self._offsets if name not in batch.names]
        if batch.offsets or gone:
            await self._store(batch, gone)
        settled = await self._settle_dead(batch.living)
        if settled:
            with sqlite.mapped(self._journal):
                await asyncio.to_thread(self._remove, batch.finished)
        return batch.more or not settled

    async def _store(self, batch: Batch, gone: Iterable[str]) -> None:
        """Everything of a batch in one transaction, or nothing."""
        opens = [(id_, owner, record.attempt, self._encode(record)) for id_, (owner, record) in batch.opens.items()]
        connection = self._writer()
        try:
            with sqlite.mapped(self._path):
                await connection.execute("BEGIN IMMEDIATE")
                await self._insert(connection, batch.finals)
                if opens:
                    await connection.executemany(_OPEN, opens)
                if self._open_owners and batch.finals:
                    await connection.execute(f"DELETE FROM opens WHERE id IN {_AMONG}", (self._json(batch.finals),))
                await _own(connection, list(batch.owned.values()))
                await connection.executemany(_OFFSET, batch.offsets.items())
                await connection.execute(f"DELETE FROM segments WHERE name IN {_AMONG}", (self._json(gone),))
                await connection.execute("COMMIT")
        except BaseException:
            await self._roll_back(connection)
            raise
        self._open_owners.update(owner for owner, _ in batch.opens.values())
        self._offsets.update(batch.offsets)
        for name in gone:
            del self._offsets[name]

    async def _insert(self, connection: aiosqlite.Connection, finals: dict[str, Final]) -> None:
        """Insert rows, and add those that are new to the rollups."""
        if not finals:
            return
        query = f"SELECT id FROM requests WHERE id IN {_AMONG}"
        known = {id_ for (id_,) in await connection.execute_fetchall(query, (self._json(finals),))}
        new = [final for id_, final in finals.items() if id_ not in known]
        rows, sums = await asyncio.to_thread(_rows, new)
        await connection.executemany(_INSERT, rows)
        await connection.executemany(rollups.UPSERT, sums)

    async def _settle_dead(self, living: set[str]) -> bool:
        """Turn what dead owners left open into rows; returns whether that is done for all of them."""
        for owner in sorted(self._open_owners - living):
            connection = self._writer()
            try:
                with sqlite.mapped(self._path):
                    await connection.execute("BEGIN IMMEDIATE")
                    query = "SELECT record FROM opens WHERE owner = ? LIMIT ?"
                    found = list(await connection.execute_fetchall(query, (owner, self._batch)))
                    records = [msgspec.json.decode(record, type=Opened) for (record,) in found]
                    finals = {record.id: interrupted(record) for record in records}
                    await self._insert(connection, finals)
                    await connection.execute(f"DELETE FROM opens WHERE id IN {_AMONG}", (self._json(finals),))
                    await connection.execute("COMMIT")
            except BaseException:
                await self._roll_back(connection)
                raise
            if finals:
                _log.warning("%d requests of a process that ended were not settled: interrupted", len(finals))
            if len(found) == self._batch:
                return False
            self._open_owners.discard(owner)
        return True

    def _remove(self, finished: dict[str, int]) -> None:
        for name, size in finished.items():
            segments.remove(self._journal / name, size)

    def _writer(self) -> aiosqlite.Connection:
        if self._connection is None:
            raise StoreFailed(f"{self._path} is closed")
        return self._connection

    async def _roll_back(self, connection: aiosqlite.Connection) -> None:
        with sqlite.mapped(self._path):
            await sqlite.roll_back(connection)

    def _json(self, names: Iterable[str]) -> str:
        return self._encode(list(names)).decode()


async def _own(connection: aiosqlite.Connection, records: list[Owned]) -> None:
    kept = [
        (one.id, one.kind, one.key, one.upstream, one.created, one.alias, one.model) for one in records if not one.gone
    ]
    gone = [(one.id, one.key) for one in records if one.gone]
    if kept:
        await connection.executemany(_OWN, kept)
    if gone:
        await connection.executemany(_DISOWN, gone)


def _rows(finals: list[Final]) -> tuple[list[tuple[object, ...]], list[tuple[int | str | bytes, ...]]]:
    return [msgspec.structs.astuple(final) for final in breathing(finals)], list(rollups.summarise(breathing(finals)))
