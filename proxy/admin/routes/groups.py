"""Teams and organisations: who keys belong to, with limits and budgets of their own."""

from typing import Any

import msgspec

from proxy.admin.request import AdminRequest, Result
from proxy.admin.routes.pages import Listed, Page, etag, expected_version, is_id, refuse_other_name, utc
from proxy.admin.services import AdminServices
from proxy.auth.groups import Group
from proxy.auth.orgs import Org
from proxy.auth.teams import Team


class OrgDocument(msgspec.Struct, frozen=True, kw_only=True):
    """One organisation."""

    object: str = "org"
    id: str
    name: str
    limits: dict[str, Any] | None
    budgets: list[dict[str, Any]]
    created: str | None
    #: How many teams belong to it.
    teams: int
    version: int


class TeamDocument(msgspec.Struct, frozen=True, kw_only=True):
    """One team."""

    object: str = "team"
    id: str
    name: str
    #: The name of its organisation.
    org: str | None
    limits: dict[str, Any] | None
    budgets: list[dict[str, Any]]
    created: str | None
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


async def list_teams(services: AdminServices, request: AdminRequest) -> Result:
    """List teams."""
    query: TeamQuery = request.query
    found = await services.store.teams.list(limit=query.limit + 1, after=query.after, name=query.name, org=query.org)
    data = [_team(team) for team in found[: query.limit]]
    return Result(TeamList(data=data, has_more=len(found) > query.limit, last_id=data[-1].id if data else None))


async def create_team(services: AdminServices, request: AdminRequest) -> Result:
    """Create a team."""
    team = await services.store.teams.create(request.body, actor=request.actor)
    return Result(_team(team), 201, etag(team.version))


async def show_team(services: AdminServices, request: AdminRequest) -> Result:
    """One team, by its name or id."""
    team = await services.store.teams.get(request.ids["team_id"])
    return Result(_team(team), 200, etag(team.version))


async def put_team(services: AdminServices, request: AdminRequest) -> Result:
    """Make a team be as the body says: what is left out gets its default. A name that no team has makes one."""
    name = request.ids["team_id"]
    refuse_other_name(name, request.body.name)
    if is_id(name):
        await services.store.teams.get(name)
    expected = expected_version(request)
    team, is_new = await services.store.teams.put(name, request.body, actor=request.actor, expected=expected)
    return Result(_team(team), 201 if is_new else 200, etag(team.version))


async def patch_team(services: AdminServices, request: AdminRequest) -> Result:
    """Change what the body has of a team; null takes it away."""
    expected = expected_version(request)
    team = await services.store.teams.update(
        request.ids["team_id"], request.body, actor=request.actor, expected=expected
    )
    return Result(_team(team), 200, etag(team.version))


async def delete_team(services: AdminServices, request: AdminRequest) -> Result:
    """Delete a team without live keys."""
    expected = expected_version(request)
    team = await services.store.teams.delete(request.ids["team_id"], actor=request.actor, expected=expected)
    return Result(Deleted("team", team.id, team.name))


async def list_orgs(services: AdminServices, request: AdminRequest) -> Result:
    """List organisations."""
    query: Page = request.query
    found = await services.store.orgs.list(limit=query.limit + 1, after=query.after, name=query.name)
    data = [_org(org) for org in found[: query.limit]]
    return Result(OrgList(data=data, has_more=len(found) > query.limit, last_id=data[-1].id if data else None))


async def create_org(services: AdminServices, request: AdminRequest) -> Result:
    """Create an organisation."""
    org = await services.store.orgs.create(request.body, actor=request.actor)
    return Result(_org(org), 201, etag(org.version))


async def show_org(services: AdminServices, request: AdminRequest) -> Result:
    """One organisation, by its name or id."""
    org = await services.store.orgs.get(request.ids["org_id"])
    return Result(_org(org), 200, etag(org.version))


async def put_org(services: AdminServices, request: AdminRequest) -> Result:
    """Make an organisation be as the body says. A name that none has makes one."""
    name = request.ids["org_id"]
    refuse_other_name(name, request.body.name)
    if is_id(name):
        await services.store.orgs.get(name)
    expected = expected_version(request)
    org, is_new = await services.store.orgs.put(name, request.body, actor=request.actor, expected=expected)
    return Result(_org(org), 201 if is_new else 200, etag(org.version))


async def patch_org(services: AdminServices, request: AdminRequest) -> Result:
    """Change what the body has of an organisation; null takes it away."""
    expected = expected_version(request)
    org = await services.store.orgs.update(request.ids["org_id"], request.body, actor=request.actor, expected=expected)
    return Result(_org(org), 200, etag(org.version))


async def delete_org(services: AdminServices, request: AdminRequest) -> Result:
    """Delete an organisation without teams."""
    expected = expected_version(request)
    org = await services.store.orgs.delete(request.ids["org_id"], actor=request.actor, expected=expected)
    return Result(Deleted("org", org.id, org.name))
