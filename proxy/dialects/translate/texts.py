"""Small helpers of all translations: JSON strings as they came, ids, and finding where a value of JSON is complete."""

import hashlib
import re
from typing import Final

import msgspec

from proxy.dialects.meters import NOTHING
from proxy.dialects.translate.schemas import decode_string, encode
from proxy.errors import UpstreamProtocolError
from proxy.wire.json_repair import repaired
from proxy.wire.schemas import DECODE_ERRORS

_EMPTY_STRING: Final = b'""'
_TOKENS: Final = re.compile(r'["\\{}\[\]]')
#: What all dialects take in the id of a call.
_ID: Final = re.compile(r"[a-zA-Z0-9_-]{1,64}")


def text_of(raw: msgspec.Raw) -> bytes:
    """The JSON string of a text that is there; empty for null, for an empty text, and for anything else."""
    if raw in NOTHING:
        return b""
    value = bytes(raw)
    return value if value[0] == 0x22 and value != _EMPTY_STRING else b""


def joined(texts: list[bytes], between: bytes = b"") -> bytes:
    """JSON strings as one, with `between`, in which nothing has to be escaped, between them."""
    if len(texts) == 1:
        return texts[0]
    return b'"' + between.join([text[1:-1] for text in texts]) + b'"'


def json_string(value: str) -> bytes:
    """A text as a JSON string."""
    return encode(value)


def plain(raw: bytes) -> str:
    """The text of a JSON string; half of a pair of surrogates, which no text can have, is a question mark."""
    return decode_string(repaired(raw))


def derived_id(prefix: str, *parts: str) -> str:
    """An id of a caller's dialect that is the same for the same parts, and shows none of them."""
    return prefix + hashlib.sha256("\n".join(parts).encode()).hexdigest()[:24]


def call_id(id: str, response_id: str, place: int) -> str:
    """The id of a call as every dialect takes it: the provider's own where that is one."""
    return id if _ID.fullmatch(id) else derived_id("call_", id, response_id, str(place))


def unreadable(error: Exception) -> UpstreamProtocolError:
    """The error for a response that cannot be translated, as it is not of its dialect."""
    detail = f"not of its format: {type(error).__name__}"
    return UpstreamProtocolError("The model's answer could not be read.", detail=detail)


class JsonDepth:
    """Follows a JSON object that comes in pieces, and knows when it is complete. Keeps counts alone."""

    __slots__ = ("_depth", "_escaped", "_quoted", "begun")

    def __init__(self) -> None:
        self.begun = False
        self._depth = 0
        self._quoted = False
        self._escaped = False

    @property
    def complete(self) -> bool:
        return self.begun and self._depth == 0

    def feed(self, raw: bytes) -> None:
        """Take the next piece, a JSON string. Raises `UpstreamProtocolError`."""
        try:
            text = plain(raw)
        except DECODE_ERRORS as error:
            raise unreadable(error) from error
        last = -1
        for found in _TOKENS.finditer(text):
            at, token = found.start(), found.group()
            escaped = self._escaped and at == last + 1
            self._escaped = False
            last = at
            if self._quoted:
                if escaped:
                    continue
                if token == '"':
                    self._quoted = False
                elif token == "\\":
                    self._escaped = True
            elif token == '"':
                self._quoted = True
            elif token in "{[":
                self._depth += 1
                self.begun = True
            elif token in "}]":
                self._depth -= 1
        if last + 1 < len(text):
            # What was escaped, if anything, came behind the mark.
            self._escaped = False


def arguments_text(raw: msgspec.Raw) -> bytes | None:
    """The JSON object that a call's arguments are, a string that holds it or the object itself; None for neither."""
    value = b"" if raw in NOTHING else bytes(raw)
    if value[:1] == b'"':
        value = plain(value).encode()
    value = value.strip() or b"{}"
    try:
        msgspec.json.decode(value, type=dict[str, msgspec.Raw])
    except DECODE_ERRORS:
        return None
    return value
