"""Parses a JSON array that arrives in pieces: finds where each of its objects ends.

For streams that are one array, whose elements are what events are elsewhere. It changes nothing: the blocks it gives
and what is left at the end, joined, are the bytes it got.
"""

import re
from typing import Final

from proxy.errors import UpstreamProtocolError

_OUTSIDE: Final = re.compile(rb'["{}\[\]]')
_STRING_END: Final = re.compile(rb'[^"\\]*(?:\\.[^"\\]*)*(["\\]?)', re.DOTALL)
#: What may stand between two elements.
BETWEEN: Final = b"\xef\xbb\xbf[, \t\r\n"
_QUOTE, _OPEN, _CLOSE, _OPEN_LIST, _CLOSE_LIST = b'"{}[]'


class ArrayParser:
    """Cuts an array into blocks: an element with the separator before it. Holds at most `limit` bytes."""

    __slots__ = ("_depth", "_held", "_in_string", "_limit", "_scanned", "closed", "stray")

    def __init__(self, limit: int) -> None:
        self._held = bytearray()
        #: Bytes of it that were looked at.
        self._scanned = 0
        self._depth = 0
        self._in_string = False
        self._limit = limit
        #: The array ended.
        self.closed = False
        #: Something stood behind it.
        self.stray = False

    def feed(self, data: bytes) -> list[bytes]:
        """Take the next bytes; return the blocks that are now whole.

        Raises `UpstreamProtocolError` when one passes the limit.
        """
        held = self._held
        held += data
        blocks: list[bytes] = []
        begin, position, end = 0, self._scanned, len(held)
        while position < end:
            if self._in_string:
                match = _STRING_END.match(held, position)
                assert match is not None
                if match[1] != b'"':
                    # Not all of the string is here; a backslash at the end waits for what it escapes.
                    position = end - len(match[1])
                    break
                self._in_string = False
                position = match.end()
                continue
            found = _OUTSIDE.search(held, position)
            if found is None:
                position = end
                break
            position = found.end()
            kind = held[found.start()]
            if kind == _QUOTE:
                self._in_string = True
            elif kind in (_OPEN, _OPEN_LIST):
                self._depth += 1
            else:
                self._depth -= 1
                if self._depth == 1 and kind == _CLOSE:
                    blocks.append(bytes(held[begin:position]))
                    begin = position
            self.stray = self.stray or self.closed
            self.closed = self.closed or self._depth <= 0
        if begin:
            del held[:begin]
        self._scanned = position - begin
        if len(held) > self._limit:
            raise UpstreamProtocolError(
                "The model's stream held an element larger than the gateway takes.",
                detail=f"one element is larger than {self._limit} bytes; server.max_event_bytes raises the limit",
            )
        return blocks

    def rest(self) -> bytes:
        """What came behind the last element; the parser is empty afterwards."""
        rest = bytes(self._held)
        self._held.clear()
        self._scanned = 0
        return rest
