"""The facts of which the docs page and its twins for agents are made: from the configuration, the table of endpoints,
and the key that was sent. Values only; it names no upstream and no other key.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from types import MappingProxyType
from typing import Final, NamedTuple

import msgspec

from proxy.config.tree import Config, Model, Price
from proxy.endpoints.table import ROWS, Row
from proxy.policies.standing import BudgetStanding, LimitStanding
from proxy.routing.models import Alias


class _Kind(NamedTuple):
    """A kind of price."""

    #: Of `Price`.
    field: str
    what: str
    #: What it is for, on a page and in the contract for agents; and the column of the page.
    per: str
    short: str
    column: str


#: What an alias of a capability is, where the configuration does not say: its title, and when to use it.
_CAPABILITIES: Final = MappingProxyType(
    {
        "chat": ("Chat", "Conversations, text, code, tool calls."),
        "vision": ("Vision chat", "Conversations about images, and text."),
        "realtime": ("Realtime chat", "Conversations that need the first word at once."),
        "embeddings": ("Embeddings", "Search, memory, semantic matching."),
        "audio": ("Audio transcription", "Speech to text."),
        "image": ("Images", "Pictures from a text, edits and variations."),
        "rerank": ("Reranking", "Ordering documents by how well they fit a question."),
        "moderation": ("Moderation", "Finding what is harmful in texts and images."),
        "speech": ("Speech", "Text to speech."),
        "search": ("Web search", "Fresh facts and their sources."),
        "ocr": ("OCR", "The text in a document or an image."),
    }
)
#: What agents need to know of a capability: vision and realtime are chat to them.
_KINDS: Final = MappingProxyType({"vision": "chat", "realtime": "chat", "image": "images"})
#: In the order in which they are listed.
_CHARGES: Final = (
    _Kind("input", "input", "1M", "1M in", "input"),
    _Kind("minute", "audio", "minute", "min", "input"),
    _Kind("search_unit", "search units", "1,000", "1,000 search units", "input"),
    _Kind("output", "output", "1M", "1M out", "output"),
    _Kind("image", "images", "image", "image", "output"),
    _Kind("cached_input", "cached input", "1M", "1M cached in", "other"),
    _Kind("cache_write", "cache writes", "1M", "1M cache writes", "other"),
    _Kind("cache_write_1h", "cache writes for an hour", "1M", "1M cache writes for an hour", "other"),
    _Kind("audio_input", "audio input", "1M", "1M audio in", "other"),
    _Kind("audio_output", "audio output", "1M", "1M audio out", "other"),
    _Kind("image_input", "image input", "1M", "1M image in", "other"),
    _Kind("image_output", "image output", "1M", "1M image out", "other"),
    _Kind("web_search", "web searches", "1,000", "1,000 web searches", "other"),
    _Kind("tool_call", "tool calls", "1,000", "1,000 tool calls", "other"),
    _Kind("advisor_input", "advisor input", "1M", "1M advisor in", "other"),
    _Kind("advisor_output", "advisor output", "1M", "1M advisor out", "other"),
)
#: Prices that say nothing where they are those of plain input.
_AS_INPUT: Final = frozenset({"cached_input", "cache_write", "cache_write_1h", "image_input"})
_FORMATS: Final = MappingProxyType({"openai": "OpenAI", "anthropic": "Anthropic", "gemini": "Gemini"})
#: An alias of this name is the one for chat that a page begins with.
_PREFERRED: Final = ("prometheus-core", "prometheus-lite", "prometheus-spark")


@dataclass(frozen=True)
class Charge:
    """One price."""

    what: str
    #: In USD: "$0.15".
    amount: str
    per: str
    #: As the contract for agents writes it: "$0.15/1M in".
    short: str
    column: str

    @property
    def is_zero(self) -> bool:
        """Whether it is a price of nothing."""
        return not self.amount.strip("$0.")

    @property
    def text(self) -> str:
        """As the page writes it: "$0.15 / 1M"."""
        return f"{self.amount} / {self.per}"


@dataclass(frozen=True)
class AliasFacts:
    """What clients may know of an alias."""

    name: str
    capability: str
    #: What it is to agents, to whom vision and realtime are chat.
    kind: str
    title: str
    use: str
    summary: str
    #: Paths that it can be called at, the usual one first.
    paths: tuple[str, ...]
    charges: tuple[Charge, ...]
    #: Its prices of service tiers, by their names.
    tiers: tuple[tuple[str, tuple[Charge, ...]], ...]
    #: Whether the configuration has a price.
    is_priced: bool

    @property
    def is_free(self) -> bool:
        """Whether all of its prices are 0."""
        return self.is_priced and not self.tiers and all(charge.is_zero for charge in self.charges)

    @property
    def price(self) -> str:
        """All of its prices in one line, as the contract for agents writes them."""
        if not self.is_priced:
            return "no price set"
        if self.is_free:
            return "no charge"
        listed = [charge.short for charge in self.charges]
        for tier, charges in self.tiers:
            listed += [f"{charge.short} ({tier})" for charge in charges]
        return ", ".join(listed)

    def column(self, name: str) -> str:
        """The prices of a column of the page."""
        chosen = [charge for charge in self.charges if charge.column == name]
        parts = [f"{charge.what} {charge.text}" if name == "other" else charge.text for charge in chosen]
        if name == "other":
            parts += [f"{tier}: {charge.what} {charge.text}" for tier, charges in self.tiers for charge in charges]
        return ", ".join(parts)


@dataclass(frozen=True)
class EndpointFacts:
    """An endpoint that at least one alias can be called at."""

    method: str
    path: str
    help: str
    response: str
    format: str
    aliases: tuple[str, ...]
    #: Whether an alias has it as its usual one.
    is_usual: bool


@dataclass(frozen=True)
class KeyFacts:
    """What a key may use, for who has listed it."""

    name: str
    #: When it ends, in seconds since 1970.
    expires: int | None
    #: Whether it may use every alias, those too that are yet to come.
    has_all: bool
    limits: tuple[LimitStanding, ...]
    budgets: tuple[BudgetStanding, ...]


@dataclass(frozen=True)
class Facts:
    """All that the pages say."""

    #: Scheme, host and port, without a slash at the end.
    origin: str
    key_prefix: str
    aliases: tuple[AliasFacts, ...]
    endpoints: tuple[EndpointFacts, ...]
    #: Bytes that an audio file and a request may have.
    max_audio_bytes: int
    max_body_bytes: int
    #: Seconds between the comments that keep a waiting stream alive; 0 for none.
    heartbeat_interval: float
    key: KeyFacts | None

    @property
    def base_url(self) -> str:
        """What OpenAI's SDKs take."""
        return f"{self.origin}/v1"

    def of(self, *capabilities: str, path: str = "") -> tuple[AliasFacts, ...]:
        """The aliases of any of these capabilities; with a path only those that can be called at it."""
        return tuple(
            alias
            for alias in self.aliases
            if alias.capability in capabilities and (not path or path.replace("{model}", alias.name) in alias.paths)
        )

    @property
    def default_chat(self) -> AliasFacts | None:
        """The alias for chat to begin with."""
        chats = self.of("chat", "vision", "realtime", path="/v1/chat/completions")
        return next((one for name in _PREFERRED for one in chats if one.name == name), chats[0] if chats else None)


def facts_of(
    config: Config, aliases: Mapping[str, Alias], names: Iterable[str], origin: str, key: KeyFacts | None
) -> Facts:
    """The facts of a configuration; `aliases` are the compiled ones, `names` those that may be listed."""
    found = tuple(_alias(aliases[name], config.models[name]) for name in names if name in aliases)
    server = config.server
    return Facts(
        origin=origin,
        key_prefix=server.key_prefix,
        aliases=found,
        endpoints=tuple(_endpoints(found)),
        max_audio_bytes=server.max_audio_bytes,
        max_body_bytes=server.max_body_bytes,
        heartbeat_interval=server.heartbeat_interval,
        key=key,
    )


def charges_of(price: msgspec.Struct, base: Decimal | None) -> tuple[Charge, ...]:
    """The prices that are set; `base` is that of plain input, which is not said again."""
    prices = [(kind, getattr(price, kind.field, None)) for kind in _CHARGES]
    return tuple(
        Charge(kind.what, _usd(value), kind.per, f"{_usd(value)}/{kind.short}", kind.column)
        for kind, value in prices
        if value is not None and not (kind.field in _AS_INPUT and value == base)
    )


def _alias(alias: Alias, model: Model) -> AliasFacts:
    title, use = _CAPABILITIES[alias.capability]
    price = model.price or Price()
    own = tuple(row for row in ROWS if alias.capability in row.capabilities and _serves(alias, row))
    return AliasFacts(
        name=alias.name,
        capability=alias.capability,
        kind=_KINDS.get(alias.capability, alias.capability),
        title=model.title or title,
        use=model.use or use,
        summary=model.summary or model.use or use,
        paths=tuple(row.path.replace("{model}", alias.name) for row in own),
        charges=charges_of(price, price.input),
        tiers=tuple((name, charges_of(tier, tier.input)) for name, tier in (price.tiers or {}).items()),
        is_priced=model.price is not None,
    )


def _serves(alias: Alias, row: Row) -> bool:
    return bool(alias.speaking(row.dialect.name, row.path))


def _endpoints(aliases: tuple[AliasFacts, ...]) -> list[EndpointFacts]:
    usual = {alias.paths[0] for alias in aliases if alias.paths}
    found = []
    for row in ROWS:
        names = tuple(alias.name for alias in aliases if row.path.replace("{model}", alias.name) in alias.paths)
        if names:
            is_usual = any(row.path.replace("{model}", name) in usual for name in names)
            title = _FORMATS[row.dialect.name]
            found.append(EndpointFacts(row.method, row.path, row.help, row.reply, title, names, is_usual))
    return found


def _usd(value: Decimal) -> str:
    """Dollars with at least two decimals, and all that there are."""
    text = f"{value:f}"
    whole, _, decimals = text.partition(".")
    return f"${whole}.{decimals.ljust(2, '0')}"
