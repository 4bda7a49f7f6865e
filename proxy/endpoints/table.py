"""THE table of endpoints: a row says everything about one, and routes, documents and tests come from it."""

from typing import Final, Literal

import msgspec

from proxy.config.tree import Capability
from proxy.dialects.anthropic import MESSAGES
from proxy.dialects.base import Dialect
from proxy.dialects.gemini import GENERATE
from proxy.dialects.openai_chat import CHAT
from proxy.dialects.openai_media import MEDIA
from proxy.dialects.openai_responses import RESPONSES
from proxy.exchange.context import NESTED, NESTED_GEMINI, EndpointSpec, Unit
from proxy.wire.content_type import BodyKind

#: Where the model's name stands in the request.
ModelPlace = Literal["body", "path"]
ReplyKind = Literal["json", "events", "json or events", "json, text or events", "audio, json or events"]

#: Bytes that a form may have around its audio file.
MAX_AROUND_AUDIO: Final = 1_048_576
#: Audio, also where a server does not say which.
SOUND: Final = (b"audio/", b"application/octet-stream", b"binary/octet-stream", b"application/ogg")
#: Where Azure has what it calls deployments, with the alias for the deployment's name.
DEPLOYMENTS: Final = "/openai/deployments/"
TEXT: Final[frozenset[Capability]] = frozenset({"chat", "vision", "realtime"})


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One endpoint that is forwarded."""

    method: str = "POST"
    #: As clients call it; `{model}` is the alias.
    path: str
    #: Another path of the same endpoint.
    also: str = ""
    #: It is there below Azure's `/openai/deployments/{model}` too.
    deployed: bool = False
    #: Below an upstream's base URL; `{model}` is the upstream's model.
    upstream_path: str
    dialect: Dialect
    body: BodyKind = "json"
    model: ModelPlace = "body"
    reply: ReplyKind
    #: What is billed.
    unit: Unit = "tokens"
    #: What an alias must be able to do.
    capabilities: frozenset[Capability]
    #: The answer is a stream whatever the body says.
    streams: bool = False
    #: `stream_options.include_usage` exists here.
    usage_option: bool = False
    #: Query parameters that go to the upstream.
    query: frozenset[str] = frozenset()
    #: Beginnings of the content types of answers that pass unread.
    opaque: tuple[bytes, ...] = ()
    #: What the answer creates at the upstream, by its `id`; it is the key's then.
    creates: str = ""
    #: The words by which nested values of a body may name objects at the upstream.
    naming: tuple[bytes, ...] = NESTED
    #: One line for people.
    help: str

    @property
    def spec(self) -> EndpointSpec:
        """What a request's context says of its endpoint."""
        return EndpointSpec(
            self.path,
            self.dialect,
            self.method,
            capabilities=self.capabilities,
            naming=self.naming,
            creates=self.creates,
            unit=self.unit,
            opaque=self.opaque,
            may_ask_usage=self.usage_option,
        )

    @property
    def paths(self) -> tuple[str, ...]:
        """Its further paths."""
        deployment = self.path.replace("/v1/", DEPLOYMENTS + "{model}/", 1) if self.deployed else ""
        return tuple(path for path in (self.also, deployment) if path)


ROWS: Final = (
    Row(
        path="/v1/chat/completions",
        deployed=True,
        upstream_path="/chat/completions",
        dialect=CHAT,
        reply="json or events",
        capabilities=TEXT,
        usage_option=True,
        naming=(b"_id",),
        help="Answer a conversation, as a stream or at once.",
    ),
    Row(
        path="/v1/completions",
        deployed=True,
        upstream_path="/completions",
        dialect=CHAT,
        reply="json or events",
        capabilities=TEXT,
        usage_option=True,
        naming=(),
        help="Continue a text (OpenAI's older form).",
    ),
    Row(
        path="/v1/responses",
        upstream_path="/responses",
        dialect=RESPONSES,
        reply="json or events",
        capabilities=TEXT,
        creates="response",
        help="Answer by the Responses API, as typed events or at once.",
    ),
    Row(
        path="/v1/responses/input_tokens",
        upstream_path="/responses/input_tokens",
        dialect=RESPONSES,
        reply="json",
        unit="nothing",
        capabilities=TEXT,
        help="Count the input tokens of a request of the Responses API.",
    ),
    Row(
        path="/v1/responses/compact",
        upstream_path="/responses/compact",
        dialect=RESPONSES,
        reply="json",
        capabilities=TEXT,
        creates="response",
        help="Shorten a conversation of the Responses API for its next turn.",
    ),
    Row(
        path="/v1/embeddings",
        deployed=True,
        upstream_path="/embeddings",
        dialect=CHAT,
        reply="json",
        capabilities=frozenset({"embeddings"}),
        naming=(),
        help="Turn texts into vectors.",
    ),
    Row(
        path="/v1/moderations",
        upstream_path="/moderations",
        dialect=CHAT,
        reply="json",
        unit="nothing",
        capabilities=frozenset({"moderation"}),
        naming=(),
        help="Classify texts and images by what is harmful in them.",
    ),
    Row(
        path="/v1/rerank",
        upstream_path="/rerank",
        dialect=CHAT,
        reply="json",
        capabilities=frozenset({"rerank"}),
        naming=(),
        help="Order documents by how well they answer a question.",
    ),
    Row(
        path="/v1/audio/transcriptions",
        deployed=True,
        upstream_path="/audio/transcriptions",
        dialect=MEDIA,
        body="form",
        reply="json, text or events",
        unit="audio",
        capabilities=frozenset({"audio"}),
        opaque=(b"text/", b"application/x-subrip"),
        help="Write down what is said in an audio file.",
    ),
    Row(
        path="/v1/audio/translations",
        deployed=True,
        upstream_path="/audio/translations",
        dialect=MEDIA,
        body="form",
        reply="json, text or events",
        unit="audio",
        capabilities=frozenset({"audio"}),
        opaque=(b"text/", b"application/x-subrip"),
        help="Write down in English what is said in an audio file.",
    ),
    Row(
        path="/v1/audio/speech",
        deployed=True,
        upstream_path="/audio/speech",
        dialect=MEDIA,
        reply="audio, json or events",
        capabilities=frozenset({"speech"}),
        opaque=SOUND,
        help="Speak a text: audio as it is made, or events with pieces of it.",
    ),
    Row(
        path="/v1/audio/speech/stream",
        upstream_path="/audio/speech/stream",
        dialect=MEDIA,
        reply="audio, json or events",
        capabilities=frozenset({"speech"}),
        streams=True,
        opaque=SOUND,
        help="Speak a text as a stream.",
    ),
    Row(
        path="/v1/images/generations",
        deployed=True,
        upstream_path="/images/generations",
        dialect=MEDIA,
        reply="json or events",
        unit="images",
        capabilities=frozenset({"image"}),
        help="Make images from a text.",
    ),
    Row(
        path="/v1/images/edits",
        deployed=True,
        upstream_path="/images/edits",
        dialect=MEDIA,
        body="form or json",
        reply="json or events",
        unit="images",
        capabilities=frozenset({"image"}),
        help="Change images by a text.",
    ),
    Row(
        path="/v1/images/variations",
        upstream_path="/images/variations",
        dialect=MEDIA,
        body="form",
        reply="json",
        unit="images",
        capabilities=frozenset({"image"}),
        help="Make variations of an image.",
    ),
    Row(
        path="/v1/search",
        upstream_path="/search",
        dialect=CHAT,
        reply="json",
        capabilities=frozenset({"search"}),
        help="Search the web.",
    ),
    Row(
        path="/v1/ocr",
        upstream_path="/ocr",
        dialect=CHAT,
        reply="json",
        capabilities=frozenset({"ocr"}),
        help="Read the text in a document or an image.",
    ),
    Row(
        path="/v1/count_tokens",
        upstream_path="/count_tokens",
        dialect=CHAT,
        reply="json",
        unit="nothing",
        capabilities=TEXT,
        help="Count the input tokens of a conversation.",
    ),
    Row(
        path="/v1/messages",
        upstream_path="/messages",
        dialect=MESSAGES,
        reply="json or events",
        capabilities=TEXT,
        query=frozenset({"beta"}),
        help="Answer a conversation in Anthropic's own format.",
    ),
    Row(
        path="/v1/messages/count_tokens",
        upstream_path="/messages/count_tokens",
        dialect=MESSAGES,
        reply="json",
        unit="nothing",
        capabilities=TEXT,
        query=frozenset({"beta"}),
        help="Count the input tokens of a conversation in Anthropic's own format.",
    ),
    Row(
        path="/v1beta/models/{model}:generateContent",
        also="/v1/models/{model}:generateContent",
        upstream_path="/models/{model}:generateContent",
        dialect=GENERATE,
        naming=NESTED_GEMINI,
        model="path",
        reply="json",
        capabilities=TEXT,
        help="Answer in Gemini's own format, at once.",
    ),
    Row(
        path="/v1beta/models/{model}:streamGenerateContent",
        also="/v1/models/{model}:streamGenerateContent",
        upstream_path="/models/{model}:streamGenerateContent",
        dialect=GENERATE,
        naming=NESTED_GEMINI,
        model="path",
        reply="json or events",
        capabilities=TEXT,
        streams=True,
        query=frozenset({"alt"}),
        help="Answer in Gemini's own format, as events (alt=sse) or as a JSON array that grows.",
    ),
    Row(
        path="/v1beta/models/{model}:countTokens",
        also="/v1/models/{model}:countTokens",
        upstream_path="/models/{model}:countTokens",
        dialect=GENERATE,
        naming=NESTED_GEMINI,
        model="path",
        reply="json",
        unit="nothing",
        capabilities=TEXT,
        help="Count the input tokens of a conversation in Gemini's own format.",
    ),
    Row(
        path="/v1beta/models/{model}:embedContent",
        also="/v1/models/{model}:embedContent",
        upstream_path="/models/{model}:embedContent",
        dialect=GENERATE,
        naming=NESTED_GEMINI,
        model="path",
        reply="json",
        capabilities=frozenset({"embeddings"}),
        help="Turn a text into a vector in Gemini's own format.",
    ),
    Row(
        path="/v1beta/models/{model}:batchEmbedContents",
        also="/v1/models/{model}:batchEmbedContents",
        upstream_path="/models/{model}:batchEmbedContents",
        dialect=GENERATE,
        naming=NESTED_GEMINI,
        model="path",
        reply="json",
        capabilities=frozenset({"embeddings"}),
        help="Turn many texts into vectors in Gemini's own format.",
    ),
)


def endpoint_of(rows: tuple[Row, ...] = ROWS) -> dict[str, str]:
    """For each capability the endpoint to use it with; the first row that takes it."""
    found: dict[str, str] = {}
    for row in rows:
        for capability in row.capabilities:
            found.setdefault(capability, row.path)
    return found


def endpoints_by_format(rows: tuple[Row, ...] = ROWS) -> dict[tuple[str, str], str]:
    """The same for each family of formats: (its name, capability) -> the endpoint."""
    found: dict[tuple[str, str], str] = {}
    for row in rows:
        for capability in row.capabilities:
            found.setdefault((row.dialect.name, capability), row.path)
    return found


def dialect_at(path: str, rows: tuple[Row, ...] = ROWS) -> Dialect:
    """The dialect to answer in at a path that may be no row's: that of the rows nearest to it, else the first row's."""
    for row in rows:
        # Others have models below its other path, so that only its verb tells it there.
        start, _, verb = row.also.partition("{model}")
        if row.also and path.startswith(start) and path.endswith(verb):
            return row.dialect
    words = path.split("/")[1:]

    def shared(row: Row) -> int:
        count = 0
        for word, asked in zip(row.path.split("/")[1:], words, strict=False):
            if word != asked:
                break
            count += 1
        return count

    return max(rows, key=shared).dialect
