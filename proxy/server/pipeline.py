"""The requests of one client connection in their order: the one that is served, and those that wait behind it.

No sockets and no clock: what is read and when the next one begins is the protocol's matter.
"""

from collections import deque
from typing import Final

from proxy.server.cycle import COMPLETE, RequestCycle

#: Requests that may wait behind the one that is served.
MAX_PIPELINED: Final = 100
#: Bytes of them, heads and bodies, beyond which the client is read no more until some are served.
MAX_QUEUED_BYTES: Final = 262_144


class RequestPipeline:
    """The requests of one connection, of which one is served and one is read; mostly these are the same."""

    def __init__(self) -> None:
        self.serving: RequestCycle | None = None
        self.reading: RequestCycle | None = None
        #: Those that wait for their turn, the oldest first, and bytes of them.
        self.waiting: deque[RequestCycle] = deque()
        self.queued_bytes = 0

    @property
    def is_behind(self) -> bool:
        """Whether the next request has to wait for an earlier one."""
        return self.reading is not None and self.reading.state < COMPLETE

    @property
    def is_reading_body(self) -> bool:
        """Whether the body of the request that is read is not whole yet."""
        return self.reading is not None and not self.reading.body.complete

    @property
    def is_too_large(self) -> bool:
        """Whether more bytes wait than may."""
        return self.queued_bytes > MAX_QUEUED_BYTES

    def queue(self, cycle: RequestCycle, size: int) -> None:
        """So many more bytes of a request wait."""
        cycle.body.queued += size
        self.queued_bytes += size

    def next(self) -> RequestCycle:
        """The request whose turn it is; there is one."""
        cycle = self.serving = self.waiting.popleft()
        self.queued_bytes -= cycle.body.queued
        return cycle

    def drop_newest(self) -> None:
        """Forget the request that is read, which waits."""
        self.queued_bytes -= self.waiting.pop().body.queued

    def clear(self) -> None:
        """Forget all of them. They refer to the connection, and would be kept until the garbage collector runs."""
        self.serving = self.reading = None
        self.waiting.clear()
