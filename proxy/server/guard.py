"""The HTTP protocol in front of everything: uvicorn's, with the bounds and refusals that it lacks.

A request that two servers could understand differently is refused here, before anything is read of it. The guard knows
no routes, keys or bodies. Time is kept by one sweep over all connections, not by a timer each.
"""

import asyncio
import math
import re
import urllib.parse
from collections.abc import Iterable
from typing import Any

import httptools
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from proxy.config.tree import Server
from proxy.server.client import EXTENSION, ClientCycle

MAX_HEADERS = 128
#: Seconds that a refused client gets to read the refusal before its connection is closed.
LINGER = 2.0
_TARGET = re.compile(rb"/[\x21\x22\x24-\x7e]*")
_HOST = re.compile(rb"(?:[A-Za-z0-9._~!$&'()*+,;=-]+|\[[0-9A-Fa-f:.]+\])?(?::[0-9]{0,5})?")
_FIELD_VALUE = re.compile(rb"[\t\x20-\x7e\x80-\xff]*")


class Refused(Exception):
    """Raised inside a parser callback to stop the parser."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


class GuardedProtocol(HttpToolsProtocol):
    """See the module. `limits` is set by `guarded_protocol`."""

    limits: Server

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        super().__init__(*arguments, **keywords)
        #: Loop time at which `expire` is called; infinity while the client owes nothing.
        self.deadline = math.inf
        self._head_bytes = 0
        self._in_head = True
        self._refusal: Refused | None = None
        self._lingering = False
        self._upgrade_ignored = False

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.deadline = self.loop.time() + self.limits.head_timeout

    def connection_lost(self, exc: Exception | None) -> None:
        cycle = self.cycle
        super().connection_lost(exc)
        if cycle is not None:
            for waiting, _ in self.pipeline:
                waiting.disconnected = True

    def data_received(self, data: bytes) -> None:
        if self._lingering:
            return
        if self._in_head and self._head_bytes == 0:
            self.deadline = self.loop.time() + self.limits.head_timeout
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserCallbackError as error:
            cause = error.__context__
            self._refuse(cause if isinstance(cause, Refused) else Refused(400, "The request could not be read."))
            return
        except httptools.HttpParserError as error:
            self._refuse(Refused(400, f"The request is not valid HTTP/1.1: {error}."))
            return
        except httptools.HttpParserUpgrade as upgrade:
            self._go_on_without_upgrade(data[upgrade.args[0] :])
            return
        if self._in_head:
            self._head_bytes += len(data)
            if self._head_bytes > self.limits.max_head_bytes:
                self._refuse(Refused(431, f"The request's head is larger than {self.limits.max_head_bytes} bytes."))
        elif self.cycle is not None and self.cycle.more_body:
            self.deadline = self.loop.time() + self.limits.body_idle_timeout

    def pause_writing(self) -> None:
        super().pause_writing()
        self.deadline = self.loop.time() + self.limits.write_stall_timeout
        if isinstance(self.cycle, ClientCycle) and self.cycle.reader is not None:
            self.cycle.reader.client_paused()

    def resume_writing(self) -> None:
        super().resume_writing()
        self.deadline = math.inf
        if isinstance(self.cycle, ClientCycle) and self.cycle.reader is not None:
            self.cycle.reader.client_resumed()

    def expire(self) -> None:
        """The deadline passed."""
        self.deadline = math.inf
        cycle = self.cycle
        if self._lingering or self.transport.is_closing() or self.flow.write_paused:
            if isinstance(cycle, ClientCycle) and not cycle.response_complete:
                cycle.stalled = True
            self.transport.abort()
        elif cycle is not None and cycle.more_body and not cycle.response_started:
            self._refuse_now(Refused(408, "The request's body stopped coming."), cycle)
        elif self._in_head and self._head_bytes:
            self._refuse(Refused(408, "The request's head stopped coming."))
        else:
            self.transport.close()

    # parser callbacks

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_head = True
        self._head_bytes = 0

    def on_url(self, url: bytes) -> None:
        self.url += url
        if len(self.url) > self.limits.max_head_bytes:
            raise Refused(414, "The request's target is too long.")

    def on_header(self, name: bytes, value: bytes) -> None:
        name = name.lower()
        if b"_" in name:
            raise Refused(400, f"The header name {name.decode('latin-1')!r} has an underscore; use a hyphen.")
        if _FIELD_VALUE.fullmatch(value) is None:
            raise Refused(400, f"The header {name.decode('latin-1')!r} has a control character in its value.")
        if name == b"expect":
            if value.lower() != b"100-continue":
                raise Refused(417, "Only 'Expect: 100-continue' is understood.")
            self.expect_100_continue = True
        self.headers.append((name, value))
        if len(self.headers) > MAX_HEADERS:
            raise Refused(431, f"The request has more than {MAX_HEADERS} headers.")

    def on_headers_complete(self) -> None:
        if self.parser.should_upgrade():
            # Upgrades are not offered; the parser stops here, and `_go_on_without_upgrade` feeds the request again.
            return
        version = self.parser.get_http_version()
        self._check_head(version)
        self._in_head = False
        self.deadline = math.inf
        path, _, query = self.url.partition(b"?")
        scope = self.scope
        scope["method"] = self.parser.get_method().decode("ascii")
        scope["http_version"] = version
        text = path.decode("ascii")
        scope["path"] = urllib.parse.unquote(text) if "%" in text else text
        scope["raw_path"] = path
        scope["query_string"] = query
        before = self.cycle
        cycle = ClientCycle(
            scope=scope,
            transport=self.transport,
            flow=self.flow,
            logger=self.logger,
            access_logger=self.access_logger,
            access_log=False,
            default_headers=self.server_state.default_headers,
            message_event=asyncio.Event(),
            expect_100_continue=self.expect_100_continue,
            keep_alive=self.parser.should_keep_alive(),
            on_response=self.on_response_complete,
        )
        scope["extensions"] = {EXTENSION: cycle}  # type: ignore[dict-item]
        self.cycle = cycle
        if before is None or before.response_complete:
            self._start_asgi_task(cycle, self.app)
        else:
            self.flow.pause_reading()
            self.pipeline.appendleft((cycle, self.app))

    def on_body(self, body: bytes) -> None:
        cycle = self.cycle
        if cycle.response_complete or (isinstance(cycle, ClientCycle) and cycle.take(body)):
            return
        cycle.body += body
        if len(cycle.body) > HIGH_WATER_LIMIT:
            self.flow.pause_reading()
        cycle.message_event.set()

    def on_message_complete(self) -> None:
        if self.parser.should_upgrade():
            return
        self.deadline = math.inf
        self.cycle.more_body = False
        if not self.cycle.response_complete:
            self.cycle.message_event.set()
        self._in_head = True
        self._head_bytes = 0

    def on_response_complete(self) -> None:
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        if self.cycle.more_body and self.cycle.response_complete:
            self._linger()
            return
        self.flow.resume_reading()
        if self.pipeline:
            cycle, app = self.pipeline.pop()
            self._start_asgi_task(cycle, app)
        elif self._refusal is not None:
            self._refuse(self._refusal)
        elif not self.flow.write_paused:
            self.deadline = self.loop.time() + self.limits.keep_alive_timeout

    # refusing

    def _check_head(self, version: str) -> None:
        if version not in ("1.1", "1.0"):
            raise Refused(400, "Only HTTP/1.1 and HTTP/1.0 are spoken here.")
        if _TARGET.fullmatch(self.url) is None:
            raise Refused(400, "The request's target must be a path, in printable ASCII.")
        if sum(len(name) + len(value) + 4 for name, value in self.headers) > self.limits.max_head_bytes:
            raise Refused(431, f"The request's head is larger than {self.limits.max_head_bytes} bytes.")
        hosts = 0
        for name, value in self.headers:
            if name == b"host":
                hosts += 1
                if _HOST.fullmatch(value) is None:
                    raise Refused(400, "The Host header is not a host.")
            elif name == b"transfer-encoding" and (value.lower() != b"chunked" or version == "1.0"):
                raise Refused(501, "Only 'Transfer-Encoding: chunked' is understood, and only in HTTP/1.1.")
        if hosts > 1 or (hosts == 0 and version == "1.1"):
            raise Refused(400, "The request must have exactly one Host header.")

    def _refuse(self, refusal: Refused) -> None:
        """Answer with an error and close; behind an answer that is still running, only once that has ended."""
        cycle = self.cycle
        if cycle is not None and self._in_head and not cycle.response_complete:
            self._refusal = refusal
            self.flow.pause_reading()
            return
        self._refuse_now(refusal, None if cycle is None or cycle.response_complete else cycle)

    def _refuse_now(self, refusal: Refused, cycle: Any) -> None:
        if cycle is not None and cycle.response_started:
            self.transport.abort()
            return
        body = _error_body(refusal)
        head = b"content-type: application/json\r\ncontent-length: %d\r\nconnection: close\r\n\r\n" % len(body)
        self.transport.write(STATUS_LINE[refusal.status] + head + body)
        if cycle is not None:
            # The application is told that its client is gone: it must not answer any more.
            cycle.disconnected = True
            cycle.message_event.set()
        self._linger()

    def _linger(self) -> None:
        """Close without losing the refusal: our side is closed, the client's bytes are thrown away for a while."""
        self._lingering = True
        self.flow.resume_reading()
        self.deadline = self.loop.time() + LINGER
        if self.transport.can_write_eof():
            self.transport.write_eof()
        else:
            self.transport.close()

    def _go_on_without_upgrade(self, rest: bytes) -> None:
        """Read a request that asked for an upgrade as if it had not: a server may ignore the wish (RFC 9110, 7.8)."""
        if self._upgrade_ignored:
            self._refuse(Refused(400, "The request could not be read."))
            return
        method = self.parser.get_method()
        lines = [b"%b %b HTTP/%b\r\n" % (method, self.url, self.parser.get_http_version().encode())]
        lines += [b"%b: %b\r\n" % header for header in self.headers if header[0] not in (b"upgrade", b"connection")]
        self.parser = httptools.HttpRequestParser(self)
        self._upgrade_ignored = True
        self.data_received(b"".join(lines) + b"\r\n" + rest)
        self._upgrade_ignored = False


def guarded_protocol(limits: Server) -> type[GuardedProtocol]:
    """The protocol class for one server's limits."""
    return type("GuardedProtocol", (GuardedProtocol,), {"limits": limits})


def sweep(connections: Iterable[Any], now: float) -> None:
    """Expire every connection whose deadline has passed; `now` is loop time."""
    for connection in list(connections):
        if connection.deadline < now:
            connection.expire()


def _error_body(refusal: Refused) -> bytes:
    message = refusal.message.replace("\\", "\\\\").replace('"', '\\"')
    return (
        f'{{"error":{{"message":"{message}","type":"invalid_request_error","param":null,"code":"bad_request"}}}}'
    ).encode()
