"""What goes through the gateway, in the shape that dashboards of its kind read, and the health of the upstreams."""

from collections.abc import Mapping
from datetime import UTC
from typing import Any, Final

import msgspec

from proxy.admin.request import AdminRequest, Input, Result
from proxy.admin.routes.reports import MAX_REPORT_SECONDS, moment
from proxy.admin.services import AdminServices
from proxy.auth.keys import StoredKey
from proxy.errors import InvalidRequest
from proxy.ledger.reports import PAGE
from proxy.observability.providers import ProviderReport

#: The time of which `/stats` reports, where `since` says no other.
STATS_SINCE: Final = "24h"
TOP_USERS: Final = 10


class StatsQuery(Input, frozen=True):
    """The query of the statistics."""

    #: An ISO timestamp with its zone, a date (UTC), or so long ago (24h, 7d).
    since: str = STATS_SINCE


class CacheHits(msgspec.Struct, frozen=True):
    """What a cache has served. There is none yet."""

    hits: int = 0
    misses: int = 0
    hit_rate: float = 0.0


class ProviderStats(msgspec.Struct, frozen=True):
    """What one upstream has served."""

    requests: int
    #: Input and output tokens.
    tokens: int
    #: Mean time of whole requests, in seconds.
    avg_latency: float


class TopUser(msgspec.Struct, frozen=True):
    """One of the busiest keys."""

    #: Its name, and the last four characters of its secret.
    api_key: str
    key_id: str
    requests: int


class RateLimitStats(msgspec.Struct, frozen=True):
    """Requests that the gateway refused with 429, and the busiest keys."""

    requests_throttled: int
    top_users: list[TopUser]


class Stats(msgspec.Struct, frozen=True):
    """What went through since a time, over all workers."""

    total_requests: int
    #: In whole hours.
    since: str
    cache_stats: dict[str, CacheHits]
    provider_stats: dict[str, ProviderStats]
    rate_limit_stats: RateLimitStats


class ProviderList(msgspec.Struct, frozen=True):
    """The state of every upstream, over all workers."""

    providers: list[ProviderReport]


class OrgProviderList(msgspec.Struct, frozen=True):
    """The state of the upstreams of an organisation."""

    org_id: str
    providers: list[ProviderReport]


async def stats(services: AdminServices, request: AdminRequest) -> Result:
    """Requests, tokens and mean latency by provider, refusals by limits, and the busiest keys."""
    since = moment(request.query.since, "since")
    assert since is not None
    # On a connection of their own, so that they delay nothing of the ledger's.
    async with services.state.ledger.read() as reports:
        usage = await reports.usage(by="upstream", since=since, limit=PAGE, timeout=MAX_REPORT_SECONDS)
        throttled = await reports.refused(429, since)
        busiest = await reports.busiest("key", since, TOP_USERS)
    users = [TopUser(masked(await services.store.keys.find(id_)), id_, count) for id_, count in busiest]
    providers = {
        line.group: ProviderStats(
            line.requests, line.input_tokens + line.output_tokens, round((line.total.mean or 0) / 1_000_000, 3)
        )
        for line in usage.lines
        # What was refused has no provider.
        if line.group
    }
    return Result(
        Stats(
            usage.totals.requests,
            since.astimezone(UTC).replace(minute=0, second=0, microsecond=0).strftime("%Y-%m-%dT%H:%M:%SZ"),
            {"exact_cache": CacheHits(), "semantic_cache": CacheHits()},
            providers,
            RateLimitStats(throttled, users),
        )
    )


async def list_providers(services: AdminServices, request: AdminRequest) -> Result:
    """The state of every upstream."""
    return Result(ProviderList(await services.providers.reports()))


async def list_org_providers(services: AdminServices, request: AdminRequest) -> Result:
    """The state of the upstreams that an organisation's document names; of all where it names none."""
    org = request.ids["org_id"]
    if await services.store.orgs.find(org) is None:
        raise InvalidRequest("org config not found", status=404, code="org_not_found", param="org_id")
    document: Mapping[str, Any] = await services.store.orgs.config(org) or {}
    named = document.get("providers")
    only = list(named) if isinstance(named, dict) and named else None
    return Result(OrgProviderList(org, await services.providers.reports(only)))


def masked(key: StoredKey | None) -> str:
    """A key as it may be shown; `unknown` where it is in no store."""
    return "unknown" if key is None else f"{key.name} (****{key.hint})"
