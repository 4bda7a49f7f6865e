"""How an upstream's answer is read, by what it is: events, JSON, or bytes that mean nothing to the gateway.

A reply takes bytes and gives those that the client gets; it knows no sockets and no client. Each kind says when the
answer is over by its own mark, and whether it was whole.
"""

import re

import msgspec

from proxy.dialects.base import Dialect
from proxy.dialects.refusal import reason_of
from proxy.dialects.tap import AnswerTap
from proxy.dialects.typed import MediaTap
from proxy.errors import UpstreamProtocolError, UpstreamReported
from proxy.wire.headers import Header
from proxy.wire.rewrite import JsonRewriter, StreamRewriter

#: Characters of a provider's message that are passed on.
MAX_MESSAGE = 1_000
_MESSAGE = re.compile(rb'"(?:message|error)"\s*:\s*("(?:[^"\\]|\\.)*+")', re.DOTALL)
_string = msgspec.json.Decoder(str)


class Reply:
    """One answer being read. Each kind has its own `feed`."""

    #: Made of server-sent events: an error can be told inside it.
    events = False

    def __init__(self, tap: AnswerTap) -> None:
        self.tap = tap
        self._whole = False

    def feed(self, data: bytes, complete: bool) -> bytes:
        """Take upstream's next bytes, the last ones if `complete`; return the client's.

        Raises `UpstreamProtocolError`.
        """
        raise NotImplementedError

    @property
    def over(self) -> bool:
        """Ended by its own mark, whatever the framing of the HTTP body says."""
        return False

    @property
    def whole(self) -> bool:
        """Now that the HTTP body has ended: was that the end of the answer too?"""
        return self._whole


class EventReply(Reply):
    """A stream of server-sent events."""

    events = True

    def __init__(self, tap: AnswerTap, alias: str, max_event_bytes: int) -> None:
        super().__init__(tap)
        self._rewriter = StreamRewriter(tap, alias, max_event_bytes)

    def feed(self, data: bytes, complete: bool) -> bytes:
        out = self._rewriter.feed(data) if data else b""
        if complete and not self.tap.ended:
            out += self._rewriter.end()
        return out

    @property
    def over(self) -> bool:
        return self.tap.ended

    @property
    def whole(self) -> bool:
        return self.tap.finished or self.tap.failed


class JsonReply(Reply):
    """One JSON object: rewritten at once when it comes in one piece, else as it arrives, in bounded memory."""

    def __init__(self, tap: AnswerTap, alias: str, usage_key: str) -> None:
        super().__init__(tap)
        self._rewriter = JsonRewriter(tap, alias, usage_key)
        self._begun = False

    def feed(self, data: bytes, complete: bool) -> bytes:
        if complete and not self._begun:
            whole = self._rewriter.whole(data)
            if whole is not None:
                self._whole = True
                return whole
        self._begun = True
        out = self._rewriter.feed(data)
        self.tap.text_out += len(data)
        if complete:
            self._whole = self._rewriter.closed
            self.tap.take_usage(self._rewriter.usage)
        return out


class MediaReply(JsonReply):
    """One JSON object that may be megabytes of base64: what is billed is counted while it passes."""

    def __init__(self, tap: MediaTap, alias: str, usage_key: str) -> None:
        super().__init__(tap, alias, usage_key)
        self._glance = tap.glance

    def feed(self, data: bytes, complete: bool) -> bytes:
        out = super().feed(data, complete)
        if self._begun:
            self._glance.feed(data)
        return out


class OpaqueReply(Reply):
    """Bytes that mean nothing to the gateway: audio, or a transcript as plain text. They pass as they come."""

    def feed(self, data: bytes, complete: bool) -> bytes:
        # As whole as the HTTP body is: an end that its framing did not announce never gets here.
        self._whole = complete
        return data


def reported_error(data: bytes) -> UpstreamReported:
    """The error for an answer that is one itself; `data` are its bytes, scrubbed, in which its message stands."""
    found = _MESSAGE.search(data, max(data.find(b'"error"'), 0))
    said = ""
    if found is not None:
        try:
            said = _string.decode(found[1])[:MAX_MESSAGE]
        except (msgspec.DecodeError, UnicodeDecodeError):
            # A text that is none must not keep the error from being told.
            said = ""
    return UpstreamReported(said, reason_of(200, data))


def reply_for(
    headers: list[Header],
    dialect: Dialect,
    alias: str,
    upstream_model: str,
    drop_usage: bool,
    max_event_bytes: int,
    opaque: tuple[bytes, ...] = (),
) -> Reply:
    """The reader for an answer with these headers; `opaque` are the beginnings of content types that pass unread.

    Raises `UpstreamProtocolError` for a web page, and for a compressed body, which was not asked for.
    """
    kind = encoding = b""
    for name, value in headers:
        if name == b"content-type":
            kind = value.lower()
        elif name == b"content-encoding":
            encoding = value.lower()
    if kind.startswith(b"text/html"):
        raise UpstreamProtocolError("The model's answer could not be read.", detail="a web page")
    if encoding not in (b"", b"identity"):
        raise UpstreamProtocolError("The model's answer could not be read.", detail="compressed, though not asked for")
    if kind.startswith(b"text/event-stream"):
        return EventReply(dialect.event_tap(alias, upstream_model, drop_usage), alias, max_event_bytes)
    tap = dialect.json_tap(alias, upstream_model, drop_usage)
    if opaque and kind.startswith(opaque):
        return OpaqueReply(tap)
    if isinstance(tap, MediaTap):
        return MediaReply(tap, alias, dialect.usage_key)
    return JsonReply(tap, alias, dialect.usage_key)
