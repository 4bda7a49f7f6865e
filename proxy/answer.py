"""Small parts of the gateway's own answers: facts about a request as header lines, timestamps, outcomes of errors."""

import time
from datetime import UTC, datetime

from proxy.errors import ClientGone, GatewayError, UpstreamTimeout
from proxy.ledger.record import Final, Outcome
from proxy.policies.base import Call

#: The provider's name while upstreams are not shown.
PROVIDER = "prometheus"
#: The head of a stream of events that begins with a heartbeat.
EVENT_LINES = b"content-type: text/event-stream; charset=utf-8\r\ncache-control: no-cache\r\n"


def fact_lines(call: Call, *, model: str, provider: str, timeout: float, fell_back: bool) -> bytes:
    """What the gateway says of a request that went upstream; `timeout` in seconds."""
    latency = (time.monotonic() - call.arrived) * 1000
    lines = (
        f"x-request-id: {call.id}\r\nX-Prism-Request-Id: {call.id}\r\nX-Prism-Trace-Id: {call.trace_id}\r\n"
        f"X-Prism-Latency-Ms: {latency:.1f}\r\nX-Prism-Model-Used: {model}\r\nX-Prism-Provider: {provider}\r\n"
        f"X-Prism-Timeout-Ms: {timeout * 1000:.0f}\r\n"
    )
    if fell_back:
        lines += "X-Prism-Fallback-Used: true\r\n"
    return lines.encode("latin-1", "replace")


def cost_line(final: Final) -> bytes:
    """The cost in USD, exact to the nano-dollar, where the alias has a price."""
    if final.cost is None:
        return b""
    whole, part = divmod(final.cost, 1_000_000_000)
    return b"X-Prism-Cost: %d.%09d\r\n" % (whole, part)


def header_lines(error: GatewayError) -> bytes:
    """The headers that an error brings along, as header lines."""
    return "".join(f"{name}: {value}\r\n" for name, value in error.headers.items()).encode("latin-1")


def timestamp() -> str:
    """Now, in UTC, as ISO 8601 with milliseconds."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def outcome_of(error: GatewayError) -> Outcome:
    """The outcome of a request that ends with this error before its answer began."""
    if isinstance(error, ClientGone):
        return "client_closed"
    if isinstance(error, UpstreamTimeout):
        return "timeout"
    return "upstream_error" if error.fault == "upstream" else "refused"
