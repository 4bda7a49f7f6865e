"""Stand-ins on real loopback sockets: an upstream that follows a script, and a client that sees every byte.

The upstream runs in a thread with a loop of its own, so that a gateway in another loop or process is never helped by
sharing one. No fake here may import `proxy`: what is tested must not build the tests' view of it.
"""

import asyncio
import itertools
import json
import re
import socket
import ssl
import struct
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from http.client import responses
from typing import NoReturn, Self

import httptools
import trustme

LAST_CHUNK = b"0\r\n\r\n"
_LINGER_NOTHING = struct.pack("ii", 1, 0)
_LARGEST_BODY = 256 * 2**20
_MOST_PIPELINED = 100
_WRITE_SIZE = 65_536
_POLL_SECONDS = 0.001
_CHUNK_SIZE = re.compile(rb"[0-9a-fA-F]{1,8}")


@dataclass(frozen=True)
class Send:
    """Write these bytes, and go on when the kernel has taken all of them."""

    data: bytes


@dataclass(frozen=True)
class Pause:
    """Do nothing for this many seconds."""

    seconds: float


@dataclass(frozen=True)
class WaitFor:
    """Go on when the test sets the event; a fault of the test when it does not within `seconds`."""

    event: threading.Event
    seconds: float = 10.0


@dataclass(frozen=True)
class Close:
    """Close the connection as a server does: what was written is sent, then the end. The script ends here."""


@dataclass(frozen=True)
class Reset:
    """Break the connection with a TCP reset. The script ends here."""


@dataclass(frozen=True)
class Hang:
    """Say nothing more until the client leaves. The script ends here."""


@dataclass(frozen=True)
class ReadNothing:
    """Stop reading, for good or until the test sets the event; then the script goes on when the request is whole.

    As the first step of a script it starts the script at the head, before the body. While nothing is read the client's
    leaving is not seen either, and a close becomes a reset (unread bytes).
    """

    until: threading.Event | None = None


Step = Send | Pause | WaitFor | Close | Reset | Hang | ReadNothing


class _Headed:
    headers: list[tuple[str, str]]

    def header(self, name: str) -> str | None:
        """The value of a header, in any case; None without one. Raises AssertionError for a header sent twice."""
        values = [value for key, value in self.headers if key.lower() == name.lower()]
        assert len(values) < 2, f"{name} was sent {len(values)} times: {values}"
        return values[0] if values else None


@dataclass(eq=False)
class RecordedRequest(_Headed):
    """One request as it arrived. Times are of `time.monotonic()`."""

    method: str
    target: str
    headers: list[tuple[str, str]]
    #: 1 for the first connection that the upstream accepted.
    connection: int
    arrived: float
    #: Whether the client lets the connection live after this request.
    keep_alive: bool
    body: bytes = b""
    #: Bytes of the response that the kernel has taken so far.
    bytes_sent: int = 0
    #: Set when the request's body is whole.
    received: threading.Event = field(default_factory=threading.Event)
    #: Set when the script has run to its end.
    answered: threading.Event = field(default_factory=threading.Event)
    #: Set when the client closed the connection with no further request on it; `closed_at` is when.
    closed: threading.Event = field(default_factory=threading.Event)
    closed_at: float | None = None


Handler = Callable[[RecordedRequest], Iterable[Step]]


def head(status: int = 200, headers: Mapping[str, str] | None = None) -> Send:
    """The head of a response."""
    lines = [f"HTTP/1.1 {status} {responses.get(status, 'Unknown')}"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    return Send("\r\n".join([*lines, "", ""]).encode("latin-1"))


def chunk(data: bytes) -> Send:
    """One chunk of a chunked body."""
    return Send(b"%x\r\n%b\r\n" % (len(data), data))


def json_answer(body: object, status: int = 200, headers: Mapping[str, str] | None = None) -> list[Step]:
    """A whole response with its length; `body` is sent as it is when it is bytes, and as JSON otherwise."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    fields = _with_defaults(headers, {"content-type": "application/json", "content-length": str(len(data))})
    return [head(status, fields), Send(data)]


def sse_answer(
    body: bytes,
    pieces: Sequence[int] | int | None = None,
    *,
    chunked: bool = True,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
) -> list[Step]:
    """A streamed response: the head, then one step for each piece, then one that ends it.

    `pieces` are the cut points, or the size of each piece; without it the body is one piece. Each is one write and,
    if `chunked`, one chunk; else the end of the connection ends the body. Steps may be taken out and put between:
    without its last step the response is cut.
    """
    framing = {"transfer-encoding": "chunked"} if chunked else {"connection": "close"}
    steps: list[Step] = [head(status, _with_defaults(headers, {"content-type": "text/event-stream"} | framing))]
    steps += [chunk(piece) if chunked else Send(piece) for piece in split(body, pieces)]
    steps.append(Send(LAST_CHUNK) if chunked else Close())
    return steps


def split(body: bytes, pieces: Sequence[int] | int | None) -> list[bytes]:
    """Cut at the given points, or into pieces of a size; empty pieces are left out."""
    if isinstance(pieces, int):
        pieces = range(pieces, len(body), pieces)
    points = [0, *sorted(pieces or ()), len(body)]
    return [body[begin:end] for begin, end in itertools.pairwise(points) if begin < end]


def _with_defaults(headers: Mapping[str, str] | None, defaults: Mapping[str, str]) -> dict[str, str]:
    given = dict(headers or {})
    names = {name.lower() for name in given}
    return {name: value for name, value in defaults.items() if name not in names} | given


class ScriptedUpstream:
    """A server on 127.0.0.1 that responds to each request by the next script, and then by its handler.

    Use it as a context manager: leaving it ends all connections, and raises AssertionError when a request found no
    script, was not HTTP or waited for an event in vain.

    A script starts when its request is whole (but see `ReadNothing`). The handler is called in the upstream's thread.
    """

    def __init__(
        self,
        handler: Handler | None = None,
        *,
        port: int = 0,
        tls: bool | ssl.SSLContext = False,
        socket_buffer: int | None = None,
    ) -> None:
        """`port` 0 picks a free one; `socket_buffer` bounds the kernel's buffers both ways (it doubles it).

        `tls` is a context, or True for a certificate of an authority of its own.
        """
        self.handler = handler
        self.errors: list[str] = []
        #: The certificate authority of a TLS upstream, as PEM; empty without TLS.
        self.authority = b""
        self._scripts: deque[tuple[Step, ...]] = deque()
        #: The requests whose heads have come, in their order.
        self.requests: list[RecordedRequest] = []
        self._changed = threading.Condition()
        self.connections: set[_Connection] = set()
        self.numbers = itertools.count(1)
        self._tls = self._make_tls() if tls is True else tls or None
        # Only of a socket that names its protocol does asyncio know that TCP_NODELAY is wanted.
        self._socket = socket.socket(proto=socket.IPPROTO_TCP)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if socket_buffer is not None:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, socket_buffer)
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, socket_buffer)
        self._socket.bind(("127.0.0.1", port))
        self.port: int = self._socket.getsockname()[1]
        #: Scheme, host and port, without a path.
        self.base_url = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}"
        self._stop = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), name="upstream", daemon=True)

    def _make_tls(self) -> ssl.SSLContext:
        authority = trustme.CA()
        self.authority = authority.cert_pem.bytes()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("127.0.0.1", "localhost").configure_cert(context)
        return context

    def script(self, steps: Iterable[Step], times: int = 1) -> None:
        """Respond to the next `times` requests that have no script yet by these steps."""
        self._scripts.extend([tuple(steps)] * times)

    @property
    def open_connections(self) -> int:
        return len(self.connections)

    def wait_for_requests(self, count: int, seconds: float = 5.0) -> list[RecordedRequest]:
        """Wait until that many heads have come. Raises AssertionError when they do not in that time."""
        self._wait(lambda: len(self.requests) >= count, seconds, f"{count} requests")
        return list(self.requests)

    def wait_for_open_connections(self, count: int, seconds: float = 5.0) -> None:
        """Wait until exactly that many connections are open. Raises AssertionError when they are not in that time."""
        self._wait(lambda: len(self.connections) == count, seconds, f"{count} open connections")

    def _wait(self, condition: Callable[[], bool], seconds: float, what: str) -> None:
        with self._changed:
            if not self._changed.wait_for(condition, seconds):
                counts = f"{len(self.requests)} requests, {len(self.connections)} open connections"
                raise AssertionError(f"no {what} within {seconds} s; there are {counts}; errors: {self.errors}")

    def __enter__(self) -> Self:
        self._socket.listen(1024)
        self._thread.start()
        self._wait(lambda: self._loop is not None, 5.0, "running loop")
        return self

    def __exit__(self, exception_type: type[BaseException] | None, *_: object) -> None:
        assert self._loop is not None
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10.0)
        assert not self._thread.is_alive(), "the upstream's thread does not end: does a handler block?"
        if exception_type is None:
            assert not self.errors, "\n".join(self.errors)

    async def _serve(self) -> None:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: _Connection(self), sock=self._socket, ssl=self._tls)
        self._loop = loop
        self.changed()
        await self._stop.wait()
        server.close()
        for connection in list(self.connections):
            connection.end(Reset())
        await asyncio.sleep(0)  # In this turn the connections learn that they are lost.

    def changed(self) -> None:
        """Wake who waits; called by connections, in the upstream's thread."""
        with self._changed:
            self._changed.notify_all()

    def arrived(self, request: RecordedRequest) -> tuple[Step, ...] | None:
        """Record a request; return its script, or None when the handler is to give one."""
        self.requests.append(request)
        self.changed()
        return self._scripts.popleft() if self._scripts else None


class _Connection(asyncio.Protocol):
    """One client's connection: parses its requests, and plays their scripts one after the other."""

    def __init__(self, upstream: ScriptedUpstream) -> None:
        self._upstream = upstream
        self._parser = httptools.HttpRequestParser(self)
        self._waiting: asyncio.Queue[tuple[RecordedRequest, tuple[Step, ...] | None]] = asyncio.Queue(_MOST_PIPELINED)
        self._unfinished: list[RecordedRequest] = []
        self._script: tuple[Step, ...] | None = None
        self._writable = asyncio.Event()
        self._writable.set()
        self._ended_by_script = False
        self._number = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        # A write is over when the kernel has it: a slow client is felt by the script. (With high=0 TLS never resumes.)
        transport.set_write_buffer_limits(high=1, low=0)
        self._number = next(self._upstream.numbers)
        self._upstream.connections.add(self)
        self._upstream.changed()
        self._worker = asyncio.get_running_loop().create_task(self._work())
        self._worker.add_done_callback(self._worked)

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self._fail(f"connection {self._number} sent what is not HTTP: {error!r} in {data[:200]!r}")

    def eof_received(self) -> None:
        self._client_left()

    def connection_lost(self, exception: Exception | None) -> None:
        self._client_left()
        self._worker.cancel()
        self._upstream.connections.discard(self)
        self._upstream.changed()

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    def on_message_begin(self) -> None:
        self._target = b""
        self._headers: list[tuple[str, str]] = []
        self._body = bytearray()
        self._whole = asyncio.Event()

    def on_url(self, url: bytes) -> None:
        self._target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers.append((name.decode("latin-1"), value.decode("latin-1")))

    def on_headers_complete(self) -> None:
        request = RecordedRequest(
            method=self._parser.get_method().decode("latin-1"),
            target=self._target.decode("latin-1"),
            headers=self._headers,
            connection=self._number,
            arrived=time.monotonic(),
            keep_alive=self._parser.should_keep_alive(),
        )
        self._unfinished = [one for one in self._unfinished if not one.answered.is_set()] + [request]
        self._script = self._upstream.arrived(request)
        if self._script and isinstance(self._script[0], ReadNothing):
            # At once: in the turn in which the script starts the body may already have come.
            self._transport.pause_reading()
            self._start()

    def on_body(self, data: bytes) -> None:
        self._body += data
        if len(self._body) > _LARGEST_BODY:
            self._fail(f"a request body passes {_LARGEST_BODY} bytes")

    def on_message_complete(self) -> None:
        request = self._unfinished[-1]
        request.body = bytes(self._body)
        request.received.set()
        self._whole.set()
        if not (self._script and isinstance(self._script[0], ReadNothing)):
            self._start()

    def _start(self) -> None:
        # A full queue is an error of the parser's callback, and so of the request.
        self._waiting.put_nowait((self._unfinished[-1], self._script))

    async def _work(self) -> None:
        while not self._ended_by_script:
            request, script = await self._waiting.get()
            if script is None and self._upstream.handler is not None:
                script = tuple(self._upstream.handler(request))
            if script is None:
                raise LookupError(f"no script is left for {request.method} {request.target}")
            for step in script:
                await self._play(step, request)
            request.answered.set()
            if not request.keep_alive:
                self.end(Close())

    async def _play(self, step: Step, request: RecordedRequest) -> None:
        match step:
            case Send(data):
                await self._write(data, request)
            case Pause(seconds):
                await asyncio.sleep(seconds)
            case WaitFor(event, seconds):
                await self._wait_for(event, seconds)
            case ReadNothing(until):
                self._transport.pause_reading()
                if until:
                    await self._wait_for(until, 10.0)
                    self._transport.resume_reading()
                    await self._whole.wait()
            case Hang():
                await asyncio.get_running_loop().create_future()
            case Close() | Reset():
                self.end(step)

    async def _write(self, data: bytes, request: RecordedRequest) -> None:
        for begin in range(0, len(data), _WRITE_SIZE):
            piece = data[begin : begin + _WRITE_SIZE]
            self._transport.write(piece)
            await self._writable.wait()
            request.bytes_sent += len(piece)

    async def _wait_for(self, event: threading.Event, seconds: float) -> None:
        async with asyncio.timeout(seconds):
            while not event.is_set():  # noqa: ASYNC110 (a thread sets it, and waiting in one could not be cancelled)
                await asyncio.sleep(_POLL_SECONDS)

    def end(self, how: Close | Reset) -> None:
        self._ended_by_script = True
        if isinstance(how, Reset):
            # Under TLS it may be gone already, though the connection was not notified of it yet.
            if (plain := self._transport.get_extra_info("socket")) is not None:
                plain.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NOTHING)
            self._transport.abort()
        else:
            self._transport.close()

    def _client_left(self) -> None:
        if self._ended_by_script:
            return
        now = time.monotonic()
        for request in self._unfinished:
            if request.closed_at is None:
                request.closed_at = now
                request.closed.set()

    def _fail(self, error: str) -> None:
        self._upstream.errors.append(error)
        self.end(Reset())

    def _worked(self, worker: asyncio.Task[None]) -> None:
        if not worker.cancelled() and (error := worker.exception()) is not None:
            self._fail(f"a script failed: {error!r}")


@dataclass(frozen=True)
class Head(_Headed):
    """The head of a response, as it came."""

    status: int
    headers: list[tuple[str, str]]


@dataclass(frozen=True)
class Body:
    """The body of a response, without its framing."""

    payload: bytes
    #: The whole chunks of a chunked body; else all in one.
    pieces: list[bytes]
    #: It ended as its framing says: the last chunk came, or the length was reached, or the connection's end ends it.
    complete: bool
    #: The connection was reset.
    reset: bool


class RawClient:
    """A blocking HTTP client that hides nothing: what it does not expect is an AssertionError with the bytes in it."""

    def __init__(self, host: str, port: int, *, seconds: float = 5.0, tls: ssl.SSLContext | None = None) -> None:
        """Connect. `seconds` is the longest wait for the next bytes."""
        plain = socket.create_connection((host, port), seconds)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # Without its closing alert a TLS stream was cut.
        self.socket = tls.wrap_socket(plain, server_hostname=host, suppress_ragged_eofs=False) if tls else plain
        #: What was received and not yet read.
        self.buffer = bytearray()
        self.ended = False
        self.was_reset = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def send(self, data: bytes) -> None:
        """Send all of it. Raises OSError when the server has gone."""
        self.socket.sendall(data)

    def request(self, method: str, target: str, body: bytes = b"", headers: Mapping[str, str] | None = None) -> None:
        """Send one request with its length and a host."""
        fields = _with_defaults(headers, {"host": "gateway.test", "content-length": str(len(body))})
        lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items()), "", ""]
        self.send("\r\n".join(lines).encode("latin-1") + body)

    def read_head(self) -> Head:
        """Read one head, that of a 1xx response too."""
        lines = self.read_until(b"\r\n\r\n")[:-4].decode("latin-1").split("\r\n")
        match = re.fullmatch(r"HTTP/1\.1 (\d{3}) [^\r\n]*", lines[0])
        assert match, f"not a status line: {lines[0]!r}"
        headers = []
        for line in lines[1:]:
            name, colon, value = line.partition(":")
            assert colon, f"not a header: {line!r}"
            headers.append((name, value.strip()))
        return Head(int(match[1]), headers)

    def read_until(self, marker: bytes) -> bytes:
        """Read up to and with the marker."""
        if (at := self._find(marker)) < 0:
            self._refuse(f"the connection ended before {marker!r}")
        return self._take(at + len(marker))

    def read_all(self) -> bytes:
        """Read until the server ends the connection; `was_reset` says how it did."""
        while self._receive():
            pass
        return self._take(len(self.buffer))

    def read_chunk(self) -> bytes | None:
        """Read one chunk, b"" for the last one, None when the connection ends before the chunk does."""
        if (at := self._find(b"\r\n")) < 0:
            return None
        if not _CHUNK_SIZE.fullmatch(self.buffer[:at]):
            self._refuse("not a chunk's size")
        size = int(self.buffer[:at], 16)
        end = at + 2 + size
        if not self._fill(end + 2):
            return None
        if self.buffer[end : end + 2] != b"\r\n":
            self._refuse(f"a chunk of {size} bytes does not end where it says")
        return self._take(end + 2)[at + 2 : end]

    def read_chunked(self) -> Body:
        """Read a chunked body to its last chunk or the connection's end; any flaw in its framing is refused."""
        pieces: list[bytes] = []
        while piece := self.read_chunk():
            pieces.append(piece)
        rest = b""
        if piece is None:
            # A size line that came whole is framing; what follows is a piece that was cut.
            size, _, rest = self._take(len(self.buffer)).partition(b"\r\n")
            assert re.fullmatch(rb"[0-9a-fA-F]{0,8}\r?", size), f"not a chunk's size: {size[:200]!r}"
        return Body(b"".join(pieces) + rest, pieces, complete=piece is not None, reset=self.was_reset)

    def read_answer(self) -> tuple[Head, Body]:
        """Read one response to a request other than HEAD, with whatever framing it has."""
        response = self.read_head()
        length = response.header("content-length")
        if response.header("transfer-encoding") == "chunked":
            assert length is None, "a response with a length and chunks"
            return response, self.read_chunked()
        if response.status in {204, 304} or response.status < 200:
            length = "0"
        if length is None:
            payload, complete = self.read_all(), not self.was_reset
        else:
            complete = self._fill(int(length))
            payload = self._take(int(length))
        return response, Body(payload, [payload], complete=complete, reset=self.was_reset)

    def close(self) -> None:
        """Close the connection in order."""
        self.socket.close()

    def reset(self) -> None:
        """Break the connection with a TCP reset."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NOTHING)
        self.socket.close()

    def _find(self, marker: bytes) -> int:
        while (at := self.buffer.find(marker)) < 0 and self._receive():
            pass
        return at

    def _fill(self, count: int) -> bool:
        while len(self.buffer) < count and self._receive():
            pass
        return len(self.buffer) >= count

    def _take(self, count: int) -> bytes:
        taken = bytes(self.buffer[:count])
        del self.buffer[:count]
        return taken

    def _receive(self) -> bool:
        if self.ended:
            return False
        data = b""
        try:
            data = self.socket.recv(_WRITE_SIZE)
        except TimeoutError:
            self._refuse(f"nothing came for {self.socket.gettimeout()} s")
        except (ConnectionResetError, ssl.SSLEOFError):
            self.was_reset = True
        if len(self.buffer) + len(data) > _LARGEST_BODY:
            self._refuse(f"more than {_LARGEST_BODY} bytes wait to be read")
        self.buffer += data
        self.ended = not data
        return bool(data)

    def _refuse(self, why: str) -> NoReturn:
        raise AssertionError(f"{why}; unread are {len(self.buffer)} bytes: {bytes(self.buffer[:500])!r}")
