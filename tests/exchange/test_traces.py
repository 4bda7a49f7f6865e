"""Traces: the upstream gets the client's trace id with a span of the gateway's, at every kind of endpoint."""

import json
import re
from pathlib import Path

import pytest

from tests.exchange.samples import JSON_ANSWER, question
from tests.fakes import RawClient, RecordedRequest, ScriptedUpstream, json_answer
from tests.serving import KEY, RunningGateway, simple_config

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
JSON = {"authorization": f"Bearer {KEY}", "content-type": "application/json"}


def ask(gateway: RunningGateway, client: RawClient, **headers: str) -> str:
    """Send a chat request; the id of the request."""
    client.request("POST", "/v1/chat/completions", json.dumps(question(stream=False)).encode(), {**JSON, **headers})
    head, _ = client.read_answer()
    assert head.status == 200
    return head.header("x-request-id") or ""


def sent(upstream: ScriptedUpstream, count: int) -> list[RecordedRequest]:
    return upstream.wait_for_requests(count)


@pytest.mark.parametrize("flag", ["00", "01"])
def test_a_trace_is_continued_with_a_span_of_each_request(tmp_path: Path, flag: str) -> None:
    with ScriptedUpstream() as upstream, RunningGateway(simple_config(tmp_path, upstream.base_url)) as gateway:
        upstream.script(json_answer(JSON_ANSWER), times=2)
        with gateway.client() as client:
            # The head of the second is known by its bytes.
            ids = [ask(gateway, client, traceparent=f"00-{TRACE}-{SPAN}-{flag}", tracestate="vendor=1") for _ in "ab"]
        requests = sent(upstream, 2)
    assert [one.header("traceparent") for one in requests] == [f"00-{TRACE}-{one[-16:]}-{flag}" for one in ids]
    assert ids[0] != ids[1]
    assert [one.header("tracestate") for one in requests] == [None, None]


@pytest.mark.parametrize("value", ["", f"00-{'0' * 32}-{SPAN}-01", "made up"])
def test_without_a_valid_one_nothing_is_sent(tmp_path: Path, value: str) -> None:
    with ScriptedUpstream() as upstream, RunningGateway(simple_config(tmp_path, upstream.base_url)) as gateway:
        upstream.script(json_answer(JSON_ANSWER))
        with gateway.client() as client:
            ask(gateway, client, **({"traceparent": value} if value else {}))
        (request,) = sent(upstream, 1)
    assert request.header("traceparent") is None


def test_a_trace_id_of_another_kind_is_not_sent(tmp_path: Path) -> None:
    with ScriptedUpstream() as upstream, RunningGateway(simple_config(tmp_path, upstream.base_url)) as gateway:
        upstream.script(json_answer(JSON_ANSWER))
        with gateway.client() as client:
            ask(gateway, client, **{"x-prism-trace-id": TRACE})
        (request,) = sent(upstream, 1)
    assert TRACE not in str(request)


def test_a_trace_is_continued_at_resource_endpoints(tmp_path: Path) -> None:
    with ScriptedUpstream() as upstream, RunningGateway(simple_config(tmp_path, upstream.base_url)) as gateway:
        upstream.script(json_answer({"id": "vs_1", "object": "vector_store"}))
        with gateway.client() as client:
            headers = {**JSON, "traceparent": f"00-{TRACE}-{SPAN}-01"}
            client.request("POST", "/v1/vector_stores", b"{}", headers)
            head, _ = client.read_answer()
            assert head.status == 200
        (request,) = sent(upstream, 1)
    assert re.fullmatch(rf"00-{TRACE}-[0-9a-f]{{16}}-01", request.header("traceparent") or "")
