"""Requests: the last ones, and a page for each. Never their bodies, which are not stored.

What an owner may not see (upstreams, their causes of failure, what they cost) is not in the values that templates get.
"""

import time
from collections.abc import AsyncIterator, Mapping
from typing import Any, Final, NamedTuple

import msgspec
from starlette.responses import Response

from proxy.auth.names import Names
from proxy.errors import AuthenticationFailed, InvalidRequest
from proxy.exchange.payers import printable_text
from proxy.ledger.board_values import RequestDetail, RequestPage, RequestRow
from proxy.ledger.record import UsageRecord
from proxy.ledger.selection import Selection
from proxy.pages.dashboard.csv_file import csv_stream
from proxy.pages.dashboard.documents import RequestDocument, ScopeDocument, request_document, scope_document
from proxy.pages.dashboard.figures import UNKNOWN, Figures
from proxy.pages.dashboard.frame import block, boards_of, json_response, names_of, page, scope_of
from proxy.pages.dashboard.scope import Scope
from proxy.pages.request import Access, Page, PageRequest
from proxy.pages.services import PageServices

#: Requests of one page, of a JSON document, and of each query for a file.
PAGE: Final = 50
DOCUMENT: Final = 200
_QUERY: Final = 1_000
#: Queries for one file at most: pages may be short where few rows match.
_MAX_QUERIES: Final = 1_000
_FILE_COLUMNS: Final = RequestDocument.__struct_fields__
_OUTCOMES: Final[Mapping[str, str]] = {
    "complete": "Complete",
    "client_closed": "The client left before the end",
    "client_stalled": "The client did not read on",
    "upstream_cut": "The provider's response was cut off",
    "upstream_error": "The provider failed",
    "timeout": "It took too long",
    "refused": "Refused by the gateway",
    "gateway_shutdown": "Ended by the shutdown of the gateway",
    "interrupted": "The gateway ended before it was settled",
    "hedge_lost": "A second attempt that came later than the other",
}


class Cell(NamedTuple):
    """One cell of a row, and the class of its column."""

    text: str
    kind: str = ""


class RequestsDocument(msgspec.Struct, frozen=True, kw_only=True):
    """A page of requests as JSON, the newest first."""

    scope: ScopeDocument
    requests: list[RequestDocument]
    #: For `before` of the next page; null at the end.
    cursor: str | None


class AttemptDocument(msgspec.Struct, frozen=True, kw_only=True):
    """An attempt at an upstream; its target and its cause of failure are there for admins only."""

    number: int
    #: Milliseconds from the arrival of the request to the failure, or to the end of the response.
    ended: int
    failed: bool
    target: str | None
    cause: str | None


class DetailDocument(msgspec.Struct, frozen=True, kw_only=True):
    """One as JSON."""

    request: RequestDocument
    attempts: list[AttemptDocument]


async def show(services: PageServices, request: PageRequest) -> Response:
    """The page."""
    scope, names = await scope_of(services, request)
    before = request.query.get("before")
    found = await block(_page(services, scope, before, PAGE))
    figures, for_admin = Figures(scope.zone), scope.viewer.is_admin
    rows = found.value.rows if found.value is not None else ()
    cursor = found.value.cursor if found.value is not None else None
    return await page(
        services,
        request,
        "requests.html",
        scope,
        title="Requests",
        found=found,
        columns=columns_of(for_admin=for_admin),
        rows=[
            (row.record, figures.time(started_of(row)), cells_of(row, names, figures, for_admin=for_admin))
            for row in rows
        ],
        older=scope.query(before=cursor) if cursor is not None else "",
        is_first=before is None,
        # A period that has ended gets no new ones.
        is_live=before is None and scope.range.until > time.time(),
        twin="/dashboard/requests",
    )


async def show_json(services: PageServices, request: PageRequest) -> Response:
    """The same as JSON."""
    scope, names = await scope_of(services, request)
    found = await _page(services, scope, request.query.get("before"), DOCUMENT)
    documents = _documents(found, names, scope)
    return json_response(RequestsDocument(scope=scope_document(scope), requests=documents, cursor=found.cursor))


async def show_csv(services: PageServices, request: PageRequest) -> Response:
    """All requests of the period as CSV."""
    scope, names = await scope_of(services, request)
    # A fault of the first query is a response of its own, and not the end of a file.
    first = await _page(services, scope, None, _QUERY)
    return csv_stream("requests", _pages(services, request.session, scope, names, first), _FILE_COLUMNS)


async def detail(services: PageServices, request: PageRequest) -> Response:
    """The page of one request. Raises InvalidRequest (404) alike for an unknown one and one of another key."""
    scope, names = await scope_of(services, request)
    found = await _detail(services, request)
    record, figures = found.row.record, Figures(scope.zone)
    attempts = attempts_of(found, for_admin=scope.viewer.is_admin)
    return await page(
        services,
        request,
        "request.html",
        scope,
        title="Request",
        record=record,
        outcome=_OUTCOMES.get(record.outcome, record.outcome),
        facts=_facts(record, names, figures, for_admin=scope.viewer.is_admin),
        attempts=attempts,
        ended=max([1, *(one.ended for one in attempts)]),
        first_token=None if record.ttft is None else record.ttft // 1_000,
        twin=f"/dashboard/requests/{record.id}",
    )


async def detail_json(services: PageServices, request: PageRequest) -> Response:
    """The same as JSON."""
    viewer = request.signed_in
    names = await names_of(services, request)
    found = await _detail(services, request)
    return json_response(
        DetailDocument(
            request=request_document(found.row, names.keys, for_admin=viewer.is_admin),
            attempts=attempts_of(found, for_admin=viewer.is_admin),
        )
    )


def columns_of(*, for_admin: bool) -> list[Cell]:
    """The heads of the columns behind time and status."""
    heads = [Cell("Model"), *([Cell("Key")] if for_admin else []), Cell("Endpoint")]
    return [*heads, *(Cell(text, "n") for text in ("Input", "Output", "Cost", "First token", "Total"))]


def cells_of(row: RequestRow, names: Names, figures: Figures, *, for_admin: bool) -> list[Cell]:
    """The cells of a row behind time and status."""
    record = row.record
    has_tokens = record.usage_source != "none"
    mark = "~" if record.usage_source == "estimated" else ""
    return [
        Cell(record.alias or record.requested_model or UNKNOWN, "wrap"),
        *([Cell(names.keys.get(record.key, record.key), "wrap")] if for_admin else []),
        Cell(record.endpoint, "nowrap"),
        Cell(f"{mark}{record.input_tokens:,}" if has_tokens else UNKNOWN, "n"),
        Cell(f"{mark}{record.output_tokens:,}" if has_tokens else UNKNOWN, "n"),
        Cell(figures.money(record.cost).text, "n"),
        Cell(figures.duration(record.ttft), "n"),
        Cell(figures.duration(record.total), "n"),
    ]


def started_of(row: RequestRow) -> float:
    """When a request began, in seconds since 1970."""
    return row.record.started / 1_000_000


def attempts_of(found: RequestDetail, *, for_admin: bool) -> list[AttemptDocument]:
    """The attempts of a request in their order: those that failed, a hedge that lost, and the one that responded."""
    record = found.row.record
    ended: list[tuple[int, bool, str, str]] = [(one.milliseconds, True, one.target, one.cause) for one in found.failed]
    if found.lost is not None:
        lost = found.lost.record
        ended.append((lost.total // 1_000, True, f"{lost.upstream}/{lost.upstream_model}", "hedge_lost"))
    if record.attempts > len(found.failed) or (not ended and record.upstream):
        failed = record.status >= 400
        cause = record.error_code or "" if failed else ""
        ended.append((record.total // 1_000, failed, f"{record.upstream}/{record.upstream_model}", cause))
    return [
        AttemptDocument(
            number=number,
            ended=milliseconds,
            failed=failed,
            target=target if for_admin else None,
            cause=cause or None if for_admin else None,
        )
        for number, (milliseconds, failed, target, cause) in enumerate(ended, start=1)
    ]


def _facts(record: UsageRecord, names: Names, figures: Figures, *, for_admin: bool) -> list[tuple[str, str]]:
    """What there is to say of a request: names and values, without those that it has not."""
    money = figures.money(record.cost)
    estimated = " (estimated)" if record.usage_source == "estimated" else ""
    tokens = (
        ("Input tokens", record.input_tokens),
        ("of them read from a cache", record.cached_input_tokens),
        ("of them written to a cache", record.cache_write_tokens),
        ("of them audio", record.audio_input_tokens),
        ("of them images", record.image_input_tokens),
        ("Output tokens", record.output_tokens),
        ("of them reasoning", record.reasoning_tokens),
        ("of them audio ", record.audio_output_tokens),
        ("of them images ", record.image_output_tokens),
        ("Images", record.images),
        ("Searches", record.searches),
        ("Tool calls of the provider", record.tool_calls),
    )
    found: list[tuple[str, str]] = [
        ("Began", f"{figures.time(record.started / 1_000_000)} {figures.zone}"),
        ("Model", record.alias),
        ("Requested as", record.requested_model),
        ("Endpoint", record.endpoint + (", streamed" if record.stream else "")),
        ("Key", names.keys.get(record.key, record.key)),
        ("Error", record.error_code or ""),
        ("Time to first token", figures.duration(record.ttft)),
        ("Total", figures.duration(record.total)),
        ("Gateway overhead", figures.duration(record.overhead)),
        *((name, f"{count:,}{estimated}") for name, count in tokens if count),
        ("Audio", figures.duration(record.audio_milliseconds * 1_000) if record.audio_milliseconds else ""),
        ("Cost", money.exact if record.cost is not None else "not known: " + (record.unpriced_parts or "no price")),
        ("Service tier", record.service_tier),
        ("Bytes of the response", f"{record.bytes_out:,}"),
        ("Session", record.session),
        ("User", record.user),
        ("Metadata", record.metadata),
    ]
    if for_admin:
        found += [
            ("Team", names.teams.get(record.team, record.team)),
            ("Organisation", names.orgs.get(record.org, record.org)),
            ("Target", f"{record.upstream}/{record.upstream_model}" if record.upstream else ""),
            ("Cost of the target", figures.money(record.target_cost).exact if record.target_cost is not None else ""),
        ]
    # A mark of direction in a client's label would have the rest of it read backwards.
    return [(name.strip(), printable_text(value, len(value))) for name, value in found if value]


async def _page(services: PageServices, scope: Scope, before: str | None, limit: int) -> RequestPage:
    span = scope.range
    boards = boards_of(services)
    return await boards.requests(scope.only, since=span.since, until=span.until, before=before, limit=limit)


async def _detail(services: PageServices, request: PageRequest) -> RequestDetail:
    found = await boards_of(services).request(request.ids["request_id"], request.signed_in.only(Selection()))
    if found is None:
        raise InvalidRequest("There is no such request.", status=404, code="request_not_found")
    return found


def _documents(found: RequestPage, names: Names, scope: Scope) -> list[RequestDocument]:
    return [request_document(row, names.keys, for_admin=scope.viewer.is_admin) for row in found.rows]


async def _pages(
    services: PageServices, session: str, scope: Scope, names: Names, first: RequestPage
) -> AsyncIterator[list[dict[str, Any]]]:
    """The rows of a file, a query at a time. Raises `AuthenticationFailed` once the session has ended: a file that
    breaks off then is not taken for a whole one."""
    found = first
    for _ in range(_MAX_QUERIES):
        yield [msgspec.structs.asdict(one) for one in _documents(found, names, scope)]
        if found.cursor is None:
            return
        if await services.sessions.viewer(session, used=False) is None:
            raise AuthenticationFailed("The session has ended.", code="session_required")
        found = await _page(services, scope, found.cursor, _QUERY)


ROWS: Final = (
    Page("GET", "/dashboard/requests", show, "The last requests.", "dashboard", Access.VIEWER),
    Page("GET", "/dashboard/requests.json", show_json, "A page of them as JSON.", "dashboard", Access.VIEWER),
    Page("GET", "/dashboard/requests.csv", show_csv, "All of a period as CSV.", "dashboard", Access.VIEWER),
    Page("GET", "/dashboard/requests/{request_id}.json", detail_json, "One as JSON.", "dashboard", Access.VIEWER),
    Page("GET", "/dashboard/requests/{request_id}", detail, "One request.", "dashboard", Access.VIEWER),
)
