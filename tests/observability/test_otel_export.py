"""The export of spans, to a collector on a real socket: none is lost but by the bound, and those are counted."""

import threading
from typing import Any

import pytest

from proxy.config.tree import Otel
from proxy.observability.metrics import Counter, Metrics
from proxy.observability.spans import failed_attempt, span_of
from proxy.wire.trace_context import TraceParent
from tests.exchange.samples import wait_until
from tests.ledger.samples import final
from tests.observability.collector import Collector, attributes_of

pytest.importorskip("opentelemetry.exporter.otlp.proto.http", reason="the extra [otel] is not installed")

TRACE = TraceParent("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7")


def sender_to(collector: Collector, **settings: Any) -> tuple[Any, Counter]:
    from proxy.observability.otel_export import SpanSender

    counter = Metrics().counter("prometheus_gateway_spans_total", "Spans.", "result")
    return SpanSender(Otel(endpoint=collector.endpoint, **settings), counter), counter


def span(number: int) -> Any:
    return span_of(final(number), "POST", TRACE, (failed_attempt("one/a", "upstream_timeout", 7),))


def test_a_span_arrives_with_its_ids_attributes_and_events() -> None:
    with Collector() as collector:
        sender, counter = sender_to(collector, headers={"x-token": "secret"}, service_name="gateway-1")
        sender.add(span(1))
        wait_until(lambda: bool(collector.requests), "the span")
        sender.close()
        (found,) = collector.spans()
        headers, body = collector.requests[0]
    assert (found.trace_id.hex(), found.parent_span_id.hex()) == (TRACE.trace_id, TRACE.parent_id)
    assert found.span_id.hex() == final(1).id[-16:]
    assert (found.name, found.kind) == ("chat prometheus-core", 2)
    assert found.end_time_unix_nano - found.start_time_unix_nano == 900_000_000
    assert attributes_of(found)["gen_ai.usage.input_tokens"] == 100
    assert [event.name for event in found.events] == ["attempt.failed", "attempt"]
    assert attributes_of(found.events[0])["error.type"] == "upstream_timeout"
    assert headers["x-token"] == "secret"
    assert b"gateway-1" in body
    assert counter.values == {("sent",): 1, ("failed",): 0, ("dropped",): 0}


def test_what_waits_is_sent_at_the_end_in_batches() -> None:
    with Collector() as collector:
        sender, counter = sender_to(collector)
        for number in range(1_500):
            sender.add(span(number))
        sender.close()
        assert len(collector.spans()) == 1_500
        assert len(collector.requests) < 20
    assert counter.values["sent",] == 1_500


def test_beyond_the_bound_spans_are_dropped_and_counted() -> None:
    gate = threading.Event()
    with Collector(gate=gate) as collector:
        sender, counter = sender_to(collector, max_waiting=10)
        # The collector is slow: what comes meanwhile waits, and then there is no room.
        for number in range(2_000):
            sender.add(span(number))
        gate.set()
        sender.close()
        assert len(collector.spans()) + counter.values["dropped",] == 2_000
        assert counter.values["dropped",] > 0


def test_a_collector_that_refuses_costs_nothing_but_the_spans() -> None:
    with Collector(status=400) as collector:
        sender, counter = sender_to(collector)
        sender.add(span(1))
        sender.close()
    assert counter.values == {("sent",): 0, ("failed",): 1, ("dropped",): 0}
