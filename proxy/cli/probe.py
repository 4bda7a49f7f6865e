"""A GET of an upstream's list of models, as `serve` sends it to warm a connection: same address, head and transport.

What the response means is decided in `verdicts`. Bounded in time and in bytes.
"""

import asyncio
import time
from collections.abc import Sequence
from urllib.parse import urlsplit

import msgspec

from proxy.config.presets import PRESETS
from proxy.config.tree import Upstream
from proxy.errors import ConfigFault, GatewayError
from proxy.upstream.client import UpstreamRequest
from proxy.upstream.pool import Pool
from proxy.upstream.target import models_path, models_request
from proxy.wire.headers import Header

#: Seconds for the response, the connection included.
RESPONSE_SECONDS = 5.0
#: Bytes of a response that are read.
MAX_RESPONSE_BYTES = 4 * 1024 * 1024
#: Formats whose lists of models have pages, and how to ask for a large one.
_PAGES = {"anthropic": {"limit": "1000"}, "gemini": {"pageSize": "1000"}}


class ProbeResponse(msgspec.Struct, frozen=True):
    """A status and a body, or the error instead of a response; neither of them after a timeout."""

    status: int = 0
    headers: Sequence[Header] = ()
    body: bytes = b""
    error: GatewayError | None = None
    #: Seconds from the request to the head of the response, the connection included.
    seconds: float = 0.0

    def header(self, name: bytes) -> str:
        """The value of a header, or ""."""
        return next((value.decode("latin-1") for key, value in self.headers if key == name), "")


def models_url(base_url: str) -> str:
    """Where an upstream lists its models."""
    return urlsplit(base_url)._replace(path=models_path(base_url)).geturl()


async def get_models(name: str, upstream: Upstream) -> ProbeResponse:
    """Ask an upstream for its list of models."""
    try:
        seconds = min(upstream.connect_timeout, RESPONSE_SECONDS)
        pool = Pool(name, msgspec.structs.replace(upstream, connect_timeout=seconds))
    except ConfigFault as error:
        return ProbeResponse(error=error)
    request = UpstreamRequest(pool)
    began = time.monotonic()
    try:
        async with asyncio.timeout(RESPONSE_SECONDS):
            await request.send(models_request(upstream, _page_of(upstream)))
            seconds = time.monotonic() - began
            body = await request.read_prefix(MAX_RESPONSE_BYTES)
            # No list of models is as long as that, but the status is known.
            if len(body) > MAX_RESPONSE_BYTES:
                body = b""
            return ProbeResponse(request.status, request.headers, body, seconds=seconds)
    except TimeoutError:
        return ProbeResponse()
    except GatewayError as error:
        return ProbeResponse(error=error)
    finally:
        request.close()
        await pool.close()


def _page_of(upstream: Upstream) -> dict[str, str]:
    dialects = PRESETS[upstream.kind].dialects
    return _PAGES[next(iter(dialects))] if dialects in (frozenset({"anthropic"}), frozenset({"gemini"})) else {}
