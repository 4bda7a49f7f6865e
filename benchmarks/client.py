"""The client's side of one connection: sends a prepared request and takes the times of what comes back.

It keeps numbers only, never a body. What is sent when is decided in `load`.
"""

import asyncio
from array import array
from collections import Counter
from collections.abc import Callable
from time import monotonic_ns
from typing import cast

import httptools

from benchmarks.responses import MARK
from benchmarks.sockets import push

_MARK = MARK.encode()


class Samples:
    """What one phase of a run measured. Times are nanoseconds; those of a request count from its intended start."""

    def __init__(self, events: int, interval: int) -> None:
        #: Content events that each response must bring.
        self.events_expected = events
        #: Nanoseconds between two events of a paced stream; 0 for all others, whose gaps mean nothing.
        self.interval = interval
        self.start_delay = array("q")
        self.first_byte = array("q")
        self.first_content = array("q")
        #: The same, of requests that were not the first on their connection.
        self.first_content_reused = array("q")
        self.total = array("q")
        self.gap = array("q")
        self.events = 0
        self.lost = 0
        self.late = 0
        self.body_bytes = 0
        self.errors: Counter[str] = Counter()


class Connection(asyncio.Protocol):
    """One keep-alive connection, with at most one request under way."""

    def __init__(self, on_idle: Callable[["Connection"], None], on_lost: Callable[["Connection"], None]) -> None:
        self._on_idle = on_idle
        self._on_lost = on_lost
        self._parser = httptools.HttpResponseParser(self)
        self._samples: Samples | None = None
        self._complete = False
        self._keep_alive = False
        #: Requests sent on it.
        self.requests = 0
        self.busy = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are no subclass of asyncio's.
        self._transport = cast(asyncio.Transport, transport)
        self._descriptor = transport.get_extra_info("socket").fileno()

    def send(self, request: bytes, intended: int, samples: Samples) -> None:
        """Send one request now; its times count from `intended`."""
        self.busy = True
        self.requests += 1
        self._complete = False
        self._samples = samples
        self._intended = intended
        self._has_response = False
        self._first = 0
        self._last = 0
        self._seen = 0
        samples.start_delay.append(monotonic_ns() - intended)
        push(self._transport, self._descriptor, request)

    def data_received(self, data: bytes) -> None:
        # Before anything else: the parser's time is not the system's.
        self._now = monotonic_ns()
        if self._samples is None:
            self._transport.abort()
            return
        if not self._has_response:
            self._has_response = True
            self._samples.first_byte.append(self._now - self._intended)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self.fail("response is not HTTP")
            self._transport.abort()
            return
        if self._complete:
            self._settle()

    def on_body(self, body: bytes) -> None:
        samples = self._samples
        assert samples is not None
        samples.body_bytes += len(body)
        count = body.count(_MARK)
        if not count:
            return
        if not self._first:
            self._first = self._now
            samples.first_content.append(self._now - self._intended)
            if self.requests > 1:
                samples.first_content_reused.append(self._now - self._intended)
        elif samples.interval:
            samples.gap.append(self._now - self._last)
            slot = self._first + self._seen * samples.interval
            if self._now - slot > samples.interval:
                samples.late += count
        self._last = self._now
        self._seen += count

    def on_message_complete(self) -> None:
        self._complete = True
        # The parser forgets it when it goes on to the next message.
        self._keep_alive = self._parser.should_keep_alive()

    def connection_lost(self, error: Exception | None) -> None:
        self.fail("connection lost")
        self._on_lost(self)

    def fail(self, reason: str) -> None:
        """Count the request under way, if any, as failed."""
        if self.busy and self._samples is not None:
            self._samples.errors[reason] += 1
            self._count(self._samples)
            self.busy = False

    def close(self) -> None:
        """Close from this side; the lost connection is then no error."""
        self.busy = False
        self._transport.abort()

    def _settle(self) -> None:
        samples = self._samples
        assert samples is not None
        if (status := self._parser.get_status_code()) != 200:
            self.fail(f"status {status}")
        else:
            samples.total.append(self._now - self._intended)
            self._count(samples)
            self.busy = False
        if self._keep_alive:
            self._on_idle(self)
        else:
            self._transport.abort()

    def _count(self, samples: Samples) -> None:
        samples.events += self._seen
        samples.lost += max(samples.events_expected - self._seen, 0)
