"""The span of a request: what is known of it at its end, under OpenTelemetry's names for generative AI. Pure.

https://opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-spans/. What a client wrote and what a model responded is in
none; nor is a secret.
"""

from typing import Final, NamedTuple

from proxy.ledger.record import UsageRecord
from proxy.observability.access_format import dollars
from proxy.wire.trace_context import TraceParent, span_id_of

Value = str | int | float | bool
_OPERATIONS: Final = (
    ("/chat/completions", "chat"),
    ("/messages", "chat"),
    ("/responses", "chat"),
    ("/completions", "text_completion"),
    ("/embeddings", "embeddings"),
    (":generateContent", "generate_content"),
    (":streamGenerateContent", "generate_content"),
)
#: Outcomes that are no error of the request's.
_GOOD: Final = frozenset({"complete", "client_closed", "client_stalled", "hedge_lost"})


class SpanEvent(NamedTuple):
    """Something that happened meanwhile; `time` is nanoseconds since 1970."""

    name: str
    time: int
    attributes: dict[str, Value]


class Span(NamedTuple):
    """One span; its times are nanoseconds since 1970."""

    name: str
    trace_id: str
    span_id: str
    #: The client's span; empty for none.
    parent_id: str
    start: int
    end: int
    attributes: dict[str, Value]
    events: tuple[SpanEvent, ...]
    #: What the error is called; empty for none.
    error: str


def operation_of(endpoint: str) -> str:
    """What an endpoint does, in OpenTelemetry's words where those have one."""
    for ending, operation in _OPERATIONS:
        if endpoint.endswith(ending):
            return operation
    return endpoint.rpartition("/")[2] or endpoint


def failed_attempt(target: str, code: str, time: int) -> SpanEvent:
    """The event of a failed attempt at a target, "upstream/model"."""
    upstream, _, model = target.partition("/")
    attributes: dict[str, Value] = {"gen_ai.provider.name": upstream, "gen_ai.response.model": model}
    return SpanEvent("attempt.failed", time, {**attributes, "error.type": code})


def span_of(final: UsageRecord, method: str, trace: TraceParent, events: tuple[SpanEvent, ...]) -> Span:
    """The span of a settled request."""
    operation = operation_of(final.endpoint)
    start = final.started * 1_000
    attributes: dict[str, Value] = {
        "gen_ai.operation.name": operation,
        "gen_ai.request.model": final.alias,
        "http.request.method": method,
        "http.route": final.endpoint,
        "http.response.status_code": final.status,
        "prometheus_gateway.request_id": final.id,
        "prometheus_gateway.key_id": final.key,
        "prometheus_gateway.outcome": final.outcome,
        "prometheus_gateway.attempts": final.attempts,
        "prometheus_gateway.overhead_seconds": final.overhead / 1_000_000,
    }
    if final.upstream:
        attributes["gen_ai.provider.name"] = final.upstream
        attributes["gen_ai.response.model"] = final.upstream_model
        events = (*events, _last_attempt(final, start))
    if final.usage_source != "none":
        attributes["gen_ai.usage.input_tokens"] = final.input_tokens
        attributes["gen_ai.usage.output_tokens"] = final.output_tokens
        attributes["gen_ai.usage.cache_read.input_tokens"] = final.cached_input_tokens
        attributes["gen_ai.usage.cache_creation.input_tokens"] = final.cache_write_tokens
        attributes["prometheus_gateway.usage_source"] = final.usage_source
    if final.cost is not None:
        # As text, so that it stays exact.
        attributes["prometheus_gateway.cost_usd"] = dollars(final.cost)
    if final.session:
        attributes["gen_ai.conversation.id"] = final.session
    if final.ttft is not None and final.stream:
        attributes["gen_ai.response.time_to_first_chunk"] = final.ttft / 1_000_000
    error = "" if final.outcome in _GOOD and final.status < 500 else final.error_code or final.outcome
    if error:
        attributes["error.type"] = error
    return Span(
        f"{operation} {final.alias}" if final.alias else operation,
        trace.trace_id,
        span_id_of(final.id),
        trace.parent_id,
        start,
        start + final.total * 1_000,
        attributes,
        events,
        error,
    )


def _last_attempt(final: UsageRecord, start: int) -> SpanEvent:
    """The attempt whose outcome is that of the request, at its first byte or, without one, at the request's end."""
    where: dict[str, Value] = {"gen_ai.provider.name": final.upstream, "gen_ai.response.model": final.upstream_model}
    time = start + (final.ttft if final.ttft is not None else final.total) * 1_000
    return SpanEvent("attempt", time, {**where, "prometheus_gateway.outcome": final.outcome})
