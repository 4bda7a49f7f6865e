"""JSON that a strict parser refuses, written in a form that it takes: same length, same positions, for reading only.

Some servers write half a surrogate pair, `NaN` or `Infinity`, a byte order mark, or bytes that are no UTF-8. Values
that the gateway does not read may be all of that; the client gets the bytes as they came.
"""

import re
from typing import Final

#: Escaped characters of a text in which halves of pairs are looked for: beyond, that would block the event loop.
MAX_ESCAPES: Final = 200_000
_BOM: Final = b"\xef\xbb\xbf"
_HEX: Final = rb"[0-9a-fA-F]{2}"
# Escaped backslashes and whole pairs, which stay; then the halves.
_HALF: Final = re.compile(
    rb"((?:\\\\)+|\\u[dD][89abAB]" + _HEX + rb"\\u[dD][c-fC-F]" + _HEX + rb")|\\u[dD][89a-fA-F]" + _HEX
)
_NAN: Final = re.compile(rb"(?<=[:\[,\s])NaN(?=[\s,\]}])")
_INFINITY: Final = re.compile(rb"(?<=[:\[,\s-])Infinity(?=[\s,\]}])")


def repaired(data: bytes) -> bytes:
    """The text with valid JSON of the same length for what is none; the very same object where nothing was found."""
    text = data
    begin = len(data) - len(data.lstrip())
    if data.startswith(_BOM, begin):
        text = data[:begin] + b"   " + data[begin + 3 :]
    if 0 < text.count(b"\\u") <= MAX_ESCAPES:
        text = _HALF.sub(_whole, text)
    if b"NaN" in text:
        text = _NAN.sub(b"0.0", text)
    if b"Infinity" in text:
        text = _INFINITY.sub(b"0.000000", text)
    if not text.isascii():
        try:
            text.decode()
        except UnicodeDecodeError:
            text = text.decode("ascii", "replace").encode("ascii", "replace")
    return data if text == data else text


def _whole(match: re.Match[bytes]) -> bytes:
    return match[1] or rb"\u003f"
