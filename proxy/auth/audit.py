"""The audit table: who changed what, when, and the object before and after. Secrets never get into it.

A change and its row are one transaction: neither is there without the other.
"""

import time
from collections.abc import Mapping
from typing import Any

import aiosqlite
import msgspec

from proxy.auth.database import Database, Value
from proxy.errors import InvalidRequest

#: Most rows of one page.
MAX_PAGE_ROWS = 1_000
_MAX_ACTOR_CHARACTERS = 128
_HIDDEN = "****"
#: Parts of names under which documents of operators have secrets: URLs of webhooks too, and what headers hold.
SECRET_WORDS = (
    *("key", "secret", "token", "passw", "passphrase", "credential", "authorization"),
    *("cookie", "dsn", "webhook", "headers"),
)


class AuditRow(msgspec.Struct, frozen=True):
    """One change. `time` is in seconds since 1970, UTC; `before` and `after` are None where there was nothing."""

    id: int
    time: int
    #: "cli:USER", "admin", …
    actor: str
    #: OBJECT.VERB, such as key.create.
    action: str
    #: The id of the key, team or organisation, and its name at that time.
    object: str
    name: str
    before: dict[str, Any] | None
    after: dict[str, Any] | None


class AuditLog:
    """Reads the audit table; the stores write it by `record`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def list(
        self,
        *,
        limit: int = 100,
        before: int | None = None,
        object: str | None = None,
        actor: str | None = None,
        action: str | None = None,
        since: int | None = None,
    ) -> list[AuditRow]:
        """Changes, the newest first; `before` is the last id of the previous page.

        `object` is an id or a name, `action` a whole one or the part before its dot, `actor` a whole one or the part
        before its colon, `since` seconds since 1970.
        """
        if not 1 <= limit <= MAX_PAGE_ROWS:
            raise InvalidRequest(f"limit {limit} is not from 1 to {MAX_PAGE_ROWS}", param="limit")
        wanted: list[tuple[str, Value]] = [
            ("id < ?", before),
            ("? IN (object, name)", object),
            ("time >= ?", since),
        ]
        if action is not None:
            wanted.append(("action = ?", action) if "." in action else ("action LIKE ? || '.%'", action))
        if actor is not None:
            wanted.append(
                ("actor = ?", actor)
                if ":" in actor
                else ("? IN (actor, substr(actor, 1, instr(actor, ':') - 1))", actor)
            )
        chosen = [(condition, value) for condition, value in wanted if value is not None]
        where = f"WHERE {' AND '.join(condition for condition, _ in chosen)}" if chosen else ""
        rows = await self._database.rows(
            f"SELECT id, time, actor, action, object, name, before, after FROM audit {where} ORDER BY id DESC LIMIT ?",
            [*(value for _, value in chosen), limit],
        )
        return [_audit_row(*row) for row in rows]


async def record(
    connection: aiosqlite.Connection,
    actor: str,
    action: str,
    object: str,
    name: str,
    before: Mapping[str, Any] | None,
    after: Mapping[str, Any] | None,
) -> None:
    """Write the row of a change, in its transaction; free documents in it have gone through `without_secrets`."""
    if not 1 <= len(actor) <= _MAX_ACTOR_CHARACTERS or not actor.isprintable():
        raise InvalidRequest(f"an actor is 1 to {_MAX_ACTOR_CHARACTERS} printable characters", param="actor")
    await connection.execute(
        "INSERT INTO audit (time, actor, action, object, name, before, after) VALUES (?, ?, ?, ?, ?, ?, ?)",
        (int(time.time()), actor, action, object, name, _encoded(before), _encoded(after)),
    )


def without_secrets(value: Any) -> Any:
    """A copy of a document of plain types in which every text under a name of a secret is hidden, at any depth."""
    if isinstance(value, dict):
        return {
            name: _hidden(item) if any(word in str(name).lower() for word in SECRET_WORDS) else without_secrets(item)
            for name, item in value.items()
        }
    if isinstance(value, list | tuple):
        return [without_secrets(item) for item in value]
    return value


def _hidden(value: Any) -> Any:
    """The value of a secret: its texts are hidden, whatever they stand in; other names are looked at again."""
    if isinstance(value, dict):
        return {name: _hidden(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_hidden(item) for item in value]
    return _HIDDEN if isinstance(value, str) and value else value


def _audit_row(
    id_: int, moment: int, actor: str, action: str, object_: str, name: str, before: str | None, after: str | None
) -> AuditRow:
    return AuditRow(id_, moment, actor, action, object_, name, _decoded(before), _decoded(after))


def _encoded(value: Mapping[str, Any] | None) -> str | None:
    return None if value is None else msgspec.json.encode(value).decode()


def _decoded(text: str | None) -> dict[str, Any] | None:
    return None if text is None else msgspec.json.decode(text, type=dict[str, Any])
