"""The interface of a dialect: what an exchange needs of any wire format, as one value."""

from collections.abc import Callable
from typing import Literal

import msgspec

from proxy.dialects.meters import ResponseMeter
from proxy.errors import GatewayError

DialectName = Literal["openai", "anthropic", "gemini"]


#: (alias, upstream model, leave out the usage event that the client did not ask for) -> a meter for one response.
MeterFactory = Callable[[str, str, bool], ResponseMeter]


class Dialect(msgspec.Struct, frozen=True, kw_only=True):
    """One wire format, for one kind of response."""

    #: The family of formats that it belongs to; an upstream speaks some of them.
    name: DialectName
    #: The meter for a response made of events.
    event_meter: MeterFactory
    #: The meter for a response that is one JSON value.
    json_meter: MeterFactory
    #: The key under which a JSON response has its usage.
    usage_key: str = "usage"
    #: A stream that is no events is a JSON array whose elements come one by one.
    streams_arrays: bool = False
    #: Keys of a request in which it says how many choices it wants.
    choice_counts: tuple[str, ...] = ("n", "prompt")
    #: The status for a model that does not exist.
    unknown_model_status: int = 404
    #: A comment that keeps a client waiting for events; empty where clients cannot read one.
    heartbeat: bytes = b": ping\n"
    #: (error, request id, timestamp) -> the body of an error response.
    error_body: Callable[[GatewayError, str, str], bytes]
    #: The same -> an event for a stream that has begun.
    error_event: Callable[[GatewayError, str, str], bytes]
    #: (body, upstream model, alias) -> an upstream's error body as it may be passed on, or None for another shape.
    upstream_error: Callable[[bytes, str, str], bytes | None]
