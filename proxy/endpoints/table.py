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

ModelPlace = Literal["body", "path"]
ReplyKind = Literal["json", "events", "json or events", "json, text or events", "audio, json or events"]

#: Bytes that a form may have around its audio file.
MAX_AROUND_AUDIO: Final = 1_048_576
#: Audio, also where a server does not say which.
SOUND: Final = (b"audio/", b"application/octet-stream", b"binary/octet-stream", b"application/ogg")
#: Where Azure has what it calls deployments, with the alias for the deployment's name.
DEPLOYMENTS: Final = "/openai/deployments/"
TEXT: Final[frozenset[Capability]] = frozenset({"chat", "vision", "realtime"})


class Row(msgspec.Struct, frozen=True):
    """One endpoint that is forwarded."""

    #: As clients call it; `{model}` is the alias.
    path: str
    dialect: Dialect
    #: What an alias must be able to do.
    capabilities: frozenset[Capability]
    #: One line for people.
    help: str
    method: str = "POST"
    #: Another path of the same endpoint.
    also: str = ""
    #: It is there below Azure's `/openai/deployments/{model}` too.
    deployed: bool = False
    body: BodyKind = "json"
    reply: ReplyKind = "json"
    #: What is billed.
    unit: Unit = "tokens"
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

    @property
    def model(self) -> ModelPlace:
        """Where the model's name stands in the request."""
        return "path" if "{model}" in self.path else "body"

    @property
    def upstream_path(self) -> str:
        """The path below an upstream's base URL, which ends in the version; `{model}` is the upstream's model."""
        return self.path.removeprefix("/v1beta").removeprefix("/v1")

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
        "/v1/chat/completions",
        CHAT,
        TEXT,
        "Answer a conversation, as a stream or at once.",
        deployed=True,
        reply="json or events",
        usage_option=True,
        naming=(b"_id",),
    ),
    Row(
        "/v1/completions",
        CHAT,
        TEXT,
        "Continue a text (OpenAI's older form).",
        deployed=True,
        reply="json or events",
        usage_option=True,
        naming=(),
    ),
    Row(
        "/v1/responses",
        RESPONSES,
        TEXT,
        "Answer by the Responses API, as typed events or at once.",
        reply="json or events",
        creates="response",
    ),
    Row(
        "/v1/responses/input_tokens",
        RESPONSES,
        TEXT,
        "Count the input tokens of a request of the Responses API.",
        unit="nothing",
    ),
    Row(
        "/v1/responses/compact",
        RESPONSES,
        TEXT,
        "Shorten a conversation of the Responses API for its next turn.",
        creates="response",
    ),
    Row("/v1/embeddings", CHAT, frozenset({"embeddings"}), "Turn texts into vectors.", deployed=True, naming=()),
    Row(
        "/v1/moderations",
        CHAT,
        frozenset({"moderation"}),
        "Classify texts and images by what is harmful in them.",
        unit="nothing",
        naming=(),
    ),
    Row("/v1/rerank", CHAT, frozenset({"rerank"}), "Order documents by how well they answer a question.", naming=()),
    Row(
        "/v1/audio/transcriptions",
        MEDIA,
        frozenset({"audio"}),
        "Write down what is said in an audio file.",
        deployed=True,
        body="form",
        reply="json, text or events",
        unit="audio",
        opaque=(b"text/", b"application/x-subrip"),
    ),
    Row(
        "/v1/audio/translations",
        MEDIA,
        frozenset({"audio"}),
        "Write down in English what is said in an audio file.",
        deployed=True,
        body="form",
        reply="json, text or events",
        unit="audio",
        opaque=(b"text/", b"application/x-subrip"),
    ),
    Row(
        "/v1/audio/speech",
        MEDIA,
        frozenset({"speech"}),
        "Speak a text: audio as it is made, or events with pieces of it.",
        deployed=True,
        reply="audio, json or events",
        opaque=SOUND,
    ),
    Row(
        "/v1/audio/speech/stream",
        MEDIA,
        frozenset({"speech"}),
        "Speak a text as a stream.",
        reply="audio, json or events",
        streams=True,
        opaque=SOUND,
    ),
    Row(
        "/v1/images/generations",
        MEDIA,
        frozenset({"image"}),
        "Make images from a text.",
        deployed=True,
        reply="json or events",
        unit="images",
    ),
    Row(
        "/v1/images/edits",
        MEDIA,
        frozenset({"image"}),
        "Change images by a text.",
        deployed=True,
        body="form or json",
        reply="json or events",
        unit="images",
    ),
    Row(
        "/v1/images/variations", MEDIA, frozenset({"image"}), "Make variations of an image.", body="form", unit="images"
    ),
    Row("/v1/search", CHAT, frozenset({"search"}), "Search the web."),
    Row("/v1/ocr", CHAT, frozenset({"ocr"}), "Read the text in a document or an image."),
    Row("/v1/count_tokens", CHAT, TEXT, "Count the input tokens of a conversation.", unit="nothing"),
    Row(
        "/v1/messages",
        MESSAGES,
        TEXT,
        "Answer a conversation in Anthropic's own format.",
        reply="json or events",
        query=frozenset({"beta"}),
    ),
    Row(
        "/v1/messages/count_tokens",
        MESSAGES,
        TEXT,
        "Count the input tokens of a conversation in Anthropic's own format.",
        unit="nothing",
        query=frozenset({"beta"}),
    ),
    Row(
        "/v1beta/models/{model}:generateContent",
        GENERATE,
        TEXT,
        "Answer in Gemini's own format, at once.",
        also="/v1/models/{model}:generateContent",
        naming=NESTED_GEMINI,
    ),
    Row(
        "/v1beta/models/{model}:streamGenerateContent",
        GENERATE,
        TEXT,
        "Answer in Gemini's own format, as events (alt=sse) or as a JSON array that grows.",
        also="/v1/models/{model}:streamGenerateContent",
        naming=NESTED_GEMINI,
        reply="json or events",
        streams=True,
        query=frozenset({"alt"}),
    ),
    Row(
        "/v1beta/models/{model}:countTokens",
        GENERATE,
        TEXT,
        "Count the input tokens of a conversation in Gemini's own format.",
        also="/v1/models/{model}:countTokens",
        naming=NESTED_GEMINI,
        unit="nothing",
    ),
    Row(
        "/v1beta/models/{model}:embedContent",
        GENERATE,
        frozenset({"embeddings"}),
        "Turn a text into a vector in Gemini's own format.",
        also="/v1/models/{model}:embedContent",
        naming=NESTED_GEMINI,
    ),
    Row(
        "/v1beta/models/{model}:batchEmbedContents",
        GENERATE,
        frozenset({"embeddings"}),
        "Turn many texts into vectors in Gemini's own format.",
        also="/v1/models/{model}:batchEmbedContents",
        naming=NESTED_GEMINI,
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
