"""One HTTP/1.1 connection to an upstream: writes a request and pushes what it reads of the response into a sink.

It serves one request at a time and knows nothing of aliases, retries or clients. It serves again only after a response
that ended cleanly, with nothing behind it, and that was not aborted.
"""

import asyncio
import logging
import select
from collections.abc import Callable

import httptools

from proxy.errors import InternalFault, UpstreamDropped, UpstreamFailed, UpstreamProtocolError
from proxy.native import mypyc_attr
from proxy.upstream.response_parser import (
    BODY,
    COMPLETE,
    HEAD,
    IDLE,
    MAX_HEAD_BYTES,
    MAX_STATUS,
    MIN_STATUS,
    OVERRUN,
    WAITING,
    ResponseParser,
)
from proxy.wire.headers import Header

_log = logging.getLogger(__name__)


@mypyc_attr(allow_interpreted_subclasses=True)
class BodySource:
    """Produces a request's body while it is being sent; notified of backpressure by the connection."""

    __slots__ = ()

    def blocked(self) -> None:
        """The upstream takes no more for now: stop writing."""

    def unblocked(self) -> None:
        """The upstream takes more: go on."""

    def detached(self) -> None:
        """The rest of the body is not wanted: the response has ended, or failed."""


@mypyc_attr(allow_interpreted_subclasses=True)
class ResponseSink(BodySource):
    """Waits for a connection, and takes the response that arrives on it; it may be the source of the body too.

    Of `connected` and `not_connected` one comes, unless the wait was cancelled. After `failed`, or `body` with
    `complete`, nothing more comes.
    """

    __slots__ = ()

    def connected(self, connection: "Connection") -> None:
        """The pool gave a connection."""
        raise NotImplementedError

    def not_connected(self, error: UpstreamFailed) -> None:
        """The pool could not give one."""
        raise NotImplementedError

    def head(self, status: int, headers: list[Header]) -> None:
        """The final head of the response (informational ones are skipped); names are in lower case."""
        raise NotImplementedError

    def body(self, data: bytes, complete: bool) -> None:
        """All body bytes of one read, joined; `complete`: the response ended as its framing says it should."""
        raise NotImplementedError

    def failed(self, error: UpstreamFailed) -> None:
        """The response did not come, or not to its end."""
        raise NotImplementedError


@mypyc_attr(allow_interpreted_subclasses=True)
class ConnectionOwner:
    """What a connection reports to: its pool."""

    def opened(self, connection: "Connection") -> None:
        """A connection came up."""
        raise NotImplementedError

    def released(self, connection: "Connection") -> None:
        """A connection is free for the next request."""
        raise NotImplementedError

    def lost(self, connection: "Connection") -> None:
        """A connection is closed."""
        raise NotImplementedError

    def not_opened(self, error: UpstreamFailed, awaited: bool) -> None:
        """A connection could not be opened; whether a request still waits for it."""
        raise NotImplementedError


class Connection(asyncio.Protocol):
    """A connection that its pool has opened; `send` starts a request."""

    __slots__ = (
        "_behind",
        "_overhead_bytes",
        "_owner",
        "_paused",
        "_response",
        "_sink",
        "_source",
        "_transport",
        "idle_since",
        "key",
        "poll_unread",
        "requests_sent",
        "round_trip",
    )

    def __init__(self, owner: ConnectionOwner) -> None:
        self._owner = owner
        self._transport: asyncio.Transport | None = None
        self._response = ResponseParser()
        #: Takes the running response; None while no request runs.
        self._sink: ResponseSink | None = None
        #: Still owes a part of the running request's body.
        self._source: BodySource | None = None
        #: Reading is stopped, because the sink is behind.
        self._paused = False
        #: The upstream is slow to take a request.
        self._behind = False
        #: Bytes of the head, and once that is complete, bytes since the last content.
        self._overhead_bytes = 0
        self.requests_sent = 0
        #: Loop time since when it has been idle; kept by the pool.
        self.idle_since = 0.0
        #: The id of the key that it served last; kept by the pool.
        self.key = ""
        #: Seconds that a byte takes to the upstream and back, or more; kept by the pool.
        self.round_trip = 0.0
        #: Called with 0: whether bytes, or the end, are here that the loop has not read yet.
        self.poll_unread: Callable[[int], list[tuple[int, int]]] | None = None

    @property
    def usable(self) -> bool:
        """Idle and open."""
        return self._sink is None and self._transport is not None and not self._transport.is_closing()

    def send(
        self,
        head: bytes,
        body: bytes,
        sink: ResponseSink,
        source: BodySource | None = None,
        chunks: list[bytes | memoryview] | None = None,
    ) -> None:
        """Write a request; its response goes to `sink`. A `source` writes more of the body by `write`; the `chunks` of
        a large body follow `body` at once."""
        assert self._transport is not None
        assert self._sink is None
        self._sink = sink
        self._source = source
        self.requests_sent += 1
        self._overhead_bytes = 0
        self._response.begin(WAITING)
        if chunks is not None:
            self._transport.writelines([head, body, *chunks])
        elif len(body) < 16_384:
            self._transport.write(head + body)
        else:
            self._transport.writelines((head, body))

    def write(self, data: bytes, last: bool) -> None:
        """Write the next bytes of a request's body, in its framing."""
        if last:
            self._source = None
        if data and self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    def replace_sink(self, sink: ResponseSink) -> None:
        """Give the rest of the response to another sink."""
        self._sink = sink

    def pause(self) -> None:
        """Stop reading: the sink is behind."""
        self._paused = True
        if self._transport is not None and not self._transport.is_closing():
            self._transport.pause_reading()

    def resume(self) -> None:
        """Read on."""
        if not self._paused:
            return
        self._paused = False
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    def abort(self) -> None:
        """End the request from this side: the sink is not called any more, and the upstream sees the close at once."""
        self._sink = None
        self._detach_source()
        if self._transport is not None:
            self._transport.abort()

    def fail(self, error: UpstreamFailed) -> None:
        """Abort the request with an error, which its sink gets."""
        sink = self._sink
        self.abort()
        if sink is not None:
            sink.failed(error)

    def close(self) -> None:
        """Close an idle connection."""
        if self._transport is not None:
            self._transport.close()

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._transport = transport
        sock = transport.get_extra_info("socket")
        if sock is not None:
            poller = select.poll()
            poller.register(sock.fileno(), select.POLLIN)
            self.poll_unread = poller.poll
        self._owner.opened(self)

    def data_received(self, data: bytes) -> None:
        sink = self._sink
        if sink is None:
            # No request runs: whatever it is, it must not become part of the next response.
            self.close()
            return
        response = self._response
        before = response.state
        if before == WAITING:
            response.state = HEAD
        try:
            response.parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            if self.requests_sent > 1 and before == WAITING and not (response.status or response.headers):
                # The rest of an earlier response: nothing of this one has come, as if the connection had been closed.
                self._drop("bytes of no response", reused=True)
                return
            if response.state < COMPLETE:
                self._reject(str(error))
                return
            response.state = OVERRUN
        try:
            if before < BODY:
                self._overhead_bytes += len(data)
                if self._overhead_bytes > MAX_HEAD_BYTES and response.head_exceeds(MAX_HEAD_BYTES):
                    self._reject("head too large")
                    return
                if response.state < BODY:
                    return
                if not MIN_STATUS <= response.status <= MAX_STATUS:
                    self._reject(f"status {response.status}")
                    return
                self._overhead_bytes = 0
                sink.head(response.status, response.headers)
                if self._sink is not sink:
                    return
            parts = response.parts
            if response.state >= COMPLETE:
                self._finish(parts[0] if len(parts) == 1 else b"".join(parts))
            elif parts:
                response.parts = []
                self._overhead_bytes = 0
                sink.body(parts[0] if len(parts) == 1 else b"".join(parts), False)
            else:
                self._overhead_bytes += len(data)
                if self._overhead_bytes > MAX_HEAD_BYTES:
                    self._reject("endless framing")
        except Exception as fault:  # noqa: BLE001 (whatever the sink raises, it must be notified of an end)
            self._sink_failed(sink, fault)

    def eof_received(self) -> bool:
        if self._sink is not None and self._response.state == BODY and self._response.eof_framed:
            self._finish(b"")
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._owner.lost(self)
        if self._sink is not None:
            detail = f"{type(exc).__name__}: {exc}" if exc else "connection closed"
            self._drop(detail, reused=self.requests_sent > 1 and self._response.state == WAITING)
        self._response.close()

    def pause_writing(self) -> None:
        self._behind = True
        if self._source is not None:
            self._source.blocked()

    def resume_writing(self) -> None:
        self._behind = False
        if self._source is not None:
            self._source.unblocked()

    # endings

    def _reject(self, detail: str) -> None:
        """The response breaks HTTP, or a bound."""
        self.fail(UpstreamProtocolError("The model's answer was not valid HTTP.", detail=detail))

    def _drop(self, detail: str, reused: bool) -> None:
        """No more of the response comes; `reused` is whether a fresh connection may serve the request."""
        error = UpstreamDropped("The model's provider closed the connection before the answer ended.", detail=detail)
        error.reused = reused
        self.fail(error)

    def _detach_source(self) -> bool:
        """Part from a source that still owes a part of the request; whether there was one."""
        source, self._source = self._source, None
        if source is not None:
            source.detached()
        return source is not None

    def _sink_failed(self, sink: ResponseSink, fault: Exception) -> None:
        """The sink raised: end its request, which must not wait for a response that is gone."""
        _log.error("A response could not be passed on.", exc_info=fault)
        if self._sink is sink:
            # Else the connection has been released, and may serve another request by now.
            self.abort()
        sink.failed(InternalFault())

    def _finish(self, data: bytes) -> None:
        """The response is complete with these last bytes: release the connection before they are passed on."""
        sink = self._sink
        assert sink is not None
        self._sink = None
        response = self._response
        clean = response.state == COMPLETE and response.keep_alive
        response.state = IDLE
        response.parts = []
        if self._detach_source() or self._behind:
            # The response came before all of the request was taken: the upstream would read the rest as a request.
            assert self._transport is not None
            self._transport.abort()
        elif clean:
            self._owner.released(self)
        else:
            self.close()
        sink.body(data, True)
