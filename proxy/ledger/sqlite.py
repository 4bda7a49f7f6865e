"""SQLite connections: opening, migrating, and mapping of errors. A damaged file is reported, never repaired or deleted.

SQLite before 3.51.3 can corrupt a WAL database when two connections write or checkpoint at once. So there is one
writer, which alone checkpoints, and readers that can do neither; `ingest` decides by a lock file who is the writer.
The writer's connection is a plain one for a thread of its own; the others are aiosqlite's, for the event loop.
"""

import asyncio
import os
import re
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from typing import Any

import aiosqlite
import msgspec

from proxy.config.tree import Durability
from proxy.errors import StoreFailed
from proxy.ledger import rollups

#: The first version with STRICT tables.
MIN_SQLITE = (3, 37, 0)
#: Seconds to wait for a lock that another program holds.
BUSY_SECONDS = 1.0
#: The right side of an IN whose values are one parameter, made by `json_list`.
IN_LIST = "(SELECT value FROM json_each(?))"
# The size of the WAL at which it is checkpointed.
_MAX_WAL_BYTES = 16 * 1024 * 1024
_PAGE_BYTES = 4096
# Of each connection that reads for pages.
_READER_CACHE_KILOBYTES = 16_384


@contextmanager
def mapped(path: Path) -> Iterator[None]:
    """Map errors of SQLite and the file system to StoreFailed, with advice on how to mend them."""
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise StoreFailed(f"{path}: {_advice(path, error)}") from error


def open_writer(path: Path, durability: Durability) -> sqlite3.Connection:
    """Open a WAL database to write; created with mode 0600 when absent. The caller holds the writer's lock.

    "power" syncs each commit; "process" leaves that to the checkpoints, because what a power failure takes from the
    WAL was not promised to survive it in the journal either. Any thread may use the connection, one at a time.
    Raises StoreFailed.
    """
    with mapped(path):
        connection = _connect(path)
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute(f"PRAGMA synchronous = {'FULL' if durability == 'power' else 'NORMAL'}")
            # The same pages are written again and again: fewer checkpoints copy each of them less often.
            connection.execute(f"PRAGMA wal_autocheckpoint = {_MAX_WAL_BYTES // _PAGE_BYTES}")
            # The WAL keeps its size after a checkpoint; this bounds it.
            connection.execute(f"PRAGMA journal_size_limit = {_MAX_WAL_BYTES}")
            _add_functions(connection)
        except BaseException:
            connection.close()
            raise
    return connection


def _add_functions(connection: sqlite3.Connection) -> None:
    """Add the SQL functions of the rollups, which the writer and a migration need."""
    connection.create_function("merge_histograms", 2, rollups.merge_packed, deterministic=True)
    connection.create_function("repack_histogram", 1, rollups.repack, deterministic=True)
    aggregate: Any = rollups.SumHistograms
    connection.create_aggregate("sum_histograms", 1, aggregate)


async def _connect_async(address: str) -> aiosqlite.Connection:
    """Connect with aiosqlite, whose connection has a thread of its own."""
    connection = aiosqlite.connect(address, uri=True, isolation_level=None, timeout=BUSY_SECONDS)
    try:
        return await connection
    except BaseException:
        # Its thread is stopping, and would report to an event loop that has ended before.
        await asyncio.to_thread(connection._thread.join)
        raise


async def open_reader(path: Path) -> aiosqlite.Connection:
    """Open a WAL database to read: the connection cannot write and never checkpoints. Raises StoreFailed."""
    with mapped(path):
        connection = await _connect_async(_read_only(path))
    try:
        with mapped(path):
            await connection.execute("PRAGMA query_only = ON")
            await connection.execute("PRAGMA wal_autocheckpoint = 0")
    except BaseException:
        await connection.close()
        raise
    return connection


def connect_to_read(path: Path) -> sqlite3.Connection:
    """What `open_reader` opens, for a thread beside the event loop. Any thread may use it, one at a time.

    Raises StoreFailed, and what `mapped` maps.
    """
    connection = sqlite3.connect(
        _read_only(path), uri=True, isolation_level=None, timeout=BUSY_SECONDS, check_same_thread=False
    )
    try:
        connection.execute("PRAGMA query_only = ON")
        connection.execute("PRAGMA wal_autocheckpoint = 0")
        connection.execute(f"PRAGMA cache_size = -{_READER_CACHE_KILOBYTES}")
    except BaseException:
        connection.close()
        raise
    return connection


async def open_rollback(path: Path, *, create: bool = True) -> aiosqlite.Connection:
    """Open a database that several processes may write: a rollback journal, synced. Raises StoreFailed.

    Without `create` the file must exist.
    """
    with mapped(path):
        if create:
            _create(path)
        connection = await _connect_async(_existing(path))
    try:
        with mapped(path):
            await connection.execute("PRAGMA journal_mode = DELETE")
            await connection.execute("PRAGMA synchronous = FULL")
            await connection.execute("PRAGMA foreign_keys = ON")
    except BaseException:
        await connection.close()
        raise
    return connection


def create_rollback(path: Path, scripts: list[str]) -> None:
    """Create the database that `open_rollback` opens, or migrate it. Raises StoreFailed."""
    with mapped(path):
        connection = _connect(path)
        try:
            connection.execute("PRAGMA journal_mode = DELETE")
            migrate(connection, path, scripts)
        finally:
            connection.close()


def migrations(prefix: str = "") -> list[str]:
    """The migration scripts `PREFIXnnnn_name.sql`, in order: the first one takes an empty database to version 1."""
    pattern = re.compile(re.escape(prefix) + r"(\d{4})_\w+\.sql")
    found = {
        int(match[1]): entry.read_text(encoding="utf-8")
        for entry in files(__package__).joinpath("migrations").iterdir()
        if (match := pattern.fullmatch(entry.name))
    }
    return [found[number] for number in range(1, len(found) + 1)]


async def version_of(connection: aiosqlite.Connection, path: Path) -> int:
    """The version of the schema: the number of migrations applied. Raises StoreFailed."""
    with mapped(path):
        async with connection.execute("PRAGMA user_version") as cursor:
            row = await cursor.fetchone()
    return int(row[0]) if row is not None else 0


async def find_damage(connection: aiosqlite.Connection, path: Path, timeout: float) -> str | None:  # noqa: ASYNC109
    """Check the integrity of the whole file, for at most `timeout` seconds; returns the first damage, or None.

    Raises TimeoutError when the file is too large for that, StoreFailed when it cannot be read.
    """
    with mapped(path):
        check = asyncio.ensure_future(_rows(connection, "PRAGMA quick_check(1)"))
        done, _ = await asyncio.wait([check], timeout=timeout)
        if not done:
            await connection.interrupt()
            await asyncio.wait([check])
            if check.exception() is not None:
                raise TimeoutError
        found = [str(row[0]) for row in check.result()]
    return None if found == ["ok"] else found[0]


async def _rows(connection: aiosqlite.Connection, query: str) -> list[sqlite3.Row]:
    return list(await connection.execute_fetchall(query))


async def is_current(connection: aiosqlite.Connection, path: Path, scripts: list[str]) -> bool:
    """Whether all migrations are applied. Raises StoreFailed when there are more than this version knows."""
    return _is_newest(await version_of(connection, path), path, scripts)


def migrate(connection: sqlite3.Connection, path: Path, scripts: list[str]) -> None:
    """Migrate the schema to the newest version, each step in one transaction.

    Raises StoreFailed when a step fails, or when the database was written by a newer version of the gateway.
    """
    if sqlite3.sqlite_version_info < MIN_SQLITE:
        needed = ".".join(map(str, MIN_SQLITE))
        raise StoreFailed(f"SQLite {sqlite3.sqlite_version} is too old: {needed} or newer is needed; update Python")
    with mapped(path):
        version = _version(connection)
        if _is_newest(version, path, scripts):
            return
        for number in range(version + 1, len(scripts) + 1):
            with transaction(connection):
                # Another process may have been faster; while the lock is held the version cannot change.
                if _version(connection) < number:
                    for statement in _statements(scripts[number - 1]):
                        connection.execute(statement)
                    connection.execute(f"PRAGMA user_version = {number}")


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """One immediate transaction: committed at the end, rolled back on any exception."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        # SQLite may have rolled it back already.
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


async def roll_back(connection: aiosqlite.Connection) -> None:
    """Roll back a failed transaction, unless SQLite has done so already."""
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
    """Split a script into statements: `executescript` would commit between them."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""


def _connect(path: Path) -> sqlite3.Connection:
    _create(path)
    return sqlite3.connect(path, isolation_level=None, timeout=BUSY_SECONDS, check_same_thread=False)


def _create(path: Path) -> None:
    # SQLite gives its WAL and rollback journal the mode of the database.
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))


def _read_only(path: Path) -> str:
    if not path.exists():
        raise StoreFailed(f"{path}: there is no ledger yet; the gateway makes it when it first starts")
    return f"{path.absolute().as_uri()}?mode=ro"


def _existing(path: Path) -> str:
    """A URI by which SQLite creates no file."""
    return f"{path.absolute().as_uri()}?mode=rw"


def json_list(values: Iterable[str | int]) -> str:
    """The parameter for `IN_LIST`."""
    return json_value(list(values))


def json_value(value: object) -> str:
    """A parameter for json_each."""
    return msgspec.json.encode(value).decode()


def repair_advice(path: Path, damage: str) -> str:
    """How to repair a damaged database, in words."""
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
