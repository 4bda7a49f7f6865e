"""The interface of a dialect: what an exchange needs of any wire format, as one value."""

from collections.abc import Callable
from typing import Literal

import msgspec

from proxy.dialects.meters import ResponseMeter
from proxy.errors import GatewayError

DialectName = Literal["openai", "anthropic", "gemini"]


#: (alias, upstream model, leave out the usage event that the client did not ask for) -> a meter for one response.
MeterFactory = Callable[[str, str, bool], ResponseMeter]


class TargetTerms(msgspec.Struct, frozen=True, kw_only=True):
    """What a translation needs to know of the target that it stands before."""

    #: The alias, and the upstream's own model.
    alias: str
    model: str
    #: What cannot be said in full in the target's dialect is refused, and not said in part.
    strict: bool = False
    #: Whether `stream_options` may be added to streaming requests.
    takes_stream_options: bool = True
    #: The field of a chat that bounds its output.
    max_tokens_field: str = "max_tokens"
    #: Output tokens where the request sets no bound and the target's dialect needs one; 0 for the default.
    max_output_tokens: int = 0
    #: The model thinks, and takes how much it is to think.
    reasoning: bool = False


class RequestTerms(msgspec.Struct, frozen=True):
    """What a translation needs to know of a request beside its body."""

    id: str
    #: UTC, in microseconds since 1970.
    started: int
    #: What its input is estimated at.
    input_tokens: int
    #: Gives the time for an error's body.
    timestamp: Callable[[], str]


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
