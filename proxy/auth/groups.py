"""What the stores of teams and of organisations have in common: rows with a name, limits, budgets and a version.

Each change is one transaction with its row in the audit table, and reaches the gateways that run as fast as a key's.
"""

import secrets
import time
from typing import Any, ClassVar, Generic, TypeVar

import aiosqlite
import msgspec
from msgspec import UNSET

from proxy.auth import audit
from proxy.auth.database import Database, Value, fetch_all, renew_keys
from proxy.auth.values import (
    Damaged,
    Fields,
    decoded_budgets,
    decoded_limits,
    encoded,
    encoded_budgets,
    given,
    plain_budget,
    plain_limits,
    valid_budgets,
    valid_limits,
    valid_name,
    whole,
)
from proxy.config.file_budgets import FileOwner
from proxy.config.tree import Budget, Limits
from proxy.errors import InvalidRequest, StoreFailed

#: Most objects of one page.
MAX_PAGE = 1_000
#: What a kind is called in messages, and in the database.
_WORDS = {"team": "team", "org": "organisation"}


class Group(msgspec.Struct, frozen=True, kw_only=True):
    """A team or an organisation as it is stored. `created` is in seconds since 1970, UTC."""

    id: str
    name: str
    limits: Limits | None = None
    budgets: tuple[Budget, ...] = ()
    version: int = 1
    created: int = 0
    #: Live keys of a team, teams of an organisation.
    members: int = 0

    def plain(self) -> dict[str, Any]:
        """What the audit table and the API have of it, in plain types."""
        return {
            "id": self.id,
            "name": self.name,
            "limits": plain_limits(self.limits) or None,
            "budgets": [plain_budget(budget) for budget in self.budgets],
            "version": self.version,
        }


G = TypeVar("G", bound=Group)
F = TypeVar("F", bound=Fields)


class GroupStore(Generic[G, F]):
    """CRUD for one table. Methods raise StoreFailed when it cannot be used, InvalidRequest for invalid arguments.

    `actor` is who changes something, for the audit table; `expected` is the version that the change is meant for.
    """

    #: Its kind, and the type of a row of `_select`, whose columns are the fields of that in their order.
    _kind: ClassVar[str]
    _type: type[G]
    _select: ClassVar[str]
    #: The condition by which the keys `k` below one are found.
    _keys_below: ClassVar[str]
    #: What its members are called, and what to do with them before it can be deleted.
    _members: ClassVar[tuple[str, str]]

    def __init__(self, database: Database, owner: FileOwner) -> None:
        self._database = database
        self._owner = owner
        self._table, self._word = f"{self._kind}s", _WORDS[self._kind]

    async def find(self, name_or_id: str) -> G | None:
        """The one with this name or id; None when there is none."""
        found = await self._found("WHERE g.id = ?1 OR g.name = ?1", (name_or_id,))
        return found[0] if found else None

    async def get(self, name_or_id: str) -> G:
        """The same; raises InvalidRequest (404) when there is none."""
        found = await self.find(name_or_id)
        if found is None:
            raise _missing(self._kind, name_or_id)
        return found

    async def create(self, fields: F, *, actor: str) -> G:
        """Create one; `fields.name` is needed."""
        name = valid_name(given(fields.name, ""), self._word)
        async with self._database.transaction() as connection:
            if await self.find(name) is not None:
                raise self._exists(name)
            id_ = _new_id(self._kind)
            await connection.execute(
                f"INSERT INTO {self._table} (id, name, created) VALUES (?, ?, ?)", (id_, name, int(time.time()))
            )
            await self._write(connection, await self.get(id_), fields)
            return await self._recorded(connection, actor, "create", None, await self.get(id_))

    async def update(self, name_or_id: str, fields: F, *, actor: str, expected: int | None = None) -> G:
        """Change what is given. A change that changes nothing makes no version and no row in the audit table."""
        async with self._database.transaction() as connection:
            before = await self.get(name_or_id)
            check_version(before.version, expected)
            name = given(fields.name, before.name)
            if name != before.name:
                valid_name(name, self._word)
                refuse_owned(self._owner, self._kind, before.name)
                if await self.find(name) is not None:
                    raise self._exists(name)
                await connection.execute(f"UPDATE {self._table} SET name = ? WHERE id = ?", (name, before.id))
            await self._write(connection, before, fields)
            after = await self.get(before.id)
            if after == before:
                return before
            await connection.execute(f"UPDATE {self._table} SET version = version + 1 WHERE id = ?", (before.id,))
            await renew_keys(connection, self._keys_below, (before.id,))
            return await self._recorded(connection, actor, "update", before, await self.get(before.id))

    async def put(self, name: str, fields: F, *, actor: str, expected: int | None = None) -> tuple[G, bool]:
        """Make the one with this name be as the fields say, with defaults for what is not given.

        Returns it, and whether it was created. `expected` 0 is for one that must not exist yet.
        """
        fields = whole(fields)
        async with self._database.transaction():
            before = await self.find(name)
            if before is None:
                check_version(0, expected)
                return await self.create(msgspec.structs.replace(fields, name=name), actor=actor), True
            # Found by its id it keeps its name, unless another is given.
            return await self.update(before.id, fields, actor=actor, expected=expected), False

    async def delete(self, name_or_id: str, *, actor: str, expected: int | None = None) -> G:
        """Delete one that nothing belongs to; returns it as it was."""
        async with self._database.transaction() as connection:
            before = await self.get(name_or_id)
            check_version(before.version, expected)
            if before.members:
                members, cure = self._members
                raise InvalidRequest(
                    f"the {self._word} {before.name!r} has {counted(before.members, members)}; {cure}",
                    status=409,
                    code=f"{self._kind}_in_use",
                )
            refuse_owned(self._owner, self._kind, before.name)
            await self._detach(connection, before.id)
            await connection.execute(f"DELETE FROM {self._table} WHERE id = ?", (before.id,))
            await audit.record(connection, actor, f"{self._kind}.delete", before.id, before.name, before.plain(), None)
        return before

    async def _write(self, connection: aiosqlite.Connection, before: G, fields: F) -> None:
        """Write limits and budgets, where they are given."""
        if fields.limits is not UNSET:
            limits = valid_limits(fields.limits)
            await connection.execute(
                f"UPDATE {self._table} SET limits = ? WHERE id = ?", (encoded(plain_limits(limits)), before.id)
            )
        if fields.budgets is not UNSET:
            text = encoded_budgets(valid_budgets(fields.budgets))
            if text != encoded_budgets(before.budgets):
                refuse_owned(self._owner, self._kind, before.name)
                await connection.execute(f"UPDATE {self._table} SET budgets = ? WHERE id = ?", (text, before.id))

    async def _recorded(self, connection: aiosqlite.Connection, actor: str, verb: str, before: G | None, after: G) -> G:
        plain = None if before is None else before.plain()
        await audit.record(connection, actor, f"{self._kind}.{verb}", after.id, after.name, plain, after.plain())
        return after

    def _listed(self, after: str | None, name: str | None) -> tuple[str, tuple[Value, ...]]:
        # One that was deleted since the page before is found in the audit table.
        where = (
            f"WHERE g.name > coalesce((SELECT name FROM {self._table} WHERE id = ?1), "
            "(SELECT name FROM audit WHERE object = ?1 ORDER BY id DESC LIMIT 1), '') "
        )
        return (where, (after,)) if name is None else (where + "AND instr(g.name, ?2) ", (after, name))

    async def _page(self, where: str, values: tuple[Value, ...], limit: int) -> list[G]:
        if not 1 <= limit <= MAX_PAGE:
            raise InvalidRequest(f"limit {limit} is not from 1 to {MAX_PAGE}", param="limit")
        return await self._found(where + "ORDER BY g.name LIMIT ?", (*values, limit))

    async def _found(self, where: str, values: tuple[Value, ...]) -> list[G]:
        groups = []
        for row in await self._database.rows(f"{self._select} {where}", values):
            try:
                groups.append(self._group(row))
            except Damaged as error:
                raise StoreFailed(
                    f"keys.db: the {error} of {row[0]}; set them anew in a copy, or start from one"
                ) from error
        return groups

    def _group(self, row: tuple[Any, ...]) -> G:
        """Build one from a row of `_select`. Raises Damaged."""
        values = dict(zip(self._type.__struct_fields__, row, strict=True))
        values |= {"limits": decoded_limits(values["limits"]), "budgets": decoded_budgets(values["budgets"])}
        return self._type(**values)

    async def _detach(self, connection: aiosqlite.Connection, id_: str) -> None:
        """Take what counts as no member out of it, before it is deleted."""

    def _exists(self, name: str) -> InvalidRequest:
        article = "an" if self._kind == "org" else "a"
        return InvalidRequest(
            f"there is {article} {self._word} named {name!r} already; update it, or take another name",
            status=409,
            code=f"{self._kind}_exists",
            param="name",
        )

    async def list(self, *, limit: int = MAX_PAGE, after: str | None = None, name: str | None = None) -> list[G]:
        """In the order of names, at most `limit`; `after` is the last id of the previous page, `name` a part of it."""
        where, values = self._listed(after, name)
        return await self._page(where, values, limit)


def check_version(version: int, expected: int | None) -> None:
    """Refuse a change that is meant for another version: 412, as for `If-Match`."""
    if expected is not None and expected != version:
        now = f"it is at version {version} by now" if version else "it does not exist"
        raise InvalidRequest(
            f"the change is for version {expected}, and {now}; read it again, then change it",
            status=412,
            code="version_mismatch",
        )


def refuse_owned(owner: FileOwner, kind: str, name: str) -> None:
    """Refuse a change of what the configuration file names: 409."""
    place = owner(kind, name)
    if place is not None:
        raise InvalidRequest(
            f"{place} sets the budget of {kind} {name!r}: what the configuration file names wins; change it there",
            status=409,
            code="owned_by_file",
        )


def not_owned(kind: str, name: str) -> None:
    """The owner where no configuration file is read: none."""


def counted(number: int, word: str) -> str:
    """A number of something, in words."""
    return f"{number} {word}" if number == 1 else f"{number} {word}s"


async def require_group(connection: aiosqlite.Connection, kind: str, name_or_id: str) -> str:
    """The id of a team or organisation that something is to belong to. Raises InvalidRequest (404)."""
    rows = await fetch_all(connection, f"SELECT id FROM {kind}s WHERE ?1 IN (id, name)", (name_or_id,))
    if not rows:
        raise _missing(kind, name_or_id, kind)
    return str(rows[0][0])


def _missing(kind: str, name: str, param: str | None = None) -> InvalidRequest:
    message = f"there is no {_WORDS[kind]} {name!r}; list them to see, or create it"
    return InvalidRequest(message, status=404, code=f"{kind}_not_found", param=param)


def _new_id(kind: str) -> str:
    return f"{kind}_{secrets.token_hex(6)}"
