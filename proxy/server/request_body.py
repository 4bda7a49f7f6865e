"""The body of one request as it arrives. No sockets and no waiting: the request's cycle does that.

Most bodies are one part that is there before anybody asks for it. Others are kept until a handler asks, and are then
collected whole or handed on part by part.
"""

from collections.abc import Callable
from typing import Final

from proxy.server.bodies import Holding

#: Bytes that are kept of a body which no handler has asked for; then the client is read no more until one does.
MAX_KEPT_BYTES: Final = 65_536
#: Bytes of a body for which it has all the time that a body may take; longer ones have it again for each part.
TIMED_PART_BYTES: Final = 33_554_432

# States of a body: what becomes of its next part.
KEPT: Final = 0
COLLECTED: Final = 1
HANDED_ON: Final = 2


class RequestBody:
    """The body of one request. Without `__init__`, as every request has one: what is unusual is set when used."""

    state = KEPT
    #: The last byte of it has arrived.
    complete = False
    #: The client waits for `100 Continue` before it sends any of it.
    expects_continue = False
    #: The first part, as long as it is the only one that is kept.
    first = b""
    #: Bytes that have arrived.
    received = 0
    #: Bytes of it, and of its head, that arrived while earlier requests of the connection were served.
    queued = 0
    #: Monotonic time from which on its parts are timed; 0.0 is the arrival of the request's head.
    timed_from = 0.0
    #: Bytes that are kept, or were collected.
    size = 0
    _parts: list[bytes] | None = None
    _limit = 0
    _holding: Holding | None = None
    _sink: Callable[[bytes], bool] | None = None

    def add(self, data: bytes) -> bool:
        """Take the next part. True while it is kept: there is too much by now, read no more. True while it is collected
        or handed on: there is something for the handler to look at."""
        self.received += len(data)
        if self._sink is not None:
            return self._sink(data)
        self.size += len(data)
        if self._parts is not None:
            self._parts.append(data)
        elif self.first:
            self._parts = [self.first, data]
            self.first = b""
        else:
            self.first = data
        if self.state == KEPT:
            return self.size > MAX_KEPT_BYTES
        if self._holding is not None and not self._holding.hold(self.size):
            self._holding = None
        return self.is_refused

    def take(self) -> bytes:
        """What has arrived and was not taken yet."""
        if self._parts is None:
            data = self.first
            self.first = b""
        else:
            data = b"".join(self._parts)
            self._parts = None
        self.size = 0
        return data

    def collect(self, limit: int, holding: Holding) -> None:
        """Collect all of it: at most `limit` bytes, and what there is room for."""
        self.state = COLLECTED
        self._limit = limit
        self._holding = holding
        if not self.complete and not holding.hold(self.size):
            self._holding = None

    @property
    def is_too_large(self) -> bool:
        """Whether more was collected than its limit."""
        return self.size > self._limit

    @property
    def is_refused(self) -> bool:
        """Whether it is too large, or there is no room for it beside all others."""
        return self.size > self._limit or self._holding is None

    def hand_on(self, sink: Callable[[bytes], bool]) -> bool:
        """Give it to `sink` part by part from now on; whether that says that there is something to look at."""
        self.state = HANDED_ON
        data = self.take()
        self._sink = sink
        return sink(data) if data else False

    def discard(self) -> None:
        """Drop what is kept, and what still comes: no handler takes it any more."""
        self.first = b""
        self._parts = None
        self._sink = _ignore

    def release(self) -> None:
        """Let go of the handler."""
        self._sink = None
        self._holding = None

    def is_late(self, now: float, arrived: float, seconds: float) -> bool:
        """Whether it has taken longer than it may: `seconds` for each part of `TIMED_PART_BYTES`."""
        parts = 1 + self.received // TIMED_PART_BYTES
        return now - (self.timed_from or arrived) > seconds * parts


def _ignore(data: bytes) -> bool:
    """A part of a body that no handler takes."""
    return False
