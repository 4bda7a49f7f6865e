"""Traffic: `/stats`, and the health of providers. Reports have a connection of their own, so they delay no ledger."""

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
from proxy.observability.providers import ProviderReport

#: The time of which `/stats` reports, where `since` says no other.
STATS_SPAN: Final = "24h"
TOP_USERS: Final = 10
#: Longest time that a report may take, in seconds.
MAX_REPORT_SECONDS: Final = 20.0
_SPAN: Final = re.compile(r"([0-9]{1,6})([smhdw])")
_UNITS: Final[Mapping[str, str]] = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


class StatsQuery(Input, frozen=True):
    """The query of `/stats`."""

    #: A span back from now, such as `24h`, or an ISO timestamp.
    since: str = STATS_SPAN


class Hits(msgspec.Struct, frozen=True):
    """Look-ups in a cache; zeros while there is none."""

    hits: int = 0
    misses: int = 0
    hit_rate: float = 0.0


class CacheHits(msgspec.Struct, frozen=True):
    """Look-ups in each cache."""

    exact_cache: Hits = Hits()
    semantic_cache: Hits = Hits()


class ProviderTraffic(msgspec.Struct, frozen=True):
    """What one provider did; the mean latency in seconds."""

    requests: int
    tokens: int
    avg_latency: float


class TopUser(msgspec.Struct, frozen=True):
    """A key that made many requests."""

    #: Its name and the last characters of its secret.
    api_key: str
    key_id: str
    requests: int


class Throttled(msgspec.Struct, frozen=True):
    """What limits refused, and the busiest keys."""

    requests_throttled: int
    top_users: list[TopUser]


class Stats(msgspec.Struct, frozen=True):
    """The traffic of all workers since a moment."""

    total_requests: int
    since: str
    cache_stats: CacheHits
    provider_stats: dict[str, ProviderTraffic]
    rate_limit_stats: Throttled


class ProviderList(msgspec.Struct, frozen=True):
    """The state of upstreams, over all workers."""

    providers: list[ProviderReport]


class OrgProviders(msgspec.Struct, frozen=True):
    """The state of an organisation's upstreams."""

    org_id: str
    providers: list[ProviderReport]


async def stats(services: AdminServices, request: AdminRequest) -> Result:
    """Requests, tokens and mean latency by provider, refusals by limits, and the busiest keys."""
    since = since_of(request.query.since, datetime.now(UTC))
    async with services.state.ledger.read() as reports:
        usage = await reports.usage(by="upstream", since=since, limit=PAGE, timeout=MAX_REPORT_SECONDS)
        throttled = await reports.refused(429, since)
        busiest = await reports.busiest("key", since, TOP_USERS)
    users = [TopUser(masked(await services.store.keys.find(id_)), id_, requests) for id_, requests in busiest]
    providers = {
        line.group: ProviderTraffic(
            line.requests,
            line.input_tokens + line.output_tokens,
            round((line.total.mean or 0) / 1_000_000, 3),
        )
        for line in usage.lines
        # What was refused has no provider.
        if line.group
    }
    start = since.replace(minute=0, second=0, microsecond=0).strftime("%Y-%m-%dT%H:%M:%SZ")
    return Result(Stats(usage.totals.requests, start, CacheHits(), providers, Throttled(throttled, users)))


async def list_providers(services: AdminServices, request: AdminRequest) -> Result:
    """The state of every upstream, over all workers."""
    return Result(ProviderList(await services.providers.reports()))


async def list_org_providers(services: AdminServices, request: AdminRequest) -> Result:
    """The state of the upstreams that an organisation's document names; of all where it names none."""
    org = request.ids["org_id"]
    if await services.store.orgs.find(org) is None:
        raise InvalidRequest("org config not found", status=404, code="org_not_found", param="org_id")
    document: Mapping[str, Any] = await services.store.orgs.config(org) or {}
    named = document.get("providers")
    only = list(named) if isinstance(named, dict) and named else None
    return Result(OrgProviders(org, await services.providers.reports(only)))


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
