"""Readers: a few read-only connections of their own on threads, for queries of unknown length.

They cannot write, never checkpoint, and hold no read transaction longer than the time limit, so neither the writer nor
the event loop waits for them. A query is stopped at its time limit, or when the task that awaits it is cancelled.
"""

import asyncio
import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final, TypeVar

from proxy.errors import InvalidRequest, StoreFailed
from proxy.ledger import sqlite

T = TypeVar("T")
Values = tuple[str | int, ...]

#: Queries that run at once in one process; others wait.
MAX_READERS: Final = 2
#: Seconds of one query, with its wait for a connection.
MAX_QUERY_SECONDS: Final = 10.0
# An interrupt that comes between two statements is lost: it is repeated at this interval until the query has ended.
_INTERRUPT_SECONDS: Final = 0.01


class Stopped(Exception):
    """The query was stopped; nothing waits for its result."""


class Query:
    """One query in its thread, of one or more statements that see the same moment of the database."""

    def __init__(self, path: Path, connection: sqlite3.Connection | None) -> None:
        """`connection` is one that is open already."""
        self._path = path
        #: None until `begin` has opened one.
        self.connection = connection
        #: Set by the event loop.
        self.is_stopped = False

    def begin(self) -> None:
        """Begin a read transaction."""
        self.check()
        if self.connection is None:
            self.connection = sqlite.connect_to_read(self._path)
        self.connection.execute("BEGIN")

    def end(self) -> None:
        """End the transaction: one that stays open would keep the WAL from being checkpointed."""
        if self.connection is not None and self.connection.in_transaction:
            self.connection.execute("ROLLBACK")

    def rows(self, text: str, values: Values = ()) -> list[Any]:
        """The rows of a statement. Raises Stopped, and sqlite3.Error."""
        self.check()
        assert self.connection is not None
        return self.connection.execute(text, values).fetchall()

    def each(self, text: str, values: Values, chunk: int) -> Iterator[Any]:
        """The same, in bounded memory."""
        self.check()
        assert self.connection is not None
        cursor = self.connection.execute(text, values)
        while found := cursor.fetchmany(chunk):
            yield from found
            self.check()

    def check(self) -> None:
        """Raise Stopped if the query is stopped: between the pieces of long work in Python."""
        if self.is_stopped:
            raise Stopped

    def stop(self) -> None:
        """Have it raise Stopped, or sqlite3.OperationalError, soon; from the event loop, repeated until it has."""
        self.is_stopped = True
        if self.connection is not None:
            self.connection.interrupt()


class Readers:
    """The connections of one database; opened when they are first needed."""

    def __init__(self, path: Path, *, size: int = MAX_READERS, seconds: float = MAX_QUERY_SECONDS) -> None:
        """`size` is the maximum of connections, `seconds` the time limit of a query."""
        self._path = path
        self._seconds = seconds
        self._free = asyncio.Semaphore(size)
        self._idle: list[sqlite3.Connection] = []
        self._threads = ThreadPoolExecutor(size, "ledger-read")
        self._running: dict[asyncio.Future[Any], Query] = {}
        self._is_closed = False

    @property
    def running(self) -> int:
        """Queries that run."""
        return len(self._running)

    async def run(self, work: Callable[[Query], T]) -> T:
        """Run `work` in a thread, with a connection. Raises StoreFailed, and InvalidRequest at the time limit."""
        try:
            async with asyncio.timeout(self._seconds):
                return await self._run(work)
        except TimeoutError as error:
            raise InvalidRequest(
                f"this takes more than {self._seconds:g} s; choose a shorter time, or filters by key, alias or team: "
                "those by session, user, status, outcome and metadata read every request of the time",
                code="report_too_long",
            ) from error

    async def close(self) -> None:
        """Stop what runs, and close the connections."""
        self._is_closed = True
        while self._running:
            for query in self._running.values():
                query.stop()
            await asyncio.wait(self._running, timeout=_INTERRUPT_SECONDS)
        self._threads.shutdown(wait=False)
        while self._idle:
            self._idle.pop().close()

    async def _run(self, work: Callable[[Query], T]) -> T:
        await self._free.acquire()
        if self._is_closed:
            self._free.release()
            raise StoreFailed("the ledger is closed: the gateway is shutting down")
        query = Query(self._path, self._idle.pop() if self._idle else None)
        loop = asyncio.get_running_loop()
        running = loop.run_in_executor(self._threads, self._work, query, work)
        self._running[running] = query
        running.add_done_callback(self._ended)
        try:
            return await asyncio.shield(running)
        except asyncio.CancelledError:
            self._interrupt(loop, running)
            raise

    def _work(self, query: Query, work: Callable[[Query], T]) -> T:
        """In the thread."""
        with sqlite.mapped(self._path):
            try:
                query.begin()
                return work(query)
            finally:
                query.end()

    def _interrupt(self, loop: asyncio.AbstractEventLoop, running: asyncio.Future[Any]) -> None:
        query = self._running.get(running)
        if query is not None:
            query.stop()
            loop.call_later(_INTERRUPT_SECONDS, self._interrupt, loop, running)

    def _ended(self, running: asyncio.Future[Any]) -> None:
        query = self._running.pop(running)
        self._free.release()
        # Taken, so that it is not reported as never retrieved: nothing waits for a stopped query.
        error = running.exception()
        if query.connection is None:
            return
        if isinstance(error, StoreFailed) and not query.is_stopped:
            # Another file may be at the path by now.
            query.connection.close()
        else:
            self._idle.append(query.connection)
