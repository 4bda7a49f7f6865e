"""One cheap request to an upstream with a new key, before that is kept: a list of its models, none of which is read."""

import asyncio
from typing import Final

from proxy.config.tree import Upstream
from proxy.errors import GatewayError, InvalidRequest
from proxy.upstream.client import Timeouts, UpstreamRequest
from proxy.upstream.pool import Pool
from proxy.upstream.target import models_request
from proxy.upstream.tls import tls_context

#: Seconds for the connection, and for the head of the response.
CONNECT_SECONDS: Final = 5.0
RESPONSE_SECONDS: Final = 10.0


async def check_key(name: str, upstream: Upstream) -> str:
    """Try an upstream that has the new key; a note where nothing is known of that, else an empty string.

    Raises `InvalidRequest` where the upstream refuses it (401, 403).
    """
    pool = Pool(name, upstream, await asyncio.to_thread(tls_context, name, upstream))
    timeouts = Timeouts(CONNECT_SECONDS, CONNECT_SECONDS, RESPONSE_SECONDS, RESPONSE_SECONDS)
    request = UpstreamRequest(pool, timeouts=timeouts)
    try:
        await request.send(models_request(upstream))
    except GatewayError:
        return "The new key could not be tried: the provider was not reached."
    finally:
        request.close()
        await pool.close()
    if request.status in (401, 403):
        message = f"Provider {name} refuses the new key (status {request.status}); nothing has changed."
        raise InvalidRequest(message, param="new_key", code="new_key_refused")
    return "" if request.status < 300 else f"The new key could not be tried: status {request.status}."
