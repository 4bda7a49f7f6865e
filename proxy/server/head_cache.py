"""The head of a request: what it says, and whether the next one on its connection says the same.

A client sends nearly the same head with all its requests. One that was read and judged is known again by its bytes, all
but those of the body's length, and needs neither parser nor judge. Bytes in, values out: no sockets, no clock.
"""

import re
from typing import Any, Final

Header = tuple[bytes, bytes]

#: Digits that the length of a body may have in a head that is known again.
MOST_DIGITS: Final = 10
_ENCODED_COLON: Final = re.compile("%3[Aa]")
#: "_", for which a byte is looked for sooner than for a text.
_UNDERSCORE: Final = 95
#: Whose head is not known again: its body is framed, or its answer begins, in another way.
_NEVER: Final = frozenset({b"transfer-encoding", b"expect", b"upgrade"})


class Head:
    """See the module. Names of headers are in lower case."""

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
        #: The web page whose script asks, as its browser says; empty for all other clients.
        self.origin = b""
        #: What a handler keeps of what it has read here; the handler's own.
        self.facts: Any = None
        #: The length of the body, and where it begins, in the bytes that matched last.
        self.length = 0
        self.body_at = 0
        # The head's bytes without the digits of the length, where these stand, and how much follows them.
        self._known = b""
        self._hash = 0
        self._begin = 0
        self._behind = 0
        self._place = 0

    def learn(self, data: bytes) -> bool:
        """Remember the bytes that this head was read from, with which `data` begins; False if they leave any doubt."""
        end = data.find(b"\r\n\r\n")
        lines = data[:end].split(b"\r\n") if end > 0 else [b""]
        if not lines[0].startswith(self.method.encode() + b" "):
            return False
        begin = digits = place = 0
        position = len(lines[0]) + 2
        for line in lines[1:]:
            field, _, text = line.partition(b":")
            if _UNDERSCORE in field:
                # It was dropped from the headers.
                position += len(line) + 2
                continue
            if place == len(self.headers):
                return False
            name, value = self.headers[place]
            if name in _NEVER or field.lower() != name or text.strip(b" \t") != value:
                return False
            if name == b"content-length":
                if begin or not value.isdigit() or not line.endswith(value) or len(value) > MOST_DIGITS:
                    return False
                self._place = place
                digits = len(value)
                begin = position + len(line) - digits
            position += len(line) + 2
            place += 1
        if not begin or place != len(self.headers):
            return False
        self._begin = begin
        self._behind = end + 4 - begin - digits
        self._known = data[:begin] + data[begin + digits : end + 4]
        self._hash = hash(self._known)
        return True

    def matches(self, data: bytes) -> bool:
        """Whether `data` begins with this head, whatever the length of its body; sets `length` and `body_at`."""
        begin = self._begin
        end = data.find(b"\r", begin, begin + MOST_DIGITS + 1)
        if end < 0:
            return False
        body_at = end + self._behind
        # By their hashes first: how long that takes does not tell how much of a credential was guessed.
        read = data[:begin] + data[end:body_at]
        digits = data[begin:end]
        if hash(read) != self._hash or read != self._known or not digits.isdigit():
            return False
        self.length = int(digits)
        self.body_at = body_at
        return True

    def headers_for(self, length: int) -> list[Header]:
        """The headers of a request whose body has this length."""
        headers = self.headers.copy()
        headers[self._place] = (b"content-length", b"%d" % length)
        return headers
