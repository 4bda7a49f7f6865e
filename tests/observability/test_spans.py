"""Spans: OpenTelemetry's names for what a bill has, and nothing that a client wrote."""

import pytest

from proxy.observability.spans import failed_attempt, operation_of, span_of
from proxy.wire.trace_context import TraceParent
from tests.ledger.samples import STARTED, final

TRACE = TraceParent("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7")


def test_a_span_has_what_the_bill_has() -> None:
    span = span_of(final(1, session="s-1"), "POST", TRACE, ())
    assert (span.name, span.trace_id, span.parent_id) == ("chat prometheus-core", TRACE.trace_id, TRACE.parent_id)
    assert span.span_id == final(1).id[-16:]
    assert (span.start, span.end) == ((STARTED + 1) * 1_000, (STARTED + 1 + 900_000) * 1_000)
    assert span.attributes == {
        "gen_ai.operation.name": "chat",
        "gen_ai.request.model": "prometheus-core",
        "gen_ai.provider.name": "openai",
        "gen_ai.response.model": "gpt-5",
        "gen_ai.usage.input_tokens": 100,
        "gen_ai.usage.output_tokens": 50,
        "gen_ai.usage.cache_read.input_tokens": 0,
        "gen_ai.usage.cache_creation.input_tokens": 0,
        "gen_ai.conversation.id": "s-1",
        "gen_ai.response.time_to_first_chunk": 0.2,
        "http.request.method": "POST",
        "http.route": "/v1/chat/completions",
        "http.response.status_code": 200,
        "prometheus_gateway.request_id": final(1).id,
        "prometheus_gateway.key_id": "key_aaaaaaaaaaaa",
        "prometheus_gateway.outcome": "complete",
        "prometheus_gateway.attempts": 1,
        "prometheus_gateway.overhead_seconds": 0.0003,
        "prometheus_gateway.usage_source": "reported",
        "prometheus_gateway.cost_usd": "0.00033",
    }
    assert span.error == ""
    assert [(event.name, event.time - span.start) for event in span.events] == [("attempt", 200_000_000)]


def test_what_is_not_known_is_left_out() -> None:
    record = final(1, cost=None, ttft=None, usage_source="none", upstream="", upstream_model="", attempts=0)
    span = span_of(record, "POST", TRACE, ())
    assert {name for name in span.attributes if "cost" in name or "usage" in name or "provider" in name} == set()
    assert span.events == ()


def test_failed_attempts_are_events_before_the_last_one() -> None:
    failed = failed_attempt("one/a/b", "upstream_timeout", 5)
    span = span_of(final(1, attempts=2), "POST", TRACE, (failed,))
    assert [event.name for event in span.events] == ["attempt.failed", "attempt"]
    assert failed.attributes == {
        "gen_ai.provider.name": "one",
        "gen_ai.response.model": "a/b",
        "error.type": "upstream_timeout",
    }


@pytest.mark.parametrize(
    ("outcome", "status", "code", "error"),
    [
        ("complete", 200, None, ""),
        ("client_closed", 499, "client_closed", ""),
        ("refused", 404, "model_not_found", "model_not_found"),
        ("upstream_cut", 200, "upstream_dropped", "upstream_dropped"),
        ("interrupted", 200, None, "interrupted"),
    ],
)
def test_an_error_has_its_code_or_its_outcome(outcome: str, status: int, code: str | None, error: str) -> None:
    span = span_of(final(1, outcome=outcome, status=status, error_code=code), "POST", TRACE, ())
    assert (span.error, span.attributes.get("error.type", "")) == (error, error)


@pytest.mark.parametrize(
    ("endpoint", "operation"),
    [
        ("/v1/chat/completions", "chat"),
        ("/v1/messages", "chat"),
        ("/v1/completions", "text_completion"),
        ("/v1/embeddings", "embeddings"),
        ("/v1beta/models/{model}:streamGenerateContent", "generate_content"),
        ("/v1/images/generations", "generations"),
    ],
)
def test_operations_have_the_names_of_the_conventions(endpoint: str, operation: str) -> None:
    assert operation_of(endpoint) == operation
