"""How an upstream is reached: over TCP, a Unix socket or a forward proxy, with TLS or without.

TLS ends at the upstream, through a proxy too: its certificate is checked against the upstream's own name. What fails is
an `OSError` whose words name neither a credential nor what else an address may hold.
"""

import asyncio
import base64
import ssl
from collections.abc import Callable
from typing import cast
from urllib.parse import unquote_to_bytes, urlsplit

import httptools

from proxy.config.tree import Upstream
from proxy.upstream.connection import Connection
from proxy.upstream.tls import tls_context

#: Bytes of a proxy's response to CONNECT, all header lines together.
MAX_PROXY_HEAD_BYTES = 16_384


class Dialer:
    """Opens connections to one upstream."""

    def __init__(self, name: str, upstream: Upstream, tls: ssl.SSLContext | None = None, address: str = "") -> None:
        """`tls` is what `tls_context` gives, if it was made before, off the loop; `address` is an address of the host
        that is connected to, where its name must not be looked up again."""
        url = urlsplit(upstream.base_url)
        self.host = url.hostname or ""
        self.port = url.port or (443 if url.scheme == "https" else 80)
        self.tls = tls or tls_context(name, upstream)
        self._address = address or self.host
        self._socket = upstream.socket
        proxy = urlsplit(upstream.proxy)
        self._proxy = (proxy.hostname or "", proxy.port or 80) if upstream.proxy else None
        self._proxy_credential = _credential_of(upstream.proxy)

    async def open(self, loop: asyncio.AbstractEventLoop, make: Callable[[], Connection]) -> Connection:
        """Open a connection that can be used at once. Raises OSError, and ValueError for a name that cannot be one."""
        name = self.host if self.tls else None
        if self._socket is not None:
            _, made = await loop.create_unix_connection(make, self._socket, ssl=self.tls, server_hostname=name)
        elif self._proxy is None:
            _, made = await loop.create_connection(make, self._address, self.port, ssl=self.tls, server_hostname=name)
        elif self.tls is None:
            # The proxy reads each request, which names its origin in full.
            _, made = await loop.create_connection(make, *self._proxy)
        else:
            made = await self._open_tunnel(loop, make, self._proxy, self.tls)
        return made

    async def _open_tunnel(
        self,
        loop: asyncio.AbstractEventLoop,
        make: Callable[[], Connection],
        proxy: tuple[str, int],
        tls: ssl.SSLContext,
    ) -> Connection:
        host = f"[{self.host}]" if ":" in self.host else self.host
        authority = f"{host}:{self.port}".encode("ascii")
        transport, tunnel = await loop.create_connection(_Tunnel, *proxy)
        try:
            lines = (b"CONNECT %b HTTP/1.1" % authority, b"host: " + authority, *self._proxy_credential)
            transport.write(b"\r\n".join(lines) + b"\r\n\r\n")
            await tunnel.established
            made = make()
            encrypted = await loop.start_tls(transport, made, tls, server_hostname=self.host)
            if encrypted is None or encrypted.is_closing():
                raise ConnectionResetError("closed as soon as it was open")
            made.connection_made(encrypted)
        except BaseException:
            transport.abort()
            raise
        return made


class _Tunnel(asyncio.Protocol):
    """Reads a proxy's response to CONNECT; `established` says when the tunnel is there, or why there is none."""

    def __init__(self) -> None:
        self.established: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._parser = httptools.HttpResponseParser(self)
        self._transport: asyncio.Transport | None = None
        self._size = 0
        self._status = 0
        self._surplus = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are no subclass of asyncio's.
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._size += len(data)
        # A server does not speak first in TLS: bytes behind the head are the proxy's own.
        self._surplus = self._status > 0
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._fail("did not answer in HTTP")
            return
        if self._status == 407:
            self._fail("wants a credential, or another one (status 407)")
        elif self._status >= 300:
            self._fail(f"refused the connection (status {self._status})")
        elif self._surplus or self._size > MAX_PROXY_HEAD_BYTES:
            self._fail("sent more than the head of its answer")
        elif self._status and not self.established.done():
            self.established.set_result(None)

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        self._status = status if status >= 200 else 0

    def on_body(self, body: bytes) -> None:
        self._surplus = True

    def connection_lost(self, exc: Exception | None) -> None:
        self._fail("closed the connection")

    def _fail(self, what: str) -> None:
        if self._transport is not None:
            self._transport.abort()
        if not self.established.done():
            self.established.set_exception(ConnectionError(f"the proxy {what}"))


def origin_of(upstream: Upstream) -> bytes:
    """What stands before a request's path where a proxy reads it: the upstream's origin. Else nothing."""
    url = urlsplit(upstream.base_url)
    return f"http://{url.netloc}".encode("ascii") if upstream.proxy and url.scheme == "http" else b""


def proxy_lines(upstream: Upstream) -> bytes:
    """The header lines that each request has for a proxy that reads it."""
    lines = _credential_of(upstream.proxy) if origin_of(upstream) else ()
    return b"".join([line + b"\r\n" for line in lines])


def _credential_of(proxy: str) -> tuple[bytes, ...]:
    """The header line with the credential in a proxy's address, if it holds one."""
    user, at, _ = urlsplit(proxy).netloc.rpartition("@")
    if not at:
        return ()
    name, _, password = user.partition(":")
    pair = unquote_to_bytes(name) + b":" + unquote_to_bytes(password)
    return (b"proxy-authorization: Basic " + base64.b64encode(pair),)
