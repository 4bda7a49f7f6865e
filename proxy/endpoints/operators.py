"""Pages for operators about the traffic: `/stats` and the health of providers. They need the admin token.

They are no endpoints: a request for one has no row. Reports have a connection of their own, so they delay no ledger.
"""

import re
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from proxy.auth.keys import StoredKey
from proxy.auth.store import Store
from proxy.dialects.openai_chat import CHAT
from proxy.endpoints.metrics import check_token
from proxy.endpoints.models import error_response, json_response
from proxy.errors import AuthenticationFailed, GatewayError, InvalidRequest
from proxy.ledger.reports import PAGE
from proxy.observability.providers import Providers
from proxy.policies.base import GatewayState

STATS_PATH: Final = "/stats"
PROVIDERS_PATH: Final = "/-/health/providers"
ORG_PROVIDERS_PATH: Final = "/-/health/providers/{org_id}"
#: The time of which `/stats` reports, in hours, where `since` says no other.
STATS_HOURS: Final = 24
TOP_USERS: Final = 10
#: Longest time that a report may take, in seconds.
MAX_REPORT_SECONDS: Final = 20.0
_SPAN: Final = re.compile(r"([0-9]{1,6})([smhdw])")
_UNITS: Final[Mapping[str, str]] = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
#: There is no cache yet.
_NO_HITS: Final[Mapping[str, float]] = {"hits": 0, "misses": 0, "hit_rate": 0.0}


class OperatorPages:
    """Serves the pages. Each handler returns the document; errors are those of OpenAI's envelope."""

    def __init__(self, state: GatewayState, providers: Providers) -> None:
        self._state = state
        self._providers = providers

    async def stats(self, request: Request) -> Response:
        """Requests, tokens and mean latency (in seconds) by provider, refusals by limits, and the busiest keys."""
        return await self._respond(request, self._stats)

    async def providers(self, request: Request) -> Response:
        """The state of every upstream, over all workers."""
        return await self._respond(request, self._all_providers)

    async def org_providers(self, request: Request) -> Response:
        """The state of the upstreams that an organisation's document names; of all where it names none."""
        return await self._respond(request, self._org_providers)

    def shows_names(self, request: Request) -> bool:
        """Whether a request has the admin token, for pages that show more to it."""
        try:
            check_token(request, self._data_dir)
        except AuthenticationFailed:
            return False
        return True

    @property
    def _data_dir(self) -> Path:
        return Path(self._state.config.server.data_dir)

    async def _respond(self, request: Request, handle: Callable[[Request], Awaitable[object]]) -> Response:
        try:
            check_token(request, self._data_dir)
            document = await handle(request)
        except GatewayError as error:
            return error_response(request, error, CHAT)
        return json_response(msgspec.to_builtins(document))

    async def _stats(self, request: Request) -> object:
        since = since_of(request.query_params.get("since", f"{STATS_HOURS}h"), datetime.now(UTC))
        async with self._state.ledger.read() as reports:
            usage = await reports.usage(by="upstream", since=since, limit=PAGE, timeout=MAX_REPORT_SECONDS)
            throttled = await reports.refused(429, since)
            busiest = await reports.busiest("key", since, TOP_USERS)
        async with Store(self._data_dir) as store:
            keys = {id_: await store.keys.find(id_) for id_, _ in busiest}
        return {
            "total_requests": usage.totals.requests,
            "since": since.replace(minute=0, second=0, microsecond=0).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "cache_stats": {"exact_cache": dict(_NO_HITS), "semantic_cache": dict(_NO_HITS)},
            "provider_stats": {
                line.group: {
                    "requests": line.requests,
                    "tokens": line.input_tokens + line.output_tokens,
                    "avg_latency": round((line.total.mean or 0) / 1_000_000, 3),
                }
                for line in usage.lines
                # What was refused has no provider.
                if line.group
            },
            "rate_limit_stats": {
                "requests_throttled": throttled,
                "top_users": [
                    {"api_key": masked(keys[id_]), "key_id": id_, "requests": requests} for id_, requests in busiest
                ],
            },
        }

    async def _all_providers(self, request: Request) -> object:
        return {"providers": await self._providers.reports()}

    async def _org_providers(self, request: Request) -> object:
        org = request.path_params["org_id"]
        async with Store(self._data_dir) as store:
            if await store.orgs.find(org) is None:
                raise InvalidRequest("org config not found", status=404, code="org_not_found", param="org_id")
            document: Mapping[str, Any] = await store.orgs.config(org) or {}
        named = document.get("providers")
        only = list(named) if isinstance(named, dict) and named else None
        return {"org_id": org, "providers": await self._providers.reports(only)}


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
