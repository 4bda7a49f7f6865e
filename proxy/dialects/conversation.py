"""Conversations: how a request in the caller's dialect is sent to a target, and how its response is read back.

The caller's dialect and the target's are nearly always the same: then the bytes pass, but for the model's name and
what metering needs. A translation is a subclass of `Conversation`: one file in `proxy.dialects.translate` and one line
there. Pure: no sockets, no client, no state of a request.
"""

from collections.abc import Mapping, Sequence
from typing import ClassVar, Final

from proxy.dialects.base import Dialect, RequestTerms, TargetTerms
from proxy.dialects.meters import choices_in
from proxy.dialects.readers import (
    ArrayReader,
    EventReader,
    JsonReader,
    OpaqueReader,
    ResponseReader,
    TextOrJsonReader,
)
from proxy.errors import UpstreamProtocolError
from proxy.native import mypyc_attr
from proxy.wire.headers import Header
from proxy.wire.request_body import render_body, render_chunks
from proxy.wire.schemas import Body
from proxy.wire.sniff import Kind

_PAGE: Final = b"text/html"
_BLANKS: Final = b"\xef\xbb\xbf \t\r\n"
# Content types for responses whose own is wrong.
_EVENTS: Final = b"text/event-stream; charset=utf-8"
_JSON: Final = b"application/json"
_TEXT: Final = b"text/plain; charset=utf-8"
_BYTES: Final = b"application/octet-stream"


@mypyc_attr(allow_interpreted_subclasses=True)
class Conversation:
    """The identity: caller and target speak the same dialect.

    A translation overrides `path`, `body`, `reader` and, where it can do better than the provider's words in the
    caller's envelope, `error`; and says between which dialects it is.
    """

    #: The dialects that it translates between, and the endpoints whose requests it takes; empty for the identity.
    caller: ClassVar[str] = ""
    target: ClassVar[str] = ""
    endpoints: ClassVar[tuple[str, ...]] = ()

    def bind(self, terms: TargetTerms) -> "Conversation":
        """The conversation with a target; called once for each target that it translates for."""
        return self

    def begin(self, body: Body, terms: RequestTerms) -> "Conversation":
        """The conversation of one attempt. Raises `InvalidRequest` for what cannot be said in the target's dialect."""
        return self

    @property
    def note(self) -> str:
        """What the client learns of the translation: a value of `X-Prism-Translated`; empty for nothing."""
        return ""

    def lines(self, forwarded: bytes) -> bytes:
        """Those of the client's header lines that go to the target. Called for translations alone."""
        return forwarded

    def path(self, path: bytes, stream: bool) -> bytes:
        """The path below the upstream's base URL; `{model}` stands for the model. Called for translations alone."""
        return path

    def body(self, body: Body, model: str, may_ask_usage: bool) -> bytes:
        """The request's body for a model of the target.

        `may_ask_usage` says that usage may be asked for in a stream whose client did not; `reader` is given the same.
        """
        return render_body(body, model, may_ask_usage and body.stream and not body.wants_usage)

    def body_parts(self, body: Body, model: str, may_ask_usage: bool) -> list[bytes | memoryview]:
        """The same for a long body, in parts that are not copied."""
        return render_chunks(body, model, may_ask_usage and body.stream and not body.wants_usage)

    def reader(
        self,
        headers: Sequence[Header],
        dialect: Dialect,
        body: Body,
        *,
        alias: str,
        model: str,
        hidden: Mapping[str, str],
        may_ask_usage: bool,
        stream: bool,
        opaque: tuple[bytes, ...],
        max_event_bytes: int,
        first: bytes,
        kind: Kind,
    ) -> ResponseReader:
        """The reader for a response with these headers, which gives the client's bytes, and whose meter has the usage.

        `dialect` is the caller's; `opaque` are the beginnings of content types that pass unread; `hidden` is what an
        error may quote and no client may read, with what it is replaced by. Until the `first` bytes show of what
        `kind` it is ("open" before), the content type is believed.

        Raises `UpstreamProtocolError` for a web page, and for a compressed body, which was not asked for.
        """
        label = encoding = b""
        for name, value in headers:
            if name == b"content-type":
                label = value.strip().lower()
            elif name == b"content-encoding":
                encoding = value.lower()
        if encoding not in (b"", b"identity"):
            raise UpstreamProtocolError(
                "The model's answer could not be read.", detail="compressed, though not asked for"
            )
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
            # A client that asked for no events can read none: it gets them only if the upstream announces them.
            is_events, is_opaque = (kind == "events" and stream) or (says_events and kind != "json"), False
        drop_usage = may_ask_usage and body.stream and not body.wants_usage
        says_json = b"json" in label
        json_label = b"" if says_json else _JSON
        reader: ResponseReader
        if is_events:
            reader = EventReader(dialect.event_meter(alias, model, drop_usage), alias, max_event_bytes)
            reader.label = b"" if says_events else _EVENTS
        else:
            meter = dialect.json_meter(alias, model, drop_usage)
            if is_opaque:
                reader = OpaqueReader(meter)
                reader.label = _content_type(label, opaque)
            elif dialect.streams_arrays and first.lstrip(_BLANKS).startswith(b"["):
                reader = ArrayReader(meter, alias, max_event_bytes)
                reader.label = json_label
            elif opaque and not says_json and kind == "json":
                reader = TextOrJsonReader(meter, alias, dialect.usage_key, (_JSON, _content_type(label, opaque)))
            else:
                reader = JsonReader(meter, alias, dialect.usage_key)
                reader.label = json_label
                if opaque and not says_json:
                    # Text may begin so too.
                    reader.usual = ()
        reader.meter.hidden = hidden
        for count in dialect.choice_counts:
            if count in body.fields:
                reader.meter.expect(choices_in(body.fields[count]))
        return reader

    def error(self, dialect: Dialect, body: bytes) -> bytes | None:
        """The body of an upstream's error in the caller's dialect; None to have its words put into an error of ours."""
        return dialect.upstream_error(body, "", "")


def _content_type(label: bytes, opaque: tuple[bytes, ...]) -> bytes:
    """The content type for bytes that pass unread; empty where the upstream's own says nothing wrong."""
    if label and not label.startswith((_PAGE, b"text/event-stream")) and b"json" not in label:
        return b""
    return _TEXT if b"text/" in opaque else _BYTES


#: The one for targets that speak the caller's dialect.
IDENTITY: Final = Conversation()
