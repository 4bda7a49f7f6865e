"""One request to an upstream and its answer, awaited: for all that is not the relay's hot path.

Bounded both ways: an answer that nobody reads pauses its connection, a body that the upstream does not take pauses its
source. It adds no credential and judges no status.
"""

import asyncio
from collections.abc import AsyncIterator, Callable

from proxy.errors import UpstreamDropped, UpstreamProtocolError, UpstreamTimeout
from proxy.upstream.arriving import Arriving
from proxy.upstream.pool import Pool

_SLOW = "The provider did not answer in time."


class Asking(Arriving):
    """See the module: `send` or `stream` once, then `read` or `pieces`; `give_up` whatever happens."""

    def __init__(self, pool: Pool, key: str) -> None:
        """`key` is the id of the key that asks."""
        super().__init__(pool)
        self._key = key
        self._limits = pool.upstream
        self._feeding = False
        self._blocked = False

    async def send(self, head: bytes, body: bytes) -> None:
        """Send a request and wait for the answer's head. A connection that had just closed is replaced once.

        Raises `UpstreamFailed` and `Overloaded`.
        """
        try:
            await self._connect(fresh=False)
            self._exchange(head, body)
            await self.begun()
        except UpstreamDropped as error:
            if not error.reused:
                raise
            self._error = None
            await self._connect(fresh=True)
            self._exchange(head, body)
            await self.begun()

    async def stream(self, head: bytes, pieces: AsyncIterator[bytes], *, chunked: bool) -> None:
        """Send a request whose body is still coming; `begun` waits for the answer. One that comes early ends it.

        Raises `UpstreamFailed`, `Overloaded`, and whatever the pieces do.
        """
        # A connection that closes under half an upload cannot be replaced: take one that has not served yet.
        await self._connect(fresh=True)
        connection = self._connection
        assert connection is not None
        self._feeding = True
        connection.send(head, b"", self, self)
        async for piece in self._while_wanted(pieces):
            for begin in range(0, len(piece), 65_536):
                part = piece[begin : begin + 65_536]
                connection.write(b"%x\r\n%b\r\n" % (len(part), part) if chunked else part, False)
                await self._wait(
                    lambda: not self._blocked or not self._wanted, self._limits.idle_timeout, "The provider is slow."
                )
        if self._wanted:
            self._feeding = False
            connection.write(b"0\r\n\r\n" if chunked else b"", True)

    async def _while_wanted(self, pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """The pieces, until the upstream has answered or failed: then one that is still to come is not waited for."""
        stopped = asyncio.create_task(self._until_unwanted())
        coming: asyncio.Task[bytes] | None = None
        try:
            while self._wanted:
                coming = asyncio.create_task(_next(pieces))
                await asyncio.wait({coming, stopped}, return_when=asyncio.FIRST_COMPLETED)
                if not coming.done() or not self._wanted:
                    return
                piece = coming.result()
                if not piece:
                    return
                yield piece
        finally:
            tasks = [stopped, *([coming] if coming is not None else [])]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _until_unwanted(self) -> None:
        while self._wanted:
            self._changed.clear()
            await self._changed.wait()

    @property
    def _wanted(self) -> bool:
        """The upstream still waits for more of the request's body."""
        return self._feeding and self._error is None and not self.status

    async def read(self, limit: int) -> bytes:
        """The whole body of the answer. Raises `UpstreamFailed`, also for more than `limit` bytes."""
        parts: list[bytes] = []
        size = 0
        async for part in self.pieces():
            parts.append(part)
            size += len(part)
            if size > limit:
                raise UpstreamProtocolError("The provider's answer is too large.", detail=f"more than {limit} bytes")
        return b"".join(parts)

    async def read_some(self, limit: int) -> bytes:
        """The body of an error, as far as it is looked at. Raises `UpstreamFailed`."""
        parts: list[bytes] = []
        async for part in self.pieces():
            parts.append(part)
            limit -= len(part)
            if limit < 0:
                break
        return b"".join(parts)

    async def pieces(self) -> AsyncIterator[bytes]:
        """The body as it comes. Raises `UpstreamFailed` where it does not come to its end."""
        while True:
            while self._parts:
                yield self._take()
            if self._error is not None:
                raise self._error
            if self._ended:
                return
            await self._wait(
                lambda: self._ended or bool(self._parts), self._limits.idle_timeout, "The provider stopped answering."
            )

    async def _connect(self, fresh: bool) -> None:
        connection = self._pool.acquire(self, fresh, self._key)
        if connection is not None:
            self.connected(connection)
        await self._wait(
            lambda: self._connection is not None,
            self._limits.connect_timeout,
            "The provider could not be reached in time.",
        )
        if self._error is not None:
            raise self._error

    def _exchange(self, head: bytes, body: bytes) -> None:
        assert self._connection is not None
        self._connection.send(head, body, self)

    async def begun(self) -> None:
        """Wait for the answer's head. Raises `UpstreamFailed`."""
        await self._wait(lambda: self.status > 0, self._limits.first_byte_timeout, _SLOW)
        if not self.status and self._error is not None:
            raise self._error

    async def _wait(self, until: Callable[[], bool], seconds: float, message: str) -> None:
        """Wait until something holds or has failed. Raises `UpstreamTimeout`."""
        try:
            await self._until(until, seconds)
        except TimeoutError as error:
            raise UpstreamTimeout(message, detail=f"{seconds} s") from error

    # the connection's source of a body that is still coming

    def blocked(self) -> None:
        self._blocked = True

    def unblocked(self) -> None:
        self._blocked = False
        self._changed.set()

    def detached(self) -> None:
        self._feeding = False
        self._blocked = False
        self._changed.set()


async def _next(pieces: AsyncIterator[bytes]) -> bytes:
    """The next piece that is not empty; b"" at the end."""
    async for piece in pieces:
        if piece:
            return piece
    return b""
