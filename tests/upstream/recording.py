"""What the tests of the upstream side share: a pool on uvloop, and a recorder that is its waiter and its sink."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, TypeVar

import uvloop

from proxy.config.tree import Upstream
from proxy.errors import UpstreamFailed
from proxy.upstream.connection import Connection, ResponseSink
from proxy.upstream.pool import Pool
from proxy.wire.headers import Header

T = TypeVar("T")
REQUEST = b"POST /v1/chat/completions HTTP/1.1\r\nhost: upstream.test\r\ncontent-length: 2\r\n\r\n"


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run a test on the loop that the gateway runs on."""
    return uvloop.run(work)


async def until(condition: Callable[[], bool], seconds: float = 5.0) -> None:
    """Wait until something holds that sets no event."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 (what is looked at has no event)
            await asyncio.sleep(0.001)


@asynccontextmanager
async def open_pool(base_url: str, **settings: Any) -> AsyncIterator[Pool]:
    """A pool for one upstream, closed at the end."""
    pool = Pool("vendor", Upstream(base_url=base_url, **settings))
    try:
        yield pool
    finally:
        await pool.close()


@contextmanager
def silent_listener() -> Iterator[str]:
    """The base URL of a TLS upstream that takes connections and never says a word: opening one never ends."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield f"https://127.0.0.1:{listening.getsockname()[1]}"


class Recorder(ResponseSink):
    """Takes a connection when it comes, sends a request on it, and keeps the answer."""

    def __init__(self, request: bytes = REQUEST, body: bytes = b"{}", *, send: bool = True) -> None:
        self._message = (request, body)
        self._send = send
        self._changed = asyncio.Event()
        self.connection: Connection | None = None
        #: How often each of the callbacks came.
        self.heads = 0
        self.ends = 0
        self.status = 0
        self.headers: list[Header] = []
        self.data = b""
        self.pieces: list[bytes] = []
        self.complete = False
        self.error: UpstreamFailed | None = None

    def start(self, pool: Pool, fresh: bool = False, key: str = "") -> "Recorder":
        """Ask the pool for a connection."""
        connection = pool.acquire(self, fresh, key)
        if connection is not None:
            self.connected(connection)
        return self

    async def begun(self) -> "Recorder":
        """Wait for a connection or an error."""
        return await self._wait(lambda: self.connection is not None or self.error is not None)

    async def headed(self) -> "Recorder":
        """Wait for the head or an error."""
        return await self._wait(lambda: self.heads > 0 or self.error is not None)

    async def ended(self) -> "Recorder":
        """Wait for the end, good or bad."""
        return await self._wait(lambda: self.complete or self.error is not None)

    async def received(self, size: int) -> "Recorder":
        """Wait for that many bytes of body."""
        return await self._wait(lambda: len(self.data) >= size or self.error is not None)

    async def _wait(self, condition: Callable[[], bool]) -> "Recorder":
        async with asyncio.timeout(5.0):
            while not condition():
                self._changed.clear()
                await self._changed.wait()
        return self

    def connected(self, connection: Connection) -> None:
        self.connection = connection
        if self._send:
            connection.send(*self._message, self)
        self._changed.set()

    def not_connected(self, error: UpstreamFailed) -> None:
        self.failed(error)

    def head(self, status: int, headers: list[Header]) -> None:
        self.heads += 1
        self.status = status
        self.headers = headers
        self._changed.set()

    def body(self, data: bytes, complete: bool) -> None:
        self.data += data
        self.pieces.append(data)
        self.complete = complete
        self.ends += complete
        self._changed.set()

    def failed(self, error: UpstreamFailed) -> None:
        self.error = error
        self.ends += 1
        self._changed.set()


async def fetch(pool: Pool) -> Recorder:
    """One request, to its end."""
    return await Recorder().start(pool).ended()
