"""One client connection of a load: keeps it alive, sends requests one behind the other, and hands over whole answers.

It finds where an answer ends by its framing, and keeps every byte for whoever judges it.
"""

import asyncio
import math
import re
from collections import deque
from typing import Protocol, cast

_LENGTH = re.compile(rb"\r\ncontent-length: (\d+)\r\n")
_REQUEST_ID = re.compile(rb"\r\nx-request-id: (\S+)\r\n", re.IGNORECASE)
_END = b"\r\n0\r\n\r\n"
_CHUNK = re.compile(rb"([0-9a-f]+)\r\n")


class Answer:
    """What came for one request; `whole` if it came to the end of its framing."""

    __slots__ = ("body_at", "data", "whole")

    def __init__(self, data: bytes, body_at: int, whole: bool) -> None:
        self.data = data
        self.body_at = body_at
        self.whole = whole

    @property
    def status(self) -> int:
        """The status, 0 where no head came."""
        return int(self.data[9:12]) if self.body_at else 0

    @property
    def request_id(self) -> str:
        """The gateway's id of the request, empty where no head came."""
        found = _REQUEST_ID.search(self.data, 0, self.body_at)
        return found[1].decode() if found is not None else ""

    def body(self) -> bytes:
        """The body without its framing, as far as it came. Raises AssertionError where a chunk is not one."""
        if _LENGTH.search(self.data, 0, self.body_at) is not None:
            return self.data[self.body_at :]
        parts = []
        at = self.body_at
        while at < len(self.data):
            size = _CHUNK.match(self.data, at)
            assert size is not None, f"not a chunk: {self.data[at : at + 100]!r}"
            at = size.end() + int(size[1], 16) + 2
            parts.append(self.data[size.end() : at - 2])
        return b"".join(parts)


class User(Protocol):
    """Who uses a connection."""

    def answered(self, connection: "Connection", answer: Answer) -> None:
        """The answer to the oldest request that is still due; what is not whole is followed by `lost`."""
        ...

    def unasked(self, data: bytes) -> None:
        """Bytes that nothing was asked for."""
        ...

    def moved(self, connection: "Connection", size: int) -> None:
        """So many bytes of an answer that is not whole yet are there."""
        ...

    def lost(self, connection: "Connection") -> None:
        """The connection is gone; whatever is still due will not come."""
        ...


class Connection(asyncio.Protocol):
    """See the module."""

    def __init__(self, user: User) -> None:
        self._user = user
        self._buffer = b""
        #: Requests whose answers are due, oldest first; whatever the user likes to know them by.
        self.due: deque[int] = deque()
        self._left = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are no subclass of asyncio's.
        self._transport = cast(asyncio.Transport, transport)

    def send(self, data: bytes, *numbers: int) -> None:
        """Send requests; their answers are due in this order."""
        self.due.extend(numbers)
        self._transport.write(data)

    def leave(self) -> Answer:
        """Close now, whatever is due; what came of the oldest answer. `lost` follows."""
        self._left = True
        self._transport.abort()
        return Answer(self._buffer, self._head_end(), False)

    def data_received(self, data: bytes) -> None:
        if self._left:
            return
        self._buffer += data
        while self._buffer and not self._left:
            if not self.due:
                self._user.unasked(self._buffer)
                self._buffer = b""
                return
            body_at = self._head_end()
            end = self._answer_end(body_at) if body_at else -1
            if end < 0 or end > len(self._buffer):
                self._user.moved(self, len(self._buffer))
                return
            answer, self._buffer = Answer(self._buffer[:end], body_at, True), self._buffer[end:]
            self._user.answered(self, answer)

    def connection_lost(self, error: Exception | None) -> None:
        if not self._left and self._buffer and self.due:
            self._user.answered(self, Answer(self._buffer, self._head_end(), False))
        self._left = True
        self._user.lost(self)

    def close(self) -> None:
        """Close it, with nothing due."""
        self._transport.close()

    def _head_end(self) -> int:
        return self._buffer.find(b"\r\n\r\n") + 4 if b"\r\n\r\n" in self._buffer else 0

    def _answer_end(self, body_at: int) -> int:
        """Where the answer ends, -1 while nobody can tell. No body of a load holds what looks like a last chunk."""
        length = _LENGTH.search(self._buffer, 0, body_at)
        if length is not None:
            return body_at + int(length[1])
        # The head's own end may be the line before the last chunk.
        at = self._buffer.find(_END, body_at - 2)
        return at + len(_END) if at >= 0 else -1


class Visitor:
    """A client that waits for each answer before it asks again, over a connection that it keeps while it can."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._connection: Connection | None = None
        self._came: asyncio.Future[Answer] | None = None
        self._leave_at = math.inf
        #: Bytes that it had not asked for.
        self.strange = b""

    async def ask(
        self, data: bytes, number: int, *, leave_at: float = math.inf, leave_after: float = math.inf, wait: float = 30.0
    ) -> Answer:
        """Send a request and give what came for it.

        The client leaves before the end when more than `leave_at` bytes have come, or after so many seconds. Raises
        TimeoutError after `wait` seconds.
        """
        loop = asyncio.get_running_loop()
        if self._connection is None:
            _, self._connection = await loop.create_connection(lambda: Connection(self), "127.0.0.1", self._port)
        self._came = loop.create_future()
        self._leave_at = leave_at
        timer = loop.call_later(leave_after, self._leave) if leave_after < math.inf else None
        try:
            self._connection.send(data, number)
            return await asyncio.wait_for(self._came, wait)
        finally:
            if timer is not None:
                timer.cancel()

    async def close(self) -> None:
        """Ask no more; the connection is closed on return."""
        if self._connection is not None:
            self._came = asyncio.get_running_loop().create_future()
            self._connection.close()
            await self._came

    # the connection's user

    def answered(self, connection: Connection, answer: Answer) -> None:
        connection.due.popleft()
        self._came_in(answer)

    def moved(self, connection: Connection, size: int) -> None:
        if size > self._leave_at:
            self._leave()

    def unasked(self, data: bytes) -> None:
        self.strange += data

    def lost(self, connection: Connection) -> None:
        if self._connection is connection:
            self._connection = None
            self._came_in(Answer(b"", 0, False))

    def _leave(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            self._came_in(connection.leave())

    def _came_in(self, answer: Answer) -> None:
        if self._came is not None and not self._came.done():
            self._came.set_result(answer)
