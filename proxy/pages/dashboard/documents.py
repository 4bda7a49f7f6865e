"""Documents: the JSON twins of the dashboard's pages, whose rows are also those of the CSV files.

Money is an exact decimal of dollars in a string, durations are microseconds, times are ISO 8601 in UTC. What is not
known is null. What only operators may see (upstreams, what they cost) is null for the owner of a key.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from proxy.admin.routes.pages import usd, utc
from proxy.ledger.board_values import Group, Quantiles, RequestRow, Series, Totals
from proxy.pages.dashboard.figures import cost_of, margin_of, target_cost_of
from proxy.pages.dashboard.scope import Range, Scope


class TotalsDocument(msgspec.Struct, frozen=True, kw_only=True):
    """Sums of requests."""

    requests: int
    errors: int
    input_tokens: int
    cached_input_tokens: int
    cache_write_tokens: int
    output_tokens: int
    reasoning_tokens: int
    audio_milliseconds: int
    images: int
    #: Of the priced requests; null where none is.
    cost_usd: str | None
    #: Requests whose cost is not known.
    unpriced: int
    #: For admins, where the configuration has what targets cost.
    target_cost_usd: str | None
    margin_usd: str | None
    #: Requests whose tokens are estimated.
    estimated: int
    ttft: Quantiles
    total: Quantiles
    overhead: Quantiles


class LineDocument(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a table; its name where the group is an id."""

    group: str
    name: str
    totals: TotalsDocument
    #: The hour of the last request.
    last_used: str | None


class TableDocument(msgspec.Struct, frozen=True, kw_only=True):
    """A table, or why there is none."""

    by: str
    lines: list[LineDocument]
    #: Of the next page.
    cursor: str | None = None
    error: str | None = None


class ChartLine(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a chart: a value for each period. The group is null for all that are in no line of their own."""

    group: str | None
    name: str
    requests: list[int]
    errors: list[int]
    tokens: list[int]
    cost_usd: list[str | None]
    ttft_p50: list[int | None]
    ttft_p95: list[int | None]
    ttft_p99: list[int | None]


class ChartDocument(msgspec.Struct, frozen=True, kw_only=True):
    """A chart, or why there is none."""

    by: str
    step: str
    #: When each period begins, in seconds since 1970.
    starts: list[int]
    lines: list[ChartLine]
    error: str | None = None


class ScopeDocument(msgspec.Struct, frozen=True, kw_only=True):
    """What a document is about."""

    since: str | None
    until: str | None
    step: str
    zone: str
    filters: Mapping[str, tuple[str, ...]]


class RequestDocument(msgspec.Struct, frozen=True, kw_only=True):
    """One request. Its upstream is there for admins only, and bodies are never stored."""

    id: str
    started: str | None
    key: str
    key_name: str
    alias: str
    requested_model: str
    endpoint: str
    stream: bool
    status: int
    outcome: str
    error_code: str | None
    attempts: int
    input_tokens: int
    cached_input_tokens: int
    output_tokens: int
    reasoning_tokens: int
    audio_milliseconds: int
    images: int
    usage_source: str
    cost_usd: str | None
    ttft: int | None
    total: int
    overhead: int
    session: str
    user: str
    metadata: str
    upstream: str | None
    upstream_model: str | None
    target_cost_usd: str | None


def totals_document(totals: Totals, *, for_admin: bool) -> TotalsDocument:
    """Sums as JSON has them."""
    return TotalsDocument(
        requests=totals.requests,
        errors=totals.errors,
        input_tokens=totals.input_tokens,
        cached_input_tokens=totals.cached_input_tokens,
        cache_write_tokens=totals.cache_write_tokens,
        output_tokens=totals.output_tokens,
        reasoning_tokens=totals.reasoning_tokens,
        audio_milliseconds=totals.audio_milliseconds,
        images=totals.images,
        cost_usd=usd(cost_of(totals)),
        unpriced=totals.unpriced,
        target_cost_usd=usd(target_cost_of(totals)) if for_admin else None,
        margin_usd=usd(margin_of(totals)) if for_admin else None,
        estimated=totals.estimated,
        ttft=totals.ttft,
        total=totals.total,
        overhead=totals.overhead,
    )


def line_document(group: Group, named: Mapping[str, str], *, for_admin: bool) -> LineDocument:
    """A line of a table."""
    return LineDocument(
        group=group.group,
        name=named.get(group.group, group.group),
        totals=totals_document(group.totals, for_admin=for_admin),
        last_used=utc(group.last_used),
    )


def chart_document(series: Series, by: str, step: str, named: Mapping[str, str], other: str = "other") -> ChartDocument:
    """A chart. Its last line is that of all others, where there are any."""
    lines = [
        ChartLine(
            group=line.group,
            name=other if line.group is None else named.get(line.group, line.group),
            requests=[one.requests for one in line.values],
            errors=[one.errors for one in line.values],
            tokens=[one.input_tokens + one.output_tokens for one in line.values],
            cost_usd=[usd(cost_of(one)) for one in line.values],
            ttft_p50=[one.ttft.p50 for one in line.values],
            ttft_p95=[one.ttft.p95 for one in line.values],
            ttft_p99=[one.ttft.p99 for one in line.values],
        )
        for line in series.lines
    ]
    return ChartDocument(by=by, step=step, starts=list(series.starts), lines=lines)


def scope_document(scope: Scope, span: Range | None = None) -> ScopeDocument:
    """A scope; of the period before, where that is given."""
    span = span or scope.range
    return ScopeDocument(
        since=utc(span.since), until=utc(span.until), step=scope.step, zone=scope.zone, filters=scope.filters
    )


def request_document(row: RequestRow, named: Mapping[str, str], *, for_admin: bool) -> RequestDocument:
    """A request as its viewer may see it."""
    record = row.record
    return RequestDocument(
        id=record.id,
        started=utc_microseconds(record.started),
        key=record.key,
        key_name=named.get(record.key, record.key),
        alias=record.alias,
        requested_model=record.requested_model,
        endpoint=record.endpoint,
        stream=record.stream,
        status=record.status,
        outcome=record.outcome,
        error_code=record.error_code,
        attempts=record.attempts,
        input_tokens=record.input_tokens,
        cached_input_tokens=record.cached_input_tokens,
        output_tokens=record.output_tokens,
        reasoning_tokens=record.reasoning_tokens,
        audio_milliseconds=record.audio_milliseconds,
        images=record.images,
        usage_source=record.usage_source,
        cost_usd=usd(record.cost),
        ttft=record.ttft,
        total=record.total,
        overhead=record.overhead,
        session=record.session,
        user=record.user,
        metadata=record.metadata,
        upstream=record.upstream if for_admin else None,
        upstream_model=record.upstream_model if for_admin else None,
        target_cost_usd=usd(record.target_cost) if for_admin else None,
    )


def utc_microseconds(moment: int) -> str:
    """A time in microseconds since 1970 as ISO 8601, with its milliseconds."""
    whole = (utc(moment // 1_000_000) or "").removesuffix("Z")
    return f"{whole}.{moment // 1_000 % 1_000:03}Z"


def flat(document: Any) -> dict[str, Any]:
    """A document as one row of a CSV file: what is nested has its names joined by a dot."""
    plain: dict[str, Any] = msgspec.to_builtins(document)
    row: dict[str, Any] = {}
    for name, value in plain.items():
        if isinstance(value, dict):
            row |= {f"{name}.{inner}": one for inner, one in flat_of(value).items()}
        else:
            row[name] = value
    return row


def flat_of(value: Mapping[str, Any]) -> dict[str, Any]:
    """The same of a table of plain types."""
    row: dict[str, Any] = {}
    for name, one in value.items():
        if isinstance(one, dict):
            row |= {f"{name}.{inner}": item for inner, item in flat_of(one).items()}
        else:
            row[name] = one
    return row
