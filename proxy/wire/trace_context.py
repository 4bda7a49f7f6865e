"""W3C's trace context: the `traceparent` header, read and continued. Pure.

https://www.w3.org/TR/trace-context/#traceparent-header. The gateway is a span between its client's and its upstream's:
the upstream gets the client's trace id with the gateway's own span id. `tracestate` is not passed on: it is what other
vendors keep about the client, and no business of a provider's.
"""

import re
from typing import Final, NamedTuple

_TRACEPARENT: Final = re.compile(
    rb"(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(-.*)?"
)
#: Of the flags the only one that is passed on: the client's span is sampled.
SAMPLED: Final = 1
_ID_DIGITS: Final = 16
_PREFIX: Final = "req_"


class TraceParent(NamedTuple):
    """What a client's `traceparent` says."""

    trace_id: str
    #: The client's span.
    parent_id: str
    is_sampled: bool = True


def parse_traceparent(value: bytes) -> TraceParent | None:
    """The trace context in a header's value; None for none, and for one that is not valid."""
    match = _TRACEPARENT.fullmatch(value)
    if match is None:
        return None
    version, trace_id, parent_id, flags, more = match.groups()
    if version == b"00" and more is not None:
        return None
    return TraceParent(trace_id.decode(), parent_id.decode(), bool(int(flags, 16) & SAMPLED))


def traceparent_line(trace_id: str, span_id: str, is_sampled: bool) -> bytes:
    """The header line for an upstream."""
    return f"traceparent: 00-{trace_id}-{span_id}-{SAMPLED if is_sampled else 0:02x}\r\n".encode()


def span_id_of(request_id: str) -> str:
    """The id of the gateway's span of a request: the random end of the request's id."""
    digits = request_id[-_ID_DIGITS:]
    # All zeros would be no id; it never happens.
    return digits if digits.strip("0") else "1".rjust(_ID_DIGITS, "0")


def trace_id_of(request_id: str) -> str:
    """The trace id of a request whose client has none."""
    return request_id.removeprefix(_PREFIX)
