"""Liveness and readiness, under all the names that orchestrators use. No key is needed, nothing else is told."""

from collections.abc import Callable

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from proxy.endpoints.models import json_response

LIVE_PATHS = ("/livez", "/healthz", "/health", "/health/live")
READY_PATHS = ("/readyz", "/health/ready")


class Health:
    """Alive while the process answers; ready while it takes work."""

    def __init__(self, failure: Callable[[], str | None]) -> None:
        self._failure = failure

    async def live(self, request: Request) -> Response:
        """The process answers."""
        return json_response(request, {"status": "ok"})

    async def ready(self, request: Request) -> Response:
        """Work is taken, or why not."""
        failure = self._failure()
        if failure is not None:
            return json_response(request, {"status": "unavailable", "reason": failure}, 503)
        return json_response(request, {"status": "ok"})


class Home:
    """Answers `HEAD /`, by which Anthropic's SDKs find out whether somebody is here; there is nothing else at `/`."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] != "HEAD":
            raise HTTPException(404)
        await Response(headers={"x-request-id": scope["state"]["request_id"]})(scope, receive, send)
