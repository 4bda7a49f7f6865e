"""Models: what each alias has served in the period; for admins its targets, what they cost, and how upstreams are.

The owner of a key sees the aliases of that key, and no upstream.
"""

import asyncio
from typing import Final, NamedTuple

import msgspec
from starlette.responses import Response

from proxy.ledger.board_values import By, Group, GroupPage, Totals
from proxy.observability.providers import ProviderReport
from proxy.pages.dashboard.csv_file import csv_response
from proxy.pages.dashboard.documents import LineDocument, ScopeDocument, flat, line_document, scope_document
from proxy.pages.dashboard.figures import cost_of, margin_of, target_cost_of
from proxy.pages.dashboard.frame import Block, aliases_of, block, boards_of, json_response, page, scope_of
from proxy.pages.dashboard.overview import line_columns
from proxy.pages.dashboard.scope import Scope
from proxy.pages.request import Access, Page, PageRequest
from proxy.pages.services import PageServices

#: Lines of each table.
MAX_LINES: Final = 200


class ModelsDocument(msgspec.Struct, frozen=True, kw_only=True):
    """The page as JSON; what is of upstreams is empty for the owner of a key."""

    scope: ScopeDocument
    models: list[LineDocument]
    targets: list[LineDocument]
    upstreams: list[ProviderReport]


class _Tables(NamedTuple):
    models: Block[GroupPage]
    targets: Block[GroupPage] | None
    upstreams: list[ProviderReport]


async def show(services: PageServices, request: PageRequest) -> Response:
    """The page."""
    scope, _ = await scope_of(services, request)
    found = await _read(services, scope)
    groups = found.models.value.groups if found.models.value is not None else ()
    return await page(
        services,
        request,
        "models.html",
        scope,
        title="Models",
        models=found.models,
        lines=with_unused(groups, aliases_of(services, request)),
        configured=services.config.models,
        targets=found.targets,
        upstreams=found.upstreams,
        cost_of=cost_of,
        target_cost_of=target_cost_of,
        margin_of=margin_of,
        twin="/dashboard/models",
    )


async def show_json(services: PageServices, request: PageRequest) -> Response:
    """The same as JSON. Raises the error of a table that could not be read."""
    scope, _ = await scope_of(services, request)
    models, targets = await _groups(services, scope, "alias"), []
    if scope.viewer.is_admin:
        targets = await _groups(services, scope, "target")
    upstreams = await services.admin.providers.reports() if scope.viewer.is_admin else []
    return json_response(
        ModelsDocument(scope=scope_document(scope), models=models, targets=targets, upstreams=upstreams)
    )


async def show_csv(services: PageServices, request: PageRequest) -> Response:
    """The aliases as CSV."""
    scope, _ = await scope_of(services, request)
    return csv_response("models", map(flat, await _groups(services, scope, "alias")), line_columns())


def with_unused(groups: tuple[Group, ...], aliases: list[str]) -> list[Group]:
    """The lines of a table, and then those of aliases that nothing was requested of."""
    used = {group.group for group in groups}
    return [*groups, *(Group(alias, Totals()) for alias in aliases if alias not in used)]


async def _read(services: PageServices, scope: Scope) -> _Tables:
    boards = boards_of(services)
    models = block(boards.groups(scope.board, "alias", limit=MAX_LINES))
    if not scope.viewer.is_admin:
        return _Tables(await models, None, [])
    targets = block(boards.groups(scope.board, "target", limit=MAX_LINES))
    one, two, upstreams = await asyncio.gather(models, targets, services.admin.providers.reports())
    return _Tables(one, two, upstreams)


async def _groups(services: PageServices, scope: Scope, by: By) -> list[LineDocument]:
    found = await boards_of(services).groups(scope.board, by, limit=MAX_LINES)
    return [line_document(group, {}, for_admin=scope.viewer.is_admin) for group in found.groups]


ROWS: Final = (
    Page("GET", "/dashboard/models", show, "What each model has served.", "dashboard", Access.VIEWER),
    Page("GET", "/dashboard/models.json", show_json, "It as JSON.", "dashboard", Access.VIEWER),
    Page("GET", "/dashboard/models.csv", show_csv, "The models as CSV.", "dashboard", Access.VIEWER),
)
