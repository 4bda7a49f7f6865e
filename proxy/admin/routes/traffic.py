"""What the traffic is: `/stats`, and the health of providers.

Reports have a connection of their own, so they delay no ledger.
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import msgspec

from proxy.admin.request import AdminRequest, Input, Result
from proxy.admin.services import AdminServices
from proxy.auth.keys import StoredKey
from proxy.errors import InvalidRequest
from proxy.ledger.reports import PAGE

#: The time of which `/stats` reports, in hours, where `since` says no other.
STATS_HOURS: Final = 24
TOP_USERS: Final = 10
#: Longest time that a report may take, in seconds.
MAX_REPORT_SECONDS: Final = 20.0
_SPAN: Final = re.compile(r"([0-9]{1,6})([smhdw])")
_UNITS: Final[Mapping[str, str]] = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


class StatsQuery(Input, frozen=True):
    """The query of `/stats`."""

    #: A span back from now, such as 24h or 7d, or an ISO timestamp.
    since: str = f"{STATS_HOURS}h"


class CacheHits(msgspec.Struct, frozen=True):
    """What a cache has served; there is none yet."""

    hits: int = 0
    misses: int = 0
    hit_rate: float = 0.0


class CacheHitsByKind(msgspec.Struct, frozen=True):
    """The caches."""

    exact_cache: CacheHits = CacheHits()
    semantic_cache: CacheHits = CacheHits()


class ProviderTraffic(msgspec.Struct, frozen=True):
    """What one upstream has served; its mean latency is in seconds."""

    requests: int
    tokens: int
    avg_latency: float


class BusyKey(msgspec.Struct, frozen=True):
    """One of the keys with the most requests: its name and the end of its secret."""

    api_key: str
    key_id: str
    requests: int


class LimitTraffic(msgspec.Struct, frozen=True):
    """Requests that limits have refused, and the busiest keys."""

    requests_throttled: int
    top_users: list[BusyKey]


class Stats(msgspec.Struct, frozen=True):
    """The traffic since a time, of all workers."""

    total_requests: int
    since: str
    cache_stats: CacheHitsByKind
    provider_stats: dict[str, ProviderTraffic]
    rate_limit_stats: LimitTraffic


class ProviderHealth(msgspec.Struct, frozen=True):
    """The state of every upstream, over all workers (docs/health.md)."""

    providers: list[Any]


class OrgProviderHealth(ProviderHealth, frozen=True):
    """The state of the upstreams of an organisation."""

    org_id: str


async def stats(services: AdminServices, request: AdminRequest) -> Result:
    """Requests, tokens and mean latency (in seconds) by provider, refusals by limits, and the busiest keys."""
    since = since_of(request.query.since, datetime.now(UTC))
    async with services.state.ledger.read() as reports:
        usage = await reports.usage(by="upstream", since=since, limit=PAGE, timeout=MAX_REPORT_SECONDS)
        throttled = await reports.refused(429, since)
        busiest = await reports.busiest("key", since, TOP_USERS)
    keys = {id_: await services.store.keys.find(id_) for id_, _ in busiest}
    providers = {
        line.group: ProviderTraffic(
            line.requests, line.input_tokens + line.output_tokens, round((line.total.mean or 0) / 1_000_000, 3)
        )
        for line in usage.lines
        # What was refused has no provider.
        if line.group
    }
    top = [BusyKey(masked(keys[id_]), id_, requests) for id_, requests in busiest]
    begin = since.replace(minute=0, second=0, microsecond=0).strftime("%Y-%m-%dT%H:%M:%SZ")
    return Result(Stats(usage.totals.requests, begin, CacheHitsByKind(), providers, LimitTraffic(throttled, top)))


async def providers(services: AdminServices, request: AdminRequest) -> Result:
    """The state of every upstream, over all workers."""
    return Result(ProviderHealth(list(await services.providers.reports())))


async def org_providers(services: AdminServices, request: AdminRequest) -> Result:
    """The state of the upstreams that an organisation's document names; of all where it names none."""
    org = request.ids["org_id"]
    if await services.store.orgs.find(org) is None:
        raise InvalidRequest("org config not found", status=404, code="org_not_found", param="org_id")
    document: Mapping[str, Any] = await services.store.orgs.config(org) or {}
    named = document.get("providers")
    only = list(named) if isinstance(named, dict) and named else None
    return Result(OrgProviderHealth(list(await services.providers.reports(only)), org))


def masked(key: StoredKey | None) -> str:
    """A key as it may be shown: its name and the last four characters of its secret; `unknown` where it is gone."""
    return "unknown" if key is None else f"{key.name} (****{key.hint})"


def since_of(text: str, now: datetime) -> datetime:
    """A moment: a span back from now, such as `24h`, or an ISO timestamp, of UTC where it names no zone.

    Raises InvalidRequest.
    """
    match = _SPAN.fullmatch(text)
    try:
        if match is not None:
            return now - timedelta(**{_UNITS[match[2]]: int(match[1])})
        moment = datetime.fromisoformat(text)
        return (moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        message = f"since {text[:64]!r} is no time: write a span such as 24h or 7d, or an ISO timestamp"
        raise InvalidRequest(message, param="since") from error
