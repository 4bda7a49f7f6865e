"""Parses one upstream response at a time: what its connection has read of it so far, as a state and as values.

The callbacks are httptools'. Nothing here writes, closes or waits: the connection looks at the state after each read.
"""

from typing import Final

import httptools

from proxy.wire.headers import Header

#: Statuses of final responses in HTTP; one with another status cannot be passed on.
MIN_STATUS: Final = 200
MAX_STATUS: Final = 599
#: Bytes of a response's head, all header lines together; and of chunk extensions and trailers without any content.
MAX_HEAD_BYTES: Final = 65_536
# States of a response, in their order.
#: No request is running.
IDLE: Final = 0
#: A request was sent, and no byte of its response has come.
WAITING: Final = 1
#: In the head, or in an informational response (1xx) before it.
HEAD: Final = 2
INFORMATIONAL: Final = 3
#: The head is complete.
BODY: Final = 4
#: The response has ended as its framing says it should; and the same with bytes behind it that belong to none.
COMPLETE: Final = 5
OVERRUN: Final = 6
_LOWER: Final = bytes(range(256)).lower()


class ResponseParser:
    """The running response of a connection."""

    __slots__ = ("eof_framed", "headers", "keep_alive", "parser", "parts", "state", "status")

    def __init__(self) -> None:
        #: Fed by the connection; it points back here until `close`.
        self.parser = httptools.HttpResponseParser(self)
        self.state = IDLE
        self.begin(IDLE)

    def begin(self, state: int) -> None:
        """Forget the last response; what comes is of the next one."""
        self.state = state
        self.status = 0
        #: Names are in lower case.
        self.headers: list[Header] = []
        #: Body bytes that were parsed and not passed on.
        self.parts: list[bytes] = []
        #: Its body ends with the connection.
        self.eof_framed = False
        #: The connection may serve another request afterwards.
        self.keep_alive = False

    def head_exceeds(self, limit: int) -> bool:
        """Whether the head alone takes more than `limit` bytes, not counting a body that came with it."""
        return self.state < BODY or sum(len(name) + len(value) + 4 for name, value in self.headers) > limit

    def close(self) -> None:
        """Let go of the parser, which would keep this until the garbage collector runs."""
        self.parser = None  # type: ignore[assignment]

    # httptools

    def on_message_begin(self) -> None:
        if self.state == COMPLETE:
            self.state = OVERRUN

    def on_header(self, name: bytes, value: bytes) -> None:
        if self.state < BODY:
            self.headers.append((name.translate(_LOWER), value))

    def on_headers_complete(self) -> None:
        if self.state >= COMPLETE:
            return
        status = self.parser.get_status_code()
        if 100 <= status < MIN_STATUS and status != 101:
            self.state = INFORMATIONAL
            return
        framings = [name for name, _ in self.headers if name in (b"content-length", b"transfer-encoding")]
        self.status = status
        self.eof_framed = not framings and status not in (204, 304)
        # Two framings: what follows cannot be told apart from another response.
        self.keep_alive = self.parser.should_keep_alive() and len(framings) < 2
        self.state = BODY

    def on_body(self, body: bytes) -> None:
        if self.state < COMPLETE:
            self.parts.append(body)

    def on_message_complete(self) -> None:
        if self.state == INFORMATIONAL:
            self.state = HEAD
            self.headers = []
        elif self.state < COMPLETE:
            self.state = COMPLETE
