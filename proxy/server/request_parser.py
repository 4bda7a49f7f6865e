"""Reads the requests of one client connection from its bytes, and refuses what two servers could read differently.

The parser is httptools'; the bounds and refusals that it lacks are here. No sockets and no clock; it knows no routes,
keys or responses.
"""

import re
from typing import Any, Final

import httptools

from proxy.native import mypyc_attr
from proxy.server.context import ServerContext
from proxy.server.head_cache import Head

MAX_HEADERS: Final = 128
#: Bytes that a client may send beyond its requests' content: chunk extensions, trailers, empty lines.
MAX_FRAMING_BYTES: Final = 65_536
#: Bytes that each byte of a body may cost before the rest counts as framing. Tiny chunks have some five.
FRAMING_PER_BYTE: Final = 50
#: Headers that are checked.
_CHECKED: Final = frozenset({b"host", b"transfer-encoding", b"expect", b"origin", b"content-length"})
#: Asked for as a number: to ask whether bytes hold bytes raises an error inside the interpreter, each time.
_UNDERSCORE: Final = 95
_TARGET: Final = re.compile(rb"/[\x21\x22\x24-\x7e]*")
_HOST: Final = re.compile(rb"(?:[A-Za-z0-9._~!$&'()*+,;=-]+|\[[0-9A-Fa-f:.]+\])?(?::[0-9]{0,5})?")

# States of a parser: what the next byte belongs to.
IDLE: Final = 0
IN_HEAD: Final = 1
IN_BODY: Final = 2


class Refused(Exception):
    """A request is refused with this status and message, and its connection ends."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


@mypyc_attr(allow_interpreted_subclasses=True)
class RequestHandler:
    """Receives requests from the parser: `head_began`, `head_received`, `body_received` a part, `body_completed`."""

    def head_began(self) -> None:
        """The first byte of a request was read."""
        raise NotImplementedError

    def head_received(
        self, head: Head, size: int, content_length: int | None, expects_continue: bool, keep_alive: bool
    ) -> None:
        """A head is whole, and was not refused; `size` is that of its headers in bytes. May raise `Refused`."""
        raise NotImplementedError

    def body_received(self, data: bytes) -> None:
        """The next part of the body."""
        raise NotImplementedError

    def body_completed(self) -> None:
        """The request is whole."""
        raise NotImplementedError


class RequestParser:
    """Parses and checks requests; `feed` it what was read."""

    def __init__(self, handler: RequestHandler, context: ServerContext) -> None:
        self.state = IDLE
        #: Bytes of the head that is being read.
        self.head_bytes = 0
        self._handler: RequestHandler | None = handler
        self._context = context
        self._parser = self._new_parser()
        self._url = b""
        #: Those of the head that was read last, as far as it came.
        self.headers: list[tuple[bytes, bytes]] = []
        self._expects_continue = False
        self._content_length: int | None = None
        #: Whether the current read holds parts of more than one head or body, and how much of it is body.
        self._is_mixed = False
        self._body_bytes = 0
        #: Bytes that carried nothing, or far too little. To be set to 0 when a request is read past the parser.
        self.framing_bytes = 0

    def _new_parser(self) -> Any:
        parser = httptools.HttpRequestParser(self)
        # Else a request behind one with `Connection: close` would be an error in that one, too.
        parser.set_dangerous_leniencies(lenient_data_after_close=True)
        return parser

    def close(self) -> None:
        """Read nothing more. Handler and parser refer back here, and would be kept until the garbage collector runs."""
        self._parser = self._handler = None

    def feed(self, data: bytes) -> None:
        """Parse what was read, and check it. Raises `Refused`, after which nothing more may be fed."""
        self._is_mixed = False
        self._body_bytes = 0
        try:
            self._parse(data)
        except httptools.HttpParserCallbackError as error:
            cause = error.__context__
            raise cause if isinstance(cause, Refused) else Refused(400, "The request could not be read.") from error
        except httptools.HttpParserError as error:
            raise Refused(400, f"The request is not valid HTTP/1.1: {error}.") from error
        if self.state == IN_HEAD:
            if not self._is_mixed:
                self.head_bytes += len(data)
                if self.head_bytes > self._context.limits.max_head_bytes:
                    raise self._head_too_large()
        elif self.state == IN_BODY:
            framing = self.framing_bytes + len(data) - FRAMING_PER_BYTE * self._body_bytes
            self.framing_bytes = 0 if self._is_mixed else max(0, framing)
            if self.framing_bytes > MAX_FRAMING_BYTES:
                raise Refused(400, "The request's body has more framing than content.")
        elif not self._is_mixed:
            # Empty lines, which may stand before a request.
            self.framing_bytes += len(data)
            if self.framing_bytes > MAX_FRAMING_BYTES:
                raise Refused(400, "There are too many empty lines before the request.")

    def _parse(self, data: bytes) -> None:
        while data:
            try:
                self._parser.feed_data(data)
            except httptools.HttpParserUpgrade as upgrade:
                # A server may ignore the wish for another protocol (RFC 9110, 7.8). The parser stops behind the head
                # and would take the body for another request, so the request is read again without the wish.
                data = self._head_without_upgrade() + data[upgrade.args[0] :]
                self._parser = self._new_parser()
            else:
                return

    def _head_without_upgrade(self) -> bytes:
        version = self._parser.get_http_version().encode()
        lines = [b"%b %b HTTP/%b\r\n" % (self._parser.get_method(), self._url, version)]
        lines += [b"%b: %b\r\n" % header for header in self.headers if header[0] != b"upgrade"]
        return b"".join(lines) + b"\r\n"

    # httptools' callbacks

    def on_message_begin(self) -> None:
        self._url = b""
        self.headers = []
        self._expects_continue = False
        self._content_length = None
        self.state = IN_HEAD
        self.head_bytes = 0
        if self._handler is not None:
            self._handler.head_began()

    def on_url(self, url: bytes) -> None:
        self._url += url
        if len(self._url) > self._context.limits.max_head_bytes:
            raise Refused(414, "The request's target is too long.")

    def on_header(self, name: bytes, value: bytes) -> None:
        if self.state != IN_HEAD:
            # A trailer: it came too late for every check, and no endpoint uses one.
            return
        self.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        parser = self._parser
        if parser.should_upgrade():
            if parser.get_method() == b"CONNECT":
                raise Refused(400, "The request's target must be a path: this is no tunnel.")
            return
        version = parser.get_http_version()
        size, origin = self._check_head(version)
        self.state = IN_BODY
        self._is_mixed = True
        self.framing_bytes = 0
        head = Head(parser.get_method().decode("ascii"), version, self._url, self.headers)
        head.origin = origin
        keep_alive = parser.should_keep_alive()
        if self._handler is not None:
            self._handler.head_received(head, size, self._content_length, self._expects_continue, keep_alive)

    def on_body(self, body: bytes) -> None:
        self._body_bytes += len(body)
        if self._handler is not None:
            self._handler.body_received(body)

    def on_message_complete(self) -> None:
        if self._parser.should_upgrade():
            return
        self._is_mixed = True
        self.state = IDLE
        if self._handler is not None:
            self._handler.body_completed()

    def _check_head(self, version: str) -> tuple[int, bytes]:
        """Refuse what could be read in two ways; returns the size of the headers and their `Origin`."""
        if version not in ("1.1", "1.0"):
            raise Refused(400, "Only HTTP/1.1 and HTTP/1.0 are spoken here.")
        if _TARGET.fullmatch(self._url) is None:
            raise Refused(400, "The request's target must be a path, in printable ASCII.")
        if len(self.headers) > MAX_HEADERS:
            raise Refused(431, f"The request has more than {MAX_HEADERS} headers.")
        size = hosts = codings = 0
        underscores = False
        origin = b""
        for name, value in self.headers:
            # The parser has refused control characters in values.
            size += len(name) + len(value) + 4
            if _UNDERSCORE in name:
                underscores = True
            if name not in _CHECKED:
                continue
            if name == b"host":
                hosts += 1
                if _HOST.fullmatch(value) is None:
                    raise Refused(400, "The Host header is not a host.")
            elif name == b"content-length":
                # The parser has refused what is no number, and a second one.
                self._content_length = int(value)
            elif name == b"transfer-encoding":
                codings += 1
                if codings > 1 or value.lower() != b"chunked" or version == "1.0":
                    raise Refused(501, "Only 'Transfer-Encoding: chunked' is understood, and only in HTTP/1.1.")
            elif name == b"origin":
                origin = value
            elif value.lower() != b"100-continue":
                raise Refused(417, "Only 'Expect: 100-continue' is understood.")
            else:
                self._expects_continue = True
        if size > self._context.limits.max_head_bytes:
            raise self._head_too_large()
        if hosts > 1 or (hosts == 0 and version == "1.1"):
            raise Refused(400, "The request must have exactly one Host header.")
        if underscores:
            # What a server behind a CGI-like interface would read as another header's name (`x_api_key`) is dropped, as
            # nginx drops it.
            self.headers = [header for header in self.headers if _UNDERSCORE not in header[0]]
        return size, origin

    def _head_too_large(self) -> Refused:
        return Refused(431, f"The request's head is larger than {self._context.limits.max_head_bytes} bytes.")
