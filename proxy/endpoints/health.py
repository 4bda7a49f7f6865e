"""Liveness and readiness, under all the names that orchestrators use. No key is needed, and nothing else is shown."""

import time

from starlette.requests import Request
from starlette.responses import Response

from proxy.endpoints.models import json_response
from proxy.observability.readiness import Readiness

LIVE_PATHS = ("/livez", "/healthz", "/health", "/health/live")
READY_PATHS = ("/readyz", "/health/ready")
WELCOME = (
    "This is a gateway to AI models. Set the base URL of OpenAI's SDKs to this address with /v1 behind it, that of "
    "Anthropic's and Google's to this address alone, and send a key of this gateway. GET /v1/models lists its models."
)


class Health:
    """Alive while the process responds; ready while it takes work."""

    def __init__(self, readiness: Readiness) -> None:
        self._readiness = readiness

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


async def home(request: Request) -> Response:
    """What this is, for people; SDKs of Anthropic ask `HEAD /` to find out whether the gateway is there."""
    return json_response({"object": "gateway", "name": "prometheus-gateway", "message": WELCOME})
