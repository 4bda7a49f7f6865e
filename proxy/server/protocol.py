"""The HTTP protocol of one client connection: its requests in their order, its timeouts, and its end.

What a request says is the parser's matter and what it gets the application's; this knows no routes, keys or bodies.
Timeouts are kept by one sweep over all connections, and not by a timer each.
"""

import asyncio
import logging
import math
import socket
import struct
import time
from collections.abc import Iterable
from typing import Any, Final

from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from proxy.errors import InvalidRequest
from proxy.server.asgi import run
from proxy.server.context import ServerContext
from proxy.server.cycle import COMPLETE, NEW, SCHEDULED, ClientConnection, RequestCycle
from proxy.server.envelope import JSON_LINE, envelope
from proxy.server.head_cache import Head, HeadCache
from proxy.server.ids import new_request_id
from proxy.server.pipeline import MAX_PIPELINED, RequestPipeline
from proxy.server.request_body import RequestBody
from proxy.server.request_parser import IDLE, IN_BODY, IN_HEAD, Refused, RequestParser

#: Bytes of a response that wait for the client's connection before its producer is paused, and at which it is resumed.
HIGH_WATER_BYTES: Final = 4_096
LOW_WATER_BYTES: Final = 1_024
#: Seconds that a refused client gets to read the refusal before its connection is closed.
LINGER_SECONDS: Final = 2.0

# States of a connection.
#: Requests are read, and served in their order.
OPEN: Final = 0
#: Nothing more is read: a refusal waits for the responses before it.
REFUSED: Final = 1
#: Our side is closed, and what the client still sends is discarded for a while.
LINGERING: Final = 2

_log = logging.getLogger(__name__)


class GuardedProtocol(ClientConnection):
    """One client connection. Made and driven by the event loop, and by `sweep`."""

    def __init__(self, context: ServerContext) -> None:
        self.context = context
        self.loop = asyncio.get_running_loop()
        self.state = OPEN
        #: Loop times at which `sweep` acts; infinity while the client owes nothing, or reads what we write.
        self.read_deadline = math.inf
        self.write_deadline = math.inf
        self._parser = RequestParser(self, context)
        self._head_cache = HeadCache()
        self._pipeline = RequestPipeline()
        self._refusal: Refused | None = None

    # what the event loop calls

    def connection_made(self, transport: asyncio.Transport) -> None:
        """The connection was accepted."""
        context = self.context
        context.state.connections.add(self)  # type: ignore[arg-type]
        self.transport = transport
        self.flow = FlowControl(transport)
        transport.set_write_buffer_limits(HIGH_WATER_BYTES, LOW_WATER_BYTES)
        self.read_deadline = self.loop.time() + context.limits.head_timeout
        sock = transport.get_extra_info("socket")
        if sock is not None and sock.fileno() >= context.shedding.last_descriptor:
            context.shedding.reached()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection has ended, by either side."""
        self.context.state.connections.discard(self)
        serving = self._pipeline.serving
        if serving is not None and serving.state < COMPLETE:
            serving.client_left()
        self.flow.resume_writing()
        if exc is None:
            self.transport.close()
        # Parser and requests refer back here: without this they would be kept until the garbage collector runs.
        self._parser.close()
        self._pipeline.clear()

    def eof_received(self) -> None:
        """The client has closed its side, which is taken as its leaving."""

    def data_received(self, data: bytes) -> None:
        """Read what the client has sent, and let the request that is being served go on."""
        if self.state != OPEN:
            return
        cache = self._head_cache
        if cache.body_bytes_left:
            data = self._read_cached_body(data)
            if data:
                self._parse(data)
        elif cache.head is not None and self._is_idle and cache.matches(data):
            self._begin_cached(cache.head, data)
        else:
            self._parse(data)
        # Outside the parser's callbacks, but in the same turn of the loop.
        serving = self._pipeline.serving
        if serving is None:
            return
        if serving.state == NEW:
            run(serving, self.context.app)
        elif serving.waiter is not None:
            serving.waiter.resume()

    def pause_writing(self) -> None:
        """The client reads more slowly than its response is written."""
        self.flow.pause_writing()
        self.write_deadline = self.loop.time() + self.context.limits.write_stall_timeout
        serving = self._pipeline.serving
        if serving is not None and serving.producer is not None:
            serving.producer.pause()

    def resume_writing(self) -> None:
        """The client has read nearly all of what was written."""
        self.flow.resume_writing()
        self.write_deadline = math.inf
        serving = self._pipeline.serving
        if serving is not None and serving.producer is not None:
            serving.producer.resume()

    # reading

    @property
    def _is_idle(self) -> bool:
        """Whether no request is under way, but there was one: what comes is the beginning of the next."""
        serving = self._pipeline.serving
        return (
            serving is not None
            and serving.state == COMPLETE
            and serving.body.complete
            and self._parser.state == IDLE
            and not self._pipeline.waiting
        )

    def _begin_cached(self, head: Head, data: bytes) -> None:
        """Begin a request whose head is that of an earlier one, without the parser, which does not see it."""
        cache = self._head_cache
        self._parser.framing_bytes = 0
        body = RequestBody()
        cycle = RequestCycle(self, head, body, cache.length, self.context.keeps_alive)
        self._pipeline.reading = self._pipeline.serving = cycle
        first = data[cache.body_at :]
        if len(first) == cache.length:
            self.read_deadline = math.inf
            body.first = first
            body.size = body.received = cache.length
            body.complete = True
            return
        cache.body_bytes_left = cache.length
        behind = self._read_cached_body(first)
        if behind:
            self._parse(behind)

    def _read_cached_body(self, data: bytes) -> bytes:
        """Take what is left of a body that the parser does not see; returns what came behind it."""
        cache = self._head_cache
        left = cache.body_bytes_left
        behind = data[left:]
        if behind:
            data = data[:left]
        cache.body_bytes_left = left - len(data)
        if data:
            self.body_received(data)
        if cache.body_bytes_left:
            self.read_deadline = self.loop.time() + self.context.limits.body_idle_timeout
        else:
            self.body_completed()
        return behind

    def _parse(self, data: bytes) -> None:
        """Feed the parser, and remember a head that may come again."""
        cache, parser = self._head_cache, self._parser
        # Not the first head of a connection: it may be the only one.
        learns = cache.is_learning and self._is_idle
        try:
            parser.feed(data)
        except Refused as refusal:
            self._refuse(refusal)
            return
        serving, waiting = self._pipeline.serving, self._pipeline.waiting
        if learns and serving is not None and serving.state == NEW and not waiting and parser.state != IN_HEAD:
            cache.learn(serving.head, data, serving.keep_alive)
        if parser.state == IN_BODY:
            self.read_deadline = self.loop.time() + self.context.limits.body_idle_timeout

    # what the parser calls

    def head_began(self) -> None:
        """The first byte of a request was read."""
        self.read_deadline = self.loop.time() + self.context.limits.head_timeout

    def head_received(
        self, head: Head, size: int, content_length: int | None, expects_continue: bool, keep_alive: bool
    ) -> None:
        """A head is whole, and was not refused; `size` is that of its headers in bytes. May raise `Refused`."""
        pipeline = self._pipeline
        is_behind = pipeline.is_behind
        if is_behind and len(pipeline.waiting) >= MAX_PIPELINED:
            raise Refused(400, f"More than {MAX_PIPELINED} requests wait for their responses on this connection.")
        self.read_deadline = math.inf
        body = RequestBody()
        body.expects_continue = expects_continue
        cycle = RequestCycle(self, head, body, content_length, self.context.keeps_alive and keep_alive)
        pipeline.reading = cycle
        if is_behind:
            # Reading goes on, or the client's leaving would not be seen; what may wait is bounded by its number here
            # and by its size in `_queue`.
            pipeline.waiting.append(cycle)
            self._queue(cycle, size)
        else:
            pipeline.serving = cycle

    def body_received(self, data: bytes) -> None:
        """The next part of the body."""
        cycle = self._pipeline.reading
        assert cycle is not None
        if cycle.state == COMPLETE:
            return
        if cycle is not self._pipeline.serving:
            self._queue(cycle, len(data))
        if cycle.body_received(data):
            self.flow.pause_reading()

    def body_completed(self) -> None:
        """The request is whole; it goes on once the parser's callbacks are over."""
        self.read_deadline = math.inf
        cycle = self._pipeline.reading
        assert cycle is not None
        cycle.body_completed()

    def _queue(self, cycle: RequestCycle, size: int) -> None:
        """So many more bytes wait behind the request that is being served."""
        self._pipeline.queue(cycle, size)
        if self._pipeline.is_too_large:
            # Its leaving is not seen meanwhile; but what waits for all clients together would be without a bound.
            self.flow.pause_reading()

    # serving

    def response_completed(self) -> None:
        """The transport has all of a response: serve the next request, or wait for one."""
        context, pipeline = self.context, self._pipeline
        served = pipeline.serving
        context.state.total_requests += 1
        if self.transport.is_closing():
            return
        if served is not None and served is pipeline.reading and not served.body.complete:
            self._linger()
            return
        now = self.loop.time()
        if pipeline.waiting:
            self._serve_next(now)
            return
        if self.flow.read_paused:
            self.flow.resume_reading()
        if self._refusal is not None:
            self._refuse_now(self._refusal, None)
        elif self._parser.state != IN_HEAD:
            self.read_deadline = now + context.limits.keep_alive_timeout

    def _serve_next(self, now: float) -> None:
        cycle = self._pipeline.next()
        cycle.state = SCHEDULED
        if self.flow.read_paused and not self._pipeline.is_too_large:
            self.flow.resume_reading()
        if not cycle.body.complete:
            cycle.body.timed_from = now
            self.read_deadline = now + self.context.limits.body_idle_timeout
        # Not at once: a hundred requests in one packet must not be a hundred calls deep.
        self.loop.call_soon(run, cycle, self.context.app)

    # timeouts

    def sweep(self, now: float) -> None:
        """Act on a deadline that has passed; `now` is loop time."""
        serving = self._pipeline.serving
        if self.write_deadline < now:
            if serving is not None and serving.state != COMPLETE:
                serving.stalled = True
            self._reset()
        elif self.state == LINGERING:
            # Nothing else is due: another refusal would be written behind our end of the connection.
            if self.read_deadline < now:
                self.transport.abort()
        elif self.transport.is_closing():
            if self.write_deadline == math.inf:
                # What is written may wait for the client no longer than at any other time.
                self.write_deadline = now + self.context.limits.write_stall_timeout
        elif self.read_deadline < now:
            self._expire(now)
        elif serving is not None and serving is self._pipeline.reading and not serving.body.complete:
            self._check_body(serving, now)

    def _expire(self, now: float) -> None:
        """The client owes something, and it is late."""
        self.read_deadline = math.inf
        if self.flow.read_paused:
            # It is we who do not read.
            self.read_deadline = now + self.context.limits.body_idle_timeout
        elif self._parser.state == IN_HEAD:
            self._refuse(Refused(408, "The request's head stopped coming."))
        elif self._pipeline.is_reading_body:
            self._refuse(Refused(408, "The request's body stopped coming."))
        else:
            self.transport.close()

    def _check_body(self, cycle: RequestCycle, now: float) -> None:
        """The body comes, but it may not come for ever."""
        if self.flow.read_paused:
            # It is we who do not read.
            cycle.body.timed_from = now
        elif cycle.body.is_late(now, cycle.arrived, self.context.limits.body_timeout):
            self._refuse(Refused(408, "The request's body took too long to come."))

    @property
    def held(self) -> int:
        """Bytes of heads, of requests that wait for their turn, and of responses that the client has not read."""
        head = self._parser.head_bytes if self._parser.state == IN_HEAD else 0
        return head + self._pipeline.queued_bytes + int(self.transport.get_write_buffer_size())

    def _reset(self) -> None:
        """Drop a client that does not read. A mere close would leave what the kernel has taken, megabytes, in its hands
        for as long as the client keeps its side open."""
        sock = self.transport.get_extra_info("socket")
        if sock is not None and sock.fileno() >= 0:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.abort()

    # the listener's end

    @property
    def is_writing(self) -> bool:
        """Whether a response is under way, or some of it has not left yet."""
        serving = self._pipeline.serving
        running = serving is not None and serving.state != COMPLETE
        return running or self.transport.get_write_buffer_size() > 0

    def end_after_request(self) -> None:
        """The request under way is the last one on this connection; one that is idle may still send its last."""
        reading = self._pipeline.reading
        if reading is not None and reading.state != COMPLETE:
            reading.keep_alive = False

    def retire(self) -> None:
        """The listener takes nothing new: an idle connection is closed, unless its client has not sent a request yet or
        is about to."""
        if self._pipeline.reading is not None and self._parser.state != IN_HEAD:
            self.shutdown()
        else:
            self.end_after_request()

    def shutdown(self) -> None:
        """Close the connection, after the request under way if there is one."""
        reading = self._pipeline.reading
        if reading is None or reading.state == COMPLETE:
            self.transport.close()
        else:
            reading.keep_alive = False

    # refusing

    def _refuse(self, refusal: Refused) -> None:
        """Respond with an error and close; behind responses that are still due, only once they have ended."""
        serving = self._pipeline.serving
        if serving is None or serving.state == COMPLETE:
            self._refuse_now(refusal, None)
        elif serving is self._pipeline.reading and not serving.body.complete:
            self._refuse_now(refusal, serving)
        else:
            self.state = REFUSED
            self._refusal = refusal
            self.read_deadline = math.inf
            if self._pipeline.waiting and self._pipeline.is_reading_body:
                # It is the newest one that is refused.
                self._pipeline.drop_newest()

    def _refuse_now(self, refusal: Refused, cycle: RequestCycle | None) -> None:
        if cycle is not None and cycle.response_started:
            self.transport.abort()
            return
        request_id, error = new_request_id(), InvalidRequest(refusal.message)
        headers, arrived = self._parser.headers if self._parser.state != IDLE else [], time.monotonic()
        more_lines = JSON_LINE
        if cycle is not None:
            headers, arrived = cycle.head.headers, cycle.arrived
            more_lines = cycle.more_lines + JSON_LINE
        own = self.context.own_lines(request_id, headers, arrived)
        body = envelope(error.message, error.type, error.code, request_id)
        framing = b"content-length: %d\r\nconnection: close\r\n\r\n" % len(body)
        self.transport.write(STATUS_LINE[refusal.status] + more_lines + own + framing + body)
        if cycle is not None:
            # The application must not respond any more.
            cycle.client_left()
        self._linger()

    def _linger(self) -> None:
        """Close without losing what is written: our side is closed, the client's bytes are discarded for a while."""
        self.state = LINGERING
        self.flow.resume_reading()
        self.read_deadline = self.loop.time() + LINGER_SECONDS
        if self.transport.can_write_eof():
            self.transport.write_eof()
        else:
            self.transport.close()


def sweep(connections: Iterable[Any], now: float) -> int:
    """Let every connection act on its deadlines; `now` is loop time. Returns the bytes that they hold."""
    held = 0
    for connection in list(connections):
        try:
            connection.sweep(now)
            held += connection.held
        except Exception as fault:  # noqa: BLE001 (one that fails must not end the listener, and with it all others)
            _log.error("A client connection failed at its timeout, and is closed.", exc_info=fault)
            connection.transport.abort()
    return held
