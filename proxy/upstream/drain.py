"""Takes what an upstream still sends after its answer has ended by the dialect's own mark, and gives it to nobody.

The client must not wait for it, and the connection is worth keeping if the end comes soon.
"""

import time

from proxy.errors import UpstreamFailed
from proxy.upstream.connection import Connection
from proxy.wire.headers import Header

LIMIT_BYTES = 65_536
LIMIT_SECONDS = 5.0


class ResponseDrainer:
    """A sink for the rest of an answer; a member of `TimeoutSweeper` while it waits."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._deadline = time.monotonic() + LIMIT_SECONDS
        self._bytes = 0
        self.done = False

    def head(self, status: int, headers: list[Header]) -> None:
        """Not called: the head came long ago."""

    def body(self, data: bytes, complete: bool) -> None:
        """Throw it away; a connection that says too much is closed."""
        self._bytes += len(data)
        if complete:
            self.done = True
        elif self._bytes > LIMIT_BYTES:
            self.expire()

    def failed(self, error: UpstreamFailed) -> None:
        """The connection is gone, which harms nobody."""
        self.done = True

    def overdue(self, now: float) -> bool:
        return self.done or now > self._deadline

    def interrupt(self) -> None:
        """The pool closes the connection."""

    def expire(self) -> None:
        """Give the connection up, unless it has become free in time."""
        if not self.done:
            self.done = True
            self._connection.abort()


def drain(connection: Connection) -> ResponseDrainer:
    """Take a connection whose answer is over: nobody waits for what it still says."""
    leftover = ResponseDrainer(connection)
    connection.hand_over(leftover)
    connection.resume()
    return leftover
