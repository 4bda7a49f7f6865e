"""Teams: the teams and organisations with their keys, limits and budgets, and what they have spent. Only for admins."""

from typing import Any, Final, NamedTuple

import msgspec
from starlette.responses import Response

from proxy.auth.groups import Group as Members
from proxy.auth.orgs import Org
from proxy.auth.teams import Team
from proxy.ledger.board_values import Group, Totals
from proxy.pages.dashboard.csv_file import csv_response
from proxy.pages.dashboard.documents import ScopeDocument, TotalsDocument, flat, scope_document, totals_document
from proxy.pages.dashboard.figures import cost_of
from proxy.pages.dashboard.frame import boards_of, json_response, page, scope_of
from proxy.pages.dashboard.scope import Scope
from proxy.pages.request import Access, Page, PageRequest
from proxy.pages.services import PageServices

#: Teams of one page, and organisations.
PAGE: Final = 100


class TeamLine(msgspec.Struct, frozen=True, kw_only=True):
    """A team with what it has spent in the period."""

    id: str
    name: str
    org: str | None
    keys: int
    limits: dict[str, Any] | None
    budgets: int
    totals: TotalsDocument


class OrgLine(msgspec.Struct, frozen=True, kw_only=True):
    """An organisation."""

    id: str
    name: str
    teams: int
    limits: dict[str, Any] | None
    budgets: int


class TeamsDocument(msgspec.Struct, frozen=True, kw_only=True):
    """A page of teams as JSON."""

    scope: ScopeDocument
    teams: list[TeamLine]
    orgs: list[OrgLine]
    #: For `after` of the next page; null at the end.
    cursor: str | None


class _Tables(NamedTuple):
    teams: list[tuple[Team, Totals]]
    orgs: list[Org]
    cursor: str | None


async def show(services: PageServices, request: PageRequest) -> Response:
    """The page."""
    scope, _ = await scope_of(services, request)
    found = await _read(services, request, scope)
    return await page(
        services,
        request,
        "teams.html",
        scope,
        title="Teams",
        teams=found.teams,
        orgs=found.orgs,
        cost_of=cost_of,
        limits_of=limits_of,
        more=scope.query(after=found.cursor) if found.cursor is not None else "",
        twin="/dashboard/teams",
    )


async def show_json(services: PageServices, request: PageRequest) -> Response:
    """The same as JSON."""
    scope, _ = await scope_of(services, request)
    found = await _read(services, request, scope)
    orgs = [
        OrgLine(id=org.id, name=org.name, teams=org.members, limits=org.plain()["limits"], budgets=len(org.budgets))
        for org in found.orgs
    ]
    teams = [_line(team, totals) for team, totals in found.teams]
    return json_response(TeamsDocument(scope=scope_document(scope), teams=teams, orgs=orgs, cursor=found.cursor))


async def show_csv(services: PageServices, request: PageRequest) -> Response:
    """The teams as CSV."""
    scope, _ = await scope_of(services, request)
    found = await _read(services, request, scope)
    rows = [{**flat(_line(team, totals)), "limits": limits_of(team)} for team, totals in found.teams]
    return csv_response("teams", rows, list(rows[0]) if rows else [])


def limits_of(group: Members) -> str:
    """The limits of a team or an organisation in words."""
    limits: dict[str, Any] = group.plain()["limits"] or {}
    return ", ".join(f"{name} {value}" for name, value in limits.items())


async def _read(services: PageServices, request: PageRequest, scope: Scope) -> _Tables:
    store = services.admin.store
    teams = await store.teams.list(limit=PAGE + 1, after=request.query.get("after"))
    used = await boards_of(services).groups(scope.board, "team", limit=1_000)
    by_team: dict[str, Group] = {group.group: group for group in used.groups}
    lines = [(team, by_team[team.id].totals if team.id in by_team else Totals()) for team in teams[:PAGE]]
    return _Tables(lines, await store.orgs.list(limit=PAGE), teams[PAGE - 1].id if len(teams) > PAGE else None)


def _line(team: Team, totals: Totals) -> TeamLine:
    return TeamLine(
        id=team.id,
        name=team.name,
        org=team.org_name or None,
        keys=team.members,
        limits=team.plain()["limits"],
        budgets=len(team.budgets),
        totals=totals_document(totals, for_admin=True),
    )


ROWS: Final = (
    Page("GET", "/dashboard/teams", show, "Teams and organisations.", "dashboard", Access.ADMIN),
    Page("GET", "/dashboard/teams.json", show_json, "They as JSON.", "dashboard", Access.ADMIN),
    Page("GET", "/dashboard/teams.csv", show_csv, "The teams as CSV.", "dashboard", Access.ADMIN),
)
