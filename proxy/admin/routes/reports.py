"""Reports: what was used, and who has changed what."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final, Literal, cast, get_args

import msgspec
from msgspec import UNSET, Meta, UnsetType

from proxy.admin.request import AdminRequest, Input, Result
from proxy.admin.routes.pages import Listed, PageSize, Time, Usd, is_id, listed, usd, utc
from proxy.admin.services import AdminServices
from proxy.auth.audit import AuditRow
from proxy.auth.names import Names, read_names
from proxy.errors import InvalidRequest
from proxy.ledger.grouping import By
from proxy.ledger.reports import MAX_TREND_PARTS, PAGE, Latency, UsageLine
from proxy.ledger.selection import Selection

#: Longest time that a report may take, in seconds.
MAX_REPORT_SECONDS: Final = 20.0
#: Before the name by which lines of metadata are.
_METADATA: Final = "metadata:"
#: The largest integer of SQLite's.
_MAX_INTEGER: Final = 2**63 - 1
_UNITS: Final = {"m": 60, "h": 3_600, "d": 86_400, "w": 604_800}


class UsageQuery(Input, frozen=True):
    """The query of a usage report. A filter that is given more than once takes all of them."""

    #: What a line is of: key, model, team, org, tag, endpoint, upstream, session, user, outcome, hour, day, week,
    #: month, or metadata:NAME.
    by: str = "model"
    #: From then on, and to before then: an ISO timestamp with its zone, a date (UTC), or so long ago (24h, 7d).
    since: str | None = None
    until: str | None = None
    #: Time zone of days, weeks and months.
    zone: str = "UTC"
    #: Keys, by name or id.
    key: tuple[str, ...] = ()
    #: Keys that have the tag now.
    tag: tuple[str, ...] = ()
    #: Teams and organisations, by name or id, as they were when the request was made.
    team: tuple[str, ...] = ()
    org: tuple[str, ...] = ()
    alias: tuple[str, ...] = ()
    #: Such as /v1/embeddings.
    endpoint: tuple[str, ...] = ()
    upstream: tuple[str, ...] = ()
    outcome: tuple[str, ...] = ()
    #: Such as 429 or 5xx.
    status: tuple[str, ...] = ()
    #: What clients have called it.
    session: tuple[str, ...] = ()
    user: tuple[str, ...] = ()
    #: NAME=VALUE.
    metadata: tuple[str, ...] = ()
    #: Parts of each line's trend; none is 0.
    trend: Annotated[int, Meta(ge=0, le=MAX_TREND_PARTS)] = 0
    limit: Annotated[int, Meta(ge=1, le=PAGE)] = 100
    cursor: str | None = None


class LineDocument(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a report, or its totals. Durations are microseconds; dollars are null where they are not known."""

    #: What `by` says: an id, an alias, a period in ISO 8601. Empty in the totals, and for what has none.
    group: str
    requests: int
    errors: int
    input_tokens: int
    cached_input_tokens: int
    cache_write_tokens: int
    output_tokens: int
    reasoning_tokens: int
    audio_milliseconds: int
    images: int
    #: Requests whose cost is not known.
    unpriced: int
    #: Requests for which it is not known what the targets cost the operator.
    uncosted: int
    #: Requests whose tokens are estimated.
    estimated: int
    ttft: Latency
    total: Latency
    overhead: Latency
    #: Requests in each part of the time; empty where no trend was asked for.
    trend: tuple[int, ...]
    cost_nano_usd: int
    cost_usd: Usd | None
    #: What the targets cost the operator.
    target_cost_nano_usd: int
    target_cost_usd: Usd | None
    margin_nano_usd: int
    margin_usd: Usd | None
    #: Of a key, a team or an organisation that is still stored.
    name: str | UnsetType = UNSET


class UsageDocument(msgspec.Struct, frozen=True, kw_only=True):
    """A usage report, as `prometheus-gateway usage --json` prints it."""

    object: Literal["usage"] = "usage"
    by: str
    #: The time zone of its periods.
    zone: str
    lines: list[LineDocument]
    #: Of the whole time and selection, and not of the page.
    totals: LineDocument
    #: Of the next page.
    cursor: str | None


class AuditQuery(Input, frozen=True):
    """The query of the audit table."""

    limit: PageSize = 100
    #: The last id of the page before.
    before: Annotated[int, Meta(ge=0, le=_MAX_INTEGER)] | None = None
    #: An id or a name.
    object: str | None = None
    actor: str | None = None
    #: Such as key.create, or key alone.
    action: str | None = None
    #: As in a usage report.
    since: str | None = None


class AuditEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One change, with the object before and after it; secrets are in neither."""

    id: int
    time: Time | None
    actor: str
    action: str
    #: The id of what was changed, and its name at that time.
    object: str
    name: str
    before: dict[str, Any] | None
    after: dict[str, Any] | None


class AuditList(Listed, frozen=True, kw_only=True):
    """Changes, the newest first."""

    data: list[AuditEntry]


async def usage(services: AdminServices, request: AdminRequest) -> Result:
    """Requests, tokens, cost and margin, summed up."""
    query: UsageQuery = request.query
    since, until = moment(query.since, "since"), moment(query.until, "until")
    if since is not None and until is not None and since >= until:
        raise InvalidRequest("'since' must lie before 'until'.", param="since")
    by = "metadata" if query.by.startswith(_METADATA) else "model" if query.by == "alias" else query.by
    if by not in get_args(By) or query.by == "metadata":
        known = ", ".join(("alias", *(one for one in get_args(By) if one != "metadata")))
        raise InvalidRequest(f"'by' must be one of {known}, or {_METADATA}NAME.", param="by")
    names = await read_names(services.state.ledger.data_dir)
    only = _selection(query, names)
    async with services.state.ledger.read() as reports:
        report = await reports.usage(
            by=cast(By, by),
            metadata_key=query.by.removeprefix(_METADATA) if by == "metadata" else "",
            zone=query.zone,
            tags=names.tags,
            since=since,
            until=until,
            only=only,
            limit=query.limit,
            cursor=query.cursor,
            parts=query.trend,
            timeout=MAX_REPORT_SECONDS,
        )
    named = {"key": names.keys, "team": names.teams, "org": names.orgs}.get(by, {})
    lines = [_line(line, named) for line in report.lines]
    return Result(
        UsageDocument(by=query.by, zone=report.zone, lines=lines, totals=_line(report.totals, {}), cursor=report.cursor)
    )


def _selection(query: UsageQuery, names: Names) -> Selection:
    """The filters as the ledger has them. Raises `InvalidRequest` for what is not there."""
    return Selection(
        keys=tuple(id_ for key in query.key for id_ in _key_ids(names, key)),
        tagged=tuple({id_ for tag in query.tag for id_ in names.tagged(tag)}) if query.tag else None,
        teams=tuple(_group_id(names.teams, "team", team) for team in query.team),
        orgs=tuple(_group_id(names.orgs, "org", org) for org in query.org),
        aliases=query.alias,
        endpoints=query.endpoint,
        upstreams=query.upstream,
        outcomes=query.outcome,
        statuses=query.status,
        sessions=query.session,
        users=query.user,
        metadata=tuple(_pair(text) for text in query.metadata),
    )


def _entry(row: AuditRow) -> AuditEntry:
    return AuditEntry(**{**msgspec.structs.asdict(row), "time": utc(row.time)})


async def audit(services: AdminServices, request: AdminRequest) -> Result:
    """Who has changed what, the newest first."""
    query: AuditQuery = request.query
    since = moment(query.since, "since")
    found = await services.store.audit.list(
        limit=query.limit + 1,
        before=query.before,
        object=query.object,
        actor=query.actor,
        action=query.action,
        since=None if since is None else int(since.timestamp()),
    )
    return listed(AuditList, found, query.limit, _entry)


def moment(text: str | None, name: str) -> datetime | None:
    """A time of a query. Raises `InvalidRequest`."""
    if text is None:
        return None
    if text[:-1].isdigit() and text[:-1].isascii() and len(text) <= 7 and text[-1:] in _UNITS:
        try:
            return datetime.now(UTC) - timedelta(seconds=int(text[:-1]) * _UNITS[text[-1]])
        except OverflowError as error:
            raise InvalidRequest(f"'{name}' lies before the year 1.", param=name) from error
    try:
        found = datetime.fromisoformat(text)
        if len(text) == len("2026-11-01"):
            return found.replace(tzinfo=UTC)
        if found.tzinfo is None:
            raise InvalidRequest(f"'{name}' has no time zone; add one, such as Z for UTC.", param=name)
        return found.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        message = f"'{name}' is no time such as 24h, 7d, 2026-11-01 or 2026-11-01T12:00:00Z."
        raise InvalidRequest(message, param=name) from error


def _key_ids(names: Names, name: str) -> tuple[str, ...]:
    # The usage of a key outlives it: an id need not be that of one that is still stored.
    found = names.key_ids(name) or ((name,) if is_id(name) else ())
    if not found:
        raise InvalidRequest(f"there is no key {name[:64]!r}", status=404, code="key_not_found", param="key")
    return found


def _group_id(known: Mapping[str, str], kind: str, wanted: str) -> str:
    for id_, name in known.items():
        if wanted in (id_, name):
            return id_
    if is_id(wanted):
        return wanted
    message = f"there is no {'team' if kind == 'team' else 'organisation'} {wanted[:64]!r}"
    raise InvalidRequest(message, status=404, code=f"{kind}_not_found", param=kind)


def _pair(text: str) -> tuple[str, str]:
    name, mark, value = text.partition("=")
    if not mark or not name:
        raise InvalidRequest("'metadata' must be NAME=VALUE, such as project=web.", param="metadata")
    return name, value


def _line(line: UsageLine, names: Mapping[str, str]) -> LineDocument:
    """A line with its money as nano-dollars and as exact decimals; null where it is known of no request."""
    fields = msgspec.structs.asdict(line)
    has_cost = not line.unpriced or line.unpriced < line.requests
    for name, is_known in (("cost", has_cost), ("target_cost", line.has_margin), ("margin", line.has_margin)):
        nano = fields.pop(name)
        fields |= {f"{name}_nano_usd": nano, f"{name}_usd": usd(nano) if is_known else None}
    return LineDocument(**fields, name=names.get(line.group, UNSET))
