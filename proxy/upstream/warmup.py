"""Connections opened before anybody needs them, each with one GET, which also shows whether the credential is taken.

A failure is no fault of a request: it is logged, and the gateway serves on.
"""

import asyncio
import logging

from proxy.errors import UpstreamFailed
from proxy.upstream.connection import Connection, ResponseSink
from proxy.upstream.pool import Pool
from proxy.upstream.target import models_request
from proxy.wire.headers import Header

MAX_ANSWER = 4_194_304
#: Seconds that the answer may take.
WARM_SECONDS = 30.0
_log = logging.getLogger(__name__)


class _Warming(ResponseSink):
    """The waiter and the sink of one warm-up."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._connection: Connection | None = None
        self._bytes = 0
        self._timer: asyncio.TimerHandle | None = None

    def connected(self, connection: Connection) -> None:
        self._connection = connection
        self._timer = asyncio.get_running_loop().call_later(WARM_SECONDS, self._give_up)
        connection.send(models_request(self._pool.upstream), b"", self)

    def not_connected(self, error: UpstreamFailed) -> None:
        self._tell(f"cannot be reached now: {error.detail}")

    def head(self, status: int, headers: list[Header]) -> None:
        if status in (401, 403):
            _log.warning("upstream %s refuses the credential (status %d)", self._pool.name, status)

    def body(self, data: bytes, complete: bool) -> None:
        self._bytes += len(data)
        if complete:
            self._end()
        elif self._bytes > MAX_ANSWER:
            self._give_up()

    def failed(self, error: UpstreamFailed) -> None:
        self._end()
        self._tell(f"dropped the warm-up: {error.detail}")

    def _give_up(self) -> None:
        """The answer takes too long, or is too long."""
        connection = self._connection
        self._end()
        if connection is not None:
            connection.abort()
            self._tell("does not end its answer to the warm-up")

    def _end(self) -> None:
        self._connection = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _tell(self, what: str) -> None:
        if not self._pool.closed:
            _log.warning("upstream %s %s", self._pool.name, what)


def warm(pool: Pool) -> None:
    """Open as many connections as the upstream is configured to have at start."""
    for _ in range(min(pool.upstream.warm_connections, pool.upstream.max_connections)):
        warming = _Warming(pool)
        connection = pool.acquire(warming, fresh=True)
        if connection is not None:
            warming.connected(connection)
