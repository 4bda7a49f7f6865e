"""What an answer is by its first bytes: events, JSON, a web page, or something else. Labels can be wrong."""

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
#: Bytes in which each of these is told, blanks in front not counted.
_LONGEST: Final = 14
#: Bytes in which a page's own beginning must stand.
_FAR: Final = 4_096
# A comment or a declaration may stand before a page's own beginning.
_PREAMBLE: Final = re.compile(rb"(?:<!--.*?-->|<\?.*?\?>)\s*", re.DOTALL)


def sniff_kind(data: bytes, complete: bool) -> Kind:
    """What an answer with this beginning is; `complete` says that there is no more of it."""
    text = data.removeprefix(_BOM).lstrip()
    begin = text[:_LONGEST].lower()
    if begin.startswith((b"{", b"[")):
        return "json"
    if begin.startswith(_FIELDS):
        return "events"
    if begin.startswith(b"<"):
        begin = _PREAMBLE.sub(b"", text[:_FAR], count=4)[:_LONGEST].lower()
        if begin.startswith(_PAGES):
            return "page"
        unclosed = begin.startswith((b"<!--", b"<?")) or any(mark.startswith(begin) for mark in _MARKS)
        return "open" if unclosed and not complete and len(text) < _FAR else "other"
    if not complete and (not begin or _BOM.startswith(data) or any(mark.startswith(begin) for mark in _FIELDS)):
        return "open"
    return "other"
