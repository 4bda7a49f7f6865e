"""Liveness, readiness and health, under all the names that orchestrators use. No key is needed for them.

What they show to everyone names no upstream; names are for the holder of the admin token.
"""

import asyncio
import time
from collections.abc import Callable, Sequence

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from proxy import __version__
from proxy.endpoints.models import json_response
from proxy.errors import Overloaded
from proxy.observability.providers import Circuit, Providers
from proxy.observability.readiness import Readiness
from proxy.server.envelope import timestamp
from proxy.wire.headers import Header

LIVE_PATHS = ("/livez", "/healthz", "/health/live")
READY_PATHS = ("/readyz", "/health/ready")
HEALTH_PATH = "/health"
#: A stream of the gateway's own, by which `doctor` sees whether a proxy in front of it buffers.
STREAM_PATH = "/health/stream"
STREAM_EVENTS = 4
STREAM_SECONDS = 0.25
#: Such streams at a time in one process.
MAX_STREAMS = 8
WELCOME = (
    "This is a gateway to AI models. Set the base URL of OpenAI's SDKs to this address with /v1 behind it, that of "
    "Anthropic's and Google's to this address alone, and send a key of this gateway. GET /v1/models lists its models."
)
_STREAM_HEADERS = (
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),
)
_WORDS: dict[Circuit, str] = {"closed": "available", "half-open": "recovering", "open": "unavailable"}


def shows_no_names(headers: Sequence[Header]) -> bool:
    """Whether a request has the admin token, where there is none."""
    return False


class Health:
    """Alive while the process responds; ready while it takes work; healthy while its upstreams do so too."""

    def __init__(
        self,
        readiness: Readiness,
        providers: Providers,
        shows_names: Callable[[Sequence[Header]], bool] = shows_no_names,
    ) -> None:
        """`shows_names` says whether a request with these headers may see the names of upstreams."""
        self._readiness = readiness
        self._providers = providers
        self._shows_names = shows_names
        self._streams = 0

    async def live(self, request: Request) -> Response:
        """The process responds."""
        return json_response({"status": "ok"})

    async def ready(self, request: Request) -> Response:
        """Work is taken, or why not. `reason` is the first of `reasons`; `warnings` alone leave it ready."""
        self._readiness.probed_at = time.monotonic()
        reasons, warnings = self._readiness.reasons(), self._readiness.warnings()
        body: dict[str, object] = {"status": "unavailable" if reasons else "ok"}
        if reasons:
            body |= {"reason": reasons[0], "reasons": reasons}
        if warnings:
            body["warnings"] = warnings
        return json_response(body, 503 if reasons else 200)

    async def health(self, request: Request) -> Response:
        """The state of the gateway and its services in words; always with status 200, as for a liveness probe.

        `unhealthy` takes no work; `degraded` takes work with warnings, or with upstreams that are ejected.
        """
        states = await self._providers.states()
        reasons, warnings = self._readiness.reasons(), self._readiness.warnings()
        words = {state.id: _WORDS[state.circuit] for state in states}
        status = "healthy"
        if reasons:
            status = "unhealthy"
        elif warnings or any(word != "available" for word in words.values()):
            status = "degraded"
        counts = {word: list(words.values()).count(word) for word in _WORDS.values()}
        services: dict[str, object] = {
            "database": "unavailable" if self._readiness.store_failure() else "connected",
            "redis": "not configured",
            "providers": words if self._shows_names(request.scope["headers"]) else counts,
        }
        return json_response({"status": status, "timestamp": timestamp(), "version": __version__, "services": services})

    async def stream(self, request: Request) -> Response:
        """A few events at even distances, with the header lines of a stream of a model. Raises `Overloaded`."""
        if self._streams >= MAX_STREAMS:
            raise Overloaded("Too many test streams run. Try again shortly.", headers={"retry-after": "1"})
        return _TestStream(self)

    async def send_stream(self, send: Send) -> None:
        """Send the response of `stream`."""
        self._streams += 1
        try:
            await send({"type": "http.response.start", "status": 200, "headers": _STREAM_HEADERS})
            for number in range(STREAM_EVENTS):
                if number:
                    await asyncio.sleep(STREAM_SECONDS)
                event = f"data: {number}\n\n".encode()
                await send({"type": "http.response.body", "body": event, "more_body": number < STREAM_EVENTS - 1})
        finally:
            self._streams -= 1


class _TestStream(Response):
    """The response of `Health.stream`. Starlette's own streams need a task, which requests here do not have."""

    def __init__(self, health: Health) -> None:
        super().__init__()
        self._health = health

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._health.send_stream(send)


async def home(request: Request) -> Response:
    """What this is, for people; SDKs of Anthropic ask `HEAD /` to find out whether the gateway is there."""
    return json_response({"object": "gateway", "name": "prometheus-gateway", "message": WELCOME})
