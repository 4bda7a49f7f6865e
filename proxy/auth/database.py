"""The connection to `keys.db` that the stores of keys, teams, organisations, credits and the audit table share.

`sessions.db` is used in the same way. Each is in rollback-journal mode, which, unlike WAL, several processes may write
safely with any SQLite version.
"""

import asyncio
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiosqlite

from proxy.errors import StoreFailed
from proxy.ledger import sqlite

#: How long a change waits for those of other processes; no request waits for it.
BUSY_MILLISECONDS = 10_000
#: What SQLite stores.
Value = str | int | bytes | None


class Database:
    """One connection to a database. Methods raise StoreFailed when it cannot be used."""

    def __init__(self, path: Path, scripts: str = "keys_") -> None:
        """`scripts` is what the names of its migrations begin with."""
        self.path = path
        self._scripts = scripts
        self._connection: aiosqlite.Connection | None = None
        # One transaction at a time on the one connection, and the task that runs it.
        self._lock = asyncio.Lock()
        self._owner: asyncio.Task[Any] | None = None

    async def open(self) -> None:
        """Open the database; create it when it does not exist, and migrate an older one."""
        await asyncio.to_thread(sqlite.create_rollback, self.path, sqlite.migrations(self._scripts))
        self._connection = await sqlite.open_rollback(self.path)
        with sqlite.mapped(self.path):
            await self._connection.execute(f"PRAGMA busy_timeout = {BUSY_MILLISECONDS}")

    async def close(self) -> None:
        """Close the database."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[aiosqlite.Connection]:
        """One transaction, committed at its end and rolled back on any exception.

        Inside another one of the same task it is a part of that.
        """
        if self._owner is not None and self._owner is asyncio.current_task():
            yield self._open_connection()
            return
        async with self._lock:
            self._owner = asyncio.current_task()
            try:
                connection = self._open_connection()
                with sqlite.mapped(self.path):
                    try:
                        await connection.execute("BEGIN IMMEDIATE")
                        yield connection
                        await connection.execute("COMMIT")
                    except BaseException:
                        await _finished(_undo(connection))
                        raise
            finally:
                self._owner = None

    async def rows(self, query: str, values: Sequence[Value] = ()) -> list[Any]:
        """All rows of a query: what is committed, and inside a transaction what that has changed."""
        if self._owner is not None and self._owner is asyncio.current_task():
            return await fetch_all(self._open_connection(), query, values)
        # The connection would show what another task's transaction has not committed yet.
        async with self._lock:
            with sqlite.mapped(self.path):
                return await fetch_all(self._open_connection(), query, values)

    def _open_connection(self) -> aiosqlite.Connection:
        if self._connection is None:
            raise StoreFailed(f"{self.path} is not open")
        return self._connection


async def _undo(connection: aiosqlite.Connection) -> None:
    """Roll back what was begun, also by a statement whose caller was cancelled and that has not run yet."""
    # Statements run in their order: this one ends after that.
    await connection.execute("SELECT 1")
    await sqlite.roll_back(connection)


async def _finished(work: Coroutine[Any, Any, None]) -> None:
    """Wait for work to its end, however often this task is cancelled meanwhile: the next transaction needs it done."""
    task = asyncio.ensure_future(work)
    while not task.done():
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            continue
    task.result()


async def fetch_all(connection: aiosqlite.Connection, query: str, values: Sequence[Value] = ()) -> list[Any]:
    """All rows of a query."""
    return list(await connection.execute_fetchall(query, values))


async def renew_keys(connection: aiosqlite.Connection, where: str, values: Sequence[Value]) -> None:
    """Give the keys `k` of a condition new revisions, so that gateways read them again with what they belong to."""
    await connection.execute(
        "UPDATE keys SET revision = found.next FROM (SELECT k.id AS id, (SELECT coalesce(max(revision), 0) FROM keys) "
        f"+ row_number() OVER (ORDER BY k.rowid) AS next FROM keys k WHERE {where}) AS found WHERE keys.id = found.id",
        values,
    )
