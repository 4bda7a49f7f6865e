"""THE table of endpoints: a row says everything about one, and routes, documents and tests come from it."""

from typing import Final, Literal

import msgspec

from proxy.config.tree import Capability
from proxy.dialects.base import Dialect
from proxy.dialects.openai import CHAT

BodyKind = Literal["json"]
ReplyKind = Literal["json or events"]
Unit = Literal["tokens"]


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One endpoint that is forwarded."""

    method: str
    #: As clients call it.
    path: str
    #: Below an upstream's base URL.
    upstream_path: str
    dialect: Dialect
    body: BodyKind
    #: Where the model's name stands in the request.
    model: str
    reply: ReplyKind
    unit: Unit
    #: What an alias must be able to do.
    capabilities: frozenset[Capability]
    help: str


ROWS: Final = (
    Row(
        method="POST",
        path="/v1/chat/completions",
        upstream_path="/chat/completions",
        dialect=CHAT,
        body="json",
        model="model",
        reply="json or events",
        unit="tokens",
        capabilities=frozenset({"chat", "vision", "realtime"}),
        help="Answer a conversation, as a stream or at once.",
    ),
)


def endpoint_of(rows: tuple[Row, ...] = ROWS) -> dict[str, str]:
    """For each capability the endpoint to use it with; the first row that takes it."""
    found: dict[str, str] = {}
    for row in rows:
        for capability in row.capabilities:
            found.setdefault(capability, row.path)
    return found
