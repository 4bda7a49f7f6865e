"""Drains a connection after the stream's end marker (`[DONE]`, `message_stop`), so that it can return to the pool.

The client must not wait for the end of the HTTP body, and the connection is worth keeping if that comes soon.
"""

import time
from typing import Final

from proxy.errors import UpstreamFailed
from proxy.upstream.connection import Connection, ResponseSink

MAX_DRAIN_BYTES: Final = 65_536
MAX_DRAIN_SECONDS: Final = 5.0


class ResponseDrainer(ResponseSink):
    """Discards the rest of a response; a member of `TimeoutSweeper` until that has ended."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._deadline = time.monotonic() + MAX_DRAIN_SECONDS
        self._bytes = 0
        self.done = False

    def body(self, data: bytes, complete: bool) -> None:
        """Discard it; a connection that sends too much is closed."""
        self._bytes += len(data)
        if complete:
            self.done = True
        elif self._bytes > MAX_DRAIN_BYTES:
            self.expire()

    def failed(self, error: UpstreamFailed) -> None:
        """The connection is gone, and the response was whole before."""
        self.done = True

    def overdue(self, now: float) -> bool:
        return self.done or now > self._deadline

    def interrupt(self) -> None:
        """The gateway goes down: the pool closes the connection."""

    def expire(self) -> None:
        """Abort the connection, unless it has become free in time."""
        if not self.done:
            self.done = True
            self._connection.abort()


def drain(connection: Connection) -> ResponseDrainer:
    """Drain a connection whose response has ended by its own marker."""
    drainer = ResponseDrainer(connection)
    connection.replace_sink(drainer)
    connection.resume()
    return drainer
