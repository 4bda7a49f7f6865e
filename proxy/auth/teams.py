"""Teams: whom keys belong to. A team may have limits and budgets of its own, and belong to an organisation."""

from typing import Any

import aiosqlite
from msgspec import UNSET

from proxy.auth.groups import MAX_PAGE, Group, GroupStore, require_group
from proxy.auth.values import TeamFields


class Team(Group, frozen=True, kw_only=True):
    """A team as it is stored; `members` are its live keys."""

    #: Id and name of its organisation; empty for none.
    org: str = ""
    org_name: str = ""

    def plain(self) -> dict[str, Any]:
        """See `Group`."""
        return {**super().plain(), "org": self.org_name or None}


class TeamStore(GroupStore[Team, TeamFields]):
    """CRUD for teams. One with live keys cannot be deleted."""

    _kind, _type = "team", Team
    _select = (
        "SELECT g.id, g.name, g.limits, g.budgets, g.version, g.created, "
        "(SELECT count(*) FROM keys WHERE team = g.id AND revoked IS NULL), coalesce(g.org, ''), coalesce(o.name, '') "
        "FROM teams g LEFT JOIN orgs o ON o.id = g.org"
    )
    _keys_below = "k.team = ?"
    _members = ("live key", "revoke them, or give them another team")

    async def list(
        self, *, limit: int = MAX_PAGE, after: str | None = None, name: str | None = None, org: str | None = None
    ) -> list[Team]:
        """As of every group; with `org` those of one organisation, by its name or id."""
        where, values = self._listed(after, name)
        if org is not None:
            where, values = where + "AND ? IN (o.id, o.name) ", (*values, org)
        return await self._page(where, values, limit)

    async def _write(self, connection: aiosqlite.Connection, before: Team, fields: TeamFields) -> None:
        await super()._write(connection, before, fields)
        if fields.org is not UNSET:
            org = None if fields.org is None else await require_group(connection, "org", fields.org)
            await connection.execute("UPDATE teams SET org = ? WHERE id = ?", (org, before.id))

    async def _detach(self, connection: aiosqlite.Connection, id_: str) -> None:
        await connection.execute("UPDATE keys SET team = NULL WHERE team = ? AND revoked IS NOT NULL", (id_,))
