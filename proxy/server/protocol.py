"""The HTTP protocol in front of everything: uvicorn's, with the bounds and refusals that it lacks.

A request that two servers could understand differently is refused here, before anything is read of it. The guard knows
no routes, keys or bodies. Time is kept by one sweep over all connections, not by a timer each.
"""

import asyncio
import functools
import math
import re
import socket
import struct
from collections.abc import Iterable
from typing import Any, Final

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from proxy.config.tree import Server
from proxy.errors import InvalidRequest
from proxy.server.bodies import Bodies
from proxy.server.cycle import RequestCycle
from proxy.server.envelope import envelope
from proxy.server.head_cache import Head
from proxy.server.ids import new_request_id
from proxy.server.load_shedding import SheddingState

MAX_HEADERS = 128
CHECKED = frozenset({b"host", b"transfer-encoding", b"expect", b"origin"})
#: Requests that may wait behind the one that is being answered.
MAX_PIPELINED = 100
#: Bytes of them, heads and bodies, beyond which the client is read no more until some are answered.
MAX_QUEUED = 262_144
#: Bytes of an answer that wait for a client's connection before its upstream is read no more, and at which it is again.
HIGH_WATER, LOW_WATER = 4_096, 1_024
#: Bytes that a client may send beyond its requests' content: chunk extensions, trailers, empty lines.
MAX_FRAMING = 65_536
#: Bytes that each byte of a body may cost before the rest counts as framing.
FRAMING_PER_BYTE = 50
#: Heads that are learned in vain before no more are.
LESSONS = 4
#: Seconds that a refused client gets to read the refusal before its connection is closed.
LINGER = 2.0
#: Asked for as a number: to ask whether bytes hold bytes raises an error inside the interpreter, each time.
_UNDERSCORE: Final = 95
_TARGET = re.compile(rb"/[\x21\x22\x24-\x7e]*")
_HOST = re.compile(rb"(?:[A-Za-z0-9._~!$&'()*+,;=-]+|\[[0-9A-Fa-f:.]+\])?(?::[0-9]{0,5})?")


class Refused(Exception):
    """Raised inside a parser callback to stop the parser."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


class Terms:
    """What holds for all connections of one listener, those that are there too when it changes."""

    def __init__(self, limits: Server, pressure: SheddingState | None = None) -> None:
        self.limits = limits
        self.pressure = pressure or SheddingState()
        #: Whether a connection serves again after its answer; no longer under pressure, nor once the listener ends.
        self.keeps_alive = True


class GuardedProtocol(HttpToolsProtocol):
    """See the module.

    `cycle` is the request that is being read; requests behind it in the pipeline wait until their turn to be answered.
    """

    # The base class sets these, and compiled code must be told of what is set elsewhere. Some are None at first.
    parser: Any
    url: Any
    headers: Any
    expect_100_continue: Any
    cycle: Any
    pipeline: Any

    def __init__(self, terms: Terms, *arguments: Any, **keywords: Any) -> None:
        super().__init__(*arguments, **keywords)
        self._terms = terms
        #: Loop times at which `expire` is called; infinity while the client owes nothing, or reads what we write.
        self.read_deadline = math.inf
        self.write_deadline = math.inf
        #: The request that is being answered; older than `cycle` where the client pipelines.
        self._answering: RequestCycle | None = None
        self._in_head = False
        self._head_bytes = 0
        #: Whether the current read holds parts of more than one head or body, and how much of it is body.
        self._mixed = False
        self._body_read = 0
        #: Bytes that carried nothing, or far too little.
        self._framing = 0
        #: Waits for the answers before it.
        self._refusal: Refused | None = None
        self._lingering = False
        self._feeding = False
        #: `_answering` is new and has not been run.
        self._to_start = False
        #: The head that is known again, and how many more may be learned without having been.
        self._known: Head | None = None
        self._lessons = LESSONS
        #: Bytes of requests that wait behind the one that is being answered.
        self._queued = 0
        #: Bytes still to come of a body that the parser does not see, because its head was known.
        self._owed = 0

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        transport.set_write_buffer_limits(HIGH_WATER, LOW_WATER)
        self.read_deadline = self.loop.time() + self._terms.limits.head_timeout
        sock = transport.get_extra_info("socket")
        pressure = self._terms.pressure
        if sock is not None and sock.fileno() >= pressure.last_descriptor:
            pressure.reached()

    def connection_lost(self, exc: Exception | None) -> None:
        # Not the base class's own: it would wake up a request that may be one without a coroutine.
        self.connections.discard(self)
        answering = self._answering
        if answering is not None and not answering.response_complete:
            answering.left()
        self.flow.resume_writing()
        if exc is None:
            self.transport.close()
        self.parser = None
        # Requests point back here: without this the last ones would be kept until the collector runs.
        self.cycle = self._answering = None
        self.pipeline.clear()

    def data_received(self, data: bytes) -> None:
        if self._lingering or self._refusal is not None:
            return
        known = self._known
        if known is not None and self._is_between and known.matches(data):
            self._repeat(known, data)
        else:
            self._feeding = True
            if self._owed:
                data = self._take_owed(data)
            if data:
                self._take(data)
            self._feeding = False
        answering = self._answering
        if answering is None:
            return
        if self._to_start:
            # Outside the parser's callbacks, but in the same turn of the loop.
            self._to_start = False
            answering.run(self.app)
        else:
            answering.poke()

    @property
    def _is_between(self) -> bool:
        """Whether no request is under way: what comes is the beginning of the next."""
        answering = self._answering
        return (
            answering is not None
            and answering.response_complete
            and not answering.more_body
            and not self._in_head
            and not self.pipeline
            and not self._owed
        )

    def _repeat(self, head: Head, data: bytes) -> None:
        """Begin a request whose head is that of an earlier one, without the parser, which never hears of it."""
        self._framing = 0
        self._lessons = LESSONS
        cycle = RequestCycle(self, head, False, self._terms.keeps_alive)
        cycle.length = head.length
        self.cycle = self._answering = cycle
        self._to_start = True
        body = data[head.body_at :]
        if len(body) == head.length:
            self.read_deadline = math.inf
            cycle.here = body
            cycle.more_body = False
            return
        self._owed = head.length
        self._feeding = True
        behind = self._take_owed(body)
        if behind:
            self._take(behind)
        self._feeding = False

    def _take_owed(self, data: bytes) -> bytes:
        """Take what is still owed of a body; return what came behind it."""
        owed = self._owed
        behind = data[owed:]
        if behind:
            data = data[:owed]
        self._owed = owed - len(data)
        if data:
            self.on_body(data)
        if self._owed:
            self.read_deadline = self.loop.time() + self._terms.limits.body_idle_timeout
        else:
            self._body_ended()
        return behind

    def _learn(self, data: bytes) -> None:
        """Remember the head with which a read began, for the requests to come."""
        cycle = self._answering
        self._lessons -= 1
        if cycle is not None and cycle.keep_alive and cycle.head.version == "1.1" and cycle.head.learn(data):
            self._known = cycle.head

    def _take(self, data: bytes) -> None:
        """Feed the parser, and judge what came."""
        self._mixed = False
        self._body_read = 0
        # Not the first one of a connection: it may be the only one.
        learns = self._lessons > 0 and self._is_between
        try:
            self._feed(data)
        except httptools.HttpParserCallbackError as error:
            cause = error.__context__
            self._refuse(cause if isinstance(cause, Refused) else Refused(400, "The request could not be read."))
            return
        except httptools.HttpParserError as error:
            self._refuse(Refused(400, f"The request is not valid HTTP/1.1: {error}."))
            return
        if learns and self._to_start and not self.pipeline and not self._in_head:
            self._learn(data)
        if self._in_head:
            if not self._mixed:
                self._head_bytes += len(data)
                if self._head_bytes > self._terms.limits.max_head_bytes:
                    self._refuse(self._head_too_large())
        elif self.cycle is not None and self.cycle.more_body:
            self.read_deadline = self.loop.time() + self._terms.limits.body_idle_timeout
            # Tiny chunks have some five bytes of framing for each of theirs; ten times that is no body any more.
            grown = self._framing + len(data) - FRAMING_PER_BYTE * self._body_read
            self._framing = 0 if self._mixed else max(0, grown)
            if self._framing > MAX_FRAMING:
                self._refuse(Refused(400, "The request's body has more framing than content."))
        elif not self._mixed:
            # Empty lines, which may stand before a request.
            self._framing += len(data)
            if self._framing > MAX_FRAMING:
                self._refuse(Refused(400, "There are too many empty lines before the request."))

    def _feed(self, data: bytes) -> None:
        while data:
            try:
                self.parser.feed_data(data)
            except httptools.HttpParserUpgrade as upgrade:
                # A server may ignore the wish for another protocol (RFC 9110, 7.8). The parser stops behind the head
                # and would take the body for another request, so the request is read again without the wish.
                data = self._head_without_upgrade() + data[upgrade.args[0] :]
                self.parser = httptools.HttpRequestParser(self)
            else:
                return

    def _head_without_upgrade(self) -> bytes:
        version = self.parser.get_http_version().encode()
        lines = [b"%b %b HTTP/%b\r\n" % (self.parser.get_method(), self.url, version)]
        lines += [b"%b: %b\r\n" % header for header in self.headers if header[0] != b"upgrade"]
        return b"".join(lines) + b"\r\n"

    def pause_writing(self) -> None:
        super().pause_writing()
        self.write_deadline = self.loop.time() + self._terms.limits.write_stall_timeout
        if self._answering is not None and self._answering.reader is not None:
            self._answering.reader.client_paused()

    def resume_writing(self) -> None:
        super().resume_writing()
        self.write_deadline = math.inf
        if self._answering is not None and self._answering.reader is not None:
            self._answering.reader.client_resumed()

    def sweep(self, now: float) -> None:
        """Act on a deadline that has passed; `now` is loop time."""
        cycle = self.cycle
        if self.write_deadline < now:
            if self._answering is not None and not self._answering.response_complete:
                self._answering.stalled = True
            self._reset()
        elif self._lingering and self.read_deadline < now:
            self.transport.abort()
        elif self.transport.is_closing():
            if self.write_deadline == math.inf:
                # What is written may wait for the client no longer than at any other time.
                self.write_deadline = now + self._terms.limits.write_stall_timeout
        elif self.read_deadline < now:
            self._expire(now)
        elif cycle is not None and cycle.more_body and cycle is self._answering:
            self._check_body(self.cycle, now)

    def _check_body(self, cycle: RequestCycle, now: float) -> None:
        """The body comes, but it may not come for ever."""
        if self.flow.read_paused:
            # It is we who do not read.
            cycle.body_since = now
        elif cycle.is_late(now, self._terms.limits.body_timeout):
            self._refuse(Refused(408, "The request's body took too long to come."))

    @property
    def bodies(self) -> Bodies:
        """What all bodies count for that come slowly."""
        return self._terms.pressure.bodies

    @property
    def held(self) -> int:
        """Bytes of heads, of requests that wait for their turn, and of answers that the client has not read."""
        head = self._head_bytes if self._in_head else 0
        return head + self._queued + int(self.transport.get_write_buffer_size())

    def _reset(self) -> None:
        """Drop a client that does not read. A mere close would leave what the kernel has taken, megabytes, in its hands
        for as long as the client keeps its side open."""
        sock = self.transport.get_extra_info("socket")
        if sock is not None and sock.fileno() >= 0:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.abort()

    def _expire(self, now: float) -> None:
        """The client owes something, and it is late."""
        self.read_deadline = math.inf
        if self.flow.read_paused:
            # It is we who do not read.
            self.read_deadline = now + self._terms.limits.body_idle_timeout
        elif self._in_head:
            self._refuse(Refused(408, "The request's head stopped coming."))
        elif self.cycle is not None and self.cycle.more_body:
            self._refuse(Refused(408, "The request's body stopped coming."))
        else:
            self.transport.close()

    # the listener's end

    @property
    def is_writing(self) -> bool:
        """Whether an answer is under way, or some of it has not left yet."""
        answering = self._answering
        running = answering is not None and not answering.response_complete
        return running or self.transport.get_write_buffer_size() > 0

    def last(self) -> None:
        """The request under way is the last one on this connection; one that is idle may still send its last."""
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.keep_alive = False

    def retire(self) -> None:
        """The listener takes nothing new: an idle connection is closed, unless its client has not asked anything yet or
        is about to."""
        self.last()
        if self.cycle is not None and self.cycle.response_complete and not self._in_head:
            self.transport.close()

    # parser callbacks

    def on_message_begin(self) -> None:
        self.url = b""
        self.headers = []
        self.expect_100_continue = False
        self._in_head = True
        self._head_bytes = 0
        self.read_deadline = self.loop.time() + self._terms.limits.head_timeout

    def on_url(self, url: bytes) -> None:
        self.url += url
        if len(self.url) > self._terms.limits.max_head_bytes:
            raise Refused(414, "The request's target is too long.")

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._in_head:
            # A trailer: it came too late for every check, and nobody needs one.
            return
        self.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        if self.parser.should_upgrade():
            if self.parser.get_method() == b"CONNECT":
                raise Refused(400, "The request's target must be a path: this is no tunnel.")
            return
        version = self.parser.get_http_version()
        size, origin = self._check_head(version)
        before = self.cycle
        behind = before is not None and not before.response_complete
        if behind and len(self.pipeline) >= MAX_PIPELINED:
            raise Refused(400, f"More than {MAX_PIPELINED} requests wait for their answers on this connection.")
        self._in_head = False
        self._mixed = True
        self._framing = 0
        self.read_deadline = math.inf
        head = Head(self.parser.get_method().decode("ascii"), version, self.url, self.headers)
        head.origin = origin
        keep_alive = self._terms.keeps_alive and self.parser.should_keep_alive()
        cycle = RequestCycle(self, head, self.expect_100_continue, keep_alive)
        self.cycle = cycle
        if behind:
            # Reading goes on, or the client's leaving would not be seen; what may wait is bounded by its number here
            # and by its size in `on_body`.
            self.pipeline.appendleft((cycle, self.app))
            self._queue(cycle, size)
        else:
            self._answering = cycle
            self._to_start = True

    def on_body(self, body: bytes) -> None:
        self._body_read += len(body)
        cycle: RequestCycle = self.cycle
        if cycle.response_complete or cycle.take(body):
            return
        if cycle is not self._answering:
            self._queue(cycle, len(body))
        if cycle.keep(body):
            self.flow.pause_reading()
        cycle.tell(not self._feeding)

    def _queue(self, cycle: RequestCycle, size: int) -> None:
        """So many more bytes wait behind the request that is being answered."""
        cycle.queued += size
        self._queued += size
        if self._queued > MAX_QUEUED:
            # Its leaving is not seen meanwhile; but what waits for all clients together would be without a bound.
            self.flow.pause_reading()

    def on_message_complete(self) -> None:
        if self.parser.should_upgrade():
            return
        self._mixed = True
        self._body_ended()

    def _body_ended(self) -> None:
        """The request that is being read is whole; it goes on once the parser's callbacks are over."""
        cycle: RequestCycle = self.cycle
        self.read_deadline = math.inf
        cycle.more_body = False
        if not cycle.response_complete:
            cycle.tell(not self._feeding)

    def on_response_complete(self) -> None:
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        if self._answering is not None and self.cycle is self._answering and self._answering.more_body:
            self._linger()
            return
        now = self.loop.time()
        if self.pipeline:
            cycle, app = self.pipeline.pop()
            self._answering = cycle
            self._queued -= cycle.queued
            if self.flow.read_paused and self._queued <= MAX_QUEUED:
                self.flow.resume_reading()
            if cycle.more_body:
                cycle.body_since = now
                self.read_deadline = now + self._terms.limits.body_idle_timeout
            # Not at once: a hundred requests in one packet must not be a hundred calls deep.
            self.loop.call_soon(cycle.run, app)
            return
        if self.flow.read_paused:
            self.flow.resume_reading()
        if self._refusal is not None:
            self._refuse_now(self._refusal, None)
        elif not self._in_head:
            self.read_deadline = now + self._terms.limits.keep_alive_timeout

    # refusing

    def _check_head(self, version: str) -> tuple[int, bytes]:
        """Refuse what could be read in two ways; returns the size of the headers and their `Origin`."""
        if version not in ("1.1", "1.0"):
            raise Refused(400, "Only HTTP/1.1 and HTTP/1.0 are spoken here.")
        if _TARGET.fullmatch(self.url) is None:
            raise Refused(400, "The request's target must be a path, in printable ASCII.")
        if len(self.headers) > MAX_HEADERS:
            raise Refused(431, f"The request has more than {MAX_HEADERS} headers.")
        size = hosts = codings = 0
        underscores = False
        origin = b""
        for name, value in self.headers:
            # The parser has refused control characters in values.
            size += len(name) + len(value) + 4
            if _UNDERSCORE in name:
                underscores = True
            if name not in CHECKED:
                continue
            if name == b"host":
                hosts += 1
                if _HOST.fullmatch(value) is None:
                    raise Refused(400, "The Host header is not a host.")
            elif name == b"transfer-encoding":
                codings += 1
                if codings > 1 or value.lower() != b"chunked" or version == "1.0":
                    raise Refused(501, "Only 'Transfer-Encoding: chunked' is understood, and only in HTTP/1.1.")
            elif name == b"origin":
                origin = value
            elif value.lower() != b"100-continue":
                raise Refused(417, "Only 'Expect: 100-continue' is understood.")
            else:
                self.expect_100_continue = True
        if size > self._terms.limits.max_head_bytes:
            raise self._head_too_large()
        if hosts > 1 or (hosts == 0 and version == "1.1"):
            raise Refused(400, "The request must have exactly one Host header.")
        if underscores:
            # What a server behind a CGI-like interface would read as another header's name (`x_api_key`) is dropped, as
            # nginx drops it.
            self.headers = [header for header in self.headers if _UNDERSCORE not in header[0]]
        return size, origin

    def _refuse(self, refusal: Refused) -> None:
        """Answer with an error and close; behind answers that are still due, only once they have ended."""
        answering = self._answering
        if answering is None or answering.response_complete:
            self._refuse_now(refusal, None)
        elif answering is self.cycle and answering.more_body:
            self._refuse_now(refusal, answering)
        else:
            self._refusal = refusal
            self.read_deadline = math.inf
            if self.pipeline and self.cycle.more_body:
                # It is the newest in the queue that is refused.
                refused, _ = self.pipeline.popleft()
                self._queued -= refused.queued

    def _refuse_now(self, refusal: Refused, cycle: Any) -> None:
        if cycle is not None and cycle.response_started:
            self.transport.abort()
            return
        request_id, error = new_request_id(), InvalidRequest(refusal.message)
        body = envelope(error.message, error.type, error.code, request_id)
        head = b"content-type: application/json\r\nx-request-id: %b\r\ncontent-length: %d\r\nconnection: close\r\n\r\n"
        lines = head % (request_id.encode(), len(body))
        if cycle is not None:
            lines = cycle.more_lines + lines
        self.transport.write(STATUS_LINE[refusal.status] + lines + body)
        if cycle is not None:
            # The application is told that its client is gone: it must not answer any more.
            cycle.left()
        self._linger()

    def _linger(self) -> None:
        """Close without losing what is written: our side is closed, the client's bytes are thrown away for a while."""
        self._lingering = True
        self.flow.resume_reading()
        self.read_deadline = self.loop.time() + LINGER
        if self.transport.can_write_eof():
            self.transport.write_eof()
        else:
            self.transport.close()

    def _head_too_large(self) -> Refused:
        return Refused(431, f"The request's head is larger than {self._terms.limits.max_head_bytes} bytes.")


def guarded_protocol(terms: Terms) -> Any:
    """What makes the protocol of each connection of one listener."""
    return functools.partial(GuardedProtocol, terms)


def sweep(connections: Iterable[Any], now: float) -> int:
    """Let every connection act on its deadlines; `now` is loop time. Returns the bytes that they hold."""
    held = 0
    for connection in list(connections):
        connection.sweep(now)
        held += connection.held
    return held
