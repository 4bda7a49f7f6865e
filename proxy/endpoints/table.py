"""THE table of endpoints: a row says everything about one, and routes, documents and tests come from it."""

from typing import Final, Literal

import msgspec

from proxy.config.tree import Capability
from proxy.dialects.anthropic import MESSAGES
from proxy.dialects.base import Dialect
from proxy.dialects.gemini import GENERATE
from proxy.dialects.openai import CHAT
from proxy.dialects.typed import TYPED

BodyKind = Literal["json"]
#: Where the model's name stands in the request.
ModelPlace = Literal["body", "path"]
ReplyKind = Literal["json", "events", "json or events"]
Unit = Literal["tokens", "audio", "images", "nothing"]

TEXT: Final[frozenset[Capability]] = frozenset({"chat", "vision", "realtime"})


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One endpoint that is forwarded."""

    method: str = "POST"
    #: As clients call it; `{model}` is the alias.
    path: str
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
    #: One line for people.
    help: str


ROWS: Final = (
    Row(
        path="/v1/chat/completions",
        upstream_path="/chat/completions",
        dialect=CHAT,
        reply="json or events",
        capabilities=TEXT,
        usage_option=True,
        help="Answer a conversation, as a stream or at once.",
    ),
    Row(
        path="/v1/completions",
        upstream_path="/completions",
        dialect=CHAT,
        reply="json or events",
        capabilities=TEXT,
        usage_option=True,
        help="Continue a text (OpenAI's older form).",
    ),
    Row(
        path="/v1/responses",
        upstream_path="/responses",
        dialect=TYPED,
        reply="json or events",
        capabilities=TEXT,
        help="Answer by the Responses API, as typed events or at once.",
    ),
    Row(
        path="/v1/embeddings",
        upstream_path="/embeddings",
        dialect=CHAT,
        reply="json",
        capabilities=frozenset({"embeddings"}),
        help="Turn texts into vectors.",
    ),
    Row(
        path="/v1/moderations",
        upstream_path="/moderations",
        dialect=CHAT,
        reply="json",
        unit="nothing",
        capabilities=frozenset({"moderation"}),
        help="Classify texts and images by what is harmful in them.",
    ),
    Row(
        path="/v1/rerank",
        upstream_path="/rerank",
        dialect=CHAT,
        reply="json",
        capabilities=frozenset({"rerank"}),
        help="Order documents by how well they answer a question.",
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
        upstream_path="/models/{model}:generateContent",
        dialect=GENERATE,
        model="path",
        reply="json",
        capabilities=TEXT,
        help="Answer in Gemini's own format, at once.",
    ),
    Row(
        path="/v1beta/models/{model}:streamGenerateContent",
        upstream_path="/models/{model}:streamGenerateContent",
        dialect=GENERATE,
        model="path",
        reply="json or events",
        capabilities=TEXT,
        streams=True,
        query=frozenset({"alt"}),
        help="Answer in Gemini's own format, as events (alt=sse) or as a JSON array that grows.",
    ),
    Row(
        path="/v1beta/models/{model}:countTokens",
        upstream_path="/models/{model}:countTokens",
        dialect=GENERATE,
        model="path",
        reply="json",
        unit="nothing",
        capabilities=TEXT,
        help="Count the input tokens of a conversation in Gemini's own format.",
    ),
    Row(
        path="/v1beta/models/{model}:embedContent",
        upstream_path="/models/{model}:embedContent",
        dialect=GENERATE,
        model="path",
        reply="json",
        capabilities=frozenset({"embeddings"}),
        help="Turn a text into a vector in Gemini's own format.",
    ),
)


def endpoint_of(rows: tuple[Row, ...] = ROWS) -> dict[str, str]:
    """For each capability the endpoint to use it with; the first row that takes it."""
    found: dict[str, str] = {}
    for row in rows:
        for capability in row.capabilities:
            found.setdefault(capability, row.path)
    return found
