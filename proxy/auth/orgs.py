"""Organisations: whom teams belong to. One may have limits and budgets of its own, and a document of settings."""

from collections.abc import Mapping
from typing import Any

import msgspec

from proxy.auth import audit
from proxy.auth.groups import Group, GroupStore, check_version
from proxy.auth.values import OrgFields, decoded_object, valid_name
from proxy.errors import InvalidRequest

MAX_CONFIG_BYTES = 262_144


class Org(Group, frozen=True, kw_only=True):
    """An organisation as it is stored; `members` are its teams."""


class OrgStore(GroupStore[Org, OrgFields]):
    """CRUD for organisations, and for their documents. One with teams cannot be deleted."""

    _kind, _type = "org", Org
    _select = (
        "SELECT g.id, g.name, g.limits, g.budgets, g.version, g.created, "
        "(SELECT count(*) FROM teams WHERE org = g.id) FROM orgs g"
    )
    _keys_below = "k.team IN (SELECT id FROM teams WHERE org = ?)"
    _members = ("team", "delete them, or give them another one")

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
