"""Client keys: the store that commands and the admin API change, and the index that requests are checked against.

Secrets are shown once and never stored, logged or compared: only their SHA-256 is. The database is in rollback-journal
mode, which, unlike WAL, several processes may write safely with any SQLite.
"""

import asyncio
import hashlib
import logging
import re
import secrets
import stat
import string
import time
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any

import aiosqlite
import msgspec

from proxy.errors import InvalidRequest, StoreFailed
from proxy.ledger import sqlite

# 40 of 62 characters are 238 random bits.
_SECRET_LENGTH = 40
_ALPHABET = string.ascii_letters + string.digits
# Longer ones are not ours, and are not hashed: nobody makes the gateway work by sending much.
_LONGEST_SECRET = 256
_ID = re.compile(r"key_[0-9a-f]{12}")
_NAME_LENGTH = 64
_PAGE = 1_000
_COLUMNS = "id, name, models, created, expires, revoked, revision"
_NEXT_REVISION = "(SELECT coalesce(max(revision), 0) + 1 FROM keys)"

#: Seconds for which the last known keys work while the file cannot be read.
MAX_STALE_SECONDS = 60.0
#: All keys are compared at most so that this many times as long passes until they are again: what the gateway's own
#: commands change is taken in at once in any case.
COMPARE_SHARE = 20.0
#: Seconds between two looks at the file for the sake of secrets that are not known.
CATCH_UP_SECONDS = 0.05
_MEND = "put a whole copy there, or start anew with: prometheus-gateway keys create NAME"
_UNREADABLE = "The gateway cannot read its keys. Try again shortly."
_RETRY_AFTER = MappingProxyType({"retry-after": "5"})

_log = logging.getLogger(__name__)


class Key(msgspec.Struct, frozen=True, gc=False):
    """One client key, without its secret. Times are seconds since 1970, UTC."""

    id: str
    name: str
    #: Aliases it may use; None is all.
    models: frozenset[str] | None
    created: int
    #: From this moment on it is refused.
    expires: int | None
    revoked: int | None = None
    #: The last four characters of its newest secret.
    hint: str = ""


class KeyStore:
    """`keys.db`: every change is one transaction, and other processes may make theirs at the same time.

    Methods raise StoreFailed when the file cannot be used, InvalidRequest when the call cannot be served as it is.
    """

    def __init__(self, data_dir: Path, *, prefix: str = "prom_sk_") -> None:
        """`prefix` begins each new secret."""
        self._path = data_dir / "keys.db"
        self._prefix = prefix
        self._connection: aiosqlite.Connection | None = None
        # One transaction at a time on the one connection.
        self._changing = asyncio.Lock()

    async def open(self) -> None:
        """Open the database; make it when there is none."""
        await asyncio.to_thread(sqlite.make_rollback, self._path, sqlite.migrations("keys_"))
        self._connection = await sqlite.open_rollback(self._path)

    async def close(self) -> None:
        """Close the database."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()

    async def create(
        self, name: str, models: Sequence[str] | None = None, expires: datetime | None = None
    ) -> tuple[Key, str]:
        """Make a key; returns it with its secret, which is not to be had again.

        `name` is 1 to 64 printable characters and unlike those of all live keys; `models` None gives all aliases.
        """
        now = int(time.time())
        rights = _checked_models(models)
        key = Key(
            id=f"key_{secrets.token_hex(6)}",
            name=_checked_name(name),
            models=None if rights is None else frozenset(rights),
            created=now,
            expires=_checked_expiry(expires, now),
        )
        secret = self._new_secret()
        async with self._transaction() as connection:
            # An expired key holds its name no longer.
            await connection.execute(
                f"UPDATE keys SET revoked = expires, revision = {_NEXT_REVISION} "
                "WHERE name = ? AND revoked IS NULL AND expires <= ?",
                (name, now),
            )
            if await _live(connection, name) is not None:
                raise InvalidRequest(
                    f"there is a key named {name!r} already; revoke or rotate it, or take another name",
                    status=409,
                    code="key_exists",
                    param="name",
                )
            await connection.execute(
                f"INSERT INTO keys ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, NULL, {_NEXT_REVISION})",
                (key.id, name, None if rights is None else msgspec.json.encode(rights).decode(), now, key.expires),
            )
            await _add_secret(connection, key.id, secret, now)
        return msgspec.structs.replace(key, hint=secret[-4:]), secret

    async def revoke(self, name_or_id: str) -> Key:
        """End a live key, by its name or id; returns it as it is then."""
        now = int(time.time())
        async with self._transaction() as connection:
            id_ = await _require(connection, name_or_id)
            await connection.execute(
                f"UPDATE keys SET revoked = ?, revision = {_NEXT_REVISION} WHERE id = ?", (now, id_)
            )
            found = await _keys(connection, "WHERE k.id = ?", (id_,))
        return found[0]

    async def rotate(self, name_or_id: str, grace_seconds: int = 0) -> str:
        """Give a live key a new secret and return that; its older ones work for `grace_seconds` more."""
        if grace_seconds < 0:
            raise InvalidRequest(f"a grace of {grace_seconds} seconds is negative; 0 ends the old secret at once")
        now = int(time.time())
        secret = self._new_secret()
        async with self._transaction() as connection:
            id_ = await _require(connection, name_or_id)
            # A rotation never lengthens the grace of an earlier one.
            await connection.execute(
                "UPDATE secrets SET expires = min(coalesce(expires, ?1), ?1) WHERE key = ?2", (now + grace_seconds, id_)
            )
            await connection.execute("DELETE FROM secrets WHERE key = ? AND expires <= ?", (id_, now))
            await connection.execute(f"UPDATE keys SET revision = {_NEXT_REVISION} WHERE id = ?", (id_,))
            await _add_secret(connection, id_, secret, now)
        return secret

    async def find(self, name_or_id: str) -> Key | None:
        """The live key of a name or id, or the revoked one of an id."""
        where = "WHERE k.id = ?1 OR (k.name = ?1 AND k.revoked IS NULL)"
        with sqlite.mapped(self._path):
            found = await _keys(self._opened(), where, (name_or_id,))
        return found[0] if found else None

    async def list(self, *, limit: int = _PAGE, after: str | None = None, revoked: bool = False) -> list[Key]:
        """Keys in the order in which they were made, at most `limit`; `after` is the last id of the page before."""
        if not 1 <= limit <= _PAGE:
            raise InvalidRequest(f"limit {limit} is not from 1 to {_PAGE}", param="limit")
        where = "WHERE k.rowid > coalesce((SELECT rowid FROM keys WHERE id = ?), 0) "
        where += "" if revoked else "AND k.revoked IS NULL "
        with sqlite.mapped(self._path):
            return await _keys(self._opened(), where + "ORDER BY k.rowid LIMIT ?", (after, limit))

    def _new_secret(self) -> str:
        return self._prefix + "".join(secrets.choice(_ALPHABET) for _ in range(_SECRET_LENGTH))

    def _opened(self) -> aiosqlite.Connection:
        if self._connection is None:
            raise StoreFailed(f"{self._path} is not open")
        return self._connection

    @asynccontextmanager
    async def _transaction(self) -> AsyncIterator[aiosqlite.Connection]:
        async with self._changing:
            connection = self._opened()
            with sqlite.mapped(self._path):
                try:
                    await connection.execute("BEGIN IMMEDIATE")
                    yield connection
                    await connection.execute("COMMIT")
                except BaseException:
                    await sqlite.roll_back(connection)
                    raise


def digest_of(secret: bytes) -> bytes:
    """What a secret is found by."""
    return hashlib.sha256(secret if len(secret) <= _LONGEST_SECRET else b"").digest()


class KeyIndex:
    """Keys by the digest of their secret, in memory, kept up to date with `keys.db`.

    `find` is what requests use: no await, no database. Memory is about half a kilobyte a live key. What counts is the
    file that the name leads to now: one that was put in its place is read anew. While there is none that can be read,
    the last known keys work for `MAX_STALE_SECONDS`, and then none does.
    """

    def __init__(self, data_dir: Path) -> None:
        self._path = data_dir / "keys.db"
        self._connection: aiosqlite.Connection | None = None
        self._keys: dict[bytes, Key] = {}
        #: Of each key a fingerprint of what was read, and its digests, so that a changed one can be taken out.
        self._known: dict[str, tuple[int, tuple[bytes, ...]]] = {}
        #: Keys of this process only.
        self._remembered: set[str] = set()
        self._revision = 0
        self._data_version: int | None = None
        #: The file as it was before it was last read.
        self._file: _File | None = None
        #: The file has changed since all of it was compared, and the monotonic time from which on it may be again.
        self._compares = False
        self._compare_at = 0.0
        self._refreshing = asyncio.Lock()
        #: A look at the file for the sake of an unknown secret, and the monotonic time from which there may be another.
        self._catching_up: asyncio.Task[None] | None = None
        self._catch_up_at = 0.0
        self._scripts: list[str] = []
        #: Why the index is not up to date, or None; and since when, in monotonic seconds.
        self.failed: str | None = None
        self._failed_at = 0.0
        self._expired = False

    def find(self, secret: bytes, now: float) -> Key | None:
        """The key of a secret at `now` (seconds since 1970); None alike for unknown, revoked, expired and malformed.

        Raises StoreFailed when the keys could not be read for too long.
        """
        return self.at(digest_of(secret), now)

    def at(self, digest: bytes, now: float) -> Key | None:
        """The same by the secret's digest, as `digest_of` gives it."""
        # What an attacker can time is the comparison of hashes, from which no secret follows.
        key = self._keys.get(digest)
        if key is None or (key.expires is not None and now >= key.expires):
            if self._expired:
                raise StoreFailed(_UNREADABLE, headers=_RETRY_AFTER)
            return None
        return key

    def remember(self, name: str, secret: str, models: Iterable[str] | None = None) -> Key:
        """Add a key that lives in this process only, at once. Its id follows from its name, so its usage adds up."""
        key = Key(
            id=f"key_{hashlib.sha256(name.encode()).hexdigest()[:12]}",
            name=_checked_name(name),
            models=None if models is None else frozenset(models),
            created=int(time.time()),
            expires=None,
            hint=secret[-4:],
        )
        self._remembered.add(key.id)
        self._put(key, [(_digest(secret), None)])
        return key

    async def open(self) -> None:
        """Open the database and load all keys. `KeyStore.open` makes it. Raises StoreFailed."""
        self._scripts = sqlite.migrations("keys_")
        try:
            await self._load()
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Close the database; the index still answers."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()

    async def refresh(self) -> None:
        """Take in what changed. When the file cannot be read, `failed` says why, logged once, and the last known keys
        stay for `MAX_STALE_SECONDS`."""
        try:
            await self._load()
        except StoreFailed as error:
            self._fail(error.message)
            return
        if self.failed is not None:
            _log.warning("keys are refreshed again")
        self.failed = None
        self._expired = False

    @property
    def may_catch_up(self) -> bool:
        """Whether `catch_up` would do anything now."""
        runs = self._catching_up is not None and not self._catching_up.done()
        return runs or time.monotonic() >= self._catch_up_at

    async def catch_up(self) -> None:
        """Take in what changed, for the sake of a secret that is not known, unless that was done a moment ago.

        All who ask at the same time share one look at the file, so unknown secrets, however many, cost little.
        """
        if not self.may_catch_up:
            return
        if self._catching_up is None or self._catching_up.done():
            self._catch_up_at = time.monotonic() + CATCH_UP_SECONDS
            self._catching_up = asyncio.create_task(self.refresh(), name="keys-catch-up")
        await asyncio.shield(self._catching_up)

    async def watch(self, interval: float = 0.25) -> None:
        """Refresh for ever, every `interval` seconds; cancel it to end it."""
        while True:
            await asyncio.sleep(interval)
            await self.refresh()

    def _fail(self, why: str) -> None:
        now = time.monotonic()
        if self.failed is None:
            self._failed_at = now
            _log.error("keys are not refreshed, the last known ones work for %d s more: %s", MAX_STALE_SECONDS, why)
        self.failed = why
        if now - self._failed_at >= MAX_STALE_SECONDS and not self._expired:
            _log.error(
                "keys could not be read for %d s, and are all refused until they can: %s", MAX_STALE_SECONDS, why
            )
            # One that was revoked meanwhile must not work for ever.
            self._expired = True
            for id_ in self._known.keys() - self._remembered:
                self._take_out(id_)
            self._revision, self._data_version = 0, None

    async def _load(self) -> None:
        """Read what changed. Raises StoreFailed."""
        async with self._refreshing:
            with sqlite.mapped(self._path):
                # In a thread: a disk that hangs must not hold the streams.
                file = await asyncio.to_thread(_file_at, self._path)
                connection = self._connection
                if connection is None or self._file is None or not file.is_same_as(self._file):
                    connection = await self._open_anew()
                version = await _version(connection)
                if version == self._data_version and file != self._file:
                    # Written by something else than SQLite, which may still see what it has read before.
                    connection = await self._open_anew()
                    version = await _version(connection)
                if version != self._data_version:
                    await self._read_changes(connection)
                    self._compares = True
                now = time.monotonic()
                if self._compares and now >= self._compare_at:
                    await self._read_all(connection)
                    self._compares = False
                    self._compare_at = time.monotonic() + COMPARE_SHARE * (time.monotonic() - now)
            self._data_version, self._file = version, file

    async def _open_anew(self) -> aiosqlite.Connection:
        """Open the file that is there now; nothing that was known of another is believed."""
        await self.close()
        connection = await sqlite.open_rollback(self._path, make=False)
        try:
            if not await sqlite.is_current(connection, self._path, self._scripts):
                raise StoreFailed(f"{self._path}: it is empty, or of an older version; {_MEND}")
        except BaseException:
            await connection.close()
            raise
        if self._file is not None:
            _log.warning("%s was replaced, and is read anew", self._path)
        self._connection = connection
        self._file, self._data_version = None, None
        self._compares, self._compare_at = True, 0.0
        return connection

    async def _read_changes(self, connection: aiosqlite.Connection) -> None:
        """Take in the keys with a higher revision than any that is known: what the gateway's own commands change."""
        newest = (await _all(connection, "SELECT coalesce(max(revision), 0) FROM keys", ()))[0][0]
        if newest < self._revision:
            # An older copy was put in its place: compared at once.
            self._revision, self._compare_at = 0, 0.0
            return
        while (last := await self._read_page(connection, self._revision, set())) is not None:
            self._revision = last

    async def _read_all(self, connection: aiosqlite.Connection) -> None:
        """Compare everything, and forget what is not there: a copy may say something else by the same revisions."""
        found: set[str] = set()
        after = 0
        while (last := await self._read_page(connection, after, found)) is not None:
            after = last
        self._revision = after
        for id_ in self._known.keys() - found - self._remembered:
            self._take_out(id_)

    async def _read_page(self, connection: aiosqlite.Connection, after: int, ids: set[str]) -> int | None:
        """Take in the next keys in the order of their revisions, and add their ids; the last revision, None at the end.

        One that is changed meanwhile has a higher revision and comes again.
        """
        rows = await _all(
            connection,
            f"SELECT {_COLUMNS} FROM keys WHERE revision > ? ORDER BY revision LIMIT ?",
            (after, _PAGE),
        )
        if not rows:
            return None
        last: int = rows[-1][-1]
        found: dict[str, list[tuple[bytes, int | None]]] = {row[0]: [] for row in rows}
        for id_, digest, expires in await _all(
            connection,
            "SELECT k.id, s.digest, s.expires FROM keys k JOIN secrets s ON s.key = k.id "
            "WHERE k.revision > ? AND k.revision <= ? AND k.revoked IS NULL ORDER BY s.digest",
            (after, last),
        ):
            if id_ in found:
                found[id_].append((digest, expires))
        for row in rows:
            digests = found[row[0]]
            fingerprint = hash((row, tuple(digests)))
            known = self._known.get(row[0])
            if known is None or known[0] != fingerprint:
                self._put(_key((*row[:-1], "")), digests, fingerprint)
        ids.update(found)
        return last

    def _put(self, key: Key, digests: list[tuple[bytes, int | None]], fingerprint: int = 0) -> None:
        """Put a key in the place of what was known of it; without an await, so a request sees all or nothing."""
        self._take_out(key.id)
        for digest, expires in digests:
            ends = [moment for moment in (key.expires, expires) if moment is not None]
            self._keys[digest] = msgspec.structs.replace(key, expires=min(ends, default=None))
        if digests:
            self._known[key.id] = (fingerprint, tuple([digest for digest, _ in digests]))

    def _take_out(self, id_: str) -> None:
        """Forget a key. A secret that has become another key's by now stays."""
        for digest in self._known.pop(id_, (0, ()))[1]:
            if self._keys[digest].id == id_:
                del self._keys[digest]


class _File(msgspec.Struct, frozen=True):
    """What tells one state of a file from another."""

    device: int
    inode: int
    size: int
    modified: int
    changed: int

    def is_same_as(self, other: "_File") -> bool:
        """Whether it is the same file, however often it was written."""
        return self.device == other.device and self.inode == other.inode


def _file_at(path: Path) -> _File:
    """The file that a name leads to now. Raises StoreFailed and OSError."""
    try:
        found = path.stat()
    except FileNotFoundError as error:
        raise StoreFailed(f"{path}: there is no such file; {_MEND}") from error
    if not stat.S_ISREG(found.st_mode):
        raise StoreFailed(f"{path}: is no file; {_MEND}")
    return _File(found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


async def _version(connection: aiosqlite.Connection) -> int:
    """A number that is another after each commit of another connection."""
    return int((await _all(connection, "PRAGMA data_version", ()))[0][0])


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()


def _checked_name(name: str) -> str:
    if not 1 <= len(name) <= _NAME_LENGTH or not name.isprintable() or name != name.strip():
        raise InvalidRequest(
            f"a key's name is 1 to {_NAME_LENGTH} printable characters, with no space at its ends", param="name"
        )
    if _ID.fullmatch(name):
        raise InvalidRequest("a key's name may not look like a key's id", param="name")
    return name


def _checked_models(models: Sequence[str] | None) -> list[str] | None:
    if models is None:
        return None
    names = sorted(set(models))
    if not names or not all(name and name.isprintable() and name == name.strip() for name in names):
        raise InvalidRequest("models are one or more aliases; leave them out to allow all", param="models")
    return names


def _checked_expiry(expires: datetime | None, now: int) -> int | None:
    if expires is None:
        return None
    if expires.tzinfo is None:
        raise InvalidRequest("the expiry has no time zone; add one, such as Z for UTC", param="expires")
    moment = int(expires.timestamp())
    if moment <= now:
        raise InvalidRequest("the expiry is in the past", param="expires")
    return moment


async def _live(connection: aiosqlite.Connection, name_or_id: str) -> str | None:
    rows = await _all(connection, "SELECT id FROM keys WHERE (id = ?1 OR name = ?1) AND revoked IS NULL", (name_or_id,))
    return str(rows[0][0]) if rows else None


async def _require(connection: aiosqlite.Connection, name_or_id: str) -> str:
    id_ = await _live(connection, name_or_id)
    if id_ is None:
        raise InvalidRequest(f"there is no live key {name_or_id!r}; list them to see", status=404, code="key_not_found")
    return id_


async def _add_secret(connection: aiosqlite.Connection, id_: str, secret: str, now: int) -> None:
    await connection.execute(
        "INSERT INTO secrets (digest, key, hint, created) VALUES (?, ?, ?, ?)", (_digest(secret), id_, secret[-4:], now)
    )


async def _keys(connection: aiosqlite.Connection, where: str, values: tuple[str | int | None, ...]) -> list[Key]:
    # The newest secret is the one without an end.
    hint = "(SELECT hint FROM secrets WHERE key = k.id AND expires IS NULL)"
    query = f"SELECT id, name, models, created, expires, revoked, {hint} FROM keys k {where}"
    return [_key(row) for row in await _all(connection, query, values)]


def _key(row: tuple[Any, ...]) -> Key:
    id_, name, models, created, expires, revoked, hint = row
    try:
        rights = None if models is None else frozenset(msgspec.json.decode(models, type=list[str]))
    except msgspec.DecodeError as error:
        raise StoreFailed(f"keys.db: the rights of {id_} are no list of aliases; revoke the key") from error
    return Key(id_, name, rights, created, expires, revoked, hint or "")


async def _all(connection: aiosqlite.Connection, query: str, values: tuple[str | int | None, ...]) -> list[Any]:
    return list(await connection.execute_fetchall(query, values))
