"""Translation: the base of all conversations between two dialects, each of which is a table and a few names.

One object translates for one target; `begin` makes one for each attempt, which holds what the request was and what of
it was lost. It must not hold anything of a response beyond what the caller's format forces its writer to.
"""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final, Self

from proxy.dialects.base import Dialect, RequestTerms, TargetTerms
from proxy.dialects.conversation import Conversation
from proxy.dialects.readers import ResponseReader
from proxy.dialects.translate.mapper import RequestMapper, Rule
from proxy.dialects.translate.reader import TranslatedReader
from proxy.dialects.translate.writer import ModelReader, ModelWriter
from proxy.errors import UpstreamProtocolError
from proxy.native import mypyc_attr
from proxy.wire.headers import REQUEST_HEADERS, Header
from proxy.wire.schemas import Body
from proxy.wire.sniff import Kind

_NAMES: Final = tuple(name + b":" for name in REQUEST_HEADERS)
NO_TERMS: Final = TargetTerms(alias="", model="")


@mypyc_attr(allow_interpreted_subclasses=True)
class Translation(Conversation):
    """A pair: says its `fields`, its paths, and how the two sides are read and written."""

    #: The two formats, as the client reads them in `X-Prism-Translated`.
    pair: ClassVar[str] = ""
    #: What becomes of each field of a request.
    fields: ClassVar[Mapping[str, Rule]] = {}

    def __init__(self, terms: TargetTerms = NO_TERMS) -> None:
        self.terms = terms
        self.request = RequestTerms("", 0, 0, str)
        self.body_read: Body | None = None
        self._note = ""
        self._data = b""

    def bind(self, terms: TargetTerms) -> Self:
        return type(self)(terms)

    def begin(self, body: Body, terms: RequestTerms) -> Self:
        made = type(self)(self.terms)
        made.request = terms
        made.body_read = body
        mapper = RequestMapper(body, self.terms)
        made.map(mapper)
        made._note = self.pair + mapper.note
        made._data = mapper.encoded()
        return made

    def map(self, mapper: RequestMapper) -> None:
        """Carry the request over. Raises `InvalidRequest`."""
        mapper.out["model"] = self.terms.model
        mapper.map(self.fields)

    @property
    def note(self) -> str:
        return self._note

    def lines(self, forwarded: bytes) -> bytes:
        # Those of the caller's dialect mean nothing in another one; a trace goes on.
        found = forwarded.splitlines(keepends=True)
        return b"".join([line for line in found if not line.startswith(_NAMES)])

    def body(self, body: Body, model: str, may_ask_usage: bool) -> bytes:
        return self._data

    def body_parts(self, body: Body, model: str, may_ask_usage: bool) -> list[bytes | memoryview]:
        return [self._data]

    def target_dialect(self) -> Dialect:
        """The dialect of the target's responses."""
        raise NotImplementedError

    def model_reader(self, writer: ModelWriter) -> ModelReader:
        """The reader of the target's responses."""
        raise NotImplementedError

    def stream_writer(self) -> ModelWriter:
        """The writer of a stream for the client."""
        raise NotImplementedError

    def message_writer(self) -> ModelWriter:
        """The writer of one JSON object for the client."""
        raise NotImplementedError

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
        label = encoding = b""
        for name, value in headers:
            if name == b"content-type":
                label = value.strip().lower()
            elif name == b"content-encoding":
                encoding = value.lower()
        if encoding not in (b"", b"identity") or kind == "page":
            detail = "a web page" if kind == "page" else "compressed, though not asked for"
            raise UpstreamProtocolError("The model's answer could not be read.", detail=detail)
        says_events = label.startswith(b"text/event-stream")
        reads_events = kind == "events" or (says_events and kind != "json")
        target = self.target_dialect()
        make: Any = target.event_meter if reads_events else target.json_meter
        meter = make(alias, model, False)
        meter.hidden = hidden
        writer = self.stream_writer() if stream else self.message_writer()
        return TranslatedReader(
            meter,
            self.model_reader(writer),
            dialect,
            self.request,
            max_event_bytes,
            reads_events=reads_events,
            writes_events=stream,
        )

    def error(self, dialect: Dialect, body: bytes) -> bytes | None:
        return None
