"""Rewrites the model's name to the alias in upstream responses, at its JSON path, and changes nothing else.

The bytes of a stream are read once, event by event, through a meter that the dialect gives; the meter says what the
model's value is, whether the event is one to leave out and whether the stream has ended. What is kept is one unfinished
event.
"""

import re
from typing import Final

import msgspec

from proxy.errors import UpstreamProtocolError
from proxy.wire.event_template import PLAIN, EventTemplate
from proxy.wire.json_array import BETWEEN, ArrayParser
from proxy.wire.json_repair import repaired
from proxy.wire.json_scan import Section, TopLevelScanner, spans
from proxy.wire.meter import UsageMeter
from proxy.wire.schemas import DECODE_ERRORS
from proxy.wire.sse import SSEParser

_LINE = re.compile(rb"([^\r\n]*)(\r\n|\r|\n|$)")
_encoder = msgspec.json.Encoder()
_fields = msgspec.json.Decoder(dict[str, msgspec.Raw])
# Any letter can be written as an escape, also in a key.
_ESCAPED_LETTER = re.compile(rb"\\u00[4-7]")
_BOM = b"\xef\xbb\xbf"
#: Keys that say something of a response beside its usage.
_FURTHER: Final = (b"service_tier", b"meta", b"type")
#: Keys in whose objects some servers have their usage.
_USAGE_SECTIONS: Final = (
    Section(b"x_groq", b"usage", b"error"),
    Section(b"choices", b"usage", b"error", (b"finish_reason",)),
    Section(b"output", b"usage", b"", (b"type",)),
)
_DONE = b"[DONE]"
_LAST = b"data: [DONE]\n\n"
#: Bytes from which on the tokens and lines of a text are counted, and the most of them: each is looked at by itself,
#: which takes a quarter of a microsecond.
_LARGE_BYTES: Final = 1_048_576
MAX_TOKENS: Final = 1_000_000
MAX_LINES: Final = 100_000
_TOKENS: Final = (b'"', b"{", b"[", b",", b"\\")
_QUOTE: Final = 34
_BACKSLASH: Final = 92
_LF: Final = 10
#: Events of which a template is made, in one stream: where they change all the time, no more are tried.
MAX_TEMPLATES: Final = 4


class SSERewriter:
    """Rewrites the model's name in a stream of server-sent events, one by one; all other bytes stay.

    Holds one unfinished event, `limit` bytes of it at most.
    """

    __slots__ = (
        "_limit",
        "_meter",
        "_model",
        "_new_prefix",
        "_parser",
        "_prefix",
        "_replacement",
        "_template",
        "_templates_left",
    )

    def __init__(self, meter: UsageMeter, alias: str, limit: int = 1_048_576) -> None:
        self._meter = meter
        self._parser = SSEParser(limit)
        self._replacement = _json_string(alias)
        self._limit = limit
        # The last event's bytes up to the end of its model's value, and what the client got for them: an event with the
        # same prefix has its model in the same place, and needs no scan.
        self._prefix = b"\x00"
        self._new_prefix = b""
        self._model = msgspec.Raw()
        self._template: EventTemplate | None = None
        self._templates_left = MAX_TEMPLATES

    def feed(self, data: bytes) -> bytes:
        """Take upstream's next bytes; return those of the whole events in them, as the client is to get them.

        Raises `UpstreamProtocolError` for an event that is not JSON or passes the limit; its `before` are the bytes of
        the events before it in the same read.
        """
        meter = self._meter
        template = self._template
        if template is not None and data.startswith(template.before) and self._parser.empty:
            # Nearly always a read is one event, and one of these is whole by its ends.
            out = template.match(data)
            if out:
                meter.text_out += template.text_bytes
                return out
        blocks = self._parser.feed(data)
        if len(blocks) == 1 and blocks[0] is data:
            return self._event(data)
        parts: list[bytes] = []
        # Of matched events: the meter gets it once for all that follow each other.
        text_out = 0
        try:
            for block in blocks:
                template = self._template
                if template is not None and block.startswith(template.before):
                    out = template.match(block)
                    if out:
                        parts.append(out)
                        text_out += template.text_bytes
                        continue
                meter.text_out += text_out
                text_out = 0
                parts.append(self._event(block))
                if meter.ended:
                    # What came in the same read is no more part of the response than what comes in the next one.
                    return b"".join(parts)
            if self._parser.overflowed:
                raise self._parser.too_large()
        except UpstreamProtocolError as error:
            error.before = b"".join(parts)
            raise
        finally:
            meter.text_out += text_out
        return b"".join(parts)

    def end(self) -> bytes:
        """The stream ended as its framing says it should: return what came after the last whole event.

        A last event may lack its blank line, which it gets: a client takes no event without one. A part of an event is
        not given, nor is half a line: what is sent to the client next would become a part of it.
        """
        rest = self._parser.rest()
        if not rest:
            return b""
        rest += b"\n" if rest.endswith((b"\n", b"\n\r")) else b"\n\n"
        try:
            out = self._event(rest)
        except UpstreamProtocolError:
            return b""
        return out if self._meter.failed or _data_lines(rest).strip() else b""

    def _event(self, block: bytes) -> bytes:
        """The client's bytes of one event block."""
        meter = self._meter
        if block == _LAST:
            meter.ended = True
            return block
        start = _single_data_start(block)
        if start:
            text = block
            payload = block[start:-2]
        else:
            text = _data_lines(block)
            payload = text.strip()
            if not payload:
                return self._without_data(block)
            if payload == _DONE:
                meter.ended = True
                return block
        try:
            model = meter.read(payload)
        except UpstreamProtocolError:
            # A lone CR ends a line too: there may be more data lines than one.
            text = repaired(_data_lines(block))
            start = 0
            if text.strip() == payload:
                raise
            model = meter.read(text.strip())
        if meter.drop:
            return b""
        failed = meter.failed
        if failed:
            # From here on the texts must be scrubbed, too.
            self._template = None
            block = meter.scrub(block)
            text = _data_lines(block)
            start = 0
        if block.startswith(self._prefix) and model == self._model:
            out = self._new_prefix + block[len(self._prefix) :]
            if self._templates_left and not failed and meter.plain:
                self._templates_left -= 1
                template = EventTemplate(block, out, meter.plain, len(self._prefix), self._limit)
                if template.before:
                    self._template = template
            return out
        raw = bytes(model)
        if not raw:
            return block
        path = meter.path
        found = _certain_span(text, path[0], raw) if len(path) == 1 and raw[0] == _QUOTE else []
        return self._replace(block, found or _bounded_spans(text, path, start), model)

    def _without_data(self, block: bytes) -> bytes:
        """A block without data: it passes, unless it is bare JSON, which only Google's errors in a stream are.

        Raises `UpstreamProtocolError` for any other JSON: its model would not be found where events have theirs.
        """
        text = block.strip()
        if text[:1] not in (b"{", b"["):
            return block
        if not _is_error(text):
            raise UpstreamProtocolError("The model's answer could not be read.", detail="JSON in place of events")
        self._meter.read(text)
        return self._meter.scrub(block)

    def _replace(self, block: bytes, found: list[tuple[int, int]], model: msgspec.Raw) -> bytes:
        """Replace the values at these spans, and remember where one stood for the next event."""
        if len(found) == 1 and len(bytes(model)) > 2:
            begin, end = found[0]
            self._prefix = block[:end]
            self._new_prefix = block[:begin] + self._replacement
            self._model = model.copy()
            return self._new_prefix + block[end:]
        return _replace_spans(block, found, self._replacement)


class JsonRewriter:
    """Rewrites one JSON response, at once when it is whole, else piece by piece in bounded memory."""

    __slots__ = ("_meter", "_replacement", "_scanner", "_tail", "_tail_limit", "_usage_key")

    def __init__(self, meter: UsageMeter, alias: str, usage_key: str = "usage", tail_limit: int = 1_048_576) -> None:
        self._meter = meter
        self._replacement = _json_string(alias)
        self._usage_key = usage_key
        self._scanner: TopLevelScanner | None = None
        #: What came since an error began, which is not given before it is scrubbed; and the most of it.
        self._tail = bytearray()
        self._tail_limit = tail_limit

    def whole(self, data: bytes) -> bytes:
        """Rewrite a body that is all there. Raises `UpstreamProtocolError` when it is not a JSON object."""
        meter = self._meter
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
        found = _certain_span(text, path[0], raw) if raw[0] == _QUOTE else []
        return _replace_spans(data, found or _bounded_spans(text, path, 0), self._replacement)

    def feed(self, data: bytes) -> bytes:
        """Take the next piece; return what can go on.

        Raises `UpstreamProtocolError` for a model name beyond reason, for anything before or behind the object, and for
        an error that does not end.
        """
        scanner = self._scanner
        meter = self._meter
        mark = b""
        if scanner is None:
            if data.startswith(_BOM):
                mark, data = _BOM, data[len(_BOM) :]
            scanner = self._scanner = TopLevelScanner(
                meter.path[0].encode(),
                self._replacement,
                self._usage_key.encode(),
                error_key=b"error",
                further=_FURTHER + meter.scalar_keys,
                sections=(*_USAGE_SECTIONS, Section(meter.list_key)) if meter.list_key else _USAGE_SECTIONS,
            )
            meter.follow(scanner)
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
        """The response has ended: return what is still held, which is an error's text, and mark the meter as failed."""
        scanner = self._scanner
        if scanner is None or not scanner.failing:
            return b""
        self._meter.failed = True
        return self._meter.scrub(bytes(self._tail))

    @property
    def closed(self) -> bool:
        """The object that `feed` was given is whole."""
        return self._scanner is not None and self._scanner.closed

    @property
    def summary(self) -> bytes:
        """What the response fed so far says beside its content, as a small response that a meter can read."""
        scanner = self._scanner
        if scanner is None:
            return b"{}"
        fields = _members(scanner, self._usage_key.encode())
        for name, section in scanner.sections.items():
            objects = [b"{" + member + b"}" for member in _members(section, b"usage")]
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

    __slots__ = ("_parser", "_rewriter")

    def __init__(self, meter: UsageMeter, alias: str, limit: int) -> None:
        self._parser = ArrayParser(limit)
        self._rewriter = JsonRewriter(meter, alias)

    def feed(self, data: bytes) -> bytes:
        """Take upstream's next bytes; return those of the whole elements in them, as the client is to get them.

        Raises `UpstreamProtocolError` for an element that is no object or passes the limit.
        """
        parts: list[bytes] = []
        try:
            for block in self._parser.feed(data):
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
        rest = self._parser.rest()
        if self._parser.stray or rest.strip(BETWEEN + b"]"):
            raise UpstreamProtocolError("The model's answer could not be read.", detail="not one array of objects")
        return rest if self.closed else b""

    @property
    def closed(self) -> bool:
        """The array is whole."""
        return self._parser.closed


def _bounded_spans(text: bytes, path: tuple[str, ...], start: int) -> list[tuple[int, int]]:
    """`spans`, for a text whose tokens are not so many that they block the event loop.

    Raises `UpstreamProtocolError` for any other.
    """
    if len(text) > _LARGE_BYTES and sum([text.count(mark) for mark in _TOKENS]) > MAX_TOKENS:
        raise UpstreamProtocolError("The model's answer could not be read.", detail="too many values in one event")
    return spans(text, path, start)


def _replace_spans(data: bytes, found: list[tuple[int, int]], replacement: bytes) -> bytes:
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


def _single_data_start(block: bytes) -> int:
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


def event_payload(block: bytes) -> bytes:
    """The data of an event block; empty where it has none.

    Raises `UpstreamProtocolError` for one of so many lines that they would block the event loop.
    """
    start = _single_data_start(block)
    return block[start:-2] if start else _data_lines(block).strip()


def _certain_span(data: bytes, name: str, raw: bytes) -> list[tuple[int, int]]:
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


def _json_string(text: str) -> bytes:
    """A text as a JSON string."""
    encoded = text.encode()
    return b'"' + encoded + b'"' if encoded.translate(PLAIN) == encoded else _encoder.encode(text)


def _is_error(text: bytes) -> bool:
    """Whether a JSON text is an object with an error in it."""
    try:
        fields = _fields.decode(text)
    except DECODE_ERRORS:
        return False
    return bytes(fields.get("error", b"null")) != b"null"


def _data_lines(block: bytes) -> bytes:
    """An event block with everything blanked but the contents of its data lines: same length, same positions.

    Raises `UpstreamProtocolError` for one of so many lines that they would block the event loop.
    """
    if len(block) > _LARGE_BYTES and block.count(b"\n") + block.count(b"\r") > MAX_LINES:
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
