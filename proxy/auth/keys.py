"""Client keys in SQLite (`keys.db`): the store that commands and the admin API change. Requests use `key_index`.

Secrets are returned once and never stored or logged: only their SHA-256 digest is stored. The database is in
rollback-journal mode, which, unlike WAL, several processes may write safely with any SQLite version.
"""

import asyncio
import hashlib
import re
import secrets
import string
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import aiosqlite
import msgspec

from proxy.auth.accounts import Account
from proxy.errors import InvalidRequest, StoreFailed
from proxy.ledger import sqlite

#: Columns of `keys` in the order in which `key_of` reads them, but for the hint, which comes last there.
KEY_COLUMNS = "id, name, models, created, expires, revoked"
# 40 of 62 characters are 238 random bits.
_SECRET_CHARACTERS = 40
_ALPHABET = string.ascii_letters + string.digits
# Longer secrets cannot be ours and are not hashed, so that large credentials cost no CPU.
_MAX_SECRET_BYTES = 256
_ID = re.compile(r"key_[0-9a-f]{12}")
_MAX_NAME_CHARACTERS = 64
_MAX_PAGE_KEYS = 1_000
_NEXT_REVISION = "(SELECT coalesce(max(revision), 0) + 1 FROM keys)"


class Key(msgspec.Struct, frozen=True, gc=False):
    """One client key, without its secret. Times are in seconds since 1970, UTC."""

    id: str
    name: str
    #: Aliases that it may use; None is all of them.
    models: frozenset[str] | None
    created: int
    #: From this time on it is refused.
    expires: int | None
    revoked: int | None = None
    #: The last four characters of its newest secret.
    hint: str = ""
    #: Ids of its team and of the team's organisation; empty for none.
    team: str = ""
    org: str = ""
    tags: tuple[str, ...] = ()
    #: Those of its own account, its team's and its organisation's that have a limit or a budget, in that order.
    accounts: tuple[Account, ...] = ()


class KeyStore:
    """CRUD for the keys in `keys.db`: each change is one transaction, and other processes may write concurrently.

    Methods raise StoreFailed when the database cannot be used, InvalidRequest for invalid arguments.
    """

    def __init__(self, data_dir: Path, *, prefix: str = "prom_sk_") -> None:
        """`prefix` is put in front of each new secret."""
        self._path = data_dir / "keys.db"
        self._prefix = prefix
        self._connection: aiosqlite.Connection | None = None
        # One transaction at a time on the one connection.
        self._transaction_lock = asyncio.Lock()

    async def __aenter__(self) -> "KeyStore":
        await self.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def open(self) -> None:
        """Open the database; create it when it does not exist."""
        await asyncio.to_thread(sqlite.create_rollback, self._path, sqlite.migrations("keys_"))
        self._connection = await sqlite.open_rollback(self._path)

    async def close(self) -> None:
        """Close the database."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()

    async def create(
        self, name: str, models: Sequence[str] | None = None, expires: datetime | None = None
    ) -> tuple[Key, str]:
        """Create a key; returns it with its secret, which cannot be read again.

        `name` is 1 to 64 printable characters and unique among live keys; `models` None allows all aliases.
        """
        now = int(time.time())
        aliases = _valid_models(models)
        key = Key(
            id=f"key_{secrets.token_hex(6)}",
            name=valid_name(name),
            models=None if aliases is None else frozenset(aliases),
            created=now,
            expires=_valid_expiry(expires, now),
        )
        secret = self._new_secret()
        async with self._transaction() as connection:
            # An expired key no longer reserves its name.
            await connection.execute(
                f"UPDATE keys SET revoked = expires, revision = {_NEXT_REVISION} "
                "WHERE name = ? AND revoked IS NULL AND expires <= ?",
                (name, now),
            )
            if await _live_id(connection, name) is not None:
                raise InvalidRequest(
                    f"there is a key named {name!r} already; revoke or rotate it, or take another name",
                    status=409,
                    code="key_exists",
                    param="name",
                )
            await connection.execute(
                f"INSERT INTO keys ({KEY_COLUMNS}, revision) VALUES (?, ?, ?, ?, ?, NULL, {_NEXT_REVISION})",
                (key.id, name, None if aliases is None else msgspec.json.encode(aliases).decode(), now, key.expires),
            )
            await _add_secret(connection, key.id, secret, now)
        return msgspec.structs.replace(key, hint=secret[-4:]), secret

    async def revoke(self, name_or_id: str) -> Key:
        """Revoke a live key, by its name or id; returns it as revoked."""
        now = int(time.time())
        async with self._transaction() as connection:
            id_ = await _require_live_id(connection, name_or_id)
            await connection.execute(
                f"UPDATE keys SET revoked = ?, revision = {_NEXT_REVISION} WHERE id = ?", (now, id_)
            )
            found = await _select_keys(connection, "WHERE k.id = ?", (id_,))
        return found[0]

    async def rotate(self, name_or_id: str, grace_seconds: int = 0) -> str:
        """Give a live key a new secret and return it; older secrets stay valid for `grace_seconds` more."""
        if grace_seconds < 0:
            raise InvalidRequest(f"a grace of {grace_seconds} seconds is negative; 0 ends the old secret at once")
        now = int(time.time())
        secret = self._new_secret()
        async with self._transaction() as connection:
            id_ = await _require_live_id(connection, name_or_id)
            # A rotation never extends the grace period of an earlier one.
            await connection.execute(
                "UPDATE secrets SET expires = min(coalesce(expires, ?1), ?1) WHERE key = ?2", (now + grace_seconds, id_)
            )
            await connection.execute("DELETE FROM secrets WHERE key = ? AND expires <= ?", (id_, now))
            await connection.execute(f"UPDATE keys SET revision = {_NEXT_REVISION} WHERE id = ?", (id_,))
            await _add_secret(connection, id_, secret, now)
        return secret

    async def find(self, name_or_id: str) -> Key | None:
        """The live key with this name or id, or a revoked key with this id; None when there is none."""
        where = "WHERE k.id = ?1 OR (k.name = ?1 AND k.revoked IS NULL)"
        with sqlite.mapped(self._path):
            found = await _select_keys(self._open_connection(), where, (name_or_id,))
        return found[0] if found else None

    async def list(self, *, limit: int = _MAX_PAGE_KEYS, after: str | None = None, revoked: bool = False) -> list[Key]:
        """Keys in the order of creation, at most `limit`; `after` is the last id of the previous page."""
        if not 1 <= limit <= _MAX_PAGE_KEYS:
            raise InvalidRequest(f"limit {limit} is not from 1 to {_MAX_PAGE_KEYS}", param="limit")
        where = "WHERE k.rowid > coalesce((SELECT rowid FROM keys WHERE id = ?), 0) "
        where += "" if revoked else "AND k.revoked IS NULL "
        with sqlite.mapped(self._path):
            return await _select_keys(self._open_connection(), where + "ORDER BY k.rowid LIMIT ?", (after, limit))

    async def all(self, *, revoked: bool = False) -> AsyncIterator[Key]:
        """All live keys, and with `revoked` the others, in the order of creation."""
        after = None
        while page := await self.list(after=after, revoked=revoked):
            for key in page:
                yield key
            after = page[-1].id

    def _new_secret(self) -> str:
        return self._prefix + "".join(secrets.choice(_ALPHABET) for _ in range(_SECRET_CHARACTERS))

    def _open_connection(self) -> aiosqlite.Connection:
        if self._connection is None:
            raise StoreFailed(f"{self._path} is not open")
        return self._connection

    @asynccontextmanager
    async def _transaction(self) -> AsyncIterator[aiosqlite.Connection]:
        async with self._transaction_lock:
            connection = self._open_connection()
            with sqlite.mapped(self._path):
                try:
                    await connection.execute("BEGIN IMMEDIATE")
                    yield connection
                    await connection.execute("COMMIT")
                except BaseException:
                    await sqlite.roll_back(connection)
                    raise


def digest_of(secret: bytes) -> bytes:
    """The SHA-256 digest by which a secret is looked up."""
    return hashlib.sha256(secret if len(secret) <= _MAX_SECRET_BYTES else b"").digest()


def valid_name(name: str) -> str:
    """The name of a key, validated. Raises InvalidRequest."""
    if not 1 <= len(name) <= _MAX_NAME_CHARACTERS or not name.isprintable() or name != name.strip():
        raise InvalidRequest(
            f"a key's name is 1 to {_MAX_NAME_CHARACTERS} printable characters, with no space at its ends", param="name"
        )
    if _ID.fullmatch(name):
        raise InvalidRequest("a key's name may not look like a key's id", param="name")
    return name


def _valid_models(models: Sequence[str] | None) -> list[str] | None:
    if models is None:
        return None
    names = sorted(set(models))
    if not names or not all(name and name.isprintable() and name == name.strip() for name in names):
        raise InvalidRequest("models are one or more aliases; leave them out to allow all", param="models")
    return names


def _valid_expiry(expires: datetime | None, now: int) -> int | None:
    if expires is None:
        return None
    if expires.tzinfo is None:
        raise InvalidRequest("the expiry has no time zone; add one, such as Z for UTC", param="expires")
    moment = int(expires.timestamp())
    if moment <= now:
        raise InvalidRequest("the expiry is in the past", param="expires")
    return moment


async def _live_id(connection: aiosqlite.Connection, name_or_id: str) -> str | None:
    rows = await fetch_all(
        connection, "SELECT id FROM keys WHERE (id = ?1 OR name = ?1) AND revoked IS NULL", (name_or_id,)
    )
    return str(rows[0][0]) if rows else None


async def _require_live_id(connection: aiosqlite.Connection, name_or_id: str) -> str:
    id_ = await _live_id(connection, name_or_id)
    if id_ is None:
        raise InvalidRequest(f"there is no live key {name_or_id!r}; list them to see", status=404, code="key_not_found")
    return id_


async def _add_secret(connection: aiosqlite.Connection, id_: str, secret: str, now: int) -> None:
    await connection.execute(
        "INSERT INTO secrets (digest, key, hint, created) VALUES (?, ?, ?, ?)",
        (digest_of(secret.encode()), id_, secret[-4:], now),
    )


async def _select_keys(connection: aiosqlite.Connection, where: str, values: tuple[str | int | None, ...]) -> list[Key]:
    # The newest secret is the one that has no expiry.
    hint = "(SELECT hint FROM secrets WHERE key = k.id AND expires IS NULL)"
    query = f"SELECT {KEY_COLUMNS}, {hint} FROM keys k {where}"
    return [key_of(row) for row in await fetch_all(connection, query, values)]


def key_of(row: tuple[Any, ...]) -> Key:
    """Build a key from its KEY_COLUMNS and hint. Raises StoreFailed when the aliases cannot be decoded."""
    id_, name, models, created, expires, revoked, hint = row
    try:
        aliases = None if models is None else frozenset(msgspec.json.decode(models, type=list[str]))
    except msgspec.DecodeError as error:
        raise StoreFailed(f"keys.db: the rights of {id_} are no list of aliases; revoke the key") from error
    return Key(id_, name, aliases, created, expires, revoked, hint or "")


async def fetch_all(connection: aiosqlite.Connection, query: str, values: tuple[str | int | None, ...]) -> list[Any]:
    """All rows of a query."""
    return list(await connection.execute_fetchall(query, values))
