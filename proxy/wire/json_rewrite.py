"""The alias put back: answers with the model's value replaced at its JSON path, and nothing else changed.

The bytes of a stream are read once, event by event, through a meter that the dialect gives; the meter says what the
model's value is, whether the event is one to leave out and whether the stream has ended. What is kept is one unfinished
event.
"""

import re
from typing import Final, Protocol

import msgspec

from proxy.errors import UpstreamProtocolError
from proxy.wire.json_array import BETWEEN, ArrayParser
from proxy.wire.json_repair import repaired
from proxy.wire.json_scan import TopLevelScanner, spans
from proxy.wire.sse import SSEParser

_LINE = re.compile(rb"([^\r\n]*)(\r\n|\r|\n|$)")
_encoder = msgspec.json.Encoder()
_fields = msgspec.json.Decoder(dict[str, msgspec.Raw])
# Any letter can be written as an escape, also in a key.
_ESCAPED_LETTER = re.compile(rb"\\u00[4-7]")
_BOM = b"\xef\xbb\xbf"
#: Keys that say something of an answer beside its usage.
_FURTHER: Final = (b"service_tier", b"meta", b"type")
#: Keys in whose objects some servers have their usage, whether an error there is the answer's, and what else is said.
_PARTS: Final = (
    (b"x_groq", True, ()),
    (b"choices", True, (b"finish_reason",)),
    (b"output", False, (b"type",)),
)
_DONE = b"[DONE]"
_LAST = b"data: [DONE]\n\n"
#: Bytes from which on a text is asked how many tokens and lines it has, and the most of them: each is looked at by
#: itself, which takes about as many microseconds as it has in four.
_LARGE: Final = 1_048_576
MAX_TOKENS: Final = 1_000_000
MAX_LINES: Final = 100_000
_TOKENS: Final = (b'"', b"{", b"[", b",", b"\\")
_QUOTE: Final = 34
_BACKSLASH: Final = 92
_LF: Final = 10
_CR: Final = 13
#: Every byte of a text as it is, but for quotes, escapes, control characters and what is not ASCII: those become
#: question marks. A text that this table leaves alone is plain; asking so is cheaper than by a pattern.
_PLAIN: Final = bytes([at if 32 <= at < 127 and at not in (_QUOTE, _BACKSLASH) else 63 for at in range(256)])


class UsageMeter(Protocol):
    """Reads the events of one answer on the side. A dialect has one for each kind of answer."""

    #: Where the model's name stands in an event.
    path: tuple[str, ...]
    #: The event read last is one that the client did not ask for: leave it out.
    drop: bool
    #: An error of the upstream was read: from that event on, the text must be scrubbed.
    failed: bool
    #: The answer has ended by its dialect's own mark.
    ended: bool
    #: Bytes of text seen.
    text_out: int
    #: Where the event read last only brought text: that text's raw value, under `content`; else empty.
    plain: bytes

    def read(self, payload: bytes) -> msgspec.Raw:
        """Read one event's JSON; return the raw value of its model, or an empty one.

        Raises `UpstreamProtocolError` when it is not JSON.
        """
        ...

    def scrub(self, block: bytes) -> bytes:
        """An error's bytes without the names and ids of the upstream."""
        ...


class SSERewriter:
    """Rewrites a stream of server-sent events."""

    __slots__ = (
        "_before",
        "_behind",
        "_framer",
        "_head",
        "_learned",
        "_lessons",
        "_limit",
        "_most",
        "_new_before",
        "_new_head",
        "_raw",
        "_replacement",
        "_tap",
        "_text_begin",
        "_text_end",
        "_text_out",
        "dropped",
    )

    def __init__(self, meter: UsageMeter, alias: str, limit: int = 1_048_576) -> None:
        self._tap = meter
        self._framer = SSEParser(limit)
        self._replacement = _quoted(alias)
        # The last event's bytes up to the end of its model value: an event that begins with the same bytes has its
        # model in the same place, and needs no scan.
        self._head = b"\x00"
        self._new_head = b""
        self._raw = msgspec.Raw()
        # The same for events that differ in their text alone: what stands before it and behind it. An event with these
        # ends and a text without quotes, escapes and control characters is the same JSON but for that text, and needs
        # no parse.
        self._learned = False
        self._before = b""
        self._behind = b""
        # Bytes before and behind the text, and the most that may come before its end.
        self._text_begin = 0
        self._text_end = 0
        self._most = 0
        self._new_before = b""
        # Bytes of such texts that the meter is not yet told of: once for all that share a read.
        self._text_out = 0
        self._lessons = 4
        self._limit = limit
        #: How many events were left out.
        self.dropped = 0

    def feed(self, data: bytes) -> bytes:
        """Take upstream's next bytes; return those of the whole events in them, as the client is to get them.

        Raises `UpstreamProtocolError` for an event that is not JSON or passes the limit; it brings what those before it
        in the same read became.
        """
        if self._learned and data.startswith(self._before) and self._framer.empty:
            # Nearly always a read is one event, and one of these is whole by its ends.
            out = self._alike(data)
            if out:
                self._tap.text_out += self._text_out
                self._text_out = 0
                return out
        blocks = self._framer.feed(data)
        if len(blocks) == 1 and blocks[0] is data:
            return self._event(data)
        parts: list[bytes] = []
        try:
            for block in blocks:
                out = self._alike(block) if self._learned and block.startswith(self._before) else b""
                if out:
                    parts.append(out)
                    continue
                self._tap.text_out += self._text_out
                self._text_out = 0
                parts.append(self._event(block))
                if self._tap.ended:
                    # What came in the same read is no more part of the answer than what comes in the next one.
                    return b"".join(parts)
            if self._framer.overflowed:
                raise self._framer.too_large()
        except UpstreamProtocolError as error:
            error.before = b"".join(parts)
            raise
        finally:
            self._tap.text_out += self._text_out
            self._text_out = 0
        return b"".join(parts)

    def end(self) -> bytes:
        """The stream ended as its framing says it should: return what came after the last whole event.

        A last event may lack its blank line, which it gets: a client takes no event without one. A piece of an event is
        not given, nor is half a line: what the client is told next would become a part of it.
        """
        rest = self._framer.rest()
        if not rest:
            return b""
        rest += b"\n" if rest.endswith((b"\n", b"\n\r")) else b"\n\n"
        try:
            out = self._event(rest)
        except UpstreamProtocolError:
            return b""
        return out if self._tap.failed or _mask(rest).strip() else b""

    def _alike(self, block: bytes) -> bytes:
        """The client's bytes of an event that differs from the one that was learned in a plain text alone; else b"".

        It is known to begin as that one did.
        """
        begin, end = self._text_begin, len(block) - self._text_end
        if not begin <= end <= self._most or not block.endswith(self._behind):
            return b""
        text = block[begin:end]
        if text.translate(_PLAIN) != text:
            return b""
        self._text_out += end - begin
        return self._new_before + block[begin:]

    def _event(self, block: bytes) -> bytes:
        meter = self._tap
        if block == _LAST:
            meter.ended = True
            return block
        start = _only_data(block)
        if start:
            text = block
            payload = block[start:-2]
        else:
            text = _mask(block)
            payload = text.strip()
            if not payload:
                return self._aside(block)
            if payload == _DONE:
                meter.ended = True
                return block
        try:
            model = meter.read(payload)
        except UpstreamProtocolError:
            # A lone CR ends a line too: there may be more data lines than one.
            text = repaired(_mask(block))
            start = 0
            if text.strip() == payload:
                raise
            model = meter.read(text.strip())
        if meter.drop:
            self.dropped += 1
            return b""
        failed = meter.failed
        if failed:
            # From here on the texts must be scrubbed, too.
            self._learned = False
            block = meter.scrub(block)
            text = _mask(block)
            start = 0
        if block.startswith(self._head) and model == self._raw:
            out = self._new_head + block[len(self._head) :]
            if self._lessons and not failed and meter.plain:
                self._learn(block, out, meter.plain)
            return out
        raw = bytes(model)
        if not raw:
            return block
        path = meter.path
        found = _only_span(text, path[0], raw) if len(path) == 1 and raw[0] == _QUOTE else []
        return self._replace(block, found or _spans(text, path, start), model)

    def _aside(self, block: bytes) -> bytes:
        """A block without data: it passes, unless it is bare JSON, which only Google's errors in a stream are.

        Raises `UpstreamProtocolError` for any other JSON: its model would not be found where events have theirs.
        """
        text = block.strip()
        if text[:1] not in (b"{", b"["):
            return block
        if not _is_error(text):
            raise UpstreamProtocolError("The model's answer could not be read.", detail="JSON in place of events")
        self._tap.read(text)
        return self._tap.scrub(block)

    def _learn(self, block: bytes, out: bytes, plain: bytes) -> None:
        """Remember what stands before and behind this event's text; given up where it changes all the time."""
        self._lessons -= 1
        if _CR in block or plain[0] != _QUOTE:
            # Where such an event or text is over is not told by a quote or by a blank line alone.
            return
        marked = b'"content":' + plain
        at = block.find(marked)
        if at < len(self._head) or block.find(marked, at + 1) >= 0:
            return
        begin = at + len(marked) - len(plain) + 1
        end = at + len(marked) - 1
        longer = len(out) - len(block)
        self._before, self._behind = block[:begin], block[end:]
        self._new_before = out[: begin + longer]
        self._text_begin, self._text_end = len(self._before), len(self._behind)
        self._most = self._limit - self._text_end
        self._learned = True

    def _replace(self, block: bytes, found: list[tuple[int, int]], model: msgspec.Raw) -> bytes:
        """Replace the values at these spans, and remember where one stood for the next event."""
        if len(found) == 1 and len(bytes(model)) > 2:
            begin, end = found[0]
            self._head = block[:end]
            self._new_head = block[:begin] + self._replacement
            self._raw = model.copy()
            return self._new_head + block[end:]
        return _replaced(block, found, self._replacement)


class JsonRewriter:
    """Rewrites one JSON answer, at once when it is whole, else piece by piece in bounded memory."""

    __slots__ = ("_replacement", "_scanner", "_tail", "_tail_limit", "_tap", "_usage_key")

    def __init__(self, meter: UsageMeter, alias: str, usage_key: str = "usage", tail_limit: int = 1_048_576) -> None:
        self._tap = meter
        self._replacement = _quoted(alias)
        self._usage_key = usage_key
        self._scanner: TopLevelScanner | None = None
        #: What came since an error began, which is not given before it is scrubbed; and the most of it.
        self._tail = bytearray()
        self._tail_limit = tail_limit

    def whole(self, data: bytes) -> bytes:
        """Rewrite a body that is all there. Raises `UpstreamProtocolError` when it is not a JSON object."""
        meter = self._tap
        text = data
        try:
            model = meter.read(data)
        except UpstreamProtocolError:
            text = repaired(data)
            if text is data:
                raise
            model = meter.read(text)
        if meter.failed:
            data = text = meter.scrub(data)
        raw = bytes(model)
        if not raw:
            return data
        path = meter.path
        found = _only_span(text, path[0], raw) if raw[0] == _QUOTE else []
        return _replaced(data, found or _spans(text, path, 0), self._replacement)

    def feed(self, data: bytes) -> bytes:
        """Take the next piece; return what can go on.

        Raises `UpstreamProtocolError` for a model name beyond reason, for anything before or behind the object, and for
        an error that does not end.
        """
        scanner = self._scanner
        mark = b""
        if scanner is None:
            if data.startswith(_BOM):
                mark, data = _BOM, data[len(_BOM) :]
            scanner = self._scanner = TopLevelScanner(
                self._tap.path[0].encode(),
                self._replacement,
                self._usage_key.encode(),
                error_key=b"error",
                further=_FURTHER,
                parts=_PARTS,
            )
        out = mark + b"".join(scanner.feed(data))
        if scanner.overflow:
            raise UpstreamProtocolError("The model's answer could not be read.", detail="a value passes its bound")
        if scanner.stray:
            raise UpstreamProtocolError("The model's answer could not be read.", detail="not one JSON object")
        tail = self._tail
        if scanner.failing:
            tail += out
            if len(tail) > self._tail_limit:
                raise UpstreamProtocolError("The model's answer could not be read.", detail="an error without an end")
            return b""
        if tail:
            # What began like an error was none.
            out = bytes(tail) + out
            tail.clear()
        return out

    def end(self) -> bytes:
        """The answer has ended: return what is still held, which is an error's text, and tell the meter of that."""
        scanner = self._scanner
        if scanner is None or not scanner.failing:
            return b""
        self._tap.failed = True
        return self._tap.scrub(bytes(self._tail))

    @property
    def closed(self) -> bool:
        """The object that `feed` was given is whole."""
        return self._scanner is not None and self._scanner.closed

    @property
    def said(self) -> bytes:
        """What the answer that `feed` was given says beside its content, as a small answer that a meter can read."""
        scanner = self._scanner
        if scanner is None:
            return b"{}"
        fields = _members(scanner, self._usage_key.encode())
        for name, part in scanner.parts.items():
            objects = [b"{" + member + b"}" for member in _members(part, b"usage")]
            if name == b"x_groq" and objects:
                fields.append(b'"x_groq":' + objects[-1])
            elif objects:
                fields.append(b'"' + name + b'":[' + b",".join(objects) + b"]")
        return repaired(b"{" + b",".join(fields) + b"}")


def _members(scanner: TopLevelScanner, usage_key: bytes) -> list[bytes]:
    """What a scanner has kept, as the members of an object."""
    found = [b'"' + key + b'":' + value for key, values in scanner.values.items() for value in values]
    return [*found, b'"' + usage_key + b'":' + scanner.capture] if scanner.capture else found


class ArrayRewriter:
    """Rewrites a stream that is one JSON array, element by element."""

    __slots__ = ("_framer", "_rewriter")

    def __init__(self, meter: UsageMeter, alias: str, limit: int) -> None:
        self._framer = ArrayParser(limit)
        self._rewriter = JsonRewriter(meter, alias)

    def feed(self, data: bytes) -> bytes:
        """Take upstream's next bytes; return those of the whole elements in them, as the client is to get them.

        Raises `UpstreamProtocolError` for an element that is no object or passes the limit.
        """
        parts: list[bytes] = []
        try:
            for block in self._framer.feed(data):
                element = block.lstrip(BETWEEN)
                parts.append(block[: len(block) - len(element)] + self._rewriter.whole(element))
        except UpstreamProtocolError as error:
            error.before = b"".join(parts)
            raise
        return b"".join(parts)

    def end(self) -> bytes:
        """The body has ended: return what came behind the last element, if that is the array's end.

        Raises `UpstreamProtocolError` where there was something else than objects in it.
        """
        rest = self._framer.rest()
        if self._framer.stray or rest.strip(BETWEEN + b"]"):
            raise UpstreamProtocolError("The model's answer could not be read.", detail="not one array of objects")
        return rest if self.closed else b""

    @property
    def closed(self) -> bool:
        """The array is whole."""
        return self._framer.closed


def _spans(text: bytes, path: tuple[str, ...], start: int) -> list[tuple[int, int]]:
    """`spans`, for a text whose tokens are not so many that they hold everybody else up.

    Raises `UpstreamProtocolError` for any other.
    """
    if len(text) > _LARGE and sum([text.count(mark) for mark in _TOKENS]) > MAX_TOKENS:
        raise UpstreamProtocolError("The model's answer could not be read.", detail="too many values in one event")
    return spans(text, path, start)


def _replaced(data: bytes, found: list[tuple[int, int]], replacement: bytes) -> bytes:
    """The bytes with the strings at these spans replaced; empty strings stay."""
    if len(found) == 1 and found[0][1] - found[0][0] > 2:
        begin, end = found[0]
        return data[:begin] + replacement + data[end:]
    out: list[bytes] = []
    position = 0
    for begin, end in found:
        if end - begin > 2:
            out += (data[position:begin], replacement)
            position = end
    out.append(data[position:])
    return b"".join(out)


def _only_data(block: bytes) -> int:
    """Where the JSON object begins in a block with one data line and at most an event line before it; else 0."""
    start = 6
    if block.startswith(b"data: {"):
        if block.endswith(b"}\n\n") and _LF not in block[6:-2]:
            return start
    else:
        if not block.startswith(b"event: "):
            return 0
        line_end = block.find(b"\n")
        if not block.startswith(b"data: {", line_end + 1):
            return 0
        start = line_end + 7
    # The data line's end, LF or CRLF, and an empty line: without them the last two bytes may be the object's.
    return start if len(block) - 3 <= block.find(b"\n", start) <= len(block) - 2 else 0


def _only_span(data: bytes, name: str, raw: bytes) -> list[tuple[int, int]]:
    """The span of a top-level string known to be there, where the text leaves no doubt, without a scan.

    There is none when no key is written with an escaped letter and the quoted name stands in the text once, with the
    value that the decoder found at the top level behind it.
    """
    if _BACKSLASH in data and _ESCAPED_LETTER.search(data) is not None:
        return []
    key = b'"' + name.encode() + b'"'
    pieces = data.split(key, 2)
    if len(pieces) != 2:
        return []
    at = len(pieces[0]) + len(key)
    begin = at + 1 if data[at : at + 2] == b':"' else at + 2
    if data[at:begin] in (b":", b": ") and data[begin : begin + len(raw)] == raw:
        return [(begin, begin + len(raw))]
    begin = data.find(raw, at)
    if begin < 0:
        return []
    return [(begin, begin + len(raw))] if data[at:begin].strip() == b":" else []


def _quoted(text: str) -> bytes:
    """A text as a JSON string."""
    encoded = text.encode()
    return b'"' + encoded + b'"' if encoded.translate(_PLAIN) == encoded else _encoder.encode(text)


def _is_error(text: bytes) -> bool:
    """Whether a JSON text is an object with an error in it."""
    try:
        fields = _fields.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return bytes(fields.get("error", b"null")) != b"null"


def _mask(block: bytes) -> bytes:
    """An event block with everything blanked but the contents of its data lines: same length, same positions.

    Raises `UpstreamProtocolError` for one of so many lines that they hold everybody else up.
    """
    if len(block) > _LARGE and block.count(b"\n") + block.count(b"\r") > MAX_LINES:
        raise UpstreamProtocolError("The model's answer could not be read.", detail="too many lines in one event")
    out = []
    for match in _LINE.finditer(block):
        line, line_end = match.groups()
        skip = 0
        if match.start() == 0 and line.startswith(_BOM):
            skip = 3
        if line.startswith(b"data:", skip):
            skip += 5
            out.append(b" " * skip + line[skip:])
        else:
            out.append(b" " * len(line))
        out.append(line_end)
    return b"".join(out)
