"""The metrics page: `/metrics` and `/-/metrics`, for those who show the admin token, or for all where that is set."""

import hashlib
import hmac
from pathlib import Path
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from proxy.dialects.openai_chat import CHAT
from proxy.endpoints.models import error_response
from proxy.errors import AuthenticationFailed, GatewayError
from proxy.policies.base import GatewayState
from proxy.policies.scrape import scrape

METRICS_PATHS: Final = ("/metrics", "/-/metrics")
TOKEN_FILE: Final = "admin.token"
_WHERE: Final = (
    "Send the admin token as Authorization: Bearer TOKEN or as X-API-Key, or set admin.open_metrics = true in the "
    "configuration (docs/metrics.md)."
)


class MetricsPage:
    """Serves scrapes. It is no endpoint: a scrape has no row, and is not counted."""

    def __init__(self, state: GatewayState) -> None:
        self._state = state

    async def page(self, request: Request) -> Response:
        """The metrics of all workers."""
        is_open = self._state.config.admin.open_metrics
        try:
            if not is_open:
                check_token(request, Path(self._state.config.server.data_dir))
            body, kind = await scrape(self._state, request.headers.get("accept", ""), is_open=is_open)
        except GatewayError as error:
            return error_response(request, error, CHAT)
        return Response(body, headers={"content-type": kind, "cache-control": "no-store"})


def check_token(request: Request, data_dir: Path) -> None:
    """Raise `AuthenticationFailed` unless the request shows the admin token, as Bearer or as X-API-Key."""
    try:
        expected = (data_dir / TOKEN_FILE).read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        expected = ""
    kind, _, bearer = request.headers.get("authorization", "").partition(" ")
    given = [request.headers.get("x-api-key", ""), bearer.strip() if kind.lower() == "bearer" else ""]
    # Of equal length whatever is given, so that the time says nothing.
    wanted = hashlib.sha256(expected.encode()).digest()
    equal = [hmac.compare_digest(hashlib.sha256(one.encode()).digest(), wanted) for one in given]
    if not expected or not any(equal):
        raise AuthenticationFailed(f"unauthorized: the metrics are for the operator. {_WHERE}")
