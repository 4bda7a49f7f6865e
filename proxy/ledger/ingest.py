"""The one writer of a data directory: takes what the journals hold into the database, in batches.

Whoever holds the flock on `writer.lock` writes, for all processes that append journals there; the others try for the
lock at each tick. Replaying any journal changes nothing: a row is its request id, and what was read is remembered in
the transaction that stores it. All of a tick happens in one thread beside the event loop. It answers no queries.
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
from proxy.ledger.journal_reader import BATCH, JournalReader
from proxy.ledger.sqlite_writer import Storage

_Result = TypeVar("_Result")

_log = logging.getLogger(__name__)


class Writer:
    """Ingests `data_dir/journal/` into `data_dir/ledger.db` while it holds `data_dir/writer.lock`."""

    def __init__(self, data_dir: Path, *, durability: Durability, batch: int = BATCH) -> None:
        self._data_dir = data_dir
        self._journal = data_dir / "journal"
        self._durability = durability
        self._batch = batch
        self._intake = JournalReader(self._journal, batch=batch)
        self._lock: int | None = None
        self._storage: Storage | None = None
        self._thread: ThreadPoolExecutor | None = None
        # One at a time: the ticks of the timer and of `flush`, and the end.
        self._ticking = asyncio.Lock()
        #: Why the last tick failed; None when it did not. Nothing is lost: it is tried again.
        self.failed: str | None = None

    @property
    def holds(self) -> bool:
        """Whether this is the writer of the directory now."""
        return self._storage is not None

    async def acquire(self) -> bool:
        """Become the writer if nobody is: open and migrate the database. Raises StoreFailed."""
        async with self._ticking:
            return await self._in_thread(lambda: self._acquire() is not None)

    async def tick(self) -> bool:
        """Take in one batch, if this is the writer or can become it; returns whether there is more.

        Raises StoreFailed, after which the same batch is read again by the next tick.
        """
        # Whoever stops waiting does not stop the transaction half way.
        return await asyncio.shield(self._tick_alone())

    def offset(self, name: str) -> int:
        """How far a segment is stored. Meaningful for the one that holds the lock."""
        return self._storage.offsets.get(name, 0) if self._storage is not None else 0

    async def release(self) -> None:
        """Close the database, then let another process be the writer."""
        async with self._ticking:
            await self._in_thread(self._release)
            if self._thread is not None:
                self._thread.shutdown()
                self._thread = None

    async def _tick_alone(self) -> bool:
        async with self._ticking:
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
            return more

    async def _in_thread(self, work: Callable[[], _Result]) -> _Result:
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, "ledger-writer")
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    # in the thread

    def _tick(self) -> bool:
        storage = self._acquire()
        if storage is None:
            return False
        with sqlite.mapped(self._journal):
            batch = self._intake.read(storage.offsets)
        storage.store(batch)
        settled = storage.settle_dead(batch.living, self._batch)
        if settled and batch.finished:
            with sqlite.mapped(self._journal):
                self._remove(batch.finished)
        return batch.more or not settled

    def _remove(self, finished: dict[str, int]) -> None:
        removed = [segments.remove(self._journal / name, size) for name, size in finished.items()]
        if any(removed) and self._durability == "power":
            # Before it is forgotten that they were read: one that a power cut brought back would be read again.
            segments.sync(self._journal)

    def _acquire(self) -> Storage | None:
        if self._storage is not None:
            return self._storage
        with sqlite.mapped(self._data_dir):
            lock = os.open(self._data_dir / "writer.lock", os.O_RDWR | os.O_CREAT, 0o600)
            if not segments.try_lock(lock):
                os.close(lock)
                return None
        try:
            storage = Storage(self._data_dir / "ledger.db", self._durability)
        except BaseException:
            os.close(lock)
            raise
        self._lock, self._storage = lock, storage
        return storage

    def _release(self) -> None:
        storage, self._storage = self._storage, None
        lock, self._lock = self._lock, None
        if storage is not None:
            storage.close()
        if lock is not None:
            os.close(lock)
