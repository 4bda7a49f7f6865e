"""The head of a request, and the recognition of the same head in the next request of its connection.

A client sends nearly the same head with all its requests. One that was parsed and checked is recognised by its bytes,
all but those of the body's length, and is neither parsed nor checked again: that saves a fifth of the calls of a JSON
request. Bytes in, values out: no sockets, no clock.
"""

import re
from typing import Any, Final

Header = tuple[bytes, bytes]

#: A connection's head is no longer remembered after so many that did not come again.
HEAD_CACHE_MISSES: Final = 4
#: Digits that the length of a body may have in a head that is recognised.
MAX_LENGTH_DIGITS: Final = 10
_ENCODED_COLON: Final = re.compile("%3[Aa]")
#: "_", for which a byte is looked for sooner than for a text.
_UNDERSCORE: Final = 95
#: Headers with which a head is not remembered: its body is framed, or its response begins, in another way.
_NEVER: Final = frozenset({b"transfer-encoding", b"expect", b"upgrade"})


class Head:
    """The head of a request. Names of headers are in lower case."""

    def __init__(self, method: str, version: str, target: bytes, headers: list[Header]) -> None:
        self.method = method
        self.version = version
        self.headers = headers
        path, _, self.query = target.partition(b"?")
        self.raw_path = path
        text = path.decode("ascii")
        #: What decides the route. It is not decoded, but for the colons in front of Gemini's methods: an encoded slash
        #: or letter must not lead past a rule for paths that a proxy in front may have. Names in it are yet to be.
        self.path = _ENCODED_COLON.sub(":", text) if "%" in text else text
        #: The web page whose script sends the request, as its browser says; empty for all other clients.
        self.origin = b""
        #: What a handler keeps of what it has read here; the handler's own.
        self.facts: Any = None

    def headers_with_length(self, length: int) -> list[Header]:
        """The headers of a request with this head, but with a body of this length."""
        return [(name, b"%d" % length if name == b"content-length" else value) for name, value in self.headers]


class HeadCache:
    """The last head of one connection, as the bytes that it was parsed from."""

    def __init__(self) -> None:
        #: None as long as none is remembered.
        self.head: Head | None = None
        #: The length of the body, and where it begins, in the bytes that matched last.
        self.length = 0
        self.body_at = 0
        #: Bytes still to come of a body that the parser does not see, because its head matched.
        self.body_bytes_left = 0
        self._misses_left = HEAD_CACHE_MISSES
        # The head's bytes without the digits of the length, where these stand, and how many bytes follow them.
        self._bytes = b""
        self._hash = 0
        self._digits_at = 0
        self._behind_digits = 0

    @property
    def is_learning(self) -> bool:
        """Whether another head may be remembered."""
        return self._misses_left > 0

    def learn(self, head: Head, data: bytes, keep_alive: bool = True) -> bool:
        """Remember the bytes that a head was parsed from, with which `data` begins; False if they leave any doubt, or
        the connection ends behind it anyway."""
        self._misses_left -= 1
        if not keep_alive or head.version != "1.1":
            return False
        end = data.find(b"\r\n\r\n")
        lines = data[:end].split(b"\r\n") if end > 0 else [b""]
        if not lines[0].startswith(head.method.encode() + b" "):
            return False
        digits_at = digits = place = 0
        position = len(lines[0]) + 2
        for line in lines[1:]:
            field, _, text = line.partition(b":")
            if _UNDERSCORE in field:
                # It was dropped from the headers.
                position += len(line) + 2
                continue
            if place == len(head.headers):
                return False
            name, value = head.headers[place]
            if name in _NEVER or field.lower() != name or text.strip(b" \t") != value:
                return False
            if name == b"content-length":
                if digits_at or not value.isdigit() or not line.endswith(value) or len(value) > MAX_LENGTH_DIGITS:
                    return False
                digits = len(value)
                digits_at = position + len(line) - digits
            position += len(line) + 2
            place += 1
        if not digits_at or place != len(head.headers):
            return False
        self.head = head
        self._digits_at = digits_at
        self._behind_digits = end + 4 - digits_at - digits
        self._bytes = data[:digits_at] + data[digits_at + digits : end + 4]
        self._hash = hash(self._bytes)
        return True

    def matches(self, data: bytes) -> bool:
        """Whether `data` begins with the head, whatever the length of its body; sets `length` and `body_at`."""
        begin = self._digits_at
        end = data.find(b"\r", begin, begin + MAX_LENGTH_DIGITS + 1)
        if end < 0:
            return False
        body_at = end + self._behind_digits
        # By their hashes first: how long that takes does not tell how much of a credential was guessed.
        read = data[:begin] + data[end:body_at]
        digits = data[begin:end]
        if hash(read) != self._hash or read != self._bytes or not digits.isdigit():
            return False
        self.length = int(digits)
        self.body_at = body_at
        self._misses_left = HEAD_CACHE_MISSES
        return True
