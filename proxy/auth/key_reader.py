"""Reads changes of `keys.db` into the table of keys in memory. It never writes, and creates no file.

What counts is the file that the path names now: one that was replaced, by a backup or an older copy, is read anew.
"""

import asyncio
import logging
import stat
import time
from pathlib import Path
from typing import Any

import aiosqlite
import msgspec

from proxy.auth.account_cache import AccountCache, AccountRow
from proxy.auth.database import fetch_all
from proxy.auth.key_table import KeyTable, Secret
from proxy.auth.keys import Key, decoded_models
from proxy.auth.values import Damaged, decoded_strings
from proxy.errors import StoreFailed
from proxy.ledger import sqlite

#: After a comparison of all keys, the next one waits this many times as long as it took. Changes by the gateway's own
#: commands have a new revision and are read at once in any case.
COMPARE_PAUSE_FACTOR = 20.0
_PAGE_KEYS = 1_000
#: The columns of a key, and those of `AccountRow`.
_SELECT = (
    "SELECT k.revision, k.id, k.name, k.models, k.created, k.expires, k.revoked, k.tags, "
    "k.limits, k.budgets, (SELECT sum(amount) FROM credits WHERE key = k.id), "
    "(SELECT min(created) FROM credits WHERE key = k.id), "
    "(SELECT json_group_array(json_object('amount', amount, 'created', created, 'expires', expires)) FROM credits "
    "WHERE key = k.id), k.team, t.name, t.limits, t.budgets, "
    "t.org, o.name, o.limits, o.budgets "
    "FROM keys k LEFT JOIN teams t ON t.id = k.team LEFT JOIN orgs o ON o.id = t.org"
)
_KEY_COLUMNS = 8
_TEAM = _KEY_COLUMNS + 5
_ADVICE = "put a whole copy there, or start anew with: prometheus-gateway keys create NAME"

_log = logging.getLogger(__name__)


class KeyReader:
    """Keeps a KeyTable up to date with one `keys.db`: by revision after each commit, and by a full comparison."""

    def __init__(self, path: Path, table: KeyTable) -> None:
        self._path = path
        self._table = table
        self._migrations: list[str] = []
        self._connection: aiosqlite.Connection | None = None
        self._lock = asyncio.Lock()
        #: The highest revision of a key that was read.
        self._revision = 0
        #: SQLite's `data_version` at the last read, and the file's state before it.
        self._data_version: int | None = None
        self._file: _FileState | None = None
        #: The database has changed since all of it was compared; and when, in monotonic seconds, it may be again.
        self._must_compare = False
        self._compare_at = 0.0
        self._accounts = AccountCache()
        #: Fingerprints of keys that cannot be read, by id, so that each is logged once.
        self._damaged: dict[str, int] = {}

    async def close(self) -> None:
        """Close the database."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()

    def reset(self) -> None:
        """Read everything again next time: the table was cleared."""
        self._revision, self._data_version = 0, None

    async def read(self) -> None:
        """Read what changed since the last call. Raises StoreFailed."""
        async with self._lock:
            with sqlite.mapped(self._path):
                # In a thread: a disk that hangs must not block the event loop.
                file = await asyncio.to_thread(_file_state, self._path)
                connection = self._connection
                if connection is None or self._file is None or not file.is_same_file(self._file):
                    connection = await self._reopen()
                version = await _data_version(connection)
                if version == self._data_version and file != self._file:
                    # Not written by SQLite, whose page cache may still have the old content.
                    connection = await self._reopen()
                    version = await _data_version(connection)
                if version != self._data_version:
                    await self._read_changes(connection)
                    self._must_compare = True
                now = time.monotonic()
                if self._must_compare and now >= self._compare_at:
                    await self._compare_all(connection)
                    self._must_compare = False
                    self._compare_at = time.monotonic() + COMPARE_PAUSE_FACTOR * (time.monotonic() - now)
            self._data_version, self._file = version, file

    async def _reopen(self) -> aiosqlite.Connection:
        """Open the file that is there now, and rely on nothing that was read before."""
        await self.close()
        self._migrations = self._migrations or sqlite.migrations("keys_")
        connection = await sqlite.open_rollback(self._path, create=False)
        try:
            if not await sqlite.is_current(connection, self._path, self._migrations):
                raise StoreFailed(f"{self._path}: it is empty, or of an older version; {_ADVICE}")
        except BaseException:
            await connection.close()
            raise
        if self._file is not None:
            _log.warning("%s was replaced, and is read anew", self._path)
        self._connection = connection
        self._file, self._data_version = None, None
        self._must_compare, self._compare_at = True, 0.0
        return connection

    async def _read_changes(self, connection: aiosqlite.Connection) -> None:
        """Read the keys whose revision is higher than any read so far: changes by the gateway's own commands."""
        highest = (await fetch_all(connection, "SELECT coalesce(max(revision), 0) FROM keys", ()))[0][0]
        if highest < self._revision:
            # The file was replaced by an older copy: compare at once.
            self._revision, self._compare_at = 0, 0.0
            return
        while (last := await self._read_page(connection, self._revision, _Found())) is not None:
            self._revision = last

    async def _compare_all(self, connection: aiosqlite.Connection) -> None:
        """Read all keys and remove those that are gone: a copy may differ under the same revisions."""
        found = _Found()
        after = 0
        while (last := await self._read_page(connection, after, found)) is not None:
            after = last
        self._revision = after
        self._table.retain(found.keys)
        self._accounts.retain(found.teams)
        self._damaged = {id_: fingerprint for id_, fingerprint in self._damaged.items() if id_ in found.keys}

    async def _read_page(self, connection: aiosqlite.Connection, after: int, found: "_Found") -> int | None:
        """Read the next keys by revision, and add them to `found`; returns the last revision, None at the end.

        A key that is changed meanwhile gets a higher revision and is read again.
        """
        rows = await fetch_all(
            connection, f"{_SELECT} WHERE k.revision > ? ORDER BY k.revision LIMIT ?", (after, _PAGE_KEYS)
        )
        if not rows:
            return None
        last: int = rows[-1][0]
        secrets: dict[str, list[Secret]] = {row[1]: [] for row in rows}
        for id_, digest, expires in await fetch_all(
            connection,
            "SELECT k.id, s.digest, s.expires FROM keys k JOIN secrets s ON s.key = k.id "
            "WHERE k.revision > ? AND k.revision <= ? AND k.revoked IS NULL ORDER BY s.digest",
            (after, last),
        ):
            if id_ in secrets:
                secrets[id_].append((digest, expires))
        for row in rows:
            fingerprint = hash((row, tuple(secrets[row[1]])))
            if not self._table.is_unchanged(row[1], fingerprint):
                self._put(row, secrets[row[1]], fingerprint)
        found.keys.update(secrets)
        found.teams.update(row[_TEAM] for row in rows)
        return last

    def _put(self, row: tuple[Any, ...], secrets: list[Secret], fingerprint: int) -> None:
        """Put a key as it is now; one that is damaged is refused until it is mended."""
        _, id_, name, models, created, expires, revoked, tags = row[:_KEY_COLUMNS]
        of_accounts = AccountRow(*row[_KEY_COLUMNS:])
        try:
            key = Key(
                id_,
                name,
                decoded_models(models),
                created,
                expires,
                revoked,
                "",
                of_accounts.team or "",
                of_accounts.org or "",
                decoded_strings(tags, "tags"),
                self._accounts.accounts(id_, name, of_accounts),
            )
        except Damaged as error:
            self._table.remove(id_)
            if secrets and self._damaged.get(id_) != fingerprint:
                self._damaged[id_] = fingerprint
                _log.error(
                    "the key %s (%s) is refused: in keys.db its %s; set them anew: prometheus-gateway keys update",
                    name,
                    id_,
                    error.message,
                )
            return
        self._damaged.pop(id_, None)
        self._table.put(key, secrets, fingerprint)


class _Found:
    """What a reading of all keys has met."""

    def __init__(self) -> None:
        self.keys: set[str] = set()
        self.teams: set[str] = set()


class _FileState(msgspec.Struct, frozen=True):
    """What distinguishes two states of a file."""

    device: int
    inode: int
    size: int
    modified: int
    changed: int

    def is_same_file(self, other: "_FileState") -> bool:
        """Whether it is the same file, whatever was written to it."""
        return self.device == other.device and self.inode == other.inode


def _file_state(path: Path) -> _FileState:
    """The state of the file at `path`. Raises StoreFailed and OSError."""
    try:
        found = path.stat()
    except FileNotFoundError as error:
        raise StoreFailed(f"{path}: there is no such file; {_ADVICE}") from error
    if not stat.S_ISREG(found.st_mode):
        raise StoreFailed(f"{path}: is no file; {_ADVICE}")
    return _FileState(found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


async def _data_version(connection: aiosqlite.Connection) -> int:
    """A number that changes with each commit by another connection."""
    return int((await fetch_all(connection, "PRAGMA data_version", ()))[0][0])
