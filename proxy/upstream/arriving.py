"""An answer that arrives for somebody who awaits it: the pool's waiter, the connection's sink, a bounded buffer.

What is sent, how long is waited and what an error becomes is its users' business.
"""

import asyncio
from collections import deque
from collections.abc import Callable

from proxy.errors import GatewayError, UpstreamFailed
from proxy.upstream.connection import Connection
from proxy.upstream.pool import Pool
from proxy.wire.headers import Header

#: Bytes of an answer that wait for their reader before the connection is paused.
HIGH_WATER = 262_144


class Arriving:
    """See the module; a base for those who send a request."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._connection: Connection | None = None
        self._changed = asyncio.Event()
        self._parts: deque[bytes] = deque()
        self._size = 0
        self._paused = False
        self._ended = False
        self._error: GatewayError | None = None
        self.status = 0
        self.headers: list[Header] = []

    def give_up(self) -> None:
        """Nobody waits any longer: leave the pool's queue, or abort an answer that has not ended."""
        self._parts.clear()
        self._pool.cancel(self)
        if self._connection is not None:
            connection, self._connection = self._connection, None
            connection.abort()

    def _take(self) -> bytes:
        """The next part of the body; a connection that waited for this goes on."""
        part = self._parts.popleft()
        self._size -= len(part)
        if self._paused and self._size <= HIGH_WATER and self._connection is not None:
            self._paused = False
            self._connection.resume()
        return part

    async def _until(self, until: Callable[[], bool], seconds: float | None) -> None:
        """Wait until something holds or has failed. Raises `TimeoutError`."""
        async with asyncio.timeout(seconds):
            while self._error is None and not until():
                self._changed.clear()
                await self._changed.wait()

    # the pool's waiter

    def connected(self, connection: Connection) -> None:
        self._connection = connection
        self._changed.set()

    def not_connected(self, error: UpstreamFailed) -> None:
        self._error = error
        self._changed.set()

    # the connection's sink

    def head(self, status: int, headers: list[Header]) -> None:
        self.status = status
        self.headers = headers
        self._changed.set()

    def body(self, data: bytes, complete: bool) -> None:
        if data:
            self._parts.append(data)
            self._size += len(data)
        if complete:
            self._connection = None
            self._ended = True
        elif self._size > HIGH_WATER and not self._paused and self._connection is not None:
            self._paused = True
            self._connection.pause()
        self._changed.set()

    def failed(self, error: UpstreamFailed) -> None:
        self._connection = None
        self._error = error
        self._changed.set()
