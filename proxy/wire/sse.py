"""Parses server-sent events that arrive in pieces: finds where each event block ends.

It interprets nothing and changes nothing: the blocks that it cuts, joined, are the bytes that came. Line ends may be
LF, CRLF or CR, mixed as they like (https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream).
"""

import re
from io import BytesIO
from typing import Final

from proxy.errors import UpstreamProtocolError

# A line end followed by an empty line. The first alternative of each group is atomic, so that the two bytes of one
# CRLF are never taken for two line ends. A CR at the very end may be half of a CRLF: `feed` waits for the next byte,
# but not after a lone CR, where nothing is expected to follow.
_BLANK_LINE = re.compile(rb"\r\r|(?>\r\n|\n)(?>\r\n|\n|\r)")
_CR: Final = 13


class SSEParser:
    """Cuts a stream into event blocks, each with the blank line that ends it. Holds at most `limit` bytes."""

    __slots__ = ("_held", "_limit", "_scanned", "overflowed")

    def __init__(self, limit: int = 1_048_576) -> None:
        self._held = bytearray()
        self._scanned = 0
        self._limit = limit
        #: An event behind those that `feed` gave last passes the limit: the next `feed` raises.
        self.overflowed = False

    def feed(self, data: bytes) -> list[bytes]:
        """Take the next bytes; return the blocks that are now whole.

        Raises `UpstreamProtocolError` when one event passes the limit, and no whole one stands before it.
        """
        held = self._held
        if self.overflowed:
            raise self.too_large()
        if _CR not in data and len(held) < 16_384 and (not held or _CR not in held):
            # Nearly always: plain line feeds, and one event or a few whole ones.
            if held:
                data = bytes(held) + data
                held.clear()
            size = len(data)
            first = data.find(b"\n")
            if size <= self._limit and data.endswith(b"\n\n") and data.find(b"\n\n", first) == size - 2:
                self._scanned = 0
                return [data]
            # Events of a line each are found by their lines, in half the time: the split looks at every byte.
            lines = BytesIO(data).readlines() if data.startswith(b"\n\n", first) else []
            ends = lines[1::2]
            if ends and ends.count(b"\n") == len(ends):
                parts = lines[: 2 * len(ends) : 2]
                rest = lines[-1] if len(lines) > 2 * len(ends) else b""
                end = b"\n"
            else:
                parts = data.split(b"\n\n")
                rest = parts.pop()
                end = b"\n\n"
            self._scanned = max(0, len(rest) - 3)
            if rest:
                held += rest
            blocks = [part + end for part in parts]
            if size > self._limit:
                return self._within_limit(blocks)
            return blocks
        held += data
        return self._cut()

    @property
    def empty(self) -> bool:
        """Nothing is held: what comes next begins an event."""
        return not self._held

    def rest(self) -> bytes:
        """What came after the last whole block; the parser is empty afterwards."""
        rest = bytes(self._held)
        self._held.clear()
        self._scanned = 0
        return rest

    def _cut(self) -> list[bytes]:
        held = self._held
        blocks: list[bytes] = []
        begin = 0
        position = self._scanned
        size = len(held)
        longest = 0
        while True:
            match = _BLANK_LINE.search(held, position)
            if match is None:
                break
            end = match.end()
            if end == size and held[end - 1] == 13 and held[end - 2] == 10:
                # LF CR at the end: the LF of a CRLF may still come.
                break
            blocks.append(bytes(held[begin:end]))
            longest = max(longest, end - begin)
            begin = position = end
        if begin:
            del held[:begin]
        size = len(held)
        # The longest terminator has four bytes: the last three of what was searched may be its beginning.
        self._scanned = max(0, size - 3)
        return blocks if max(longest, size) <= self._limit else self._within_limit(blocks)

    def _within_limit(self, blocks: list[bytes]) -> list[bytes]:
        """The blocks before the first one that passes the limit. Raises `UpstreamProtocolError` where there is none."""
        limit = self._limit
        good = next((at for at, block in enumerate(blocks) if len(block) > limit), len(blocks))
        if good == len(blocks) and len(self._held) <= limit:
            return blocks
        if not good:
            raise self.too_large()
        self.overflowed = True
        self._held.clear()
        return blocks[:good]

    def too_large(self) -> UpstreamProtocolError:
        """The error for an event that passes the limit."""
        return UpstreamProtocolError(
            "The model's stream held an event larger than the gateway takes.",
            detail=f"one event is larger than {self._limit} bytes; server.max_event_bytes raises the limit",
        )


def before_last_event(data: bytes, lines: bytes) -> bytes:
    """Whole events with lines in front of the last one; the lines alone where there is no event."""
    at = 0
    for found in _BLANK_LINE.finditer(data, 0, len(data.rstrip(b"\r\n"))):
        at = found.end()
    return data[:at] + lines + data[at:]
