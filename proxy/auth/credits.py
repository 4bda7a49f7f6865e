"""Prepaid credits of keys: amounts that are only ever added, each with who gave it in the audit table.

What of them is left is not known here: it is their sum less what the ledger says was spent.
"""

import secrets
import time
from datetime import datetime
from typing import Any

import msgspec

from proxy.auth import audit
from proxy.auth.database import Database, renew_keys
from proxy.auth.grants import Grant
from proxy.auth.keys import KeyStore
from proxy.auth.values import MAX_USD, valid_expiry
from proxy.errors import InvalidRequest

MAX_NOTE_CHARACTERS = 256
#: Of an Idempotency-Key.
MAX_IDEMPOTENCY_CHARACTERS = 255
#: Most rows of one page.
MAX_PAGE_ROWS = 1_000
_MAX_NANO = MAX_USD * 1_000_000_000


class Credit(msgspec.Struct, frozen=True):
    """One addition. `amount` is in nano-dollars, times are in seconds since 1970, UTC."""

    id: str
    #: The key's id.
    key: str
    amount: int
    note: str
    created: int
    #: From this time on what is left of it is lost; None for never.
    expires: int | None = None


class CreditStore:
    """Adds credits to keys and lists them. Raises StoreFailed, and InvalidRequest for invalid arguments."""

    def __init__(self, database: Database, keys: KeyStore) -> None:
        self._database = database
        self._keys = keys

    async def add(
        self,
        name_or_id: str,
        amount: int,
        *,
        note: str = "",
        expires: datetime | None = None,
        idempotency_key: str | None = None,
        actor: str,
    ) -> tuple[Credit, bool]:
        """Add nano-dollars to a live key, which from then on can spend no more than its credits.

        A negative amount corrects an earlier one. Returns the addition, and whether it is new: the same
        `idempotency_key` adds once. With anything else than before it is refused (409).
        """
        if not amount or abs(amount) > _MAX_NANO:
            raise InvalidRequest(f"credits are an amount up to {MAX_USD} USD, and not 0", param="amount")
        if len(note) > MAX_NOTE_CHARACTERS or not (note.isprintable() or not note):
            raise InvalidRequest(f"a note is at most {MAX_NOTE_CHARACTERS} printable characters", param="note")
        if idempotency_key is not None and not (
            1 <= len(idempotency_key) <= MAX_IDEMPOTENCY_CHARACTERS and idempotency_key.isprintable()
        ):
            raise InvalidRequest(
                f"an Idempotency-Key is 1 to {MAX_IDEMPOTENCY_CHARACTERS} printable characters", param="Idempotency-Key"
            )
        if amount < 0 and expires is not None:
            raise InvalidRequest("a correction does not expire", param="expires")
        now = int(time.time())
        async with self._database.transaction() as connection:
            key = await self._keys.get(name_or_id)
            repeated = await self._database.rows(
                "SELECT id, key, amount, note, created, expires FROM credits WHERE key = ? AND idempotency_key = ?",
                (key.id, idempotency_key),
            )
            if repeated:
                return _same(Credit(*repeated[0]), amount, note, expires), False
            if key.revoked is not None:
                raise InvalidRequest(
                    f"the key {key.name!r} is revoked, and can spend nothing", status=409, code="key_revoked"
                )
            if abs((key.credits or 0) + amount) > _MAX_NANO:
                raise InvalidRequest(f"a key may have credits of {MAX_USD} USD at most", param="amount")
            credit = Credit(f"credit_{secrets.token_hex(6)}", key.id, amount, note, now, valid_expiry(expires, now))
            await connection.execute(
                "INSERT INTO credits (id, key, amount, note, created, expires, idempotency_key) "
                "VALUES (?, ?, ?, ?, ?, ?, ?)",
                (*msgspec.structs.astuple(credit), idempotency_key),
            )
            await renew_keys(connection, "k.id = ?", (key.id,))
            await audit.record(
                connection,
                actor,
                "credit.add",
                key.id,
                key.name,
                None,
                {**_plain(credit), "total": await self.total(key.id)},
            )
        return credit, True

    async def list(self, name_or_id: str, *, limit: int = 100, before: str | None = None) -> list[Credit]:
        """The additions of a key, the newest first; `before` is the last id of the previous page."""
        if not 1 <= limit <= MAX_PAGE_ROWS:
            raise InvalidRequest(f"limit {limit} is not from 1 to {MAX_PAGE_ROWS}", param="limit")
        key = await self._keys.get(name_or_id)
        rows = await self._database.rows(
            "SELECT id, key, amount, note, created, expires FROM credits WHERE key = ?1 AND (?2 IS NULL OR rowid < "
            "(SELECT rowid FROM credits WHERE id = ?2)) ORDER BY rowid DESC LIMIT ?3",
            (key.id, before, limit),
        )
        return [Credit(*row) for row in rows]

    async def grants(self, key_id: str) -> tuple[Grant, ...]:
        """All additions to a key as `credit_limit` takes them, the oldest first."""
        query = "SELECT amount, created, expires FROM credits WHERE key = ? ORDER BY rowid"
        return tuple([Grant(*row) for row in await self._database.rows(query, (key_id,))])

    async def total(self, key_id: str) -> int | None:
        """Nano-dollars of all additions to a key; None where there was none."""
        rows = await self._database.rows("SELECT sum(amount) FROM credits WHERE key = ?", (key_id,))
        total: int | None = rows[0][0]
        return total


def _same(credit: Credit, amount: int, note: str, expires: datetime | None) -> Credit:
    """The addition of an earlier request, if the repeated one says the same."""
    ends = None if expires is None else int(expires.timestamp())
    if (credit.amount, credit.note, credit.expires) != (amount, note, ends):
        raise InvalidRequest(
            "this Idempotency-Key has added credits of another amount, note or expiry; take another one",
            status=409,
            code="idempotency_key_reused",
            param="Idempotency-Key",
        )
    return credit


def _plain(credit: Credit) -> dict[str, Any]:
    return {"id": credit.id, "amount": credit.amount, "note": credit.note, "expires": credit.expires}
