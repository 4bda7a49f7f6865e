"""The face of a dialect: what the relay needs of any of them, as one value."""

from collections.abc import Callable
from typing import Literal

import msgspec

from proxy.dialects.meters import ResponseMeter
from proxy.errors import GatewayError

DialectName = Literal["openai", "anthropic", "gemini"]


#: (alias, upstream model, leave out the usage event that the client did not ask for) -> a meter for one answer.
MeterFactory = Callable[[str, str, bool], ResponseMeter]


class Dialect(msgspec.Struct, frozen=True, kw_only=True):
    """One wire format, for one kind of answer."""

    #: Which of the families of formats it is of; an upstream speaks some of them.
    name: DialectName
    #: The meter for an answer made of events.
    event_meter: MeterFactory
    #: The meter for an answer that is one JSON value.
    json_meter: MeterFactory
    #: The key under which a JSON answer has its usage.
    usage_key: str = "usage"
    #: A stream that is no events is a JSON array whose elements come one by one.
    streams_arrays: bool = False
    #: Keys of a request in which it says how many choices it wants.
    choice_counts: tuple[str, ...] = ("n", "prompt")
    #: The status for a model that does not exist.
    unknown_model_status: int = 404
    #: A comment that tells a client that waits for events that somebody is there; empty where clients choke on one.
    heartbeat: bytes = b": ping\n"
    #: (error, request id, timestamp) -> the body of an error answer.
    error_body: Callable[[GatewayError, str, str], bytes]
    #: The same -> an event for a stream that has begun.
    error_event: Callable[[GatewayError, str, str], bytes]
    #: (body, upstream model, alias) -> an upstream's error body as it may be passed on, or None for another shape.
    upstream_error: Callable[[bytes, str, str], bytes | None]
