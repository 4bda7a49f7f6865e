"""An httpx transport over a connection pool, for `httpx.AsyncClient(transport=PoolTransport(pool))`.

It sends to the pool's own host only, and neither adds nor knows a credential. The gateway's errors become httpx's here
and nowhere else. Closing the client does not close the pool.
"""

import re
from collections.abc import AsyncIterable, AsyncIterator
from typing import Final
from urllib.parse import urlsplit

import httpx

from proxy.errors import (
    GatewayError,
    NoDescriptor,
    Overloaded,
    UpstreamConnectFailed,
    UpstreamFailed,
    UpstreamProtocolError,
    UpstreamTimeout,
)
from proxy.upstream.client import State, Timeouts, UpstreamRequest
from proxy.upstream.dial import origin_of, proxy_lines
from proxy.upstream.pool import Pool
from proxy.wire.headers import Header

MAX_REQUEST_BODY_BYTES = 33_554_432
#: Headers about one connection, never forwarded in either direction; so are those that `connection` names.
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
    """Sends httpx's requests over one pool.

    httpx's `read` timeout holds for the head and for each chunk, `pool` while all connections are taken, `connect`
    while one is being opened; `write` is not used. A request's body is read whole before it is sent.
    """

    def __init__(self, pool: Pool, max_request_body_bytes: int = MAX_REQUEST_BODY_BYTES) -> None:
        self._pool = pool
        self._max_request_body_bytes = max_request_body_bytes
        url = urlsplit(pool.upstream.base_url)
        self._scheme = url.scheme
        self._origin, self._lines = origin_of(pool.upstream), proxy_lines(pool.upstream)
        self._authority = url.netloc.rpartition("@")[2].encode("ascii")

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self._check_address(request.url)
        body = await self._read(request)
        seconds = request.extensions.get("timeout", {})
        timeouts = Timeouts(seconds.get("connect"), seconds.get("pool"), seconds.get("read"), seconds.get("read"))
        call = UpstreamRequest(self._pool, timeouts=timeouts)
        try:
            await call.send(self._head(request, len(body)), body)
        except GatewayError as error:
            translated = _translated(error, call, request, in_queue=self._pool.saturated)
            call.close()
            raise translated from error
        except BaseException:
            # Cancelled: the connection must not be left waiting for its response.
            call.close()
            raise
        return httpx.Response(
            call.status,
            headers=end_to_end(call.headers),
            stream=_ResponseStream(call, request),
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
            if size > self._max_request_body_bytes:
                raise httpx.LocalProtocolError(f"The request body is larger than {self._max_request_body_bytes} bytes.")
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


class _ResponseStream(httpx.AsyncByteStream):
    """The body of a response as httpx reads it."""

    def __init__(self, call: UpstreamRequest, request: httpx.Request) -> None:
        self._call = call
        self._request = request

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for chunk in self._call.chunks():
                yield chunk
        except GatewayError as error:
            raise _translated(error, self._call, self._request) from error
        finally:
            self._call.close()

    async def aclose(self) -> None:
        self._call.close()


def end_to_end(headers: list[Header]) -> list[Header]:
    """The headers (names in lower case) that are about the message, not about one connection."""
    named = {
        token.strip().lower() for name, value in headers if name == b"connection" for token in value.split(b",")
    } | HOP_BY_HOP
    return [header for header in headers if header[0] not in named]


def _translated(
    error: GatewayError, call: UpstreamRequest, request: httpx.Request, *, in_queue: bool = False
) -> httpx.TransportError:
    """httpx's error for one of the gateway's; `in_queue` says that others must return a connection first."""
    kind: type[httpx.TransportError] = httpx.ReadError
    if isinstance(error, UpstreamTimeout):
        kind = httpx.ReadTimeout
        if call.state is State.CONNECTING:
            kind = httpx.PoolTimeout if in_queue else httpx.ConnectTimeout
    elif isinstance(error, UpstreamConnectFailed | NoDescriptor):
        kind = httpx.ConnectError
    elif isinstance(error, UpstreamProtocolError):
        kind = httpx.RemoteProtocolError
    elif isinstance(error, Overloaded):
        kind = httpx.PoolTimeout
    detail = error.detail if isinstance(error, UpstreamFailed) and error.detail else ""
    return kind(f"{error.message} ({detail})" if detail else error.message, request=request)
