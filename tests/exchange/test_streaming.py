"""The relay of a good answer: what leaves when, and what passes in each direction."""

import json
import threading
from pathlib import Path

import pytest

from tests.exchange.samples import (
    ANSWERING_MODEL,
    EVENTS,
    HELLO,
    JSON_ANSWER,
    REWRITTEN_STREAM,
    ROLE,
    STOP,
    STREAM,
    ask,
    begun,
    ended,
    question,
    rewritten,
    serving,
    serving_two,
    wait_for_pool,
    word,
)
from tests.fakes import LAST_CHUNK, Send, Step, WaitFor, chunk, head, json_answer, sse_answer
from tests.serving import ALIAS, KEY, UPSTREAM_MODEL

#: The only headers of an answer that a client may see.
VISIBLE = {
    "date",
    "content-type",
    "cache-control",
    "openai-processing-ms",
    "openai-version",
    "x-accel-buffering",
    "transfer-encoding",
    "x-request-id",
    "x-prism-request-id",
    "x-prism-trace-id",
    "x-prism-latency-ms",
    "x-prism-model-used",
    "x-prism-provider",
    "x-prism-timeout-ms",
    "x-prism-cost",
}
LEAKING = {
    "openai-model": ANSWERING_MODEL,
    "openai-organization": "org-secret",
    "x-ms-deployment-name": "deployment",
    "x-request-id": "upstream-request-id",
    "set-cookie": "session=secret",
    "server": "vendor-edge",
    "via": "1.1 vendor",
    "cf-ray": "8f",
    "x-litellm-model-api-base": "http://inner",
    "strict-transport-security": "max-age=1",
    "alt-svc": "h3",
    "location": "http://inner/",
}


def test_each_event_is_with_the_client_before_the_upstream_writes_the_next(tmp_path: Path) -> None:
    events = [ROLE, *(word(f"word {number}") for number in range(5)), STOP]
    gates = [threading.Event() for _ in events]
    steps: list[Step] = [head(200, EVENTS)]
    for one, gate in zip(events, gates, strict=True):
        steps += [chunk(one), WaitFor(gate)]
    with serving(tmp_path) as (gateway, upstream):
        upstream.script([*steps, Send(LAST_CHUNK)])
        with gateway.client() as client:
            gateway.chat(client, question())
            client.read_head()
            for one, gate in zip(events, gates, strict=True):
                assert client.read_chunk() == rewritten(one)
                gate.set()
            assert client.read_chunk() == b""


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("size", [16_000, 20_000, 3_000_000])
def test_a_body_of_any_size_reaches_each_target_whole(tmp_path: Path, size: int, stream: bool) -> None:
    text = "".join(map(chr, range(32, 127))) * (size // 95 + 1)
    asked = question(stream, user=text, messages=[{"role": "user", "content": text[::-1]}])
    with serving_two(tmp_path) as (gateway, first, second):
        first.script([head(503, {"content-length": "0"})])
        second.script(sse_answer(STREAM) if stream else json_answer(JSON_ANSWER))
        answer, _ = ask(gateway, asked)
        assert answer.status == 200
        asked |= {"model": UPSTREAM_MODEL}
        if stream:
            asked |= {"stream_options": {"include_usage": True}}
        for upstream in (first, second):
            assert [json.loads(request.body) for request in upstream.requests] == [asked]


def test_the_head_leaves_in_one_write_with_the_first_event(tmp_path: Path) -> None:
    gate = threading.Event()
    with serving(tmp_path) as (gateway, upstream):
        upstream.script([*begun(ROLE), WaitFor(gate), chunk(STOP), Send(LAST_CHUNK)])
        with gateway.client() as client:
            gateway.chat(client, question())
            first = client.socket.recv(65_536)
            gate.set()
        assert first.startswith(b"HTTP/1.1 200 ")
        assert rewritten(ROLE) in first


def test_events_that_come_in_one_read_leave_in_one_piece(tmp_path: Path) -> None:
    with serving(tmp_path) as (gateway, upstream):
        upstream.script(sse_answer(STREAM))
        _, body = ask(gateway)
    assert body.pieces == [REWRITTEN_STREAM]


def test_an_event_cut_anywhere_reaches_the_client_whole(tmp_path: Path) -> None:
    with serving(tmp_path) as (gateway, upstream):
        upstream.script(sse_answer(STREAM, 7))
        _, body = ask(gateway)
    assert body.payload == REWRITTEN_STREAM


def test_comments_and_unknown_fields_pass_byte_for_byte(tmp_path: Path) -> None:
    odd = (
        b": OPENROUTER PROCESSING\n\n"
        b'data:{"x_vendor": {"model": "inner"},  "choices":[],"model" : "%b" }\r\n\r\n' % ANSWERING_MODEL.encode()
    )
    with serving(tmp_path) as (gateway, upstream):
        upstream.script(ended(odd, STOP))
        _, body = ask(gateway)
    assert body.payload == rewritten(odd + STOP)


def test_a_request_reaches_the_upstream_with_nothing_but_the_model_changed(tmp_path: Path) -> None:
    sent = (
        b'{ "messages" : [{"role":"user","content":"\\u00e9 {\\"model\\":\\"x\\"}"}],\n "model":"%b",'
        b'"tools":[{"model":"%b"}],"x_unknown": 1.50e3}' % (ALIAS.encode(), ALIAS.encode())
    )
    with serving(tmp_path) as (gateway, upstream):
        upstream.script(json_answer(JSON_ANSWER))
        with gateway.client() as client:
            gateway.chat(client, sent)
            client.read_answer()
        (request,) = upstream.requests
    assert (
        request.body == b'{"messages":[{"role":"user","content":"\\u00e9 {\\"model\\":\\"x\\"}"}],"model":"%b",'
        b'"tools":[{"model":"%b"}],"x_unknown":1.50e3}' % (UPSTREAM_MODEL.encode(), ALIAS.encode())
    )
    assert request.target == "/chat/completions"


def test_a_second_model_in_the_request_never_reaches_the_upstream(tmp_path: Path) -> None:
    with serving(tmp_path) as (gateway, upstream):
        upstream.script(json_answer(JSON_ANSWER))
        with gateway.client() as client:
            gateway.chat(client, b'{"model":"vendor-expensive","messages":[],"model":"%b"}' % ALIAS.encode())
            client.read_answer()
        (request,) = upstream.requests
    assert request.body.count(b'"model"') == 1
    assert json.loads(request.body)["model"] == UPSTREAM_MODEL


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "json"])
def test_the_client_sees_only_headers_that_are_allowed(tmp_path: Path, stream: bool) -> None:
    extra = {**LEAKING, "openai-processing-ms": "12", "x-ratelimit-remaining-tokens": "7", "cache-control": "no-cache"}
    with serving(tmp_path) as (gateway, upstream):
        upstream.script(sse_answer(STREAM, headers=extra) if stream else json_answer(JSON_ANSWER, headers=extra))
        answer, _ = ask(gateway, question(stream=stream))
    names = {name.lower() for name, _ in answer.headers}
    assert names - {"content-length"} <= VISIBLE
    assert {"openai-processing-ms", "cache-control", "x-request-id"} <= names
    assert answer.header("x-request-id") == answer.header("x-prism-request-id")
    assert answer.header("x-request-id") != "upstream-request-id"
    assert (answer.header("x-prism-model-used"), answer.header("x-prism-provider")) == (ALIAS, "prometheus")


def test_an_operator_may_show_which_upstream_answered(tmp_path: Path) -> None:
    with serving(tmp_path, server={"expose_upstream": True}) as (gateway, upstream):
        upstream.script(sse_answer(STREAM))
        answer, _ = ask(gateway)
    assert (answer.header("x-prism-model-used"), answer.header("x-prism-provider")) == (UPSTREAM_MODEL, "vendor1")


def test_a_json_answer_tells_its_cost(tmp_path: Path) -> None:
    with serving(tmp_path) as (gateway, upstream):
        upstream.script(json_answer(JSON_ANSWER))
        answer, _ = ask(gateway, question(stream=False))
    assert answer.header("x-prism-cost") == "0.000018700"


def test_the_upstream_sees_only_headers_that_are_allowed(tmp_path: Path) -> None:
    with serving(tmp_path) as (gateway, upstream):
        upstream.script(json_answer(JSON_ANSWER))
        with gateway.client() as client:
            headers = {
                "authorization": f"Bearer {KEY}",
                "x-api-key": KEY,
                "api-key": KEY,
                "content-type": "application/json",
                "accept-encoding": "gzip, br",
                "cookie": "session=client",
                "user-agent": "OpenAI/Python",
                "x-forwarded-for": "10.0.0.1",
                "x-stainless-os": "Linux",
                "openai-organization": "org-of-client",
                "te": "trailers",
                "expect": "100-continue",
                "openai-beta": "assistants=v2",
            }
            body = json.dumps(question(stream=False)).encode()
            client.request("POST", "/v1/chat/completions", body, headers)
            assert client.read_head().status == 100
            client.read_answer()
        (request,) = upstream.requests
    assert {name.lower(): value for name, value in request.headers} == {
        "host": f"127.0.0.1:{upstream.port}",
        "user-agent": "prometheus-gateway",
        "accept-encoding": "identity",
        "content-type": "application/json",
        "authorization": "Bearer sk-upstream-secret",
        "openai-beta": "assistants=v2",
        "content-length": str(len(request.body)),
    }


def test_a_trace_id_of_the_client_is_given_back(tmp_path: Path) -> None:
    with serving(tmp_path) as (gateway, upstream):
        upstream.script(json_answer(JSON_ANSWER))
        with gateway.client() as client:
            headers = {"authorization": f"Bearer {KEY}", "x-prism-trace-id": "trace-1.a"}
            client.request("POST", "/v1/chat/completions", json.dumps(question(stream=False)).encode(), headers)
            answer, _ = client.read_answer()
    assert answer.header("x-prism-trace-id") == "trace-1.a"


def test_a_client_that_asked_for_usage_gets_the_usage_event(tmp_path: Path) -> None:
    with serving(tmp_path) as (gateway, upstream):
        upstream.script(sse_answer(STREAM))
        _, body = ask(gateway, question(stream_options={"include_usage": True}))
    assert body.payload == rewritten(STREAM)


def test_other_stream_options_of_the_client_are_kept(tmp_path: Path) -> None:
    with serving(tmp_path) as (gateway, upstream):
        upstream.script(sse_answer(STREAM))
        ask(gateway, question(stream_options={"include_obfuscation": False}))
        (request,) = upstream.requests
    assert json.loads(request.body)["stream_options"] == {"include_obfuscation": False, "include_usage": True}


def test_stream_options_are_not_added_for_an_upstream_that_does_not_take_them(tmp_path: Path) -> None:
    with serving(tmp_path, upstream={"stream_options": False}) as (gateway, upstream):
        upstream.script(ended(ROLE, HELLO, STOP))
        ask(gateway)
        (request,) = upstream.requests
    assert "stream_options" not in json.loads(request.body)


def test_one_client_connection_serves_one_request_after_the_other(tmp_path: Path) -> None:
    with serving(tmp_path) as (gateway, upstream):
        upstream.script(sse_answer(STREAM), times=3)
        with gateway.client() as client:
            for _ in range(3):
                gateway.chat(client, question())
                assert client.read_answer()[1].payload == REWRITTEN_STREAM
                wait_for_pool(gateway, size=1, idle=1)
        assert {request.connection for request in upstream.requests} == {1}


def test_an_old_client_gets_the_same_bytes_without_chunks(tmp_path: Path) -> None:
    with serving(tmp_path) as (gateway, upstream):
        upstream.script(sse_answer(STREAM))
        body = json.dumps(question()).encode()
        with gateway.client() as client:
            client.send(
                b"POST /v1/chat/completions HTTP/1.0\r\nauthorization: Bearer %b\r\ncontent-length: %d\r\n\r\n%b"
                % (KEY.encode(), len(body), body)
            )
            answer, got = client.read_answer()
    assert answer.header("transfer-encoding") is None
    assert got.payload == REWRITTEN_STREAM
