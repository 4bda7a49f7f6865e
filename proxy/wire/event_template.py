"""Recognises an event that differs from an earlier one in its text alone, so that it needs no parse.

Of a stream's events nearly all are such: they repeat an envelope of some hundred bytes around a few new words.
"""

from typing import Final

_QUOTE: Final = 34
_BACKSLASH: Final = 92
_CR: Final = 13
#: Every byte of a text as it is, but for quotes, escapes, control characters and what is not ASCII: those become
#: question marks. A text that this table leaves alone is plain; asking so is cheaper than by a pattern.
PLAIN: Final = bytes([at if 32 <= at < 127 and at not in (_QUOTE, _BACKSLASH) else 63 for at in range(256)])


class EventTemplate:
    """The bytes of an event before and behind its text.

    An event with these ends and a plain text (no quotes, escapes or control characters) between them is the same JSON
    but for that text.
    """

    __slots__ = ("_before_size", "_behind", "_behind_size", "_max_end", "_new_before", "before", "text_bytes")

    def __init__(self, block: bytes, out: bytes, text: bytes, prefix: int, max_bytes: int) -> None:
        """The event `block`, which the client gets as `out`; `text` is the raw value of its `content`.

        It matches nothing, and `before` is empty, where the text does not stand there once, behind the first `prefix`
        bytes, which hold the model. No event of more than `max_bytes` matches.
        """
        self.before = self._new_before = self._behind = b""
        self._before_size = self._behind_size = self._max_end = 0
        #: Bytes of the text of the event that was matched last.
        self.text_bytes = 0
        if _CR in block or text[0] != _QUOTE:
            # The end of such an event or text is not marked by a blank line or a quote alone.
            return
        marked = b'"content":' + text
        at = block.find(marked)
        if at < prefix or block.find(marked, at + 1) >= 0:
            return
        begin = at + len(marked) - len(text) + 1
        end = at + len(marked) - 1
        self.before, self._behind = block[:begin], block[end:]
        self._new_before = out[: begin + len(out) - len(block)]
        self._before_size, self._behind_size = begin, len(self._behind)
        self._max_end = max_bytes - self._behind_size

    def match(self, block: bytes) -> bytes:
        """The client's bytes of an event that begins with `before` and differs in its plain text alone; else b""."""
        begin, end = self._before_size, len(block) - self._behind_size
        if not begin <= end <= self._max_end or not block.endswith(self._behind):
            return b""
        text = block[begin:end]
        if text.translate(PLAIN) != text:
            return b""
        self.text_bytes = end - begin
        return self._new_before + block[begin:]
