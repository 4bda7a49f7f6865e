"""Organisations: whom teams belong to. One may have limits and budgets of its own, and a document of settings."""

from collections.abc import Mapping
from typing import Any

import aiosqlite
import msgspec

from proxy.auth import audit
from proxy.auth.database import fetch_all, renew_keys
from proxy.auth.groups import Group, GroupStore, check_version, counted, row_values
from proxy.auth.values import OrgFields, decoded_object, given, valid_name
from proxy.errors import InvalidRequest

MAX_CONFIG_BYTES = 262_144


class Org(Group, frozen=True, kw_only=True):
    """An organisation as it is stored; `members` are its teams."""


class OrgStore(GroupStore[Org, OrgFields]):
    """CRUD for organisations, and for their documents. One with teams cannot be deleted."""

    _kind, _table, _word = "org", "orgs", "organisation"
    _select = (
        "SELECT g.id, g.name, g.limits, g.budgets, g.version, g.created, "
        "(SELECT count(*) FROM teams WHERE org = g.id) FROM orgs g"
    )

    # the document: whatever `/-/orgs/{id}/config` was given

    async def config(self, name_or_id: str) -> dict[str, Any] | None:
        """The document of an organisation; None where it, or the organisation, is not there."""
        rows = await self._database.rows("SELECT config FROM orgs WHERE ?1 IN (id, name)", (name_or_id,))
        return decoded_object(rows[0][0], "config") if rows else None

    async def configs(self) -> dict[str, dict[str, Any]]:
        """All documents, by the names of their organisations."""
        rows = await self._database.rows("SELECT name, config FROM orgs WHERE config IS NOT NULL ORDER BY name")
        return {name: decoded_object(text, "config") or {} for name, text in rows}

    async def put_config(
        self, name_or_id: str, document: Mapping[str, Any], *, actor: str, expected: int | None = None
    ) -> Org:
        """Replace the document of an organisation, which is created where it is missing."""
        text = msgspec.json.encode(document).decode()
        if len(text) > MAX_CONFIG_BYTES:
            raise InvalidRequest(f"the document may have {MAX_CONFIG_BYTES} bytes of JSON at most")
        async with self._database.transaction():
            org = await self.find(name_or_id)
            if org is None:
                valid_name(name_or_id, self._word)
                check_version(0, expected)
                org = await self.create(OrgFields(name=name_or_id), actor=actor)
            else:
                check_version(org.version, expected)
            return await self._put_text(org, text, actor)

    async def delete_config(self, name_or_id: str, *, actor: str) -> None:
        """Take the document of an organisation away, if it has one; the organisation stays."""
        async with self._database.transaction():
            org = await self.find(name_or_id)
            if org is not None:
                await self._put_text(org, None, actor)

    async def put_configs(self, documents: Mapping[str, Mapping[str, Any]], *, actor: str) -> int:
        """Replace all documents, in one transaction; returns how many there are."""
        async with self._database.transaction():
            for name in (await self.configs()).keys() - documents.keys():
                await self.delete_config(name, actor=actor)
            for name, document in documents.items():
                await self.put_config(name, document, actor=actor)
        return len(documents)

    async def _put_text(self, org: Org, text: str | None, actor: str) -> Org:
        async with self._database.transaction() as connection:
            before = await self.config(org.id)
            after = None if text is None else decoded_object(text, "config")
            if before == after:
                return org
            await connection.execute("UPDATE orgs SET config = ?, version = version + 1 WHERE id = ?", (text, org.id))
            values = [None if value is None else audit.without_secrets(value) for value in (before, after)]
            await audit.record(connection, actor, "org.config", org.id, org.name, *values)
        return msgspec.structs.replace(org, version=org.version + 1)

    def _group(self, row: tuple[Any, ...]) -> Org:
        id_, name, limits, budgets, version, created, members = row
        of_limits, of_budgets = row_values(limits, budgets)
        return Org(
            id=id_,
            name=name,
            limits=of_limits,
            budgets=of_budgets,
            version=version,
            created=created,
            members=members,
        )

    def _whole(self, fields: OrgFields) -> OrgFields:
        return msgspec.structs.replace(fields, limits=given(fields.limits, None), budgets=given(fields.budgets, None))

    async def _renew(self, connection: aiosqlite.Connection, id_: str) -> None:
        await renew_keys(connection, "k.team IN (SELECT id FROM teams WHERE org = ?)", (id_,))

    async def _detach(self, connection: aiosqlite.Connection, id_: str) -> None:
        """Nothing but teams belongs to an organisation."""

    def _missing(self, name: str) -> InvalidRequest:
        return _missing(name)

    def _exists(self, name: str) -> InvalidRequest:
        return InvalidRequest(
            f"there is an organisation named {name!r} already; update it, or take another name",
            status=409,
            code="org_exists",
            param="name",
        )

    def _in_use(self, group: Org) -> InvalidRequest:
        teams = counted(group.members, "team")
        return InvalidRequest(
            f"the organisation {group.name!r} has {teams}; delete them, or give them another one",
            status=409,
            code="org_in_use",
        )


async def require_org(connection: aiosqlite.Connection, name_or_id: str) -> str:
    """The id of an organisation that a team is to belong to. Raises InvalidRequest."""
    rows = await fetch_all(connection, "SELECT id FROM orgs WHERE ?1 IN (id, name)", (name_or_id,))
    if not rows:
        raise _missing(name_or_id, "org")
    return str(rows[0][0])


def _missing(name: str, param: str | None = None) -> InvalidRequest:
    return InvalidRequest(
        f"there is no organisation {name!r}; list them to see, or create it",
        status=404,
        code="org_not_found",
        param=param,
    )
