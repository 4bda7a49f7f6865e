"""Readers of an upstream's response, one for each kind of body: events, JSON, or opaque bytes.

A reader takes bytes and gives those that the client gets; it knows no sockets and no client. Each kind says when the
response has ended by its own mark, and whether it was whole.
"""

import re
from typing import Final

import msgspec

from proxy.dialects.meters import ResponseMeter
from proxy.dialects.upstream_errors import error_summary
from proxy.errors import UpstreamProtocolError, UpstreamReported
from proxy.native import mypyc_attr
from proxy.wire.json_repair import repaired
from proxy.wire.json_rewrite import ArrayRewriter, JsonRewriter, SSERewriter

#: Bytes of a JSON response that are held until its end; a larger one is read while it passes.
MAX_HELD_BYTES = 262_144
#: Characters of a provider's message that are passed on.
MAX_MESSAGE = 1_000
_MESSAGE = re.compile(rb'"(?:message|error)"\s*:\s*("(?:[^"\\]|\\.)*+")', re.DOTALL)
_string = msgspec.json.Decoder(str)
#: How the first bytes of nearly all streams of events begin.
USUAL_EVENTS: Final = (b"data:", b"event:", b":", b"id:", b"retry:")
# How an object begins, and no transcript.
_OBJECT = re.compile(rb'(?:\xef\xbb\xbf)?\s*\{\s*["}]')


@mypyc_attr(allow_interpreted_subclasses=True)
class ResponseReader:
    """One response being read. Each kind has its own `feed`."""

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
        """All but its end has been made: what is still to come is its usage, or bytes on their way."""
        return self.meter.finished or self.meter.closing

    def close(self) -> bytes:
        """The client's bytes that end a response which is whole, and whose own end mark has not come."""
        return b""


class EventReader(ResponseReader):
    """A stream of server-sent events."""

    events = True
    by_parts = True
    usual: tuple[bytes, ...] = USUAL_EVENTS

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
    """One JSON object: held until its end, or until it passes `MAX_HELD_BYTES`; from then on rewritten as it arrives.

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
            if size <= MAX_HELD_BYTES and not complete:
                self._held.append(data)
                self._size = size
                self.meter.text_out = size
                return b""
            if self._held:
                self._held.append(data)
                data = b"".join(self._held)
                self._held.clear()
                self.meter.text_out = 0
            if size <= MAX_HELD_BYTES:
                out = self._read(data)
                self._whole = True
                return out
            # What is decided by the first bytes must not depend on how many came with them.
            self._passes = True
            out = self._pass(data[:MAX_HELD_BYTES], False)
            self.began = bool(out)
            try:
                return out + self._pass(data[MAX_HELD_BYTES:], complete)
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
        """It has begun: such a response is made before its first byte leaves, but for blanks that keep a line open."""
        return self._passes or any(piece.strip() for piece in self._held)


class TextOrJsonReader(JsonReader):
    """A response that begins like JSON where text or audio was to be expected: JSON if it is some, else unread."""

    _begun = False
    _unread = False

    def __init__(self, meter: ResponseMeter, alias: str, usage_key: str, labels: tuple[bytes, bytes]) -> None:
        """`labels` are the content types for JSON and for anything else; empty where the upstream's own will do."""
        super().__init__(meter, alias, usage_key)
        self.labels = labels

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
    """The error for a response that is one itself; `data` are its bytes, scrubbed, in which its message stands."""
    found = _MESSAGE.search(data, max(data.find(b'"error"'), 0))
    said = ""
    if found is not None:
        try:
            said = _string.decode(repaired(found[1]))[:MAX_MESSAGE]
        except (msgspec.DecodeError, UnicodeDecodeError):
            # An undecodable message must not hide the error.
            said = ""
    return UpstreamReported(said, error_summary(200, data))
