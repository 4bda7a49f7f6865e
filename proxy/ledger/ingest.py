"""Ingests the journals of a data directory into its database, in batches: the only writer of `ledger.db`.

The process that holds the flock on `writer.lock` writes, for all processes that append journals there; the others try
to get the lock at each tick. It is idempotent: a row's key is the request id, and read positions are stored in the same
transaction. All of a tick runs in one thread beside the event loop. It serves no queries.
"""

import asyncio
import logging
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from proxy.config.tree import Durability
from proxy.errors import StoreFailed
from proxy.ledger import segments, sqlite
from proxy.ledger.journal_reader import MAX_BATCH_RECORDS, JournalBatch, JournalReader
from proxy.ledger.orphans import Orphans
from proxy.ledger.sqlite_writer import SQLiteWriter

_Result = TypeVar("_Result")

_log = logging.getLogger(__name__)


class JournalIngester:
    """Ingests `data_dir/journal/` into `data_dir/ledger.db` while it holds `data_dir/writer.lock`."""

    def __init__(self, data_dir: Path, *, durability: Durability, batch: int = MAX_BATCH_RECORDS) -> None:
        """`batch` is the maximum of records in one transaction."""
        self._data_dir = data_dir
        self._journal = data_dir / "journal"
        self._durability = durability
        self._batch = batch
        self._reader = JournalReader(self._journal, batch=batch)
        self._lock: int | None = None
        self._writer: SQLiteWriter | None = None
        self._thread: ThreadPoolExecutor | None = None
        # The ticks of the timer and of `flush`, and the release, run one at a time.
        self._tick_lock = asyncio.Lock()
        #: Why the last tick failed; None when it did not. Nothing is lost: it is tried again.
        self.failed: str | None = None
        #: Has counted what dead processes have not; None where nothing counts.
        self.orphans: Orphans | None = None

    @property
    def is_writer(self) -> bool:
        """Whether this process is the writer of the directory now."""
        return self._writer is not None

    async def acquire(self) -> bool:
        """Become the writer if no other process is: open and migrate the database. Raises StoreFailed."""
        async with self._tick_lock:
            return await self._in_thread(lambda: self._acquire() is not None)

    async def tick(self) -> bool:
        """Ingest one batch, if this process is the writer or can become it; returns whether there is more.

        Raises StoreFailed, after which the next tick reads the same batch again.
        """
        # Cancelling the caller does not stop a transaction half way.
        return await asyncio.shield(self._locked_tick())

    def offset(self, name: str) -> int:
        """Bytes of a segment that are stored. Meaningful only in the writer."""
        return self._writer.offsets.get(name, 0) if self._writer is not None else 0

    async def release(self) -> None:
        """Close the database, then release the lock."""
        async with self._tick_lock:
            await self._in_thread(self._release)
            if self._thread is not None:
                self._thread.shutdown()
                self._thread = None

    async def _locked_tick(self) -> bool:
        async with self._tick_lock:
            try:
                more = await self._in_thread(self._tick)
            except StoreFailed as error:
                if self.failed is None:
                    _log.error("the ledger cannot be written, the journal keeps what comes: %s", error.message)
                self.failed = error.message
                raise
            if self.failed is not None:
                _log.warning("the ledger is written again")
            self.failed = None
            if self.orphans is not None:
                self.orphans.count_found()
            return more

    async def _in_thread(self, work: Callable[[], _Result]) -> _Result:
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, "ledger-ingest")
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    # What follows runs in the thread.

    def _tick(self) -> bool:
        writer = self._acquire()
        if writer is None:
            return False
        with sqlite.mapped(self._journal):
            batch = self._reader.read(writer.offsets)
        writer.store(batch)
        settled = writer.settle_dead(batch.living, self._batch)
        if self.orphans is not None:
            self.orphans.add_interrupted(writer.take_interrupted())
        if settled and batch.finished:
            with sqlite.mapped(self._journal):
                self._remove(batch)
        return batch.more or not settled

    def _remove(self, batch: JournalBatch) -> None:
        removed = [
            self._remove_one(name, size, is_dead=segments.owner_of(name) not in batch.living)
            for name, size in batch.finished.items()
        ]
        if any(removed) and self._durability == "power":
            # Before their offsets are deleted: a segment that a power failure restores would be ingested again.
            segments.sync(self._journal)

    def _remove_one(self, name: str, size: int, *, is_dead: bool) -> bool:
        # Read while it is there, and counted only by the one that removes it.
        found = self.orphans.uncounted(name) if self.orphans is not None and is_dead else []
        removed = segments.remove(self._journal / name, size)
        if removed and self.orphans is not None:
            self.orphans.add(found)
        return removed

    def _acquire(self) -> SQLiteWriter | None:
        if self._writer is not None:
            return self._writer
        with sqlite.mapped(self._data_dir):
            lock = os.open(self._data_dir / "writer.lock", os.O_RDWR | os.O_CREAT, 0o600)
            if not segments.try_lock(lock):
                os.close(lock)
                return None
        try:
            writer = SQLiteWriter(self._data_dir / "ledger.db", self._durability)
        except BaseException:
            os.close(lock)
            raise
        self._lock, self._writer = lock, writer
        return writer

    def _release(self) -> None:
        writer, self._writer = self._writer, None
        lock, self._lock = self._lock, None
        if writer is not None:
            writer.close()
        if lock is not None:
            os.close(lock)
