"""Asks for pages on one connection, as a browser with a session does, and takes the times. It reads nothing in them."""

import asyncio
import re
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Final

from proxy.pages.cookies import COOKIE

_LENGTH: Final = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_CHUNKED: Final = re.compile(rb"\r\ntransfer-encoding: *chunked", re.IGNORECASE)
_COOKIE: Final = re.compile(rb"\r\nset-cookie: *%s=([^;\r]+)" % COOKIE.encode(), re.IGNORECASE)
_PIECE_BYTES: Final = 64 * 1024


@dataclass(frozen=True)
class Page:
    """A response, with its times in milliseconds."""

    status: int
    first_byte: float
    whole: float
    body: bytes
    #: Of the response with its head, as transferred.
    size: int
    #: The session that it begins; empty for none.
    cookie: str = ""


class Browser:
    """One connection, which is opened when it is needed."""

    def __init__(self, port: int, session: str) -> None:
        self._port = port
        self._session = session
        self._connection: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def get(self, path: str, *, whole: bool = True) -> Page:
        """The page at a path; unless `whole`, the connection is closed after the first bytes of its body."""
        return await self._ask("GET", path, b"", whole=whole)

    async def post(self, path: str, form: str) -> Page:
        """What comes of a form."""
        return await self._ask("POST", path, form.encode(), whole=True)

    async def follow(self, path: str) -> AsyncIterator[bytes]:
        """What is sent of a stream, as it comes."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port, limit=_PIECE_BYTES)
        self._connection = reader, writer
        writer.write(self._head("GET", path, 0))
        while piece := await reader.read(_PIECE_BYTES):
            yield piece

    async def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection[1].close()
            self._connection = None

    async def _ask(self, method: str, path: str, body: bytes, *, whole: bool) -> Page:
        if self._connection is None:
            self._connection = await asyncio.open_connection("127.0.0.1", self._port, limit=_PIECE_BYTES)
        reader, writer = self._connection
        began = time.perf_counter()
        writer.write(self._head(method, path, len(body)) + body)
        head = await reader.readuntil(b"\r\n\r\n")
        if whole:
            first_byte = time.perf_counter()
            content, size = await _body(reader, head)
        else:
            # The head of a file comes before its first query has ended.
            content = await reader.read(_PIECE_BYTES)
            first_byte, size = time.perf_counter(), len(content)
            await self.close()
        ended = time.perf_counter()
        cookie = _COOKIE.search(head)
        return Page(
            int(head[9:12]),
            1_000 * (first_byte - began),
            1_000 * (ended - began),
            content,
            len(head) + size,
            cookie[1].decode() if cookie else "",
        )

    def _head(self, method: str, path: str, length: int) -> bytes:
        return (
            f"{method} {path} HTTP/1.1\r\nhost: 127.0.0.1:{self._port}\r\naccept: text/html,*/*\r\n"
            f"accept-encoding: gzip, deflate, br\r\nsec-fetch-site: same-origin\r\ncookie: {COOKIE}={self._session}\r\n"
            + (f"content-type: application/x-www-form-urlencoded\r\ncontent-length: {length}\r\n" if length else "")
            + "\r\n"
        ).encode()


async def _body(reader: asyncio.StreamReader, head: bytes) -> tuple[bytes, int]:
    """The body of a response, and its length as transferred."""
    length = _LENGTH.search(head)
    if length is not None:
        return await reader.readexactly(int(length[1])), int(length[1])
    if _CHUNKED.search(head) is None:
        return b"", 0
    pieces, size = [], 0
    while True:
        line = await reader.readuntil(b"\r\n")
        count = int(line, 16)
        pieces.append((await reader.readexactly(count + 2))[:-2])
        size += len(line) + count + 2
        if not count:
            return b"".join(pieces), size
