"""One request and its answer on a client connection: uvicorn's ASGI cycle with a second, direct face.

The relay reads a body and pushes an answer through that face without a coroutine or a message per piece; everything
else (Starlette, the docs pages) uses ASGI's `receive` and `send` as ever. It decides nothing about the answer.

An application may have a method `try_handle_inline`: it is called first, with a request that has arrived whole, and may
serve it without a coroutine. The producer of that response is told when the client leaves.
"""

import time
from collections.abc import Callable
from typing import Any, Final

from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

from proxy.errors import BodyTooLarge, ClientGone, InternalFault
from proxy.server.bodies import Holding, no_room
from proxy.server.envelope import envelope
from proxy.server.head_cache import Head
from proxy.server.ids import new_request_id
from proxy.server.suspension import SUSPENDED, taken_over
from proxy.server.waiter import RequestWaiter

#: The key of the ASGI scope's extensions under which an endpoint finds its `RequestCycle`.
EXTENSION = "prometheus.client"
#: The lines in front of chunks that have fewer bytes than this: most have.
_SIZED: Final = 2_048
_SIZE_LINES: Final = tuple([b"%x\r\n" % size for size in range(_SIZED)])
#: Bytes of a body for which it has all the time that a body may take; longer ones have it again for each part.
BODY_PART: Final = 33_554_432
ASGI = {"version": "3.0", "spec_version": "2.3"}


class RequestCycle(RequestResponseCycle):
    """See the module. `begin` once, then `write` until `last`; or `cut`."""

    # What the base class sets is declared again, for compiled code; some of it only for ASGI.
    transport: Any
    flow: Any
    logger: Any
    default_headers: Any
    on_response: Any
    tasks: Any
    message_event: Any
    scope: Any
    loop: Any
    keep_alive: bool
    waiting_for_100_continue: bool
    # What most requests never change stands here, and is not set for each of them.
    disconnected = False
    more_body = True
    response_started = False
    response_complete = False
    chunked_encoding: Any = None
    expected_content_length = 0
    access_log = False
    #: Whoever feeds the answer; told, by `client_paused` and `client_resumed`, how the client's own reading goes.
    reader: Any = None
    #: The client was dropped because it did not read.
    stalled = False
    #: Bytes of the answer's body handed to the transport, framing not counted.
    bytes_out = 0
    #: HTTP status of the answer, 0 until it began.
    status = 0
    #: Header lines that the answer has beside those of whoever makes it.
    more_lines = b""
    #: The body's length where the guard knows it from elsewhere than the headers, else -1.
    length = -1
    #: The body as far as it came in one piece, before anybody asked for it.
    here = b""
    body: Any = b""
    _head = b""
    _received = 0
    _limit = 0
    _collecting = False
    #: What the collected body counts for, and whether there was no room for its last piece.
    _holding: Holding | None = None
    _crowded = False
    #: When the time for the rest of the body began, in monotonic seconds, where that is not the request's arrival.
    body_since = 0.0
    #: Bytes of it that wait for the answers before its own.
    queued = 0
    #: Takes the body's pieces instead; it says when those who wait should look.
    _sink: Callable[[bytes], bool] | None = None
    _parts: list[bytes]
    _coroutine: Any = None
    _signal: RequestWaiter | None = None
    #: Served without a coroutine; or by one that asks for the body as ASGI has it.
    _direct = False
    _asgi = False

    def __init__(self, protocol: Any, head: Head, expects_continue: bool, keep_alive: bool) -> None:
        """`protocol` is the guard of the connection. The base class's own way of being made, with each of its parts as
        an argument, costs too much for every request, and most of it is only for ASGI."""
        self._protocol = protocol
        self.head = head
        self.transport = protocol.transport
        self.loop = protocol.loop
        self.waiting_for_100_continue = expects_continue
        self.keep_alive = keep_alive
        #: Monotonic time at which the request's head was complete.
        self.arrived = time.monotonic()

    async def send(self, message: Any) -> None:
        """ASGI's `send`; keeps the status for the access line, and tells the client when the connection ends."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            more = [line.split(b": ", 1) for line in self.more_lines.splitlines()]
            if not self.keep_alive:
                more.append([b"connection", b"close"])
            if more:
                message = {**message, "headers": [*message.get("headers", ()), *more]}
        await super().send(message)

    def receive(self) -> Any:
        """ASGI's `receive`."""
        if not self._asgi:
            # What comes while it waits goes where the base class looks.
            self._asgi = True
            self.body = bytearray(self._unread())
        return super().receive()

    def keep(self, body: bytes) -> bool:
        """A piece of the body that nobody waits for yet; whether there is too much of it by now."""
        if self._asgi or self.body:
            self._received += len(body)
            self.body += body
        elif self.here:
            self.body, self.here = bytearray(self.here), b""
            self.body += body
        else:
            self.here = body
        return len(self.here) + len(self.body) > HIGH_WATER_LIMIT

    def _unread(self) -> bytes:
        """What is kept of the body, which is then no longer kept."""
        here, body = self.here, self.body
        self.here = self.body = b""
        return here or bytes(body)

    def try_read_body(self, limit: int) -> bytes | None:
        """The whole request body, if it is all here already. Raises `BodyTooLarge` and `ClientGone`."""
        if self.more_body:
            return None
        data = self._unread()
        if self._signal is not None:
            self._signal.clear()
        if len(data) > limit:
            raise _too_large(limit)
        if self.disconnected:
            raise ClientGone("The client left.")
        return data

    async def read_body(self, limit: int) -> bytes:
        """The whole request body.

        Raises `BodyTooLarge` once more than `limit` bytes are announced or there, `Overloaded` where there is no room
        for it beside all others, and `ClientGone`.
        """
        self._ask_for_body(limit)
        self._limit = limit
        self._collecting = True
        here = self._unread()
        self._received = len(here)
        if here:
            self._parts.append(here)
        holding = self._holding = Holding(self._protocol.bodies)
        self._crowded = self.more_body and not holding.hold(self._received)
        try:
            while self.more_body and not self.disconnected and self._received <= limit and not self._crowded:
                self.flow.resume_reading()
                self.message_event.clear()
                await self.message_event.wait()
        finally:
            self._holding = None
            holding.release()
        parts, self._parts = self._parts, []
        self.message_event.clear()
        if self._received > limit:
            raise _too_large(limit)
        if self._crowded:
            raise no_room()
        if self.disconnected:
            raise ClientGone("The client left while it sent its request.")
        return parts[0] if len(parts) == 1 else b"".join(parts)

    async def feed_body(self, sink: Callable[[bytes], bool], limit: int) -> None:
        """Give the body's pieces to `sink`, those to come too; return once it says that there is something to look at,
        or when the body has ended or the client has left.

        Raises `BodyTooLarge` when more than `limit` bytes are announced.
        """
        self._ask_for_body(limit)
        self._sink = sink
        here = self._unread()
        self.message_event.clear()
        seen = sink(here) if here else False
        self.flow.resume_reading()
        if not seen and self.more_body and not self.disconnected:
            await self.message_event.wait()

    async def changed(self) -> bool:
        """Wait until something has happened to the body, the answer or the client; whether the exchange still runs."""
        if not self.disconnected and not self.response_complete:
            await self.message_event.wait()
            self.message_event.clear()
        return not self.disconnected and not self.response_complete

    def pause_body(self) -> None:
        """Read no more of the body for now."""
        self.flow.pause_reading()

    def resume_body(self) -> None:
        """Read on."""
        self.flow.resume_reading()

    def take(self, body: bytes) -> bool:
        """A piece of the body came in; whether `read_body` or `feed_body` wanted it."""
        if self._sink is not None:
            self._received += len(body)
            if self._sink(body):
                self.message_event.set(resume=False)
            return True
        if not self._collecting:
            return False
        self._parts.append(body)
        self._received += len(body)
        holding = self._holding
        if holding is not None and not holding.hold(self._received):
            self._crowded = True
        if self._received > self._limit or self._crowded:
            self.message_event.set()
        return True

    def is_late(self, now: float, patience: float) -> bool:
        """Whether the body has taken longer than it may: `patience` seconds for each part of `BODY_PART` bytes."""
        parts = 1 + self._received // BODY_PART
        return now - (self.body_since or self.arrived) > patience * parts

    def tell(self, now: bool) -> None:
        """Something came: whoever waits goes on now, or with the next `poke`."""
        if self._signal is not None:
            self._signal.set(now)

    def poke(self) -> None:
        """Let whoever waits go on, if something came."""
        if self._signal is not None:
            self._signal.poke()

    def left(self) -> None:
        """The client has left, or is treated as if it had."""
        self.disconnected = True
        if self._direct:
            reader = self.reader
            if reader is not None:
                reader.client_gone()
            self._release()
        elif self._signal is not None:
            self._signal.set()

    def begin(self, status: int, lines: bytes, length: int | None) -> None:
        """Set the head: `lines` are whole header lines, `length` that of the body or None. It leaves with the body."""
        self.status = status
        if length is None:
            if self.head.version == "1.1":
                self.chunked_encoding = True
                framing = b"transfer-encoding: chunked\r\n"
            else:
                self.keep_alive = False
                framing = b""
        else:
            framing = b"content-length: %d\r\n" % length
        parts = [STATUS_LINE[status]]
        for name, value in self._protocol.server_state.default_headers:
            parts += (name, b": ", value, b"\r\n")
        if not self.keep_alive or self.more_body:
            # A body that was not read to its end must not be taken for the next request.
            self.keep_alive = False
            framing += b"connection: close\r\n"
        elif self.head.version == "1.0":
            framing += b"connection: keep-alive\r\n"
        parts += (lines, self.more_lines, framing, b"\r\n")
        self._head = b"".join(parts)
        self.response_started = True

    def write(self, data: bytes, last: bool) -> None:
        """Hand the next bytes of the body to the transport, with the head if it has not left yet."""
        if self.disconnected or self.response_complete:
            return
        self.bytes_out += len(data)
        head = self._head
        if self.head.method == "HEAD":
            data = b""
        elif self.chunked_encoding:
            if not data:
                data = b"0\r\n\r\n" if last else b""
            elif last:
                data = b"%x\r\n%b\r\n0\r\n\r\n" % (len(data), data)
            else:
                size = len(data)
                data = (_SIZE_LINES[size] if size < _SIZED else b"%x\r\n" % size) + data + b"\r\n"
        if head:
            self._head = b""
            data = head + data
        if data:
            self.transport.write(data)
        if last:
            self.response_complete = True
            if self._direct:
                self._release()
            elif self._signal is not None:
                self._signal.set()
            if not self.keep_alive and not self.more_body:
                # Else the guard closes it, so that a client that still sends can read this first.
                self.transport.close()
            self._protocol.on_response_complete()

    def cut(self) -> None:
        """End the answer before its end: what was written leaves, the body's closing mark does not."""
        if not self.disconnected and not self.response_complete:
            self.keep_alive = False
            self.transport.close()

    def fail(self, fault: Exception) -> None:
        """End an answer that a fault of the gateway's own has stopped.

        Must not leave a client without an end, whatever is raised.
        """
        self._protocol.logger.error("A request failed inside the gateway.", exc_info=fault)
        self._end_unfinished()

    def _end_unfinished(self) -> None:
        """End an answer that nobody will finish: by a 500 if none of it has left, else by a cut."""
        if self.disconnected or self.response_complete:
            return
        if self.response_started and not self._head:
            self.cut()
            return
        try:
            self.chunked_encoding = None
            request_id, error = new_request_id(), InternalFault()
            body = envelope(error.message, error.type, error.code, request_id)
            lines = f"content-type: application/json\r\nx-request-id: {request_id}\r\n".encode()
            self.begin(500, lines, len(body))
            self.write(body, True)
        except Exception:
            self.transport.abort()
            raise

    def run(self, app: Any) -> None:
        """Run the application: at once and without a coroutine, or without a task as far as it waits for nothing but
        its client.

        One that waits for anything else goes on in a task. Its own error becomes a 500, or a cut where the answer had
        begun.
        """
        if self.disconnected:
            return
        if not self.more_body and not self.waiting_for_100_continue:
            try_handle_inline = getattr(app, "try_handle_inline", None)
            if try_handle_inline is not None:
                self._direct = True
                try:
                    if try_handle_inline(self):
                        return
                except Exception as error:  # noqa: BLE001 (the border of the application)
                    self._ended(error)
                    return
                self._direct = False
        self._prepare()
        self._coroutine = app(self.scope, self.receive, self.send)
        self._step()

    def _prepare(self) -> None:
        """Set what is only needed by ASGI, and by a body that is still to come."""
        protocol, head = self._protocol, self.head
        self.flow = protocol.flow
        self.logger = protocol.logger
        self.default_headers = protocol.server_state.default_headers
        self.on_response = protocol.on_response_complete
        self.tasks = protocol.tasks
        self._parts = []
        signal = RequestWaiter()
        signal.resume = self._step
        if self.here or self.body or not self.more_body:
            signal.set(resume=False)
        self.message_event = self._signal = signal
        self.scope = {
            "type": "http",
            "asgi": ASGI,
            "http_version": head.version,
            "server": protocol.server,
            "client": protocol.client,
            "scheme": protocol.scheme,
            "method": head.method,
            "root_path": "",
            "path": head.path,
            "raw_path": head.raw_path,
            "query_string": head.query,
            "headers": head.headers if self.length < 0 else head.headers_for(self.length),
            "state": {},
            "extensions": {EXTENSION: self},
        }

    def _step(self) -> None:
        coroutine = self._coroutine
        try:
            waits_for = coroutine.send(None)
        except StopIteration:
            self._ended(None)
        except Exception as error:  # noqa: BLE001 (the border of the application)
            self._ended(error)
        else:
            if waits_for is not SUSPENDED:
                self.message_event.in_task(self.loop)
                task = self.loop.create_task(self._go_on(coroutine, waits_for))
                self.tasks.add(task)
                task.add_done_callback(self.tasks.discard)

    async def _go_on(self, coroutine: Any, waits_for: Any) -> None:
        try:
            await taken_over(coroutine, waits_for)
        except Exception as error:  # noqa: BLE001 (the border of the application)
            self._ended(error)
        else:
            self._ended(None)

    def _ended(self, error: Exception | None) -> None:
        self._coroutine = None
        if error is not None:
            self.fail(error)
        else:
            self._end_unfinished()
        self._release()

    def _release(self) -> None:
        """Let go of whoever served it: what a request leaves is to go at once, and not wait for the collector."""
        if self._signal is not None:
            self._signal.resume = None
        self.reader = None
        self._sink = None
        self.scope = None

    def announced(self) -> int | None:
        """The length of the body, if the client told it."""
        if self.length >= 0:
            return self.length
        for name, value in self.head.headers:
            if name == b"content-length":
                return int(value)
        return None

    def _ask_for_body(self, limit: int) -> None:
        """The body is wanted: refuse one that is announced too large, and tell a client that waits to be told."""
        if (self.announced() or 0) > limit:
            raise _too_large(limit)
        if self.waiting_for_100_continue and self.more_body and not self.transport.is_closing():
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            self.waiting_for_100_continue = False


def _too_large(limit: int) -> BodyTooLarge:
    return BodyTooLarge(f"The request body is larger than {limit} bytes, the most this endpoint takes.")
