"""One HTTP/1.1 connection to an upstream, as a protocol that pushes what it reads straight into a sink.

It knows one exchange at a time and nothing of aliases, retries or clients. A connection serves again only after an
answer that ended cleanly, with nothing left over, and that nobody cancelled.
"""

import asyncio
import logging
import select
from collections.abc import Callable
from typing import Final, Protocol

import httptools

from proxy.errors import InternalFault, UpstreamDropped, UpstreamFailed, UpstreamProtocolError
from proxy.wire.headers import Header

#: Bytes of an answer's head, all header lines together; and of chunk extensions and trailers without any content.
MAX_HEAD_BYTES: Final = 65_536
#: Statuses of final answers in HTTP; an answer with another one is none, and could not be passed on.
MIN_STATUS: Final = 200
MAX_STATUS: Final = 599
_LOWER: Final = bytes(range(256)).lower()
_log = logging.getLogger(__name__)


class Sink(Protocol):
    """Takes an answer as it arrives. After `failed`, or `body` with `complete`, nothing more comes."""

    def head(self, status: int, headers: list[Header]) -> None:
        """The final head of the answer (informational ones are skipped); names are in lower case."""
        ...

    def body(self, data: bytes, complete: bool) -> None:
        """All body bytes of one read, joined; `complete` says that the answer ended as its framing says it should."""
        ...

    def failed(self, error: UpstreamFailed) -> None:
        """The answer cannot be had, or not to its end."""
        ...


class Source(Protocol):
    """Feeds a request's body while it arrives; told how the upstream takes it, and when nobody wants it any more."""

    def blocked(self) -> None: ...

    def unblocked(self) -> None: ...

    def detached(self) -> None: ...


class Owner(Protocol):
    """What a connection needs of its pool."""

    def opened(self, connection: "Connection") -> None: ...

    def released(self, connection: "Connection") -> None: ...

    def lost(self, connection: "Connection") -> None: ...


class Connection(asyncio.Protocol):
    """See the module. Made by the pool; `send` starts an exchange."""

    __slots__ = (
        "_behind",
        "_complete",
        "_eof_framed",
        "_framing",
        "_head_bytes",
        "_head_done",
        "_head_given",
        "_headers",
        "_informational",
        "_keep_alive",
        "_owner",
        "_parser",
        "_parts",
        "_paused",
        "_sink",
        "_source",
        "_status",
        "_surplus",
        "_transport",
        "answered",
        "exchanges",
        "idle_since",
        "key",
        "round_trip",
        "unread",
    )

    def __init__(self, owner: Owner) -> None:
        self._owner = owner
        self._transport: asyncio.Transport | None = None
        self._sink: Sink | None = None
        #: Who still owes a part of the running request's body.
        self._source: Source | None = None
        #: Its own reading is stopped.
        self._paused = False
        #: The upstream is slow to take a request.
        self._behind = False
        self._parser = httptools.HttpResponseParser(self)
        #: How many exchanges were started on it.
        self.exchanges = 0
        #: Loop time since when it has been idle; kept by the pool.
        self.idle_since = 0.0
        #: The id of the key that it served last; kept by the pool.
        self.key = ""
        #: Seconds that a byte takes to the upstream and back, or more; kept by the pool.
        self.round_trip = 0.0
        #: Called with 0: whether bytes, or the end, are here that the loop has not read yet.
        self.unread: Callable[[int], list[tuple[int, int]]] | None = None
        #: A byte of the running exchange's answer has come.
        self.answered = False
        self._reset()

    def _reset(self) -> None:
        self._parts: list[bytes] = []
        self._headers: list[Header] = []
        self._head_bytes = 0
        self._framing = 0
        self._status = 0
        self._head_done = False
        self._head_given = False
        self._informational = False
        self._eof_framed = False
        self._keep_alive = False
        self._complete = False
        self._surplus = False

    @property
    def usable(self) -> bool:
        """Idle and open."""
        return self._sink is None and self._transport is not None and not self._transport.is_closing()

    def send(
        self,
        head: bytes,
        body: bytes,
        sink: Sink,
        source: Source | None = None,
        pieces: list[bytes | memoryview] | None = None,
    ) -> None:
        """Write a request; its answer goes to `sink`. A `source` means that more of the body follows by `write`; the
        `pieces` of a large one follow `body` at once."""
        assert self._transport is not None
        assert self._sink is None
        self._sink = sink
        self._source = source
        self.exchanges += 1
        self.answered = False
        self._reset()
        if pieces is not None:
            self._transport.writelines([head, body, *pieces])
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

    def hand_over(self, sink: Sink) -> None:
        """Give the rest of the answer to another sink."""
        self._sink = sink

    def pause(self) -> None:
        """Stop reading: the sink's own reader is behind."""
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
        """End the exchange from this side: the sink hears nothing more, and the upstream sees the close at once."""
        self._sink = None
        self._detach()
        if self._transport is not None:
            self._transport.abort()

    def fail(self, error: UpstreamFailed) -> None:
        """End the exchange with an error, which its sink hears."""
        sink = self._sink
        self._sink = None
        self._detach()
        if self._transport is not None:
            self._transport.abort()
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
            self.unread = poller.poll
        self._owner.opened(self)

    def data_received(self, data: bytes) -> None:
        sink = self._sink
        if sink is None:
            # Nobody asked: whatever it is, it must not become part of the next answer.
            self.close()
            return
        self.answered = True
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._surplus = True
            if self.exchanges > 1 and not (self._head_bytes or self._status or self._headers or self._parts):
                # The rest of an earlier answer: nothing of this one has come, as if the connection had been closed.
                self._drop("bytes that nobody asked for", reused=True)
                return
            if not self._complete:
                self.fail(UpstreamProtocolError("The model's answer was not valid HTTP.", detail=str(error)))
                return
        try:
            if not self._head_given:
                self._head_bytes += len(data)
                if self._head_bytes > MAX_HEAD_BYTES and self._head_too_large():
                    self.fail(UpstreamProtocolError("The model's answer was not valid HTTP.", detail="head too large"))
                    return
                if not self._head_done:
                    return
                status = self._status
                if not MIN_STATUS <= status <= MAX_STATUS:
                    detail = f"status {status}"
                    self.fail(UpstreamProtocolError("The model's answer was not valid HTTP.", detail=detail))
                    return
                self._head_given = True
                sink.head(status, self._headers)
                if self._sink is not sink:
                    return
            parts = self._parts
            if self._complete:
                self._finish(parts[0] if len(parts) == 1 else b"".join(parts))
            elif parts:
                self._parts = []
                self._framing = 0
                sink.body(parts[0] if len(parts) == 1 else b"".join(parts), False)
            else:
                self._framing += len(data)
                if self._framing > MAX_HEAD_BYTES:
                    self.fail(UpstreamProtocolError("The model's answer was not valid HTTP.", detail="endless framing"))
        except Exception as fault:  # noqa: BLE001 (whatever the sink raises, it must hear of an end)
            self._sink_failed(sink, fault)

    def eof_received(self) -> bool:
        if self._sink is not None and self._head_done and self._eof_framed and not self._complete:
            self._complete = True
            self._finish(b"")
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._owner.lost(self)
        if self._sink is not None:
            detail = f"{type(exc).__name__}: {exc}" if exc else "connection closed"
            self._drop(detail, reused=self.exchanges > 1 and not self.answered)
        # It points back here, and would keep this until the collector runs.
        self._parser = None  # type: ignore[assignment]

    def pause_writing(self) -> None:
        self._behind = True
        if self._source is not None:
            self._source.blocked()

    def resume_writing(self) -> None:
        self._behind = False
        if self._source is not None:
            self._source.unblocked()

    # httptools

    def on_message_begin(self) -> None:
        if self._complete:
            self._surplus = True

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._head_done:
            self._headers.append((name.translate(_LOWER), value))

    def on_headers_complete(self) -> None:
        if self._complete:
            return
        status = self._parser.get_status_code()
        if 100 <= status < MIN_STATUS and status != 101:
            self._informational = True
            return
        framings = [name for name, _ in self._headers if name in (b"content-length", b"transfer-encoding")]
        self._status = status
        self._eof_framed = not framings and status not in (204, 304)
        # Two framings: what follows cannot be told apart from another answer.
        self._keep_alive = self._parser.should_keep_alive() and len(framings) < 2
        self._head_done = True

    def on_body(self, body: bytes) -> None:
        if not self._complete:
            self._parts.append(body)

    def on_message_complete(self) -> None:
        if self._informational:
            self._informational = False
            self._headers = []
        else:
            self._complete = True

    def _head_too_large(self) -> bool:
        """Whether it is the head that takes so many bytes, and not a body that came with it."""
        return not self._head_done or sum(len(name) + len(value) + 4 for name, value in self._headers) > MAX_HEAD_BYTES

    # endings

    def _drop(self, detail: str, reused: bool) -> None:
        """The answer does not come any more; `reused` is whether a fresh connection may mend that."""
        error = UpstreamDropped("The model's provider closed the connection before the answer ended.", detail=detail)
        error.reused = reused
        self.fail(error)

    def _detach(self) -> bool:
        """Part from a source that still owes a part of the request; whether there was one."""
        source, self._source = self._source, None
        if source is not None:
            source.detached()
        return source is not None

    def _sink_failed(self, sink: Sink, fault: Exception) -> None:
        """The sink did not take what came: end its exchange, which must not wait for an answer that is gone."""
        _log.error("An answer could not be passed on.", exc_info=fault)
        if self._sink is sink:
            # Else the connection has been released, and may serve another exchange by now.
            self.abort()
        sink.failed(InternalFault())

    def _finish(self, data: bytes) -> None:
        sink = self._sink
        assert sink is not None
        self._sink = None
        self._parts = []
        if self._detach() or self._behind:
            # Answered before it had the whole request: what it would read next is the rest of that.
            assert self._transport is not None
            self._transport.abort()
        elif self._keep_alive and not self._surplus:
            self._owner.released(self)
        else:
            self.close()
        sink.body(data, True)
