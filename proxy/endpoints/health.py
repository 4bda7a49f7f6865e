"""Liveness and readiness, under all the names that orchestrators use. No key is needed, nothing else is told."""

from collections.abc import Callable

from starlette.requests import Request
from starlette.responses import Response

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
