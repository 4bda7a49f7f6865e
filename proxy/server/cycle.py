"""One request on a client connection, and the response to it.

Handlers read the body and write the response by plain calls, without a coroutine or a message for each part; ASGI
applications reach the same calls through `proxy.server.asgi`. It must not decide anything about the response.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Final

from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from proxy.errors import BodyTooLarge, ClientGone, InternalFault
from proxy.server.bodies import Holding, no_room
from proxy.server.context import ServerContext
from proxy.server.downstream import Downstream, ResponseProducer
from proxy.server.envelope import JSON_LINE, envelope
from proxy.server.head_cache import Head
from proxy.server.ids import new_request_id
from proxy.server.request_body import KEPT, RequestBody
from proxy.server.request_parser import RequestHandler
from proxy.server.waiter import RequestWaiter

#: The key of the ASGI scope's extensions under which a handler finds its `RequestCycle`.
EXTENSION = "prometheus.client"
#: The lines in front of chunks that have fewer bytes than this: most have.
_MAX_CACHED_SIZE: Final = 2_048
_SIZE_LINES: Final = tuple([b"%x\r\n" % size for size in range(_MAX_CACHED_SIZE)])

#: Statuses of responses that have no body and no framing.
_BODILESS: Final = frozenset({204, 304})

# States of a cycle, in their order.
#: The application has not been called.
NEW: Final = 0
#: It is about to be, as the earlier requests of the connection have their responses.
SCHEDULED: Final = 1
#: The application has the request, and has not begun its response.
RUNNING: Final = 2
#: The response has begun, with a body of known length (or until the connection's end), of chunks, or without one.
SIZED: Final = 3
CHUNKED: Final = 4
BODILESS: Final = 5
#: The transport has all of the response.
COMPLETE: Final = 6
#: The client has left before that, or is treated as if it had.
DISCONNECTED: Final = 7

_log = logging.getLogger(__name__)


class ClientConnection(RequestHandler):
    """What a request cycle needs of its connection, which reads requests and is a `RequestHandler`."""

    context: ServerContext
    loop: asyncio.AbstractEventLoop
    transport: asyncio.Transport
    flow: FlowControl

    def response_completed(self) -> None:
        """The transport has all of the response to the request that is being served."""
        raise NotImplementedError


class RequestCycle(Downstream):
    """One request and its response: `begin` once, then `write` until `last`; or `abort`, or `fail`."""

    # Defaults that most requests never change: set on the class, and not for each of them.
    state = NEW
    status = 0
    bytes_out = 0
    stalled = False
    producer: ResponseProducer | None = None
    #: Header lines that every response to this request has, errors too, such as those of CORS.
    more_lines = b""
    #: The coroutine that serves it, where one does.
    waiter: RequestWaiter | None = None
    #: The response's head, until it leaves with the first bytes of the body.
    _head = b""

    def __init__(
        self, protocol: ClientConnection, head: Head, body: RequestBody, content_length: int | None, keep_alive: bool
    ) -> None:
        """`content_length` is what the client has announced; `keep_alive` whether it may send another request."""
        self.protocol = protocol
        self.head = head
        self.body = body
        self.content_length = content_length
        self.keep_alive = keep_alive
        #: Monotonic time at which the request's head was complete.
        self.arrived = time.monotonic()

    @property
    def transport(self) -> asyncio.Transport:
        """The client's connection."""
        return self.protocol.transport

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The event loop that serves it."""
        return self.protocol.loop

    @property
    def disconnected(self) -> bool:
        """The client has left before its response was complete, or is treated as if it had."""
        return self.state == DISCONNECTED

    @property
    def response_started(self) -> bool:
        """`begin` was called; nothing may have left yet."""
        return self.status != 0

    @property
    def more_body(self) -> bool:
        """Some of the request's body has not arrived yet."""
        return not self.body.complete

    # the request body

    def try_read_body(self, limit: int) -> bytes | None:
        """The whole request body, if it has arrived already. Raises `BodyTooLarge` and `ClientGone`."""
        if not self.body.complete:
            return None
        data = self.body.take()
        if self.waiter is not None:
            self.waiter.clear()
        if len(data) > limit:
            raise _too_large(limit)
        if self.state == DISCONNECTED:
            raise ClientGone("The client left.")
        return data

    async def read_body(self, limit: int) -> bytes:
        """The whole request body.

        Raises `BodyTooLarge` once more than `limit` bytes are announced or there, `Overloaded` where there is no room
        for it beside all others, and `ClientGone`.
        """
        self._ask_for_body(limit)
        body, waiter = self.body, self.waiter
        assert waiter is not None
        holding = Holding(self.protocol.context.shedding.bodies)
        try:
            body.collect(limit, holding)
            while not body.complete and self.state != DISCONNECTED and not body.is_refused:
                self.protocol.flow.resume_reading()
                waiter.clear()
                await waiter.wait()
        finally:
            is_refused, is_too_large = body.is_refused, body.is_too_large
            # What still comes of it reserves nothing any more.
            body.release()
            holding.release()
        waiter.clear()
        if is_refused:
            # The client may send on for as long as it does not read the refusal.
            body.discard()
            raise _too_large(limit) if is_too_large else no_room()
        if self.state == DISCONNECTED:
            raise ClientGone("The client left while it sent its request.")
        return body.take()

    async def feed_body(self, sink: Callable[[bytes], bool], limit: int) -> None:
        """Give the body's parts to `sink`, those to come too; return once it says that there is something to look at,
        or when the body has ended or the client has left.

        Raises `BodyTooLarge` when more than `limit` bytes are announced.
        """
        self._ask_for_body(limit)
        body, waiter = self.body, self.waiter
        assert waiter is not None
        waiter.clear()
        seen = body.hand_on(sink)
        self.protocol.flow.resume_reading()
        if not seen and not body.complete and self.state != DISCONNECTED:
            await waiter.wait()

    async def changed(self) -> bool:
        """Wait until something has happened to the body, the response or the client; whether the response is due."""
        waiter = self.waiter
        assert waiter is not None
        if self.state < COMPLETE:
            await waiter.wait()
            waiter.clear()
        return self.state < COMPLETE

    def pause_body(self) -> None:
        """Read no more of the body for now."""
        self.protocol.flow.pause_reading()

    def resume_body(self) -> None:
        """Read on."""
        self.protocol.flow.resume_reading()

    def body_received(self, data: bytes) -> bool:
        """Take the next part of the body; whether to read no more for now. A coroutine that waits is resumed later."""
        body = self.body
        kept = body.state == KEPT
        notable = body.add(data)
        if self.waiter is not None and (kept or notable):
            self.waiter.set()
        return kept and notable

    def body_completed(self) -> None:
        """The body has ended. A coroutine that waits is resumed later."""
        self.body.complete = True
        if self.waiter is not None and self.state < COMPLETE:
            self.waiter.set()

    def send_continue(self) -> None:
        """Send `100 Continue` to a client that waits for it, unless its response has begun."""
        body, transport = self.body, self.protocol.transport
        if body.expects_continue and self.state <= RUNNING and not transport.is_closing():
            transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            body.expects_continue = False

    def _ask_for_body(self, limit: int) -> None:
        if (self.content_length or 0) > limit:
            raise _too_large(limit)
        if not self.body.complete:
            self.send_continue()

    # the response

    def begin(self, status: int, lines: bytes, length: int | None) -> None:
        """Set the head: `lines` are whole header lines, `length` that of the body or None. It leaves with the body."""
        if self.state >= COMPLETE:
            self.status = status
            return
        state = SIZED
        if length is not None:
            framing = b"content-length: %d\r\n" % length
        elif status in _BODILESS:
            framing = b""
            state = BODILESS
        elif self.head.version == "1.1":
            state = CHUNKED
            framing = b"transfer-encoding: chunked\r\n"
        else:
            self.keep_alive = False
            framing = b""
        if self.head.method == "HEAD":
            state = BODILESS
        parts = [STATUS_LINE[status]]
        for name, value in self.protocol.context.state.default_headers:
            parts += (name, b": ", value, b"\r\n")
        if not self.keep_alive or not self.body.complete:
            # A body that was not read to its end must not be taken for the next request.
            self.keep_alive = False
            framing += b"connection: close\r\n"
        elif self.head.version == "1.0":
            framing += b"connection: keep-alive\r\n"
        parts += (lines, self.more_lines, framing, b"\r\n")
        self._head = b"".join(parts)
        # Not before: a fault on the way here must find a response that has not begun.
        self.status = status
        self.state = state

    def write(self, data: bytes, last: bool) -> None:
        """Hand the next bytes of the body to the transport, with the head if it has not left yet."""
        state = self.state
        if state >= COMPLETE:
            return
        self.bytes_out += len(data)
        if state == CHUNKED:
            if not data:
                data = b"0\r\n\r\n" if last else b""
            elif last:
                data = b"%x\r\n%b\r\n0\r\n\r\n" % (len(data), data)
            else:
                size = len(data)
                data = (_SIZE_LINES[size] if size < _MAX_CACHED_SIZE else b"%x\r\n" % size) + data + b"\r\n"
        elif state == BODILESS:
            data = b""
        head = self._head
        if head:
            self._head = b""
            data = head + data
        protocol = self.protocol
        if data:
            protocol.transport.write(data)
        if last:
            self.state = COMPLETE
            if self.waiter is not None:
                self.waiter.notify()
            else:
                self.release()
            if not self.keep_alive and self.body.complete:
                # Else the protocol closes it, so that a client that still sends can read this first.
                protocol.transport.close()
            protocol.response_completed()

    async def drain(self) -> None:
        """Wait until the client's connection takes more."""
        if self.protocol.flow.write_paused:
            await self.protocol.flow.drain()

    def abort(self) -> None:
        """End the response before its end: what was written leaves, the mark of the body's end does not."""
        if self.state < COMPLETE:
            self.keep_alive = False
            self.protocol.transport.close()

    def fail(self, fault: BaseException) -> None:
        """End a response that a fault of the gateway's own has stopped.

        Must not leave a client without an end, whatever is raised.
        """
        _log.error("A request failed inside the gateway.", exc_info=fault)
        self.end_unfinished()

    def end_unfinished(self) -> None:
        """End a response that is not complete: by a 500 if none of it has left, else by an abort."""
        if self.state >= COMPLETE:
            return
        if self.state > RUNNING and not self._head:
            self.abort()
            return
        try:
            request_id, error = new_request_id(), InternalFault()
            body = envelope(error.message, error.type, error.code, request_id)
            own = self.protocol.context.own_lines(request_id, self.head.headers, self.arrived)
            self.begin(500, JSON_LINE + own, len(body))
            self.write(body, True)
        except Exception:
            self.protocol.transport.abort()
            raise

    def client_left(self) -> None:
        """The client has left, or is treated as if it had."""
        self.state = DISCONNECTED
        if self.waiter is not None:
            self.waiter.notify()
            return
        producer = self.producer
        if producer is not None:
            producer.client_disconnected()
        self.release()

    def release(self) -> None:
        """Drop the references to what served it, so that it is freed at once, and not by the garbage collector."""
        self.producer = None
        if self.waiter is not None:
            self.waiter = None
            self.body.release()


def _too_large(limit: int) -> BodyTooLarge:
    return BodyTooLarge(f"The request body is larger than {limit} bytes, the most this endpoint takes.")
