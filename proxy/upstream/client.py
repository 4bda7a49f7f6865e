"""The awaited client of a connection pool: one request, its body sent whole or streamed, its response read in chunks.

Bounded both ways: a response that is not read pauses its connection, and a body that the upstream does not take pauses
its source. It adds no credential and judges no status.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from enum import Enum, auto
from typing import Final

import msgspec

from proxy.errors import GatewayError, UpstreamDropped, UpstreamFailed, UpstreamProtocolError, UpstreamTimeout
from proxy.upstream.connection import Connection, ResponseSink
from proxy.upstream.pool import Pool
from proxy.wire.headers import Header

#: Bytes of a response that wait for their reader before the connection is paused.
MAX_BUFFERED_BYTES: Final = 262_144
#: Bytes of a streamed body that are handed to the connection at once.
SLICE_BYTES: Final = 65_536
#: The end of a body in chunked transfer coding.
LAST_CHUNK: Final = b"0\r\n\r\n"


class Timeouts(msgspec.Struct, frozen=True):
    """Seconds to wait for an upstream; None is no limit."""

    #: For a connection that is being opened, and for one that others must return to the pool first.
    connect: float | None
    queue: float | None
    #: For the head of the response, and for each further chunk of it.
    first_byte: float | None
    idle: float | None


class State(Enum):
    """How far a request has come."""

    CONNECTING = auto()
    SENDING = auto()
    #: The same, and the upstream takes no more for now.
    BLOCKED = auto()
    AWAITING_HEAD = auto()
    READING = auto()
    #: The response is whole, or has failed.
    ENDED = auto()


_SENDING: Final = frozenset({State.SENDING, State.BLOCKED})
_BEFORE_HEAD: Final = frozenset({State.CONNECTING, State.SENDING, State.BLOCKED, State.AWAITING_HEAD})


class UpstreamRequest(ResponseSink):
    """One request and its response: `send` or `stream` once, then `read` or `chunks`; `close` in the end.

    The waiter of its pool, and the sink and the source of its connection.
    """

    def __init__(self, pool: Pool, key: str = "", timeouts: Timeouts | None = None) -> None:
        """`key` is the id of the key for which it is made; the timeouts are the upstream's where none are given."""
        upstream = pool.upstream
        self._pool = pool
        self._key = key
        self._timeouts = timeouts or Timeouts(
            upstream.connect_timeout, upstream.connect_timeout, upstream.first_byte_timeout, upstream.idle_timeout
        )
        self._connection: Connection | None = None
        #: The head, and the body where it is not streamed.
        self._message: tuple[bytes, bytes | None] = (b"", None)
        self._changed = asyncio.Event()
        self._buffer: deque[bytes] = deque()
        self._buffered_bytes = 0
        self._error: GatewayError | None = None
        self.state = State.CONNECTING
        self.status = 0
        self.headers: list[Header] = []

    async def send(self, head: bytes, body: bytes = b"") -> None:
        """Send a request and wait for the response's head. An idle connection that had just closed is replaced once.

        Raises `UpstreamFailed` and `Overloaded`.
        """
        self._message = (head, body)
        try:
            await self._connect(fresh=False)
            await self.receive_head()
        except UpstreamDropped as error:
            if not error.reused:
                raise
        else:
            return
        self._error = None
        await self._connect(fresh=True)
        await self.receive_head()

    async def stream(self, head: bytes, chunks: AsyncIterator[bytes]) -> None:
        """Send a request whose body is still coming, in chunked transfer coding; `receive_head` waits for the response.

        Returns early, without the rest of the body, where the upstream responds or fails before its end.
        Raises `UpstreamFailed`, `Overloaded`, and what `chunks` raises.
        """
        self._message = (head, None)
        # A connection that closes under half an upload cannot be replaced: take one that has not served yet.
        await self._connect(fresh=True)
        feeding = asyncio.create_task(self._feed(chunks))
        feeding.add_done_callback(self._notify)
        try:
            while self.state in _SENDING and not feeding.done():
                await self._change()
            if self.state in _SENDING:
                feeding.result()
        finally:
            feeding.cancel()
            await asyncio.gather(feeding, return_exceptions=True)

    async def _feed(self, chunks: AsyncIterator[bytes]) -> None:
        async for chunk in chunks:
            for begin in range(0, len(chunk), SLICE_BYTES):
                if not self._is(State.SENDING) or self._connection is None:
                    return
                self._connection.write(http_chunk(chunk[begin : begin + SLICE_BYTES]), False)
                async with _within(self._timeouts.idle, "The provider is slow."):
                    while self._is(State.BLOCKED):
                        await self._change()
        if self.state is State.SENDING and self._connection is not None:
            self.state = State.AWAITING_HEAD
            self._connection.write(LAST_CHUNK, True)

    async def receive_head(self) -> None:
        """Wait for the response's head. Raises `UpstreamFailed`."""
        async with _within(self._timeouts.first_byte, "The provider did not answer in time."):
            while self.state in _BEFORE_HEAD and self._error is None:
                await self._change()
        if not self.status and self._error is not None:
            raise self._error

    async def chunks(self) -> AsyncIterator[bytes]:
        """The response's body as it comes. Raises `UpstreamFailed` where it does not come to its end."""
        while True:
            while self._buffer:
                chunk = self._buffer.popleft()
                self._buffered_bytes -= len(chunk)
                if self._buffered_bytes <= MAX_BUFFERED_BYTES and self._connection is not None:
                    self._connection.resume()
                yield chunk
            if self._error is not None:
                raise self._error
            if self._is(State.ENDED):
                return
            async with _within(self._timeouts.idle, "The provider stopped answering."):
                while not self._buffer and not self._is(State.ENDED):
                    await self._change()

    async def read(self, max_bytes: int) -> bytes:
        """The response's whole body. Raises `UpstreamFailed`, also for more than `max_bytes`."""
        body = await self.read_prefix(max_bytes)
        if len(body) > max_bytes:
            raise UpstreamProtocolError("The provider's answer is too large.", detail=f"more than {max_bytes} bytes")
        return body

    async def read_prefix(self, max_bytes: int) -> bytes:
        """The response's body up to the chunk that exceeds `max_bytes`. Raises `UpstreamFailed`."""
        parts: list[bytes] = []
        async for chunk in self.chunks():
            parts.append(chunk)
            max_bytes -= len(chunk)
            if max_bytes < 0:
                break
        return b"".join(parts)

    def close(self) -> None:
        """Leave the pool's queue, or abort a response that has not ended."""
        self._buffer.clear()
        self._pool.cancel(self)
        if self._connection is not None:
            connection, self._connection = self._connection, None
            connection.abort()

    async def _connect(self, *, fresh: bool) -> None:
        """Wait for a connection, on which the request is then sent."""
        self.state = State.CONNECTING
        connection = self._pool.acquire(self, fresh, self._key)
        if connection is not None:
            self.connected(connection)
        seconds = self._timeouts.queue if self._pool.saturated else self._timeouts.connect
        async with _within(seconds, "The provider could not be reached in time."):
            while self.state is State.CONNECTING and self._error is None:
                await self._change()
        if self._error is not None:
            raise self._error

    def _is(self, state: State) -> bool:
        return self.state is state

    async def _change(self) -> None:
        """Wait until something has happened."""
        self._changed.clear()
        await self._changed.wait()

    def _notify(self, task: asyncio.Task[None] | None = None) -> None:
        self._changed.set()

    # the pool's waiter

    def connected(self, connection: Connection) -> None:
        head, body = self._message
        self._connection = connection
        self.state = State.SENDING if body is None else State.AWAITING_HEAD
        connection.send(head, body or b"", self, self if body is None else None)
        self._notify()

    def not_connected(self, error: UpstreamFailed) -> None:
        self._error = error
        self._notify()

    # the connection's sink

    def head(self, status: int, headers: list[Header]) -> None:
        self.status = status
        self.headers = headers
        self.state = State.READING
        if self._message[0].startswith(b"HEAD ") and self._connection is not None:
            # The connection's parser cannot know that no body follows: it cannot serve again.
            self._connection.abort()
            self._connection = None
            self.state = State.ENDED
        self._notify()

    def body(self, data: bytes, complete: bool) -> None:
        if data:
            self._buffer.append(data)
            self._buffered_bytes += len(data)
        if complete:
            self._connection = None
            self.state = State.ENDED
        elif self._buffered_bytes > MAX_BUFFERED_BYTES and self._connection is not None:
            self._connection.pause()
        self._notify()

    def failed(self, error: UpstreamFailed) -> None:
        self._connection = None
        self._error = error
        self.state = State.ENDED
        self._notify()

    # the connection's source of a streamed body

    def blocked(self) -> None:
        if self.state is State.SENDING:
            self.state = State.BLOCKED

    def unblocked(self) -> None:
        if self.state is State.BLOCKED:
            self.state = State.SENDING
            self._notify()

    def detached(self) -> None:
        if self.state in _SENDING:
            self.state = State.AWAITING_HEAD
            self._notify()


def http_chunk(data: bytes) -> bytes:
    """Bytes of a body, if any, in chunked transfer coding."""
    return b"%x\r\n%b\r\n" % (len(data), data) if data else b""


@asynccontextmanager
async def _within(seconds: float | None, message: str) -> AsyncIterator[None]:
    """Bound a wait. Raises `UpstreamTimeout`."""
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError as error:
        raise UpstreamTimeout(message, detail=f"{seconds} s") from error
