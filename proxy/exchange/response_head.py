"""The response head: the only writer of the gateway's own header lines, for responses of every kind.

Also what of an upstream's head may pass with an error, and how an error's outcome is called. It writes to no client.
"""

import logging
import math
import re
import time
import typing
from collections.abc import Mapping, Sequence
from urllib.parse import quote

from proxy.dialects.scrub import rename
from proxy.errors import ClientGone, GatewayError, GatewayStopped, UpstreamTimeout
from proxy.exchange.context import RequestContext, header_line
from proxy.exchange.interfaces import Downstream
from proxy.ledger.record import Outcome, UsageRecord
from proxy.limits.lines import limit_lines
from proxy.server.envelope import JSON_LINE as JSON_LINE
from proxy.server.envelope import timestamp as timestamp
from proxy.wire.headers import Header, response_lines
from proxy.wire.prism_headers import NO_PRISM_HEADERS

#: The provider's name while upstreams are not shown.
PROVIDER = "prometheus"
#: The head of a stream of events that begins with a heartbeat.
EVENT_LINES = b"content-type: text/event-stream; charset=utf-8\r\ncache-control: no-cache\r\nx-accel-buffering: no\r\n"
#: Of every response that is sent as it comes: nginx, and others that know it, then buffer nothing of it.
UNBUFFERED = b"x-accel-buffering: no\r\n"
#: A header whose value may have the upstream's model in it.
DISPOSITION = b"content-disposition: "
#: The model of a response that no model has a part in.
NO_MODEL = "none"
_PRISM: typing.Final = b"X-Prism-"
_TWIN: typing.Final = b"x-agentcc-"
#: Nano-dollars in a dollar.
_NANO: typing.Final = 1_000_000_000
#: Whole header lines (RFC 9110, section 5).
_LINES: typing.Final = re.compile(rb"(?:[!#$%&'*+.^_`|~0-9A-Za-z-]+:[ \t]*[^\x00-\x08\x0a-\x1f\x7f]*\r\n)+")
_log: typing.Final = logging.getLogger(__name__)


def fact_lines(context: RequestContext, *, model: str, provider: str, timeout: float, fell_back: bool = False) -> bytes:
    """The header lines that every response has, those about its limits, and those that policies have added.

    `timeout` is the one that was applied, in seconds: infinity, for none, is shown as 0.
    """
    request_id = context.id
    latency = int((time.monotonic() - context.arrived) * 1000 + 0.5)
    milliseconds = int(timeout * 1000 + 0.5) if timeout != math.inf else 0
    text = (
        f"x-request-id: {request_id}\r\nX-Prism-Request-Id: {request_id}\r\nX-Prism-Trace-Id: {context.trace_id}\r\n"
        f"X-Prism-Latency-Ms: {latency}\r\nX-Prism-Model-Used: {model}\r\n"
        f"X-Prism-Provider: {provider}\r\nX-Prism-Timeout-Ms: {milliseconds}\r\n"
    )
    alias = context.alias
    if alias is not None and alias.routing is not None:
        text += alias.routing.line
    if fell_back:
        text += "X-Prism-Fallback-Used: true\r\n"
    if context.held is not None:
        text += limit_lines(context.held, time.time() if context.prism.has_own else 0.0, context.dialect.name)
    lines = text.encode("latin-1", "replace")
    if context.lines:
        if _LINES.fullmatch(context.lines) is not None:
            lines += context.lines
        else:
            # They would end the head early, or become a part of the next line.
            _log.error("Header lines that policies added are left out: they are no whole lines: %r", context.lines)
    if context.prism is not NO_PRISM_HEADERS:
        lines += context.prism.warnings
        if context.prism.has_twins:
            lines += twins_of(lines)
    return lines


def own_lines(context: RequestContext) -> bytes:
    """The same of a response that the gateway makes by itself, such as a refusal or a list of models."""
    alias = context.alias
    model = alias.name if alias is not None else NO_MODEL
    return fact_lines(context, model=model, provider=PROVIDER, timeout=context.patience)


def twins_of(lines: bytes) -> bytes:
    """The `X-Prism-` lines among these once more, by the names that clients of `x-agentcc-` headers read."""
    parts = lines.splitlines(keepends=True)
    return b"".join([_TWIN + line[len(_PRISM) :] for line in parts if line.startswith(_PRISM)])


def write_error(downstream: Downstream, context: RequestContext, error: GatewayError) -> None:
    """Write an error as the whole response, in the dialect of the endpoint; nothing where the client has left."""
    if isinstance(error, ClientGone):
        return
    body = context.dialect.error_body(error, context.id, timestamp())
    lines = JSON_LINE + own_lines(context) + header_lines(error)
    downstream.begin(error.status, lines, len(body))
    downstream.write(body, True)


def cost_line(final: UsageRecord, *, has_twins: bool = False) -> bytes:
    """The cost in USD, exact to the nano-dollar, where the alias has a price."""
    cost = final.cost
    if cost is None:
        return b""
    # The one in front makes nine digits of the part.
    part = str(_NANO + cost % _NANO)[1:]
    line = f"X-Prism-Cost: {cost // _NANO}.{part}\r\n".encode()
    return line + twins_of(line) if has_twins else line


def cost_comment(final: UsageRecord) -> bytes:
    """The comment in a stream that says what it has cost, in USD, and its tokens; `unknown` where there is no price."""
    cost = final.cost
    amount = "unknown" if cost is None else f"{cost // _NANO}.{str(_NANO + cost % _NANO)[1:]}"
    return (
        f": prism-cost {amount} input_tokens={final.input_tokens} cached_input_tokens={final.cached_input_tokens} "
        f"output_tokens={final.output_tokens} usage={final.usage_source}\n"
    ).encode("ascii")


def header_lines(error: GatewayError) -> bytes:
    """The headers that an error brings along, as header lines."""
    return b"".join([header_line(name, value) for name, value in error.headers.items()])


def may_show_limits(context: RequestContext, status: int) -> bool:
    """Whether the rate limits of an upstream's account may be shown with an error of this status.

    All keys share the account: only a client that runs into a limit has a use for it, and none that has a limit of the
    gateway's own, beside which they would contradict it.
    """
    return status == 429 and context.held is None


def without_models(lines: bytes, names: Mapping[str, str]) -> bytes:
    """Header lines without upstream models in the names of files; `names` has what stands for each model."""
    parts = lines.split(b"\r\n")
    for at, line in enumerate(parts):
        if line.startswith(DISPOSITION):
            for model, alias in names.items():
                for name in {model, quote(model, safe="")}:
                    line = rename(line, name.encode(), alias.encode())
            parts[at] = line
    return b"\r\n".join(parts)


def translated_lines(headers: Sequence[Header], note: str) -> bytes:
    """The header lines of a response that was translated: of the upstream's own only the type of its content."""
    said = response_lines([one for one in headers if one[0] == b"content-type"])
    return said + header_line("X-Prism-Translated", note)


def outcome_of(error: GatewayError) -> Outcome:
    """The outcome of a request that ends with this error before its response began."""
    if isinstance(error, ClientGone):
        return "client_closed"
    if isinstance(error, UpstreamTimeout):
        return "timeout"
    if isinstance(error, GatewayStopped):
        return "gateway_shutdown"
    return "upstream_error" if error.fault == "upstream" else "refused"
