"""The overview of the dashboard: spend, requests, tokens, errors and latencies, with those of the period before."""

import asyncio
from collections.abc import Mapping
from typing import Final, NamedTuple, cast

import msgspec
from starlette.responses import Response

from proxy.auth.names import Names
from proxy.errors import InvalidRequest
from proxy.ledger.board_values import By, GroupPage, Series, Totals
from proxy.pages.dashboard import charts
from proxy.pages.dashboard.csv_file import csv_response
from proxy.pages.dashboard.documents import (
    ChartDocument,
    LineDocument,
    ScopeDocument,
    TableDocument,
    TotalsDocument,
    chart_document,
    flat,
    line_document,
    scope_document,
    totals_document,
)
from proxy.pages.dashboard.figures import Change, Figures, cost_of, per_mille
from proxy.pages.dashboard.frame import Block, block, boards_of, json_response, page, scope_of
from proxy.pages.dashboard.scope import Scope
from proxy.pages.request import Access, Page, PageRequest
from proxy.pages.services import PageServices

#: What charts and the table may be by; the last ones are for admins.
BY: Final[Mapping[str, str]] = {
    "alias": "Model",
    "endpoint": "Endpoint",
    "key": "Key",
    "team": "Team",
    "tag": "Tag",
}
_OWNERS_BY: Final = ("alias", "endpoint")
#: What requests that have none are called.
_NONE: Final[Mapping[str, str]] = {"team": "no team", "tag": "no tag", "alias": "no model", "key": "no key"}
#: Lines of the table, and of a CSV file.
TOP: Final = 12
MAX_LINES: Final = 1_000
#: What the chart shows.
METRICS: Final[Mapping[str, str]] = {"cost": "Spend", "requests": "Requests", "tokens": "Tokens", "errors": "Errors"}


class OverviewDocument(msgspec.Struct, frozen=True, kw_only=True):
    """The overview as JSON."""

    scope: ScopeDocument
    totals: TotalsDocument | None
    previous_scope: ScopeDocument
    previous: TotalsDocument | None
    chart: ChartDocument
    #: All groups as one line, of the period before.
    previous_chart: ChartDocument
    table: TableDocument
    #: Of the blocks that could not be made, by their name.
    errors: dict[str, str]


class Tile(NamedTuple):
    """One figure with its name."""

    name: str
    value: str
    #: All of its digits, where the value is rounded.
    exact: str
    change: Change
    #: Whether more of it is good, bad, or neither.
    more_is: str = ""
    note: str = ""


class Quantile(NamedTuple):
    """One line of the latencies."""

    name: str
    help: str
    cells: tuple[tuple[str, Change], ...]


class _Blocks(NamedTuple):
    totals: Block[Totals]
    previous: Block[Totals]
    series: Block[Series]
    before: Block[Series]
    table: Block[GroupPage]

    def errors(self) -> list[tuple[str, str]]:
        """The error of each block."""
        return [
            ("totals", self.totals.error),
            ("previous", self.previous.error),
            ("chart", self.series.error),
            ("previous_chart", self.before.error),
            ("table", self.table.error),
        ]


async def show(services: PageServices, request: PageRequest) -> Response:
    """The page."""
    scope, names = await scope_of(services, request)
    by, metric = _by(request), _metric(request)
    found = await _read(services, scope, by, TOP, durations=False)
    figures = Figures(scope.zone)
    totals, previous = found.totals.value, found.previous.value
    named = named_by(by, names)
    chart = None
    if found.series.value is not None:
        chart = charts.stacked(found.series.value, metric, scope.step, figures, named, found.before.value)
    return await page(
        services,
        request,
        "overview.html",
        scope,
        title="Overview",
        totals=found.totals,
        tiles=[] if totals is None else tiles_of(totals, previous or Totals(), figures),
        quantiles=[] if totals is None else _quantiles(totals, previous or Totals(), figures),
        series=found.series,
        chart=chart,
        table=found.table,
        by=by,
        choices_by=_choices(request),
        metric=metric,
        metrics=METRICS,
        named=named,
        cost_of=cost_of,
        twin="/dashboard/overview",
        twin_query=scope.query(by=by if by != "alias" else None),
        extra=[(name, value) for name, value in (("by", by), ("metric", metric)) if value not in ("alias", "cost")],
    )


async def show_json(services: PageServices, request: PageRequest) -> Response:
    """The same as JSON."""
    scope, names = await scope_of(services, request)
    by = _by(request)
    found = await _read(services, scope, by, MAX_LINES, durations=True)
    for_admin, named = scope.viewer.is_admin, named_by(by, names)
    table = found.table
    return json_response(
        OverviewDocument(
            scope=scope_document(scope),
            totals=_totals(found.totals, for_admin=for_admin),
            previous_scope=scope_document(scope, scope.previous),
            previous=_totals(found.previous, for_admin=for_admin),
            chart=_chart(found.series, by, scope, named),
            previous_chart=_chart(found.before, "", scope, {"": "all"}),
            table=table_document(table, by, named, for_admin=for_admin),
            errors={name: error for name, error in found.errors() if error},
        )
    )


async def show_csv(services: PageServices, request: PageRequest) -> Response:
    """The table as CSV, with all of its lines."""
    scope, names = await scope_of(services, request)
    by = _by(request)
    found = await boards_of(services).groups(scope.board, by, limit=MAX_LINES)
    named, for_admin = named_by(by, names), scope.viewer.is_admin
    lines = [line_document(group, named, for_admin=for_admin) for group in found.groups]
    return csv_response(f"usage-by-{by}", map(flat, lines), line_columns())


def line_columns() -> list[str]:
    """The columns of a CSV file of `LineDocument`s."""
    empty = LineDocument(group="", name="", totals=totals_document(Totals(), for_admin=True), last_used=None)
    return list(flat(empty))


def table_document(table: Block[GroupPage], by: str, named: Mapping[str, str], *, for_admin: bool) -> TableDocument:
    """A table of groups as JSON."""
    if table.value is None:
        return TableDocument(by=by, lines=[], error=table.error)
    lines = [line_document(group, named, for_admin=for_admin) for group in table.value.groups]
    return TableDocument(by=by, lines=lines, cursor=table.value.cursor)


def named_by(by: str, names: Names) -> Mapping[str, str]:
    """What the groups are called, where they are ids."""
    known = names.keys if by == "key" else names.teams if by == "team" else {}
    return {**known, "": _NONE.get(by, "none")}


def tiles_of(now: Totals, before: Totals, figures: Figures) -> list[Tile]:
    """The figures at the top of a page, each with its change."""
    cost, cost_before = cost_of(now), cost_of(before)
    money = figures.money(cost)
    unpriced = f"{now.unpriced:,} unpriced requests are not in it" if now.unpriced else ""
    tokens, tokens_before = now.input_tokens + now.output_tokens, before.input_tokens + before.output_tokens
    kinds = ((now.cached_input_tokens, "cached"), (now.reasoning_tokens, "reasoning"))
    inside = ", ".join(f"{figures.short(count)} {kind}" for count, kind in kinds if count)
    return [
        Tile("Spend", money.text, money.exact, figures.change(cost, cost_before), note=unpriced),
        Tile(
            "Requests", figures.short(now.requests), f"{now.requests:,}", figures.change(now.requests, before.requests)
        ),
        Tile(
            "Tokens",
            figures.short(tokens),
            f"{tokens:,}",
            figures.change(tokens, tokens_before),
            note=f"{now.estimated:,} requests are estimated" if now.estimated else "",
        ),
        Tile(
            "Input tokens",
            figures.short(now.input_tokens),
            f"{now.input_tokens:,} ({now.cached_input_tokens:,} read from a cache)",
            figures.change(now.input_tokens, before.input_tokens),
            note=f"{figures.share(now.cached_input_tokens, now.input_tokens)} cached"
            if now.cached_input_tokens
            else "",
        ),
        Tile(
            "Output tokens",
            figures.short(now.output_tokens),
            f"{now.output_tokens:,} ({now.reasoning_tokens:,} of reasoning)",
            figures.change(now.output_tokens, before.output_tokens),
            note=f"{figures.share(now.reasoning_tokens, now.output_tokens)} reasoning"
            if now.reasoning_tokens
            else inside,
        ),
        Tile(
            "Error rate",
            figures.share(now.errors, now.requests),
            f"{now.errors:,} of {now.requests:,} requests",
            figures.change(per_mille(now.errors, now.requests), per_mille(before.errors, before.requests)),
            more_is="bad",
            note=f"{now.errors:,} errors" if now.errors else "",
        ),
    ]


def _quantiles(now: Totals, before: Totals, figures: Figures) -> list[Quantile]:
    lines = (
        ("Time to first token", "until the first byte of the response", now.ttft, before.ttft),
        ("Total", "until the last byte", now.total, before.total),
        ("Gateway overhead", "the total without waiting for the upstream", now.overhead, before.overhead),
    )
    return [
        Quantile(
            name,
            help_,
            tuple(
                (figures.duration(one), figures.change(one, other))
                for one, other in ((new.p50, old.p50), (new.p95, old.p95), (new.p99, old.p99), (new.mean, old.mean))
            ),
        )
        for name, help_, new, old in lines
    ]


async def _read(services: PageServices, scope: Scope, by: By, limit: int, *, durations: bool) -> _Blocks:
    """The blocks; of charts with `durations` or without."""
    boards = boards_of(services)
    totals, previous, series, before, table = await asyncio.gather(
        block(boards.totals(scope.board)),
        block(boards.totals(scope.before)),
        block(boards.series(scope.board, by, durations=durations)),
        block(boards.series(scope.before, "", durations=durations)),
        block(boards.groups(scope.board, by, limit=limit)),
    )
    return _Blocks(totals, previous, series, before, table)


def _chart(found: Block[Series], by: By, scope: Scope, named: Mapping[str, str]) -> ChartDocument:
    if found.value is None:
        return ChartDocument(by=by, step=scope.step, starts=[], lines=[], error=found.error)
    return chart_document(found.value, by, scope.step, named)


def _totals(found: Block[Totals], *, for_admin: bool) -> TotalsDocument | None:
    return None if found.value is None else totals_document(found.value, for_admin=for_admin)


def _choices(request: PageRequest) -> dict[str, str]:
    is_admin = request.signed_in.is_admin
    return {by: name for by, name in BY.items() if is_admin or by in _OWNERS_BY}


def _by(request: PageRequest) -> By:
    by, choices = request.query.get("by") or "alias", _choices(request)
    if by not in choices:
        raise InvalidRequest(f"'by' is one of {', '.join(choices)}.", param="by")
    return cast(By, by)


def _metric(request: PageRequest) -> str:
    metric = request.query.get("metric") or "cost"
    if metric not in METRICS:
        raise InvalidRequest(f"'metric' is one of {', '.join(METRICS)}.", param="metric")
    return metric


ROWS: Final = (
    Page("GET", "/dashboard", show, "Spend, requests, tokens and latencies.", "dashboard", Access.VIEWER),
    Page("GET", "/dashboard/overview.json", show_json, "The overview as JSON.", "dashboard", Access.VIEWER),
    Page("GET", "/dashboard/overview.csv", show_csv, "Its table as CSV.", "dashboard", Access.VIEWER),
)
