"""What a policy is: it looks at a call before any upstream is asked, and may refuse it.

A policy never writes to the client and never waits; it raises one of our errors, or fills in what the call still lacks.
"""

import math
from typing import Final, Literal, Protocol

import msgspec

from proxy.dialects.base import Dialect
from proxy.ledger.keys import Key
from proxy.upload import Upload
from proxy.upstream.target import Alias, Target
from proxy.wire.shapes import Body

#: What an endpoint is billed by.
Unit = Literal["tokens", "audio", "images", "nothing"]


#: The words by which nested values of any body may name objects.
NESTED: Final = (b"file_id", b"vector_store", b"container")


class Watch(Protocol):
    """Looks at the answer's bytes before the client gets them; may keep nothing of them for long."""

    def begin(self, upstream: str, alias: str, model: str, *, events: bool) -> None:
        """An answer begins."""
        ...

    def see(self, data: bytes) -> None:
        """Its next bytes."""
        ...


class Call(msgspec.Struct):
    """One request that has been read: who asks what of which endpoint."""

    id: str
    trace_id: str
    key: Key
    #: The endpoint's path, which labels rows and metrics.
    endpoint: str
    dialect: Dialect
    #: The path below an upstream's base URL, with its query; `{model}` stands for the upstream's model.
    path: bytes
    #: Usage may be asked for on the client's behalf, by `stream_options`.
    may_ask_usage: bool
    #: What an alias must be able to do for this endpoint; any of them.
    capabilities: frozenset[str]
    body: Body
    #: Header lines of the client that go to the upstream.
    forwarded: bytes
    #: UTC, in microseconds since 1970.
    started: int
    #: Monotonic seconds.
    arrived: float
    #: Bytes of text in the request; what an estimate is made from.
    text_in: int
    #: Set by the rights policy: the alias, and those of its targets that speak the endpoint's dialect.
    alias: Alias | None = None
    targets: tuple[Target, ...] = ()
    #: What is billed.
    unit: Unit = "tokens"
    #: Beginnings of the content types of answers that pass unread.
    opaque: tuple[bytes, ...] = ()
    #: Largest event of an answer, in bytes, where the endpoint needs larger ones than the server's setting.
    max_event_bytes: int = 0
    #: The body, where it is a form on its way; `body` then holds only what is known of it.
    upload: Upload | None = None
    #: (field, id) of each object at an upstream that the body names; set by the references policy.
    references: tuple[tuple[str, str], ...] = ()
    #: The words by which nested values of the body may name objects; few, because every body is searched for them.
    naming: tuple[bytes, ...] = NESTED
    #: Seconds that the client says it waits for its next byte.
    patience: float = math.inf
    #: Who is to see the answer first, if anybody.
    watch: Watch | None = None


class Policy(Protocol):
    """See the module."""

    def admit(self, call: Call) -> None:
        """Let the call pass, or raise a `GatewayError`."""
        ...
