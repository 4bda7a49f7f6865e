"""Audit: who has changed what, and what it was before and after. Only for admins; secrets never get into it."""

from typing import Any, Final

import msgspec
from starlette.responses import Response

from proxy.admin.routes.pages import utc
from proxy.auth.audit import AuditRow
from proxy.errors import InvalidRequest
from proxy.pages.dashboard.csv_file import csv_response
from proxy.pages.dashboard.frame import json_response, page, scope_of
from proxy.pages.request import Access, Page, PageRequest
from proxy.pages.services import PageServices

#: Changes of one page.
PAGE: Final = 50
#: Filters, as they stand in the URL; each is a whole value.
FILTERS: Final = ("object", "actor", "action")
_MAX_CHARACTERS: Final = 200


class Difference(msgspec.Struct, frozen=True):
    """One value that a change has changed; None where there was none."""

    name: str
    before: str | None
    after: str | None


class AuditLine(msgspec.Struct, frozen=True, kw_only=True):
    """One change as JSON."""

    id: int
    time: str | None
    actor: str
    action: str
    object: str
    name: str
    before: dict[str, Any] | None
    after: dict[str, Any] | None


class AuditDocument(msgspec.Struct, frozen=True, kw_only=True):
    """A page of changes, the newest first."""

    changes: list[AuditLine]
    #: For `before` of the next page; null at the end.
    cursor: str | None


async def show(services: PageServices, request: PageRequest) -> Response:
    """The page."""
    scope, _ = await scope_of(services, request)
    rows, cursor = await _rows(services, request)
    filters = _filters(request)
    return await page(
        services,
        request,
        "audit.html",
        scope,
        title="Audit",
        rows=[(row, differences(row)) for row in rows],
        filters=filters,
        kept=scope.query(**filters),
        more=scope.query(**filters, before=cursor) if cursor is not None else "",
        twin="/dashboard/audit",
    )


async def show_json(services: PageServices, request: PageRequest) -> Response:
    """The same as JSON."""
    await scope_of(services, request)
    rows, cursor = await _rows(services, request)
    return json_response(AuditDocument(changes=[_line(row) for row in rows], cursor=cursor))


async def show_csv(services: PageServices, request: PageRequest) -> Response:
    """The same as CSV."""
    await scope_of(services, request)
    rows, _ = await _rows(services, request)
    lines = [
        {**msgspec.to_builtins(_line(row)), "before": _text(row.before), "after": _text(row.after)} for row in rows
    ]
    return csv_response("audit", lines, AuditLine.__struct_fields__)


def differences(row: AuditRow) -> list[Difference]:
    """What a change has changed, name by name; of what was made or removed, all of it."""
    before, after = row.before or {}, row.after or {}
    names = dict.fromkeys((*before, *after))
    found = [Difference(name, _text(before.get(name)), _text(after.get(name))) for name in names if name != "version"]
    return [one for one in found if one.before != one.after]


def _text(value: Any) -> str | None:
    if value is None or value in ([], {}):
        return None
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


async def _rows(services: PageServices, request: PageRequest) -> tuple[list[AuditRow], str | None]:
    """The changes of a page, and the id where the next one goes on. Raises InvalidRequest and StoreFailed."""
    asked = request.query.get("before", "")
    if asked and not (asked.isascii() and asked.isdigit() and len(asked) < 18):
        raise InvalidRequest("'before' is the id of a change.", param="before")
    filters = _filters(request)
    found = await services.admin.store.audit.list(
        limit=PAGE + 1,
        before=int(asked) if asked else None,
        object=filters["object"],
        actor=filters["actor"],
        action=filters["action"],
    )
    return found[:PAGE], str(found[PAGE - 1].id) if len(found) > PAGE else None


def _filters(request: PageRequest) -> dict[str, str | None]:
    return {name: request.query.get(name, "").strip()[:_MAX_CHARACTERS] or None for name in FILTERS}


def _line(row: AuditRow) -> AuditLine:
    return AuditLine(**{**msgspec.structs.asdict(row), "time": utc(row.time)})


ROWS: Final = (
    Page("GET", "/dashboard/audit", show, "Who has changed what.", "dashboard", Access.ADMIN),
    Page("GET", "/dashboard/audit.json", show_json, "It as JSON.", "dashboard", Access.ADMIN),
    Page("GET", "/dashboard/audit.csv", show_csv, "It as CSV.", "dashboard", Access.ADMIN),
)
