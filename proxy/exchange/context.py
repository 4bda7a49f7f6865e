"""The context of one request: its key, endpoint, body and model, and what policies have added to it.

It needs no HTTP head, so that a job or a WebSocket turn can have one too; it holds no connection.
"""

import math
from typing import Final, Literal

from proxy.auth.keys import Key
from proxy.dialects.base import Dialect
from proxy.exchange.interfaces import ResponseObserver
from proxy.exchange.upload import Upload
from proxy.routing.models import Alias
from proxy.upstream.target import Target
from proxy.wire.schemas import Body

#: What an endpoint is billed by.
Unit = Literal["tokens", "audio", "images", "nothing"]


#: The words, in small letters, by which nested values of a body may name objects; nearly all names of such have the
#: first one in them.
NESTED: Final = (b"_id", b'"container"')
#: Those of Gemini's own format.
NESTED_GEMINI: Final = (
    *(b"_id", b"fileuri", b"file_uri", b"filesearchstore", b"file_search_store"),
    *(b"cachedcontent", b"cached_content"),
)


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
    #: The service tier that was asked for; empty for the standard one.
    tier = ""
    #: The answer is finished later, out of the client's sight.
    background = False
    #: HTTP method, for the access log.
    method = "POST"
    #: A request for things with an id (files, batches, threads, ...): its body is read after its admission.
    is_resource = False
    #: Response header lines that policies add, each with its CRLF; every response has them, refusals too.
    lines = b""
    #: Observers of the response that policies add.
    observers: tuple[ResponseObserver, ...] = ()
    #: How many of the gateway's policies have admitted it; set by `Admission` alone.
    admitted = 0

    def __init__(
        self,
        *,
        id: str,
        trace_id: str,
        key: Key,
        endpoint: str,
        dialect: Dialect,
        path: bytes,
        may_ask_usage: bool,
        capabilities: frozenset[str],
        body: Body,
        forwarded: bytes,
        started: int,
        arrived: float,
        naming: tuple[bytes, ...] = NESTED,
        unit: Unit = "tokens",
        opaque: tuple[bytes, ...] = (),
        patience: float = math.inf,
    ) -> None:
        self.id = id
        self.trace_id = trace_id
        self.key = key
        #: The endpoint's path, which labels rows and metrics.
        self.endpoint = endpoint
        self.dialect = dialect
        #: The path below an upstream's base URL, with its query; `{model}` stands for the upstream's model.
        self.path = path
        #: Usage may be asked for on the client's behalf, by `stream_options`.
        self.may_ask_usage = may_ask_usage
        #: What an alias must be able to do for this endpoint; any of them.
        self.capabilities = capabilities
        self.body = body
        #: Header lines of the client that go to the upstream.
        self.forwarded = forwarded
        #: UTC, in microseconds since 1970.
        self.started = started
        #: Monotonic seconds.
        self.arrived = arrived
        #: The words by which nested values of the body may name objects; few, because every body is searched for them.
        self.naming = naming
        #: What is billed.
        self.unit = unit
        #: Beginnings of the content types of answers that pass unread.
        self.opaque = opaque
        #: Seconds that the client says it waits for its next byte.
        self.patience = patience
        #: Set by the rights policy.
        self.alias: Alias | None = None
        #: The body, where it is a form on its way; `body` then holds only what is known of it.
        self.upload: Upload | None = None
