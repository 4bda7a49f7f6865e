"""Teams and organisations: who keys belong to, with limits and budgets of their own."""

from collections.abc import Callable
from typing import Any, Final, Literal, NamedTuple

import msgspec

from proxy.admin.request import AdminRequest, Result
from proxy.admin.routes.pages import (
    Listed,
    Page,
    SetBudget,
    SetLimits,
    Time,
    arguments,
    etag,
    expected_version,
    is_id,
    listed,
    refuse_other_name,
    utc,
)
from proxy.admin.services import AdminServices
from proxy.auth.groups import Group, GroupStore
from proxy.auth.orgs import Org
from proxy.auth.teams import Team


class OrgDocument(msgspec.Struct, frozen=True, kw_only=True):
    """One organisation."""

    object: Literal["org"] = "org"
    id: str
    name: str
    limits: SetLimits | None
    budgets: list[SetBudget]
    created: Time | None
    #: How many teams belong to it.
    teams: int
    version: int


class TeamDocument(msgspec.Struct, frozen=True, kw_only=True):
    """One team."""

    object: Literal["team"] = "team"
    id: str
    name: str
    #: The name of its organisation.
    org: str | None
    limits: SetLimits | None
    budgets: list[SetBudget]
    created: Time | None
    #: How many live keys belong to it.
    keys: int
    version: int


class TeamQuery(Page, frozen=True):
    """The query of the list of teams."""

    #: Only those of an organisation, by its name or id.
    org: str | None = None


class TeamList(Listed, frozen=True, kw_only=True):
    """A page of teams, in the order of their names."""

    data: list[TeamDocument]


class OrgList(Listed, frozen=True, kw_only=True):
    """A page of organisations, in the order of their names."""

    data: list[OrgDocument]


class Deleted(msgspec.Struct, frozen=True):
    """What was deleted."""

    object: str
    id: str
    name: str
    deleted: bool = True


def _common(group: Group) -> dict[str, Any]:
    plain = group.plain()
    return {
        "id": group.id,
        "name": group.name,
        "limits": plain["limits"],
        "budgets": plain["budgets"],
        "created": utc(group.created),
        "version": group.version,
    }


def _team(team: Team) -> TeamDocument:
    return TeamDocument(**_common(team), org=team.org_name or None, keys=team.members)


def _org(org: Org) -> OrgDocument:
    return OrgDocument(**_common(org), teams=org.members)


class GroupRoutes(NamedTuple):
    """The handlers of teams, or of organisations."""

    kind: str
    document: Callable[[Any], Any]
    page: type[TeamList | OrgList]

    def _groups(self, services: AdminServices) -> GroupStore[Any, Any]:
        groups: GroupStore[Any, Any] = getattr(services.store, f"{self.kind}s")
        return groups

    def _name(self, request: AdminRequest) -> str:
        return request.ids[f"{self.kind}_id"]

    def _result(self, group: Group, status: int = 200) -> Result:
        return Result(self.document(group), status, etag(group.version))

    async def list(self, services: AdminServices, request: AdminRequest) -> Result:
        """List them, by name."""
        found = await self._groups(services).list(**arguments(request.query))
        return listed(self.page, found, request.query.limit, self.document)

    async def create(self, services: AdminServices, request: AdminRequest) -> Result:
        """Create one."""
        return self._result(await self._groups(services).create(request.body, actor=request.actor), 201)

    async def show(self, services: AdminServices, request: AdminRequest) -> Result:
        """One, by its name or id."""
        return self._result(await self._groups(services).get(self._name(request)))

    async def put(self, services: AdminServices, request: AdminRequest) -> Result:
        """Make one be as the body says: what is left out gets its default. A name that none has makes one."""
        name, groups = self._name(request), self._groups(services)
        refuse_other_name(name, request.body.name)
        if is_id(name):
            await groups.get(name)
        expected = expected_version(request)
        group, is_new = await groups.put(name, request.body, actor=request.actor, expected=expected)
        return self._result(group, 201 if is_new else 200)

    async def patch(self, services: AdminServices, request: AdminRequest) -> Result:
        """Change what the body has of one; null takes it away."""
        name, expected = self._name(request), expected_version(request)
        groups = self._groups(services)
        return self._result(await groups.update(name, request.body, actor=request.actor, expected=expected))

    async def delete(self, services: AdminServices, request: AdminRequest) -> Result:
        """Delete one to which nothing belongs."""
        name, expected = self._name(request), expected_version(request)
        group = await self._groups(services).delete(name, actor=request.actor, expected=expected)
        return Result(Deleted(self.kind, group.id, group.name))


TEAMS: Final = GroupRoutes("team", _team, TeamList)
ORGS: Final = GroupRoutes("org", _org, OrgList)
