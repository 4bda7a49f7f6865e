"""Reports: what was used, and who has changed what."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from proxy.admin.request import AdminRequest, Input, Result
from proxy.admin.routes.pages import Listed, PageSize, is_id, usd, utc
from proxy.admin.services import AdminServices
from proxy.errors import InvalidRequest
from proxy.ledger.reports import PAGE
from proxy.ledger.selection import Selection

_UNITS = {"m": 60, "h": 3_600, "d": 86_400, "w": 604_800}


class UsageQuery(Input, frozen=True):
    """The query of a usage report. A filter that is given more than once takes all of them."""

    by: Literal["key", "model", "day", "hour"] = "model"
    #: From then on, and to before then: an ISO timestamp with its zone, a date (UTC), or so long ago (24h, 7d).
    since: str | None = None
    until: str | None = None
    #: By name or id.
    key: tuple[str, ...] = ()
    alias: tuple[str, ...] = ()
    upstream: tuple[str, ...] = ()
    outcome: tuple[str, ...] = ()
    limit: Annotated[int, Meta(ge=1, le=PAGE)] = 100
    cursor: str | None = None


class UsageDocument(msgspec.Struct, frozen=True, kw_only=True):
    """A usage report, as `prometheus-gateway usage --json` prints it."""

    object: str = "usage"
    by: str
    lines: list[dict[str, Any]]
    #: Of the whole time and selection, and not of the page.
    totals: dict[str, Any]
    #: Of the next page.
    cursor: str | None


class AuditQuery(Input, frozen=True):
    """The query of the audit table."""

    limit: PageSize = 100
    #: The last id of the page before.
    before: int | None = None
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
    time: str | None
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
    """Requests, tokens and cost, summed up."""
    query: UsageQuery = request.query
    since, until = moment(query.since, "since"), moment(query.until, "until")
    if since is not None and until is not None and since >= until:
        raise InvalidRequest("'since' must lie before 'until'.", param="since")
    keys = tuple([await _key_id(services, name) for name in query.key])
    only = Selection(keys=keys, aliases=query.alias, upstreams=query.upstream, outcomes=query.outcome)
    report = await services.state.ledger.reports.usage(
        by=query.by, since=since, until=until, only=only, limit=query.limit, cursor=query.cursor
    )
    names: dict[str, str] = {}
    if query.by == "key":
        for line in report.lines:
            key = await services.store.keys.find(line.group)
            if key is not None:
                names[line.group] = key.name
    lines = [_line(msgspec.to_builtins(line), names) for line in report.lines]
    totals = _line(msgspec.to_builtins(report.totals), {})
    return Result(UsageDocument(by=query.by, lines=lines, totals=totals, cursor=report.cursor))


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
    data = [
        AuditEntry(
            id=row.id,
            time=utc(row.time),
            actor=row.actor,
            action=row.action,
            object=row.object,
            name=row.name,
            before=row.before,
            after=row.after,
        )
        for row in found[: query.limit]
    ]
    has_more = len(found) > query.limit
    return Result(AuditList(data=data, has_more=has_more, last_id=str(data[-1].id) if data else None))


def moment(text: str | None, name: str) -> datetime | None:
    """A time of a query. Raises `InvalidRequest`."""
    if text is None:
        return None
    if text[:-1].isdigit() and text[:-1].isascii() and len(text) <= 7 and text[-1:] in _UNITS:
        return datetime.now(UTC) - timedelta(seconds=int(text[:-1]) * _UNITS[text[-1]])
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


async def _key_id(services: AdminServices, name: str) -> str:
    # The usage of a key outlives it: an id need not be that of one that is still stored.
    return name if is_id(name) else (await services.store.keys.get(name)).id


def _line(plain: dict[str, Any], names: dict[str, str]) -> dict[str, Any]:
    """A line with its money as nano-dollars and as exact decimals; unknown where no request has a price."""
    cost = plain.pop("cost")
    is_unknown = plain["unpriced"] and plain["unpriced"] == plain["requests"]
    plain["cost_nano_usd"] = cost
    plain["cost_usd"] = usd(None if is_unknown else cost)
    if plain["group"] in names:
        plain["name"] = names[plain["group"]]
    return plain
