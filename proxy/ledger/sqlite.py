"""SQLite files: opening, migrating, and turning its errors into ours.

SQLite before 3.51.3 can corrupt a WAL database when two connections write or checkpoint at once. So: one writer, which
alone checkpoints, and readers that can do neither. Who may be the writer is decided in `writer`, by a lock file.
The writer's connection is plain, for a thread of its own; the others are aiosqlite's, for the event loop.
No table is known here; a damaged file is reported, never repaired or deleted.
"""

import asyncio
import os
import re
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path

import aiosqlite

from proxy.config.tree import Durability
from proxy.errors import StoreFailed

#: STRICT tables need this one.
OLDEST_SQLITE = (3, 37, 0)
#: Seconds to wait for a lock that another program holds.
BUSY_SECONDS = 1.0
# The size of the WAL at which its pages are brought to the database.
_WAL_BYTES = 16 * 1024 * 1024


@contextmanager
def mapped(path: Path) -> Iterator[None]:
    """Turn what SQLite and the file system raise into StoreFailed, with a way to mend it."""
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise StoreFailed(f"{path}: {_advice(path, error)}") from error


def open_writer(path: Path, durability: Durability) -> sqlite3.Connection:
    """Open a WAL database to write; made with mode 0600 when absent. The caller holds the writer's lock.

    "power" syncs each commit; "process" leaves that to the checkpoints, because what a power cut takes from the
    WAL then was not promised to survive it in the journal either. Any one thread at a time may use the connection.
    Raises StoreFailed.
    """
    with mapped(path):
        connection = _connect(path)
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute(f"PRAGMA synchronous = {'FULL' if durability == 'power' else 'NORMAL'}")
            # Pages are written again and again before they come to the database: a checkpoint less often is less work.
            connection.execute(f"PRAGMA wal_autocheckpoint = {_WAL_BYTES // 4096}")
            # The WAL keeps its size after a checkpoint; this bounds it.
            connection.execute(f"PRAGMA journal_size_limit = {_WAL_BYTES}")
        except BaseException:
            connection.close()
            raise
    return connection


async def _connect_beside(address: str) -> aiosqlite.Connection:
    """A connection with a thread of its own."""
    connection = aiosqlite.connect(address, uri=True, isolation_level=None, timeout=BUSY_SECONDS)
    try:
        return await connection
    except BaseException:
        # Its thread has been told to end, and would report a loop that has ended before.
        await asyncio.to_thread(connection._thread.join)
        raise


async def open_reader(path: Path) -> aiosqlite.Connection:
    """Open a WAL database to read: this connection cannot write, and never checkpoints. Raises StoreFailed."""
    with mapped(path):
        connection = await _connect_beside(_read_only(path))
    try:
        with mapped(path):
            await connection.execute("PRAGMA query_only = ON")
            await connection.execute("PRAGMA wal_autocheckpoint = 0")
    except BaseException:
        await connection.close()
        raise
    return connection


async def open_rollback(path: Path, *, make: bool = True) -> aiosqlite.Connection:
    """Open a database that several processes may write: a rollback journal, synced. Raises StoreFailed.

    Without `make` it must be there.
    """
    with mapped(path):
        if make:
            _make(path)
        connection = await _connect_beside(_existing(path))
    try:
        with mapped(path):
            await connection.execute("PRAGMA journal_mode = DELETE")
            await connection.execute("PRAGMA synchronous = FULL")
            await connection.execute("PRAGMA foreign_keys = ON")
    except BaseException:
        await connection.close()
        raise
    return connection


def make_rollback(path: Path, scripts: list[str]) -> None:
    """Make the database that `open_rollback` opens, or bring its schema up. Raises StoreFailed."""
    with mapped(path):
        connection = _connect(path)
        try:
            connection.execute("PRAGMA journal_mode = DELETE")
            migrate(connection, path, scripts)
        finally:
            connection.close()


def migrations(prefix: str = "") -> list[str]:
    """The scripts `PREFIXnnnn_name.sql`, in order: the first brings an empty database to version 1."""
    pattern = re.compile(re.escape(prefix) + r"(\d{4})_\w+\.sql")
    found = {
        int(match[1]): entry.read_text(encoding="utf-8")
        for entry in files(__package__).joinpath("migrations").iterdir()
        if (match := pattern.fullmatch(entry.name))
    }
    return [found[number] for number in range(1, len(found) + 1)]


async def version_of(connection: aiosqlite.Connection, path: Path) -> int:
    """The schema's version: the number of migrations applied. Raises StoreFailed."""
    with mapped(path):
        async with connection.execute("PRAGMA user_version") as cursor:
            row = await cursor.fetchone()
    return int(row[0]) if row is not None else 0


async def find_damage(connection: aiosqlite.Connection, path: Path, patience: float) -> str | None:
    """Search the whole file for damage, for at most so many seconds; what is wrong with it, or None.

    Raises TimeoutError when the file is too large for that, StoreFailed when it cannot be read.
    """
    with mapped(path):
        search = asyncio.ensure_future(_rows(connection, "PRAGMA quick_check(1)"))
        done, _ = await asyncio.wait([search], timeout=patience)
        if not done:
            await connection.interrupt()
            await asyncio.wait([search])
            if search.exception() is not None:
                raise TimeoutError
        found = [str(row[0]) for row in search.result()]
    return None if found == ["ok"] else found[0]


async def _rows(connection: aiosqlite.Connection, query: str) -> list[sqlite3.Row]:
    return list(await connection.execute_fetchall(query))


async def is_current(connection: aiosqlite.Connection, path: Path, scripts: list[str]) -> bool:
    """Whether all migrations are applied. Raises StoreFailed when there are more than this version knows."""
    return _is_newest(await version_of(connection, path), path, scripts)


def migrate(connection: sqlite3.Connection, path: Path, scripts: list[str]) -> None:
    """Bring the schema up to the newest version, each step in one transaction.

    Raises StoreFailed when it fails, or when the database was written by a newer version of the gateway.
    """
    if sqlite3.sqlite_version_info < OLDEST_SQLITE:
        needed = ".".join(map(str, OLDEST_SQLITE))
        raise StoreFailed(f"SQLite {sqlite3.sqlite_version} is too old: {needed} or newer is needed; update Python")
    with mapped(path):
        version = _version(connection)
        if _is_newest(version, path, scripts):
            return
        for number in range(version + 1, len(scripts) + 1):
            with transaction(connection):
                # Another process may have been faster; with the lock held the answer stays true.
                if _version(connection) < number:
                    for statement in _statements(scripts[number - 1]):
                        connection.execute(statement)
                    connection.execute(f"PRAGMA user_version = {number}")


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """All of it or nothing."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        # SQLite may have ended it by itself.
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


async def roll_back(connection: aiosqlite.Connection) -> None:
    """End a failed transaction; SQLite may have done so itself."""
    if connection.in_transaction:
        await connection.rollback()


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def _is_newest(version: int, path: Path, scripts: list[str]) -> bool:
    if version > len(scripts):
        raise StoreFailed(
            f"{path} has schema version {version}, this gateway knows {len(scripts)}: it was written by a newer "
            "version; start that one, or name another data_dir"
        )
    return version == len(scripts)


def _statements(script: str) -> Iterator[str]:
    """The statements of a script: `executescript` would commit between them."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""


def _connect(path: Path) -> sqlite3.Connection:
    _make(path)
    return sqlite3.connect(path, isolation_level=None, timeout=BUSY_SECONDS, check_same_thread=False)


def _make(path: Path) -> None:
    # SQLite gives its WAL and journal the mode of the database.
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))


def _read_only(path: Path) -> str:
    if not path.exists():
        raise StoreFailed(f"{path}: there is no ledger yet; the gateway makes it when it first starts")
    return f"{path.absolute().as_uri()}?mode=ro"


def _existing(path: Path) -> str:
    """By this address SQLite makes no file where there is none."""
    return f"{path.absolute().as_uri()}?mode=rw"


def repair_advice(path: Path, damage: str) -> str:
    """How to mend a damaged database."""
    return (
        f"the file is damaged ({damage}). It was left as it is. To repair it, stop the gateway, make a copy, and "
        f"run: sqlite3 {path.name} .recover | sqlite3 repaired.db; then put repaired.db in its place, and remove "
        f"{path.name}-wal and {path.name}-shm"
    )


def _advice(path: Path, error: sqlite3.Error | OSError) -> str:
    if isinstance(error, OSError):
        return f"{error.strerror or error}"
    name = getattr(error, "sqlite_errorname", "") or ""
    if name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")):
        return repair_advice(path, str(error))
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return "another program holds a lock on the file; it is tried again"
    if name.startswith("SQLITE_FULL"):
        return "the disk is full; free space on it"
    return f"{error} ({name or type(error).__name__})"
