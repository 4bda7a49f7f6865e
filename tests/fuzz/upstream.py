"""The upstreams of the fuzzer: one listening socket for each client, which answers as the running case says.

It reads requests only as far as their framing, and says so where a request holds what must never leave the gateway.
"""

import asyncio
import random
import re
import socket
import struct
from collections.abc import Callable
from typing import Self

from tests.fuzz.answers import Answer

_LENGTH = re.compile(rb"\r\ncontent-length: (\d+)\r\n", re.IGNORECASE)
_LAST_CHUNK = b"\r\n0\r\n\r\n"
_RESET = struct.pack("ii", 1, 0)
#: Pauses between two pieces, in seconds.
_PAUSES = (0.0, 0.0, 0.001, 0.005)
#: How long a stalled answer is held open, in seconds.
_STALL = 30.0


class Upstream:
    """One upstream; `answer` is what each request gets until it is set anew."""

    def __init__(self, forbidden: bytes, fault: Callable[[str], None]) -> None:
        """`forbidden` is what every client credential begins with."""
        self._forbidden = forbidden
        self._fault = fault
        self._tasks: set[asyncio.Task[None]] = set()
        self.answer = Answer([b"HTTP/1.1 500 Odd\r\ncontent-length: 0\r\n\r\n"], "keep", 500, good=False)
        self.chance = random.Random(0)
        self.port = 0

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, limit=1 << 26)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            while await self._read(reader) and await self._write(writer):
                pass
        except (OSError, asyncio.IncompleteReadError):
            # The gateway has left, which is its right.
            return
        except asyncio.CancelledError:
            # The run is over.
            return
        finally:
            self._tasks.discard(task)
            writer.transport.abort()

    async def _read(self, reader: asyncio.StreamReader) -> bool:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError:
            return False
        length = _LENGTH.search(head)
        if length is not None:
            body = await reader.readexactly(int(length[1]))
        elif b"chunked" in head.lower():
            body = b"\r\n"
            while not body.endswith(_LAST_CHUNK):
                body += await reader.readuntil(b"\r\n")
        else:
            body = b""
        if self._forbidden in head or self._forbidden in body:
            self._fault("a client's credential reached the upstream")
        return True

    async def _write(self, writer: asyncio.StreamWriter) -> bool:
        answer, chance = self.answer, self.chance
        for piece in answer.pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(chance.choice(_PAUSES))
        if answer.ending == "stall":
            await asyncio.sleep(_STALL)
        if answer.ending == "reset":
            found: socket.socket = writer.get_extra_info("socket")
            found.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            writer.transport.abort()
        return answer.ending == "keep"
