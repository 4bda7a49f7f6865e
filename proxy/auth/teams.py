"""Teams: whom keys belong to. A team may have limits and budgets of its own, and belong to an organisation."""

from typing import Any

import aiosqlite
import msgspec
from msgspec import UNSET

from proxy.auth.database import renew_keys
from proxy.auth.groups import Group, GroupStore, counted, row_values
from proxy.auth.orgs import require_org
from proxy.auth.values import TeamFields, given
from proxy.errors import InvalidRequest


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

    _kind, _table, _word = "team", "teams", "team"
    _select = (
        "SELECT g.id, g.name, g.limits, g.budgets, g.version, g.created, "
        "(SELECT count(*) FROM keys WHERE team = g.id AND revoked IS NULL), coalesce(g.org, ''), coalesce(o.name, '') "
        "FROM teams g LEFT JOIN orgs o ON o.id = g.org"
    )

    async def page(
        self, *, limit: int, after: str | None = None, name: str | None = None, org: str | None = None
    ) -> list[Team]:
        """As `list`, of one organisation by its name or id."""
        where, values = self._listed(after, name)
        if org is not None:
            where, values = where + "AND ? IN (o.id, o.name) ", (*values, org)
        return await self._page(where, values, limit)

    async def _write(self, connection: aiosqlite.Connection, before: Team, fields: TeamFields) -> None:
        await super()._write(connection, before, fields)
        if fields.org is not UNSET:
            org = None if fields.org is None else await require_org(connection, fields.org)
            await connection.execute("UPDATE teams SET org = ? WHERE id = ?", (org, before.id))

    def _group(self, row: tuple[Any, ...]) -> Team:
        id_, name, limits, budgets, version, created, members, org, org_name = row
        of_limits, of_budgets = row_values(limits, budgets)
        return Team(
            id=id_,
            name=name,
            limits=of_limits,
            budgets=of_budgets,
            version=version,
            created=created,
            members=members,
            org=org,
            org_name=org_name,
        )

    def _whole(self, fields: TeamFields) -> TeamFields:
        return msgspec.structs.replace(
            fields,
            limits=given(fields.limits, None),
            budgets=given(fields.budgets, None),
            org=given(fields.org, None),
        )

    async def _renew(self, connection: aiosqlite.Connection, id_: str) -> None:
        await renew_keys(connection, "k.team = ?", (id_,))

    async def _detach(self, connection: aiosqlite.Connection, id_: str) -> None:
        await connection.execute("UPDATE keys SET team = NULL WHERE team = ? AND revoked IS NOT NULL", (id_,))

    def _missing(self, name: str) -> InvalidRequest:
        return missing_team(name)

    def _exists(self, name: str) -> InvalidRequest:
        return InvalidRequest(
            f"there is a team named {name!r} already; update it, or take another name",
            status=409,
            code="team_exists",
            param="name",
        )

    def _in_use(self, group: Team) -> InvalidRequest:
        return InvalidRequest(
            f"the team {group.name!r} has {counted(group.members, 'live key')}; revoke them, or give them another team",
            status=409,
            code="team_in_use",
        )


def missing_team(name: str, param: str | None = None) -> InvalidRequest:
    """The error for a team that is not there."""
    return InvalidRequest(
        f"there is no team {name!r}; list them to see, or create it", status=404, code="team_not_found", param=param
    )
