"""Warm-up: connections that are opened at start, each with one GET that also tries the credential.

A failure is logged and has no other effect: requests open connections as they need them.
"""

import asyncio
import logging

from proxy.errors import UpstreamFailed
from proxy.upstream.connection import Connection, ResponseSink
from proxy.upstream.pool import Pool
from proxy.upstream.target import models_request
from proxy.wire.headers import Header

MAX_RESPONSE_BYTES = 4_194_304
#: Seconds that the response may take.
MAX_RESPONSE_SECONDS = 30.0
_log = logging.getLogger(__name__)


class _Warming(ResponseSink):
    """The waiter of the pool and the sink of the connection for one warm-up request."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._connection: Connection | None = None
        self._bytes = 0
        self._timer: asyncio.TimerHandle | None = None

    def connected(self, connection: Connection) -> None:
        self._connection = connection
        self._timer = asyncio.get_running_loop().call_later(MAX_RESPONSE_SECONDS, self._abort)
        connection.send(models_request(self._pool.upstream), b"", self)

    def not_connected(self, error: UpstreamFailed) -> None:
        self._warn(f"cannot be reached now: {error.detail}")

    def head(self, status: int, headers: list[Header]) -> None:
        if status in (401, 403):
            _log.warning("upstream %s refuses the credential (status %d)", self._pool.name, status)

    def body(self, data: bytes, complete: bool) -> None:
        self._bytes += len(data)
        if complete:
            self._end()
        elif self._bytes > MAX_RESPONSE_BYTES:
            self._abort()

    def failed(self, error: UpstreamFailed) -> None:
        self._end()
        self._warn(f"dropped the warm-up: {error.detail}")

    def _abort(self) -> None:
        """The response takes too long, or is too long."""
        connection = self._connection
        self._end()
        if connection is not None:
            connection.abort()
            self._warn("does not end its response to the warm-up")

    def _end(self) -> None:
        self._connection = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _warn(self, what: str) -> None:
        if not self._pool.closed:
            _log.warning("upstream %s %s", self._pool.name, what)


def warm(pool: Pool) -> None:
    """Open as many connections as the upstream is configured to have at start."""
    for _ in range(min(pool.upstream.warm_connections, pool.upstream.max_connections)):
        warming = _Warming(pool)
        connection = pool.acquire(warming, fresh=True)
        if connection is not None:
            warming.connected(connection)
