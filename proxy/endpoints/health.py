"""Liveness and readiness, under all the names that orchestrators use. No key is needed, nothing else is told."""

import time

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from proxy.endpoints.models import json_response
from proxy.readiness import Readiness

LIVE_PATHS = ("/livez", "/healthz", "/health", "/health/live")
READY_PATHS = ("/readyz", "/health/ready")


class Health:
    """Alive while the process answers; ready while it takes work."""

    def __init__(self, readiness: Readiness) -> None:
        self._readiness = readiness

    async def live(self, request: Request) -> Response:
        """The process answers."""
        return json_response(request, {"status": "ok"})

    async def ready(self, request: Request) -> Response:
        """Work is taken, or why not. `reason` is the first of `reasons`; `warnings` alone leave it ready."""
        self._readiness.asked = time.monotonic()
        reasons, warnings = self._readiness.reasons(), self._readiness.warnings()
        answer: dict[str, object] = {"status": "unavailable" if reasons else "ok"}
        if reasons:
            answer |= {"reason": reasons[0], "reasons": reasons}
        if warnings:
            answer["warnings"] = warnings
        return json_response(request, answer, 503 if reasons else 200)


class Home:
    """Answers `HEAD /`, by which Anthropic's SDKs find out whether somebody is here; there is nothing else at `/`."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] != "HEAD":
            raise HTTPException(404)
        await Response(headers={"x-request-id": scope["state"]["request_id"]})(scope, receive, send)
