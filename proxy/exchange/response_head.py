"""Small parts of the gateway's own answers: facts about a request as header lines, timestamps, outcomes of errors."""

import time
import typing
from collections.abc import Mapping
from urllib.parse import quote

from proxy.dialects.scrub import rename
from proxy.errors import ClientGone, GatewayError, GatewayStopped, UpstreamTimeout
from proxy.exchange.context import RequestContext
from proxy.ledger.record import Final, Outcome
from proxy.server.envelope import timestamp as timestamp

#: The provider's name while upstreams are not shown.
PROVIDER = "prometheus"
#: The head of a stream of events that begins with a heartbeat.
EVENT_LINES = b"content-type: text/event-stream; charset=utf-8\r\ncache-control: no-cache\r\nx-accel-buffering: no\r\n"
#: Of every answer that leaves as it comes: nginx, and what else knows it, then holds nothing of it back.
UNBUFFERED = b"x-accel-buffering: no\r\n"
#: A header whose value may have the upstream's model in it.
DISPOSITION = b"content-disposition: "
#: Nano-dollars in a dollar.
_NANO: typing.Final = 1_000_000_000


def fact_lines(call: RequestContext, *, model: str, provider: str, timeout: float, fell_back: bool) -> bytes:
    """What the gateway says of a request that went upstream; `timeout` in seconds."""
    # Whole numbers need no format, which costs more than all the rest.
    latency = int((time.monotonic() - call.arrived) * 10_000 + 0.5)
    milliseconds = int(timeout * 1000 + 0.5)
    request_id = call.id
    lines = (
        f"x-request-id: {request_id}\r\nX-Prism-Request-Id: {request_id}\r\nX-Prism-Trace-Id: {call.trace_id}\r\n"
        f"X-Prism-Latency-Ms: {latency // 10}.{latency % 10}\r\nX-Prism-Model-Used: {model}\r\n"
        f"X-Prism-Provider: {provider}\r\nX-Prism-Timeout-Ms: {milliseconds}\r\n"
    )
    if fell_back:
        lines += "X-Prism-Fallback-Used: true\r\n"
    return lines.encode("latin-1", "replace")


def cost_line(final: Final) -> bytes:
    """The cost in USD, exact to the nano-dollar, where the alias has a price."""
    cost = final.cost
    if cost is None:
        return b""
    # The one in front makes nine digits of the part.
    part = str(_NANO + cost % _NANO)[1:]
    return f"X-Prism-Cost: {cost // _NANO}.{part}\r\n".encode()


def header_lines(error: GatewayError) -> bytes:
    """The headers that an error brings along, as header lines."""
    return "".join(f"{name}: {value}\r\n" for name, value in error.headers.items()).encode("latin-1")


def may_show_limits(status: int) -> bool:
    """Whether the rate limits of an upstream's account may be shown with an error of this status.

    All keys share the account: only who runs into a limit has a use for it.
    """
    return status == 429


def without_models(lines: bytes, names: Mapping[str, str]) -> bytes:
    """Header lines in which no file's name tells an upstream's model; `names` are the models, and what is shown."""
    parts = lines.split(b"\r\n")
    for at, line in enumerate(parts):
        if line.startswith(DISPOSITION):
            for model, shown in names.items():
                for name in {model, quote(model, safe="")}:
                    line = rename(line, name.encode(), shown.encode())
            parts[at] = line
    return b"\r\n".join(parts)


def outcome_of(error: GatewayError) -> Outcome:
    """The outcome of a request that ends with this error before its answer began."""
    if isinstance(error, ClientGone):
        return "client_closed"
    if isinstance(error, UpstreamTimeout):
        return "timeout"
    if isinstance(error, GatewayStopped):
        return "gateway_shutdown"
    return "upstream_error" if error.fault == "upstream" else "refused"
