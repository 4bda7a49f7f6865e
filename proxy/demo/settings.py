"""Settings and models of the demo provider, and the gateway configuration that points at it.

Values only: no socket, no clock, no environment.
"""

import secrets
from dataclasses import dataclass, field
from decimal import Decimal

import msgspec

from proxy.config.tree import Capability, Config, Model, Price, Routing, Server, Upstream
from proxy.errors import InvalidRequest, ModelNotFound


def _new_key() -> str:
    return "sk-demo-" + secrets.token_urlsafe(24)


@dataclass(frozen=True, kw_only=True)
class DemoSettings:
    """How one demo provider behaves: both durations in seconds, and the API key that its clients must send."""

    first_token_delay: float = 0.15
    token_interval: float = 0.02
    api_key: str = field(default_factory=_new_key, repr=False)


@dataclass(frozen=True)
class DemoModel:
    """One model: its dated name, which every response has, and its alias in the demo gateway."""

    name: str
    alias: str
    capability: Capability
    price: Price
    #: What the docs page says of the alias: what it is called, when to use it, and the same for agents.
    title: str = ""
    use: str = ""
    summary: str = ""

    @property
    def undated(self) -> str:
        """The name without its date, which requests may use too."""
        return self.name[: -len("-2026-01-01")]

    @property
    def upstreams(self) -> tuple[str, ...]:
        """The demo gateway's upstreams that serve it, one for each API family."""
        if self.capability in TEXT:
            return ("demo", "demo-anthropic", "demo-gemini")
        return ("demo", "demo-gemini") if self.capability == "embeddings" else ("demo",)


def _tokens(input_price: str, output_price: str | None = None) -> Price:
    return Price(input=Decimal(input_price), output=Decimal(output_price) if output_price else None)


DEMO_MODELS = (
    DemoModel(
        "demo-spark-2026-08-07",
        "prometheus-spark",
        "chat",
        _tokens("0.15", "0.60"),
        title="Fast chat",
        use="Routing, classification, short summaries, simple actions.",
        summary="fast replies, routing, classification, short tasks",
    ),
    DemoModel(
        "demo-lite-2026-07-15",
        "prometheus-lite",
        "chat",
        _tokens("0.10", "0.40"),
        title="Balanced chat",
        use="High-volume assistants, production workflows, everyday agents.",
        summary="balanced cost, quality, and throughput",
    ),
    DemoModel(
        "demo-core-2026-09-02",
        "prometheus-core",
        "chat",
        _tokens("1.10", "4.40"),
        title="Deep reasoning",
        use="Planning, code, analysis, hard decisions, multi-step agents.",
        summary="complex reasoning, planning, code, multi-step agents",
    ),
    DemoModel(
        "demo-vision-2026-06-30",
        "prometheus-vision",
        "vision",
        _tokens("0.40", "1.60"),
        title="Vision chat",
        use="Homework photos, screenshots, diagrams, forms, visual QA.",
        summary="image understanding, screenshots, diagrams, homework photos",
    ),
    DemoModel(
        "demo-pulse-2026-08-21",
        "prometheus-pulse",
        "realtime",
        _tokens("0.15", "0.60"),
        title="Realtime chat",
        use="Voice and phone agents, live conversation, tool calling.",
        summary="low-latency voice and tool calling",
    ),
    DemoModel(
        "demo-surge-2026-08-21",
        "prometheus-surge",
        "realtime",
        _tokens("0.40", "1.60"),
        title="Realtime reasoning",
        use="Voice and complex agents that must respond within a live call.",
        summary="smarter realtime voice and agents",
    ),
    DemoModel(
        "demo-atlas-2026-05-20",
        "prometheus-atlas",
        "embeddings",
        _tokens("0.02"),
        title="Embeddings",
        use="RAG, memory, search, recommendations, semantic matching.",
        summary="RAG, memory, search, semantic matching",
    ),
    DemoModel(
        "demo-echo-2026-04-11",
        "prometheus-echo",
        "audio",
        Price(minute=Decimal("0.006")),
        title="Audio transcription",
        use="Meetings, calls, voice notes, subtitles, speech-to-text.",
        summary="speech-to-text transcription",
    ),
    # Behind the eight, so that every endpoint can be tried.
    DemoModel(
        "demo-canvas-2026-03-18",
        "prometheus-canvas",
        "image",
        Price(image=Decimal("0.02")),
        title="Images",
        use="Illustrations, drafts, variations and edits of pictures.",
        summary="image generation and edits",
    ),
    DemoModel(
        "demo-rank-2026-02-25",
        "prometheus-rank",
        "rerank",
        _tokens("0.02"),
        title="Reranking",
        use="Ordering search results before they are put into a prompt.",
        summary="ordering documents by relevance",
    ),
    DemoModel(
        "demo-guard-2026-02-11",
        "prometheus-guard",
        "moderation",
        _tokens("0"),
        title="Moderation",
        use="Checking what users write before a model gets it.",
        summary="classifying harmful text and images",
    ),
    DemoModel(
        "demo-voice-2026-01-29",
        "prometheus-voice",
        "speech",
        _tokens("0.60", "12.00"),
        title="Speech",
        use="Reading texts aloud, voice replies.",
        summary="text-to-speech",
    ),
    DemoModel(
        "demo-quest-2026-01-22",
        "prometheus-quest",
        "search",
        _tokens("1.00", "1.00"),
        title="Web search",
        use="Fresh facts and sources for a question.",
        summary="web search",
    ),
    DemoModel(
        "demo-lens-2026-01-15",
        "prometheus-lens",
        "ocr",
        _tokens("0.40", "1.60"),
        title="OCR",
        use="Scans, receipts, forms: the text in a document.",
        summary="reading text in documents and images",
    ),
)

#: The capabilities that write text; the chat and completion endpoints take these.
TEXT: tuple[Capability, ...] = ("chat", "vision", "realtime")


def find_model(name: str, capabilities: tuple[Capability, ...], path: str) -> DemoModel:
    """The model of this name, dated or not; with no `capabilities` any will do.

    Raises ModelNotFound for an unknown name, and InvalidRequest for a model that cannot do what `path` asks for.
    """
    for model in DEMO_MODELS:
        if name in (model.name, model.undated):
            if not capabilities or model.capability in capabilities:
                return model
            raise InvalidRequest(
                f"The model `{name}` cannot be used with {path}: it is for {model.capability}; "
                "GET /v1/models lists the others.",
                status=404,
                param="model",
            )
    raise ModelNotFound(f"The model `{name}` does not exist or you do not have access to it.")


def _with_caches(price: Price) -> Price:
    """The price with what is written to a cache as plain input: Anthropic's format counts it apart."""
    return msgspec.structs.replace(price, cache_write=price.input, cache_write_1h=price.input)


def demo_config(port: int, settings: DemoSettings, server: Server | None = None) -> Config:
    """A gateway whose upstreams all are the demo provider on this port of 127.0.0.1, and all eight aliases on it.

    The provider is there once for each family of formats, so that the aliases work on the native endpoints too, and
    a few aliases come behind the eight, so that there is one for every endpoint. `settings` are those that the
    provider runs with (its key is shared with the gateway this way), `server` is the gateway's own listener.
    """
    address = f"http://127.0.0.1:{port}"
    return Config(
        server=server or Server(),
        upstreams={
            "demo": Upstream(base_url=f"{address}/v1", api_key=settings.api_key),
            "demo-anthropic": Upstream(kind="anthropic", base_url=f"{address}/v1", api_key=settings.api_key),
            "demo-gemini": Upstream(kind="gemini", base_url=f"{address}/v1beta", api_key=settings.api_key),
        },
        models={
            model.alias: Model(
                capability=model.capability,
                targets=[f"{upstream}/{model.name}" for upstream in model.upstreams],
                price=_with_caches(model.price) if model.capability in TEXT else model.price,
                routing=Routing() if model.capability in TEXT else None,
                title=model.title,
                use=model.use,
                summary=model.summary,
            )
            for model in DEMO_MODELS
        },
    )
