"""Client keys in SQLite (`keys.db`): the store that commands and the admin API change. Requests use `key_index`.

Secrets are returned once and never stored or logged: only their SHA-256 digest is stored.
"""

import hashlib
import secrets
import string
import time
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import aiosqlite
import msgspec
from msgspec import UNSET

from proxy.auth import audit
from proxy.auth.accounts import Account
from proxy.auth.database import Database, Value, fetch_all
from proxy.auth.groups import check_version, not_owned, refuse_owned, require_group
from proxy.auth.values import (
    Damaged,
    KeyFields,
    decoded_budgets,
    decoded_limits,
    decoded_object,
    decoded_strings,
    encoded,
    encoded_budgets,
    given,
    plain_budget,
    plain_limits,
    valid_budgets,
    valid_expiry,
    valid_limits,
    valid_metadata,
    valid_models,
    valid_name,
    valid_tags,
    whole,
)
from proxy.config.file_budgets import FileOwner
from proxy.config.tree import Budget, Limits
from proxy.errors import InvalidRequest, StoreFailed

# 40 of 62 characters are 238 random bits.
_SECRET_CHARACTERS = 40
_ALPHABET = string.ascii_letters + string.digits
# Longer secrets cannot be ours and are not hashed, so that large credentials cost no CPU.
_MAX_SECRET_BYTES = 256
_MAX_PAGE_KEYS = 1_000
_NEXT_REVISION = "(SELECT coalesce(max(revision), 0) + 1 FROM keys)"
# The newest secret is the one that has no expiry.
_SELECT = (
    "SELECT k.id, k.name, k.models, k.created, k.expires, k.revoked, "
    "(SELECT hint FROM secrets WHERE key = k.id AND expires IS NULL), "
    "coalesce(k.team, ''), coalesce(t.name, ''), coalesce(t.org, ''), k.tags, k.limits, k.budgets, k.metadata, "
    "k.version, (SELECT sum(amount) FROM credits WHERE key = k.id) FROM keys k LEFT JOIN teams t ON t.id = k.team"
)


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
    #: Its own account where it has limits, budgets or credits; then its team's and its organisation's, which may have
    #: none of them. Of keys as they are stored this is empty.
    accounts: tuple[Account, ...] = ()


class StoredKey(Key, frozen=True, kw_only=True):
    """A key as it is stored, with all that belongs to it."""

    team_name: str = ""
    limits: Limits | None = None
    budgets: tuple[Budget, ...] = ()
    metadata: dict[str, Any] | None = None
    version: int = 1
    #: Nano-dollars of all credits that were added; None for a key that needs none.
    credits: int | None = None

    def plain(self) -> dict[str, Any]:
        """What the audit table and the API have of it, in plain types."""
        return {
            "id": self.id,
            "name": self.name,
            "models": None if self.models is None else sorted(self.models),
            "expires": self.expires,
            "revoked": self.revoked,
            "hint": self.hint,
            "team": self.team_name or None,
            "tags": list(self.tags),
            "limits": plain_limits(self.limits) or None,
            "budgets": [plain_budget(budget) for budget in self.budgets],
            "metadata": self.metadata,
            "version": self.version,
        }


class Written(NamedTuple):
    """What `KeyStore.put` has done: the key, its secret where it is new, and whether it was created."""

    key: StoredKey
    secret: str | None
    created: bool


class KeyStore:
    """CRUD for the keys in `keys.db`: each change is one transaction, and other processes may write concurrently.

    Methods raise StoreFailed when the database cannot be used, InvalidRequest for invalid arguments. `actor` is who
    changes something, for the audit table; `expected` is the version that the change is meant for (412 otherwise).
    """

    def __init__(
        self,
        data_dir: Path,
        *,
        prefix: str = "prom_sk_",
        database: Database | None = None,
        owner: FileOwner = not_owned,
    ) -> None:
        """`prefix` is put in front of each new secret; `database` is one that other stores share."""
        self._database = database or Database(data_dir / "keys.db")
        self._prefix = prefix
        self._owner = owner

    async def __aenter__(self) -> "KeyStore":
        await self.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def open(self) -> None:
        """Open the database; create it when it does not exist."""
        await self._database.open()

    async def close(self) -> None:
        """Close the database."""
        await self._database.close()

    async def create(
        self, name: str, models: Sequence[str] | None = None, expires: datetime | None = None, *, actor: str = "cli"
    ) -> tuple[StoredKey, str]:
        """Create a key of these rights alone; see `add`."""
        return await self.add(KeyFields(name=name, models=models, expires=expires), actor=actor)

    async def add(self, fields: KeyFields, *, actor: str) -> tuple[StoredKey, str]:
        """Create a key; returns it with its secret, which cannot be read again.

        `fields.name` is needed: 1 to 64 printable characters, unique among live keys.
        """
        now = int(time.time())
        name = valid_name(given(fields.name, ""))
        secret = self._new_secret()
        id_ = f"key_{secrets.token_hex(6)}"
        async with self._database.transaction() as connection:
            await _require_free_name(connection, name, now)
            await connection.execute(
                f"INSERT INTO keys (id, name, created, revision) VALUES (?, ?, ?, {_NEXT_REVISION})", (id_, name, now)
            )
            await _add_secret(connection, id_, secret, now)
            await self._write(connection, await self.get(id_), fields, now)
            key = await self.get(id_)
            await audit.record(connection, actor, "key.create", id_, name, None, _audited(key))
        return key, secret

    async def update(self, name_or_id: str, fields: KeyFields, *, actor: str, expected: int | None = None) -> StoredKey:
        """Change what is given of a live key. A change that changes nothing makes no version and no audit row."""
        now = int(time.time())
        async with self._database.transaction() as connection:
            before = await self._live(name_or_id)
            check_version(before.version, expected)
            name = given(fields.name, before.name)
            if name != before.name:
                valid_name(name)
                refuse_owned(self._owner, "key", before.name)
                await _require_free_name(connection, name, now)
                await connection.execute("UPDATE keys SET name = ? WHERE id = ?", (name, before.id))
            await self._write(connection, before, fields, now)
            if await self.get(before.id) == before:
                return before
            return await self._changed(connection, before, "update", actor)

    async def put(self, name_or_id: str, fields: KeyFields, *, actor: str, expected: int | None = None) -> Written:
        """Make the live key with this name be as the fields say, with defaults for what is not given.

        A key that is found by its id keeps its name, unless `fields` has another. `expected` 0 is for a key that must
        not exist yet.
        """
        fields = whole(fields)
        async with self._database.transaction():
            before = await self.find(name_or_id)
            # An expired key no longer keeps its name: its secret does not come back with another key's settings.
            is_over = before is not None and before.expires is not None and before.expires <= time.time()
            if before is not None and before.revoked is None and not (is_over and name_or_id != before.id):
                return Written(await self.update(before.id, fields, actor=actor, expected=expected), None, False)
            check_version(0, expected)
            key, secret = await self.add(msgspec.structs.replace(fields, name=name_or_id), actor=actor)
        return Written(key, secret, True)

    async def revoke(self, name_or_id: str, *, actor: str = "cli", expected: int | None = None) -> StoredKey:
        """Revoke a live key, by its name or id; returns it as revoked."""
        async with self._database.transaction() as connection:
            before = await self._live(name_or_id)
            check_version(before.version, expected)
            await connection.execute("UPDATE keys SET revoked = ? WHERE id = ?", (int(time.time()), before.id))
            return await self._changed(connection, before, "revoke", actor)

    async def rotate(
        self, name_or_id: str, grace_seconds: int = 0, *, actor: str = "cli", expected: int | None = None
    ) -> str:
        """Give a live key a new secret and return it; older secrets stay valid for `grace_seconds` more."""
        if grace_seconds < 0:
            raise InvalidRequest(f"a grace of {grace_seconds} seconds is negative; 0 ends the old secret at once")
        now = int(time.time())
        secret = self._new_secret()
        async with self._database.transaction() as connection:
            before = await self._live(name_or_id)
            check_version(before.version, expected)
            # A rotation never extends the grace period of an earlier one.
            await connection.execute(
                "UPDATE secrets SET expires = min(coalesce(expires, ?1), ?1) WHERE key = ?2",
                (now + grace_seconds, before.id),
            )
            await connection.execute("DELETE FROM secrets WHERE key = ? AND expires <= ?", (before.id, now))
            await _add_secret(connection, before.id, secret, now)
            await self._changed(connection, before, "rotate", actor)
        return secret

    async def find(self, name_or_id: str) -> StoredKey | None:
        """The live key with this name or id, or a revoked key with this id; None when there is none."""
        found = await self._select("WHERE k.id = ?1 OR (k.name = ?1 AND k.revoked IS NULL)", (name_or_id,))
        return found[0] if found else None

    async def get(self, name_or_id: str) -> StoredKey:
        """The same; raises InvalidRequest (404) when there is none."""
        found = await self.find(name_or_id)
        if found is None:
            raise _missing(name_or_id)
        return found

    async def all(self, *, revoked: bool = False) -> AsyncIterator[StoredKey]:
        """All live keys, and with `revoked` the others, in the order of creation."""
        after = None
        while page := await self.list(after=after, revoked=revoked):
            for key in page:
                yield key
            after = page[-1].id

    async def _write(self, connection: aiosqlite.Connection, before: StoredKey, fields: KeyFields, now: int) -> None:
        """Write what is given, but for the name."""
        columns: dict[str, Value] = {}
        if fields.models is not UNSET:
            columns["models"] = encoded(valid_models(fields.models))
        if fields.expires is not UNSET and fields.expires != _moment(before.expires):
            columns["expires"] = valid_expiry(fields.expires, now)
        if fields.team is not UNSET:
            columns["team"] = None if fields.team is None else await require_group(connection, "team", fields.team)
        if fields.tags is not UNSET:
            columns["tags"] = encoded(valid_tags(fields.tags))
        if fields.limits is not UNSET:
            columns["limits"] = encoded(plain_limits(valid_limits(fields.limits)))
        if fields.budgets is not UNSET:
            columns["budgets"] = encoded_budgets(valid_budgets(fields.budgets))
            if columns["budgets"] != encoded_budgets(before.budgets):
                refuse_owned(self._owner, "key", before.name)
        if fields.metadata is not UNSET:
            columns["metadata"] = encoded(valid_metadata(fields.metadata))
        for column, value in columns.items():
            await connection.execute(f"UPDATE keys SET {column} = ? WHERE id = ?", (value, before.id))

    async def _changed(self, connection: aiosqlite.Connection, before: StoredKey, verb: str, actor: str) -> StoredKey:
        """A live key was changed: make the change known to gateways and the audit table; returns the key as it is."""
        await connection.execute(
            f"UPDATE keys SET version = version + 1, revision = {_NEXT_REVISION} WHERE id = ?", (before.id,)
        )
        after = await self.get(before.id)
        await audit.record(connection, actor, f"key.{verb}", before.id, after.name, _audited(before), _audited(after))
        return after

    async def _live(self, name_or_id: str) -> StoredKey:
        found = await self.get(name_or_id)
        if found.revoked is not None:
            raise _missing(name_or_id)
        return found

    async def _select(self, where: str, values: tuple[Value, ...]) -> list[StoredKey]:
        return [_stored_key(row) for row in await self._database.rows(f"{_SELECT} {where}", values)]

    def _new_secret(self) -> str:
        return self._prefix + "".join(secrets.choice(_ALPHABET) for _ in range(_SECRET_CHARACTERS))

    async def list(
        self,
        *,
        limit: int = _MAX_PAGE_KEYS,
        after: str | None = None,
        revoked: bool = False,
        team: str | None = None,
        org: str | None = None,
        tag: str | None = None,
        name: str | None = None,
    ) -> list[StoredKey]:
        """Keys in the order of creation, at most `limit`; `after` is the last id of the previous page.

        `team` and `org` are names or ids, `name` is a part of the key's.
        """
        if not 1 <= limit <= _MAX_PAGE_KEYS:
            raise InvalidRequest(f"limit {limit} is not from 1 to {_MAX_PAGE_KEYS}", param="limit")
        wanted: list[tuple[str, str | None]] = [
            ("k.rowid > coalesce((SELECT rowid FROM keys WHERE id = ?), 0)", after),
            ("? IN (t.id, t.name)", team),
            ("t.org = (SELECT id FROM orgs WHERE ? IN (id, name))", org),
            ("? IN (SELECT value FROM json_each(k.tags))", tag),
            ("instr(k.name, ?)", name),
        ]
        chosen = [(condition, value) for condition, value in wanted if value is not None]
        conditions = [condition for condition, _ in chosen] + ([] if revoked else ["k.revoked IS NULL"])
        where = f"WHERE {' AND '.join(conditions)} " if conditions else ""
        return await self._select(where + "ORDER BY k.rowid LIMIT ?", (*(value for _, value in chosen), limit))


def digest_of(secret: bytes) -> bytes:
    """The SHA-256 digest by which a secret is looked up."""
    return hashlib.sha256(secret if len(secret) <= _MAX_SECRET_BYTES else b"").digest()


async def _require_free_name(connection: aiosqlite.Connection, name: str, now: int) -> None:
    """Refuse the name of a live key; an expired one no longer reserves its name."""
    await connection.execute(
        f"UPDATE keys SET revoked = expires, revision = {_NEXT_REVISION} "
        "WHERE name = ? AND revoked IS NULL AND expires <= ?",
        (name, now),
    )
    if await fetch_all(connection, "SELECT 1 FROM keys WHERE name = ? AND revoked IS NULL", (name,)):
        raise InvalidRequest(
            f"there is a key named {name!r} already; revoke or rotate it, or take another name",
            status=409,
            code="key_exists",
            param="name",
        )


async def _add_secret(connection: aiosqlite.Connection, id_: str, secret: str, now: int) -> None:
    await connection.execute(
        "INSERT INTO secrets (digest, key, hint, created) VALUES (?, ?, ?, ?)",
        (digest_of(secret.encode()), id_, secret[-4:], now),
    )


def _stored_key(row: tuple[Any, ...]) -> StoredKey:
    """Build a key from a row of `_SELECT`. Raises StoreFailed when it is damaged."""
    id_, name, models, created, expires, revoked, hint, team, team_name, org, tags, limits, budgets, metadata = row[:14]
    try:
        return StoredKey(
            id_,
            name,
            decoded_models(models),
            created,
            expires,
            revoked,
            hint or "",
            team,
            org,
            decoded_strings(tags, "tags"),
            team_name=team_name,
            limits=decoded_limits(limits),
            budgets=decoded_budgets(budgets),
            metadata=decoded_object(metadata, "metadata"),
            version=row[14],
            credits=row[15],
        )
    except Damaged as error:
        raise StoreFailed(f"keys.db: of {id_} {error.message}; start from a copy of the file") from error


def decoded_models(text: str | None) -> frozenset[str] | None:
    """The aliases of a key in the database. Raises Damaged."""
    return None if text is None else frozenset(decoded_strings(text, "models"))


def _audited(key: StoredKey) -> dict[str, Any]:
    return {**key.plain(), "metadata": audit.without_secrets(key.metadata)}


def _moment(seconds: int | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)


def _missing(name_or_id: str) -> InvalidRequest:
    return InvalidRequest(f"there is no live key {name_or_id!r}; list them to see", status=404, code="key_not_found")
