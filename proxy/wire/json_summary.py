"""What the top level of a JSON object says, while the object passes in pieces: one number, and how long one list is.

For answers that are too large to decode, such as images in base64. It keeps one key and one number, changes nothing,
and takes anything: of what is not JSON it simply finds nothing.
"""

import re

_OUTSIDE = re.compile(rb'["{}\[\],:]|[^\s"{}\[\],:]+')
_NESTED = re.compile(rb'["{}\[\]]')
_STRING_END = re.compile(rb'["\\]')
_QUOTE, _OPEN, _CLOSE, _OPEN_LIST, _CLOSE_LIST, _COMMA, _COLON, _BACKSLASH = b'"{}[],:\\'
#: Bytes of a key or a number that are kept.
_LONGEST = 64


class JsonSummary:
    """Feed it the pieces; `number` and `items` say what has come so far."""

    __slots__ = ("_counting", "_depth", "_escape", "_in_string", "_key", "_keys", "_number", "_value", "items")

    def __init__(self, number_key: bytes, list_key: bytes) -> None:
        self._keys = (number_key, list_key)
        self._depth = 0
        self._in_string = False
        self._escape = False
        #: The key read last at the top level, with its closing quote.
        self._key = bytearray()
        #: Behind a colon at the top level: a value is next, or is running.
        self._value = False
        self._number = bytearray()
        #: The list is open: 1 where an item may begin, 2 inside one.
        self._counting = 0
        #: How many items of the list have begun.
        self.items = 0

    def feed(self, data: bytes) -> None:
        """Take the next piece."""
        position = 0
        end = len(data)
        while position < end:
            if self._in_string:
                position = self._string(data, position)
                continue
            near = self._depth < 2 or (self._depth == 2 and self._counting)
            match = (_OUTSIDE if near else _NESTED).search(data, position)
            if match is None:
                break
            position = match.end()
            self._token(data[match.start()], match[0])

    @property
    def number(self) -> float | None:
        """The number, or None."""
        try:
            return float(self._number)
        except ValueError:
            return None

    def _string(self, data: bytes, position: int) -> int:
        if self._escape:
            self._escape = False
            return position + 1
        match = _STRING_END.search(data, position)
        stop = match.end() if match is not None else len(data)
        if self._depth == 1 and not self._value and len(self._key) < _LONGEST:
            self._key += data[position : min(stop, position + _LONGEST)]
        if match is not None:
            if data[match.start()] == _BACKSLASH:
                self._escape = True
            else:
                self._in_string = False
        return stop

    def _token(self, kind: int, text: bytes) -> None:
        if self._counting == 1 and self._depth == 2 and kind not in (_COMMA, _CLOSE_LIST):
            self._counting = 2
            self.items += 1
        if kind == _QUOTE:
            self._in_string = True
            if self._depth == 1 and not self._value:
                self._key.clear()
        elif kind in (_OPEN, _OPEN_LIST):
            if self._depth == 1 and self._value and kind == _OPEN_LIST and self._key[:-1] == self._keys[1]:
                self._counting = 1
                self.items = 0
            self._depth += 1
        elif kind in (_CLOSE, _CLOSE_LIST):
            self._depth = max(0, self._depth - 1)
            if self._depth < 2:
                self._counting = 0
        elif kind == _COMMA:
            if self._depth == 1:
                self._value = False
            elif self._counting:
                self._counting = 1
        elif self._depth == 1:
            if kind == _COLON:
                self._value = True
                if self._key[:-1] == self._keys[0]:
                    self._number.clear()
            elif self._value and self._key[:-1] == self._keys[0] and len(self._number) < _LONGEST:
                self._number += text[:_LONGEST]
