"""The httpx face of a pool: `httpx.AsyncClient(transport=PoolTransport(pool))` for everything that is not the relay.

It sends to the pool's own host only, and it neither adds nor knows a credential. Our errors become httpx's here and
nowhere else. The pool stays its maker's: closing the client closes no pool.
"""

import re
from collections.abc import AsyncIterable, AsyncIterator, Callable
from typing import Final
from urllib.parse import urlsplit

import httpx

from proxy.errors import (
    GatewayError,
    NoDescriptor,
    Overloaded,
    UpstreamConnectFailed,
    UpstreamDropped,
    UpstreamFailed,
    UpstreamProtocolError,
    UpstreamTimeout,
)
from proxy.upstream.arriving import Arriving
from proxy.upstream.connection import Connection
from proxy.upstream.dial import origin_of, proxy_lines
from proxy.upstream.pool import Pool
from proxy.wire.headers import Header

MAX_REQUEST_BODY = 33_554_432
#: About one connection and never passed on, in either direction; so is whatever `connection` names.
HOP_BY_HOP: Final = frozenset(
    {
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    }
)
#: Written by the transport itself.
OWN: Final = frozenset({b"host", b"content-length", b"expect"})
_WITHOUT_BODY: Final = frozenset({"GET", "HEAD", "DELETE", "OPTIONS", "TRACE"})
_TOKEN: Final = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE: Final = re.compile(rb"[\t\x20-\x7e\x80-\xff]*")
_TARGET: Final = re.compile(rb"/[\x21-\x7e]*")


class PoolTransport(httpx.AsyncBaseTransport):
    """See the module. httpx's read timeout holds from byte to byte; pool's while all connections are taken."""

    def __init__(self, pool: Pool, max_request_body: int = MAX_REQUEST_BODY) -> None:
        self._pool = pool
        self._max_request_body = max_request_body
        url = urlsplit(pool.upstream.base_url)
        self._scheme = url.scheme
        self._origin, self._lines = origin_of(pool.upstream), proxy_lines(pool.upstream)
        self._authority = url.netloc.rpartition("@")[2].encode("ascii")

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self._check_address(request.url)
        body = await self._read(request)
        answer = _Answer(self._pool, request, self._head(request, len(body)), body)
        try:
            await answer.begin()
        except BaseException:
            # Cancelled ones too: whatever ended the wait, the connection must not be left waiting for its answer.
            answer.give_up()
            raise
        return httpx.Response(
            answer.status,
            headers=end_to_end(answer.headers),
            stream=answer,
            request=request,
            extensions={"http_version": b"HTTP/1.1"},
        )

    def _check_address(self, url: httpx.URL) -> None:
        if url.scheme not in ("http", "https"):
            raise httpx.UnsupportedProtocol(f"Only http and https are spoken here, not {url.scheme!r}.")
        port = url.port or (443 if url.scheme == "https" else 80)
        if (url.scheme, url.host, port) != (self._scheme, self._pool.host, self._pool.port):
            raise httpx.ConnectError(
                f"This transport reaches only {self._scheme}://{self._authority.decode()}, "
                f"not {url.scheme}://{url.netloc.decode('ascii')}."
            )

    async def _read(self, request: httpx.Request) -> bytes:
        parts: list[bytes] = []
        size = 0
        assert isinstance(request.stream, AsyncIterable)
        async for part in request.stream:
            parts.append(part)
            size += len(part)
            if size > self._max_request_body:
                raise httpx.LocalProtocolError(f"The request body is larger than {self._max_request_body} bytes.")
        return b"".join(parts)

    def _head(self, request: httpx.Request, length: int) -> bytes:
        method, target = request.method.encode("latin-1", "replace"), request.url.raw_path
        if _TOKEN.fullmatch(method) is None or method == b"CONNECT" or _TARGET.fullmatch(target) is None:
            raise httpx.LocalProtocolError("The request's method or target cannot be sent.")
        lines = [b"%b %b%b HTTP/1.1\r\nhost: %b\r\n" % (method, self._origin, target, self._authority), self._lines]
        for name, value in end_to_end([(name.lower(), value) for name, value in request.headers.raw]):
            if name in OWN:
                continue
            if _TOKEN.fullmatch(name) is None or _VALUE.fullmatch(value) is None:
                raise httpx.LocalProtocolError(f"The request header {name!r} cannot be sent.")
            lines.append(b"%b: %b\r\n" % (name, value))
        if length or request.method not in _WITHOUT_BODY:
            lines.append(b"content-length: %d\r\n" % length)
        return b"".join([*lines, b"\r\n"])


class _Answer(Arriving, httpx.AsyncByteStream):
    """One request and its answer: the pool's waiter, the connection's sink, and the stream that httpx reads."""

    def __init__(self, pool: Pool, request: httpx.Request, head: bytes, body: bytes) -> None:
        super().__init__(pool)
        self._request = request
        self._message = (head, body)
        self._timeouts: dict[str, float | None] = request.extensions.get("timeout", {})

    async def begin(self) -> None:
        """Send the request and wait for the answer's head; an idle connection that had just closed is replaced once."""
        try:
            await self._attempt(fresh=False)
        except UpstreamDropped as error:
            if not error.reused:
                raise _translated(error, self._request) from error
        except GatewayError as error:
            raise _translated(error, self._request) from error
        else:
            return
        self._error = None
        try:
            await self._attempt(fresh=True)
        except GatewayError as error:
            raise _translated(error, self._request) from error

    async def _attempt(self, fresh: bool) -> None:
        connection = self._pool.acquire(self, fresh)
        if connection is not None:
            self.connected(connection)
        elif self._pool.saturated:
            await self._wait(self._is_sent, "pool", httpx.PoolTimeout, "No connection became free in time.")
        else:
            await self._wait(self._is_sent, "connect", httpx.ConnectTimeout, "No connection came up in time.")
        await self._wait(lambda: self.status > 0, "read", httpx.ReadTimeout, "The answer did not begin in time.")
        if not self.status and self._error is not None:
            raise self._error

    def _is_sent(self) -> bool:
        return self._connection is not None or self.status > 0

    async def _wait(
        self, until: Callable[[], bool], name: str, kind: type[httpx.TimeoutException], message: str
    ) -> None:
        """Wait until something holds or has failed, for as long as httpx's timeout of that name allows."""
        try:
            await self._until(until, self._timeouts.get(name))
        except TimeoutError as error:
            raise kind(message, request=self._request) from error

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            while True:
                while self._parts:
                    yield self._take()
                if self._error is not None:
                    raise _translated(self._error, self._request) from self._error
                if self._ended:
                    return
                await self._wait(
                    lambda: self._ended or bool(self._parts), "read", httpx.ReadTimeout, "The answer stopped coming."
                )
        finally:
            self.give_up()

    async def aclose(self) -> None:
        self.give_up()

    # the pool's waiter

    def connected(self, connection: Connection) -> None:
        super().connected(connection)
        connection.send(*self._message, self)

    # the connection's sink

    def head(self, status: int, headers: list[Header]) -> None:
        super().head(status, headers)
        if self._request.method == "HEAD" and self._connection is not None:
            # The parser cannot know that no body follows, so the connection cannot serve again.
            self._connection.abort()
            self._connection = None
            self._ended = True


def end_to_end(headers: list[Header]) -> list[Header]:
    """The headers (names in lower case) that are about the message, not about one connection."""
    named = {
        token.strip().lower() for name, value in headers if name == b"connection" for token in value.split(b",")
    } | HOP_BY_HOP
    return [header for header in headers if header[0] not in named]


def _translated(error: GatewayError, request: httpx.Request) -> httpx.TransportError:
    kind: type[httpx.TransportError] = httpx.ReadError
    if isinstance(error, UpstreamTimeout):
        kind = httpx.ConnectTimeout
    elif isinstance(error, UpstreamConnectFailed | NoDescriptor):
        kind = httpx.ConnectError
    elif isinstance(error, UpstreamProtocolError):
        kind = httpx.RemoteProtocolError
    elif isinstance(error, Overloaded):
        kind = httpx.PoolTimeout
    detail = error.detail if isinstance(error, UpstreamFailed) and error.detail else ""
    return kind(f"{error.message} ({detail})" if detail else error.message, request=request)
