"""How an upstream's response is read, by what it is: events, JSON, or bytes that mean nothing to the gateway.

A reader takes bytes and returns those that the client gets; it knows no sockets and no client. Each kind says when the
response is over by its own end marker, and whether it was complete.
"""

import re
from collections.abc import Sequence

import msgspec

from proxy.dialects.base import Dialect
from proxy.dialects.meters import ResponseMeter
from proxy.dialects.upstream_errors import error_summary
from proxy.errors import UpstreamProtocolError, UpstreamReported
from proxy.wire.headers import Header
from proxy.wire.json_repair import repaired
from proxy.wire.json_rewrite import ArrayRewriter, JsonRewriter, SSERewriter
from proxy.wire.sniff import Kind

#: Bytes of a JSON response that are held until its end; what a larger one says is read while it passes.
MAX_HELD = 262_144
#: Characters of a provider's message that are passed on.
MAX_MESSAGE = 1_000
_MESSAGE = re.compile(rb'"(?:message|error)"\s*:\s*("(?:[^"\\]|\\.)*+")', re.DOTALL)
_string = msgspec.json.Decoder(str)
_PAGE = b"text/html"
# How an object begins, and no transcript.
_OBJECT = re.compile(rb'(?:\xef\xbb\xbf)?\s*\{\s*["}]')
_BLANKS = b"\xef\xbb\xbf \t\r\n"
#: Content types for responses whose own is wrong.
_EVENTS = b"text/event-stream; charset=utf-8"
_JSON = b"application/json"
_TEXT = b"text/plain; charset=utf-8"
_BYTES = b"application/octet-stream"


class ResponseReader:
    """Reads one upstream response; a base class, with one subclass per kind of body."""

    #: Made of server-sent events: an error can be sent inside it.
    events = False
    #: Its parts go on as they come: those before the first content may wait for it.
    by_parts = False
    #: How the first bytes of nearly all responses of this kind begin: no other kind begins so.
    usual: tuple[bytes, ...] = ()
    #: The content type that the client gets, where the upstream's own is wrong; else empty.
    label = b""

    def __init__(self, meter: ResponseMeter) -> None:
        self.meter = meter
        self._whole = False
        #: A part of it goes to the client whatever comes behind, though both may have come in the same read.
        self.began = False

    def feed(self, data: bytes, complete: bool) -> bytes:
        """Take upstream's next bytes, the last ones if `complete`; return the client's.

        Raises `UpstreamProtocolError`, which brings what was good of the same read.
        """
        raise NotImplementedError

    @property
    def over(self) -> bool:
        """Ended by its own mark, whatever the framing of the HTTP body says."""
        return False

    @property
    def whole(self) -> bool:
        """Now that the HTTP body has ended: was that the end of the response too?"""
        return self._whole

    @property
    def ending(self) -> bool:
        """All but its end has been generated: only its usage, or bytes on their way, are still to come."""
        return self.meter.finished or self.meter.closing


class EventReader(ResponseReader):
    """A stream of server-sent events."""

    events = True
    by_parts = True
    usual: tuple[bytes, ...] = (b"data:", b"event:", b":", b"id:", b"retry:")

    def __init__(self, meter: ResponseMeter, alias: str, max_event_bytes: int) -> None:
        super().__init__(meter)
        self._rewriter = SSERewriter(meter, alias, max_event_bytes)

    def feed(self, data: bytes, complete: bool) -> bytes:
        out = self._rewriter.feed(data) if data else b""
        if complete and not self.meter.ended:
            out += self._rewriter.end()
        return out

    @property
    def over(self) -> bool:
        return self.meter.ended

    @property
    def whole(self) -> bool:
        return self.meter.finished or self.meter.failed


class ArrayReader(ResponseReader):
    """A stream that is one JSON array, whose elements are what events are elsewhere."""

    by_parts = True
    usual: tuple[bytes, ...] = (b"[",)

    def __init__(self, meter: ResponseMeter, alias: str, max_event_bytes: int) -> None:
        super().__init__(meter)
        self._rewriter = ArrayRewriter(meter, alias, max_event_bytes)

    def feed(self, data: bytes, complete: bool) -> bytes:
        out = self._rewriter.feed(data)
        if complete:
            out += self._rewriter.end()
            self._whole = self._rewriter.closed
        return out


class JsonReader(ResponseReader):
    """One JSON object: held until its end, or until it passes `MAX_HELD`; from then on rewritten as it arrives.

    So what is read of it does not depend on how it was cut on its way.
    """

    usual: tuple[bytes, ...] = (b"{",)

    def __init__(self, meter: ResponseMeter, alias: str, usage_key: str) -> None:
        super().__init__(meter)
        self._rewriter = JsonRewriter(meter, alias, usage_key)
        self._held: list[bytes] = []
        self._size = 0
        self._passes = False

    def feed(self, data: bytes, complete: bool) -> bytes:
        if not self._passes:
            size = self._size + len(data)
            if size <= MAX_HELD and not complete:
                self._held.append(data)
                self._size = size
                self.meter.text_out = size
                return b""
            if self._held:
                self._held.append(data)
                data = b"".join(self._held)
                self._held.clear()
                self.meter.text_out = 0
            if size <= MAX_HELD:
                out = self._read(data)
                self._whole = True
                return out
            # What is decided by the first bytes must not depend on how many came with them.
            self._passes = True
            out = self._pass(data[:MAX_HELD], False)
            self.began = bool(out)
            try:
                return out + self._pass(data[MAX_HELD:], complete)
            except UpstreamProtocolError as error:
                error.before = out
                raise
        return self._pass(data, complete)

    def _read(self, data: bytes) -> bytes:
        """The client's bytes of a response that is all there."""
        return self._rewriter.whole(data)

    def _pass(self, data: bytes, complete: bool) -> bytes:
        """The client's bytes of the next piece of a large response."""
        out = self._rewriter.feed(data)
        size = self.meter.text_out + len(data)
        if complete:
            self._whole = self._rewriter.closed
            if self._whole:
                self.meter.read(self._rewriter.summary)
            out += self._rewriter.end()
        self.meter.text_out = size
        return out

    @property
    def ending(self) -> bool:
        """It has begun: such a response is generated before its first byte is sent, but for blanks as keep-alive."""
        return self._passes or any(piece.strip() for piece in self._held)


class TextOrJsonReader(JsonReader):
    """A response that begins like JSON where text or audio was expected: JSON if it is some, else as it came."""

    #: The content type for the one and for the other; empty where the upstream's own will do.
    labels = (b"", b"")
    _begun = False
    _unread = False

    def _read(self, data: bytes) -> bytes:
        try:
            out = super()._read(data)
        except UpstreamProtocolError:
            self.label = self.labels[1]
            return data
        self.label = self.labels[0]
        return out

    def _pass(self, data: bytes, complete: bool) -> bytes:
        if not self._begun:
            self._begun = True
            self._unread = _OBJECT.match(data) is None
            self.label = self.labels[1 if self._unread else 0]
        if not self._unread:
            return super()._pass(data, complete)
        self._whole = complete
        return data


class OpaqueReader(ResponseReader):
    """Bytes that mean nothing to the gateway: audio, or a transcript as plain text. They pass as they come."""

    def feed(self, data: bytes, complete: bool) -> bytes:
        # As whole as the HTTP body is: an end that its framing did not announce never gets here.
        self._whole = complete
        return data


def reported_error(data: bytes) -> UpstreamReported:
    """The error for a response that is one itself; `data` are its scrubbed bytes, which hold its message."""
    found = _MESSAGE.search(data, max(data.find(b'"error"'), 0))
    said = ""
    if found is not None:
        try:
            said = _string.decode(repaired(found[1]))[:MAX_MESSAGE]
        except (msgspec.DecodeError, UnicodeDecodeError):
            # A message that cannot be read must not keep the error from being reported.
            said = ""
    return UpstreamReported(said, error_summary(200, data))


def reader_for(
    headers: Sequence[Header],
    dialect: Dialect,
    alias: str,
    upstream_model: str,
    drop_usage: bool,
    max_event_bytes: int,
    opaque: tuple[bytes, ...] = (),
    stream: bool = False,
    first: bytes = b"",
    kind: Kind = "open",
) -> ResponseReader:
    """The reader for a response with these headers; `opaque` are the beginnings of content types that pass unread.

    Until its `first` bytes say of what `kind` it is, its label is believed. Raises `UpstreamProtocolError` for a web
    page, and for a compressed body, which was not asked for.
    """
    label = encoding = b""
    for name, value in headers:
        if name == b"content-type":
            label = value.strip().lower()
        elif name == b"content-encoding":
            encoding = value.lower()
    if encoding not in (b"", b"identity"):
        raise UpstreamProtocolError("The model's answer could not be read.", detail="compressed, though not asked for")
    if kind == "page":
        raise UpstreamProtocolError("The model's answer could not be read.", detail="a web page")
    says_events = label.startswith(b"text/event-stream")
    says_opaque = bool(opaque) and not says_events and label.startswith(opaque) and not label.startswith(_PAGE)
    if kind == "open":
        is_events, is_opaque = says_events, says_opaque
    elif opaque:
        # A transcript may begin like anything.
        is_json = kind == "json" and (b"json" in label or first.lstrip(_BLANKS).startswith(b"{"))
        is_events = (says_events and not is_json) or (kind == "events" and stream)
        is_opaque = not is_events and not is_json
    else:
        # A client that requested no events cannot read any: they pass only where the upstream's label says so too.
        is_events, is_opaque = (kind == "events" and stream) or (says_events and kind != "json"), False
    if is_events:
        events = EventReader(dialect.event_meter(alias, upstream_model, drop_usage), alias, max_event_bytes)
        events.label = b"" if says_events else _EVENTS
        return events
    meter = dialect.json_meter(alias, upstream_model, drop_usage)
    says_json = b"json" in label
    if is_opaque:
        bytes_ = OpaqueReader(meter)
        bytes_.label = _fitting(label, opaque)
        return bytes_
    if dialect.streams_arrays and first.lstrip(_BLANKS).startswith(b"["):
        array = ArrayReader(meter, alias, max_event_bytes)
        array.label = b"" if says_json else _JSON
        return array
    if opaque and not says_json and kind == "json":
        either = TextOrJsonReader(meter, alias, dialect.usage_key)
        either.labels = (_JSON, _fitting(label, opaque))
        return either
    reader = JsonReader(meter, alias, dialect.usage_key)
    reader.label = b"" if says_json else _JSON
    if opaque and not says_json:
        # Text may begin so too.
        reader.usual = ()
    return reader


def _fitting(label: bytes, opaque: tuple[bytes, ...]) -> bytes:
    """The content type for bytes that pass unread; empty where the upstream's own says nothing wrong."""
    if label and not label.startswith((_PAGE, b"text/event-stream")) and b"json" not in label:
        return b""
    return _TEXT if b"text/" in opaque else _BYTES
