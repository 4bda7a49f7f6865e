"""Traces of requests: none without an endpoint, a span for each request with one, and a trace for the upstream."""

import sys
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

import msgspec
import pytest

from proxy.config.tree import Config, Otel
from proxy.policies.traces import NOT_INSTALLED
from tests.exchange.samples import JSON_ANSWER, question, wait_until
from tests.exchange.test_traces import SPAN, TRACE, ask
from tests.fakes import ScriptedUpstream, json_answer
from tests.observability.collector import Collector, attributes_of
from tests.serving import ALIAS, UPSTREAM_MODEL, RunningGateway, simple_config

needs_otel = pytest.mark.skipif(
    not any(distributions(name="opentelemetry-exporter-otlp-proto-http")), reason="the extra [otel] is not installed"
)


def traced(folder: Path, collector: Collector, *base_urls: str, **settings: Any) -> Config:
    otel = Otel(endpoint=collector.endpoint, **settings)
    return msgspec.structs.replace(simple_config(folder, *base_urls), otel=otel)


@needs_otel
def test_a_request_without_a_trace_gets_one_which_its_upstream_sees(tmp_path: Path) -> None:
    with Collector() as collector, ScriptedUpstream() as upstream:
        upstream.script(json_answer(JSON_ANSWER))
        with RunningGateway(traced(tmp_path, collector, upstream.base_url)) as gateway, gateway.client() as client:
            request_id = ask(gateway, client)
            (request,) = upstream.wait_for_requests(1)
        # It is sent at the end at the latest.
        (span,) = collector.spans()
    assert request.header("traceparent") == f"00-{request_id[4:]}-{request_id[-16:]}-01"
    assert (span.trace_id.hex(), span.span_id.hex(), span.parent_span_id) == (request_id[4:], request_id[-16:], b"")
    found = attributes_of(span)
    assert (found["gen_ai.request.model"], found["gen_ai.response.model"]) == (ALIAS, UPSTREAM_MODEL)
    assert "hello" not in str(span)


@needs_otel
@pytest.mark.parametrize(("flag", "count"), [("01", 1), ("00", 0)])
def test_a_client_s_trace_is_continued_and_sampled_as_it_says(tmp_path: Path, flag: str, count: int) -> None:
    with Collector() as collector, ScriptedUpstream() as upstream:
        upstream.script(json_answer(JSON_ANSWER))
        with RunningGateway(traced(tmp_path, collector, upstream.base_url)) as gateway, gateway.client() as client:
            ask(gateway, client, traceparent=f"00-{TRACE}-{SPAN}-{flag}")
        spans = collector.spans()
    assert [(span.trace_id.hex(), span.parent_span_id.hex()) for span in spans] == [(TRACE, SPAN)] * count


@needs_otel
def test_failed_attempts_are_events_of_the_request_s_span(tmp_path: Path) -> None:
    with Collector() as collector, ScriptedUpstream() as first, ScriptedUpstream() as second:
        first.script(json_answer({"error": {"message": "no"}}, 503))
        second.script(json_answer(JSON_ANSWER))
        config = traced(tmp_path, collector, first.base_url, second.base_url)
        with RunningGateway(config) as gateway, gateway.client() as client:
            ask(gateway, client)
        (span,) = collector.spans()
    assert [(one.name, attributes_of(one)["gen_ai.provider.name"]) for one in span.events] == [
        ("attempt.failed", "vendor1"),
        ("attempt", "vendor2"),
    ]


@needs_otel
def test_a_refusal_has_a_span_with_its_error(tmp_path: Path) -> None:
    with Collector() as collector:
        with (
            RunningGateway(traced(tmp_path, collector, "http://127.0.0.1:9")) as gateway,
            gateway.client() as client,
        ):
            gateway.chat(client, {**question(stream=False), "model": "no-such"})
            client.read_answer()
        (span,) = collector.spans()
    assert attributes_of(span)["error.type"] == "model_not_found"


@needs_otel
def test_only_the_configured_part_is_sampled(tmp_path: Path) -> None:
    with Collector() as collector, ScriptedUpstream() as upstream:
        upstream.script(json_answer(JSON_ANSWER), times=10)
        config = traced(tmp_path, collector, upstream.base_url, sample=0)
        with RunningGateway(config) as gateway, gateway.client() as client:
            for _ in range(10):
                ask(gateway, client)
        assert collector.spans() == []
        assert {(one.header("traceparent") or "")[-2:] for one in upstream.wait_for_requests(10)} == {"00"}


def test_without_its_package_the_gateway_serves_and_says_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    # As if it were not there.
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    config = msgspec.structs.replace(
        simple_config(tmp_path, "http://127.0.0.1:9"), otel=Otel(endpoint="http://127.0.0.1:9/v1/traces")
    )
    with RunningGateway(config) as gateway, gateway.client() as client:
        client.request("GET", "/livez")
        assert client.read_answer()[0].status == 200
    wait_until(lambda: NOT_INSTALLED in caplog.text, "the message")
