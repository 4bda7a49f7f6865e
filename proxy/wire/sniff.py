"""Content sniffing: the kind of a response by its first bytes, as content types can be wrong."""

import re
from typing import Final, Literal

#: `open` says that more bytes are needed to tell.
Kind = Literal["events", "json", "page", "other", "open"]

_BOM: Final = b"\xef\xbb\xbf"
#: How events begin: a field of theirs, or a comment.
_FIELDS: Final = (b"data:", b"event:", b"id:", b"retry:", b":")
_PAGES: Final = (b"<!doctype html", b"<html")
#: How a page, and what may stand before its beginning, begin.
_MARKS: Final = (*_PAGES, b"<!--", b"<?")
#: Bytes by which each of these is recognised, leading blanks not counted.
_MAX_MARK_BYTES: Final = 14
#: Bytes in which a page's own beginning must stand.
_MAX_PREAMBLE_BYTES: Final = 4_096
# A comment or a declaration may stand before a page's own beginning.
_PREAMBLE: Final = re.compile(rb"(?:<!--.*?-->|<\?.*?\?>)\s*", re.DOTALL)


def sniff_kind(data: bytes, complete: bool) -> Kind:
    """The kind of a response with this beginning; `complete` says that there is no more of it."""
    text = data.removeprefix(_BOM).lstrip()
    begin = text[:_MAX_MARK_BYTES].lower()
    if begin.startswith((b"{", b"[")):
        return "json"
    if begin.startswith(_FIELDS):
        return "events"
    if begin.startswith(b"<"):
        begin = _PREAMBLE.sub(b"", text[:_MAX_PREAMBLE_BYTES], count=4)[:_MAX_MARK_BYTES].lower()
        if begin.startswith(_PAGES):
            return "page"
        unclosed = begin.startswith((b"<!--", b"<?")) or any(mark.startswith(begin) for mark in _MARKS)
        return "open" if unclosed and not complete and len(text) < _MAX_PREAMBLE_BYTES else "other"
    if not complete and (not begin or _BOM.startswith(data) or any(mark.startswith(begin) for mark in _FIELDS)):
        return "open"
    return "other"
