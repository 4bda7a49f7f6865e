"""The context of one request: its key, endpoint, body and model, and what policies have added to it.

It needs no HTTP head, so that a job or a WebSocket turn can have one too; it holds no connection.
"""

import math
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final, Literal

from proxy.auth.keys import Key
from proxy.dialects.base import Dialect
from proxy.exchange.interfaces import Origin, ResponseObserver
from proxy.exchange.upload import Upload
from proxy.ledger.estimator import Estimator
from proxy.ledger.tries import Try
from proxy.limits.limiter import Held
from proxy.limits.worst_case import RequestSize, size_of
from proxy.routing.models import Alias
from proxy.upstream.target import Target
from proxy.wire.prism_headers import NO_PRISM_HEADERS, PrismHeaders
from proxy.wire.schemas import Body
from proxy.wire.trace_context import span_id_of, traceparent_line

#: What an endpoint is billed by.
Unit = Literal["tokens", "audio", "images", "nothing"]
#: The key of a request that has not shown one: it may use nothing.
ANONYMOUS: Final = Key(id="", name="", models=frozenset(), created=0, expires=None)
#: The aliases of a context that was given none.
NO_ALIASES: Final[Mapping[str, Alias]] = MappingProxyType({})
#: The body of a request whose body has not been read.
NO_BODY: Final = Body({}, "", stream=False, wants_usage=False)

#: The words, in small letters, by which nested values of a body may name objects; nearly all names of such have the
#: first one in them.
NESTED: Final = (b"_id", b'"container"')
#: Those of Gemini's own format.
NESTED_GEMINI: Final = (
    *(b"_id", b"fileuri", b"file_uri", b"filesearchstore", b"file_search_store"),
    *(b"cachedcontent", b"cached_content"),
)


_UNPRINTABLE: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class EndpointSpec:
    """What is fixed of an endpoint, for all its requests."""

    #: As clients call it, with the names of its parameters in braces.
    path: str
    #: The format of its errors, and of its requests and responses.
    dialect: Dialect
    method: str = "POST"
    #: Things with an id (files, batches, threads, ...): the body is read after the admission.
    is_resource: bool = False
    #: What an alias must be able to do; any of them.
    capabilities: frozenset[str] = frozenset()
    #: The words by which nested values of a body may name objects; few, because every body is searched for them.
    naming: tuple[bytes, ...] = NESTED
    #: The kind of what a response creates at the upstream, as its id is recorded; empty for nothing.
    creates: str = ""
    unit: Unit = "tokens"
    #: Beginnings of the content types of responses that pass unread.
    opaque: tuple[bytes, ...] = ()
    may_ask_usage: bool = False


class RequestContext:
    """One request: who makes it, at which endpoint, for which model, and what policies have added to it."""

    # What most requests do not bring or change stands here, and is not set for each of them.
    #: Those of the alias's targets that speak the endpoint's dialect; set by the rights policy.
    targets: tuple[Target, ...] = ()
    #: (field, id) of each object at an upstream that the body names; set by the references policy.
    references: tuple[tuple[str, str], ...] = ()
    #: Its body is long enough to be searched and sent in the ways of long ones.
    large = False
    #: Bytes of text in the request, from which an estimate is made; and whether there is nothing else in it, so that
    #: its tokens say how many a byte has. Both are known once the request is on its way.
    text_in = 0
    plain = False
    #: The answer is finished later, out of the client's sight.
    background = False
    #: Response header lines that policies add, each with its CRLF, best by `add_header`; every response has them,
    #: refusals too.
    lines = b""
    #: Observers of the response that policies add.
    observers: tuple[ResponseObserver, ...] = ()
    #: The origin that a policy has chosen to answer it, in place of the upstreams.
    origin: Origin | None = None
    #: The policies that it began with, and how many of them have admitted it; set by `Admission` alone.
    plan: Any = None
    admitted = 0
    #: What it has taken of its limits and reserved of its budgets; None where none applies.
    held: Held | None = None
    #: The aliases of the configuration that it came in under, which a reload must not change for it.
    aliases: Mapping[str, Alias] = NO_ALIASES
    #: What its `x-prism-*` headers say.
    prism: PrismHeaders = NO_PRISM_HEADERS
    #: Its attempts that failed.
    tries: tuple[Try, ...] = ()

    def __init__(
        self,
        spec: EndpointSpec,
        *,
        id: str,
        started: int,
        arrived: float,
        trace_id: str = "",
        key: Key = ANONYMOUS,
        path: bytes = b"",
        body: Body = NO_BODY,
        forwarded: bytes = b"",
        patience: float = math.inf,
    ) -> None:
        self.spec = spec
        self.id = id
        self.trace_id = trace_id or id
        self.key = key
        #: The endpoint's path, which labels rows and metrics.
        self.endpoint = spec.path
        self.dialect = spec.dialect
        #: The path below an upstream's base URL, with its query; `{model}` stands for the upstream's model.
        self.path = path
        self.body = body
        #: Header lines of the client that go to the upstream.
        self.forwarded = forwarded
        #: UTC, in microseconds since 1970.
        self.started = started
        #: Monotonic seconds.
        self.arrived = arrived
        #: Seconds that the client says it waits for its next byte.
        self.patience = patience
        #: Set by the rights policy.
        self.alias: Alias | None = None
        #: The body, where it is a form on its way; `body` then holds only what is known of it.
        self.upload: Upload | None = None

    def add_failed(self, target: str, cause: str) -> None:
        """Note that an attempt at a target, "upstream/model", has failed now."""
        self.tries = (*self.tries, Try(target, cause, int((time.monotonic() - self.arrived) * 1_000)))

    def apply_prism_headers(self, prism: PrismHeaders) -> None:
        """Keep what the request's head says, with the client's trace id in place of one of the gateway's."""
        self.prism = prism
        self.trace_id = prism.trace_id or self.id

    def upstream_lines(self) -> bytes:
        """The header lines for an upstream: those of the client that are forwarded, and the trace, if it has one, with
        the gateway's span id, which is another for each request."""
        trace = self.prism.trace
        if trace is None:
            return self.forwarded
        return self.forwarded + traceparent_line(trace.trace_id, span_id_of(self.id), trace.is_sampled)

    def hold(self) -> Held:
        """What it holds, made when there is something to hold."""
        held = self.held
        if held is None:
            held = self.held = Held()
        return held

    def size_at(self, alias: str, estimator: Estimator) -> RequestSize:
        """Its size as an alias would count it, estimated once."""
        held = self.held or self.hold()
        size = held.size
        if size is None or size.alias != alias:
            size = held.size = size_of(self.body, estimator, self.key.id, alias)
        return size

    def add_header(self, name: str, value: str) -> None:
        """Add a header line to the response, whatever that will be; what could end the line early is a space."""
        self.lines += header_line(name, value)


def header_line(name: str, value: str) -> bytes:
    """One header line. What no value may have, such as a line break, is a space, so that no value adds another line."""
    return f"{name}: {_UNPRINTABLE.sub(' ', value)}\r\n".encode("latin-1", "replace")
