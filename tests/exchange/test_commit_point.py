"""Before the first byte another attempt may be made, after it none: which failures are mended, and how often."""

import gzip
import json
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.exchange.samples import (
    ANSWERING_MODEL,
    DONE,
    HELLO,
    JSON_ANSWER,
    REWRITTEN_STREAM,
    ROLE,
    STREAM,
    ask,
    begun,
    ended,
    event,
    only_row,
    question,
    refusing_url,
    rewritten,
    serving,
    serving_two,
    wait_for_pool,
)
from tests.fakes import (
    LAST_CHUNK,
    Close,
    Hang,
    Pause,
    RecordedRequest,
    Reset,
    ScriptedUpstream,
    Send,
    Step,
    WaitFor,
    chunk,
    head,
    json_answer,
    sse_answer,
)
from tests.serving import ALIAS, UPSTREAM_MODEL, RunningGateway, simple_config

ERROR_EVENT = b'data: {"error":{"message":"%b broke","type":"server_error"}}\n\n' % UPSTREAM_MODEL.encode()


def error(status: int, message: str = "no", **headers: str) -> list[Step]:
    """An error answer in OpenAI's shape."""
    detail = {"message": message, "type": "server_error", "param": None, "code": None}
    return json_answer({"error": detail}, status, {name.replace("_", "-"): value for name, value in headers.items()})


#: Answers after which the next target is asked, when nothing has reached the client.
MENDED: dict[str, Sequence[Step]] = {
    "reset before the head": [Reset()],
    "closed before the head": [Close()],
    "closed inside the head": [Send(b"HTTP/1.1 200 OK\r\ncontent-ty"), Close()],
    "no HTTP": [Send(b"+OK hello\r\n\r\n")],
    "a head without end": [Send(b"HTTP/1.1 200 OK\r\nx: " + b"a" * 100_000)],
    "no body": [*begun(), Reset()],
    "a reset behind the role": [*begun(ROLE), Pause(0.05), Reset()],
    "an end behind the role": ended(ROLE),
    "an error event behind the role": ended(ROLE, ERROR_EVENT),
    "half an event": [*begun(HELLO[:20]), Close()],
    "408": error(408),
    "429": error(429),
    "502": error(502),
    "503": error(503),
    "504": error(504),
    "529": error(529),
    "401": error(401),
    "403": error(403),
    "a web page": json_answer(b"<html>", headers={"content-type": "text/html"}),
    "a compressed answer": sse_answer(gzip.compress(STREAM), headers={"content-encoding": "gzip"}),
    "an empty answer": json_answer(b""),
    "an empty stream": ended(),
    "an error event first": ended(ERROR_EVENT, DONE),
    "an error in a 200": json_answer({"error": {"message": "no"}}),
    "an event that is not JSON": ended(b"data: {oops\n\n"),
    "no JSON": json_answer(b"oops"),
}


@pytest.mark.parametrize("steps", MENDED.values(), ids=MENDED.keys())
def test_a_failure_before_the_first_byte_is_mended_by_the_next_target(tmp_path: Path, steps: Sequence[Step]) -> None:
    with serving_two(tmp_path) as (gateway, first, second):
        first.script(steps)
        second.script(sse_answer(STREAM))
        answer, body = ask(gateway)
        assert (answer.status, body.payload) == (200, REWRITTEN_STREAM)
        assert answer.header("x-prism-fallback-used") == "true"
        row = only_row(gateway)
        assert (row.attempts, row.upstream, row.outcome, row.input_tokens) == (2, "vendor2", "complete", 9)
        assert len(first.requests) == 1


def test_a_refused_connection_is_mended_by_the_next_target(tmp_path: Path) -> None:
    with refusing_url() as unheard, ScriptedUpstream() as second:
        second.script(sse_answer(STREAM))
        with RunningGateway(simple_config(tmp_path, unheard, second.base_url)) as gateway:
            _, body = ask(gateway)
            assert body.payload == REWRITTEN_STREAM
            assert (only_row(gateway).attempts, only_row(gateway).upstream) == (2, "vendor2")


def test_a_silent_upstream_is_mended_by_the_next_target_after_the_first_byte_timeout(tmp_path: Path) -> None:
    with serving_two(tmp_path, upstream={"first_byte_timeout": 0.1}) as (gateway, first, second):
        first.script([Hang()])
        second.script(sse_answer(STREAM))
        _, body = ask(gateway)
        assert body.payload == REWRITTEN_STREAM
        assert first.requests[0].closed.wait(5)
        assert only_row(gateway).attempts == 2


def test_a_head_without_a_body_is_not_an_answer(tmp_path: Path) -> None:
    with serving_two(tmp_path, upstream={"idle_timeout": 0.1}) as (gateway, first, second):
        first.script([*begun(), Hang()])
        second.script(sse_answer(STREAM))
        _, body = ask(gateway)
    assert body.payload == REWRITTEN_STREAM


def test_a_500_is_tried_once_more_on_the_same_target(tmp_path: Path) -> None:
    with serving_two(tmp_path) as (gateway, first, second):
        first.script(error(500))
        first.script(sse_answer(STREAM))
        answer, body = ask(gateway)
        assert body.payload == REWRITTEN_STREAM
        assert answer.header("x-prism-fallback-used") is None
        assert (only_row(gateway).attempts, len(first.requests), len(second.requests)) == (2, 2, 0)


def test_a_second_500_goes_to_the_next_target(tmp_path: Path) -> None:
    with serving_two(tmp_path) as (gateway, first, second):
        first.script(error(500), times=2)
        second.script(sse_answer(STREAM))
        _, body = ask(gateway)
        assert body.payload == REWRITTEN_STREAM
        assert only_row(gateway).attempts == 3


def test_three_attempts_are_the_most(tmp_path: Path) -> None:
    with ScriptedUpstream(lambda _: error(503)) as upstream:
        targets = [f"{upstream.base_url}/{name}" for name in "abcde"]
        with RunningGateway(simple_config(tmp_path, *targets)) as gateway:
            answer, _ = ask(gateway)
            assert answer.status == 503
            row = only_row(gateway)
            assert (row.attempts, row.outcome, row.error_code) == (3, "upstream_error", "upstream_503")
        assert [request.target for request in upstream.requests] == [f"/{name}/chat/completions" for name in "abc"]


def test_silence_behind_the_role_is_mended_too(tmp_path: Path) -> None:
    with serving_two(tmp_path, upstream={"idle_timeout": 0.1}) as (gateway, first, second):
        first.script([*begun(ROLE), Hang()])
        second.script(sse_answer(STREAM))
        _, body = ask(gateway)
    assert body.payload == REWRITTEN_STREAM


def test_what_came_before_the_first_content_leaves_with_it(tmp_path: Path) -> None:
    with serving_two(tmp_path) as (gateway, first, _):
        gate = threading.Event()
        first.script([*begun(ROLE), Pause(0.05), chunk(HELLO), WaitFor(gate)])
        with gateway.client() as client:
            gateway.chat(client, question())
            client.read_head()
            assert client.read_chunk() == rewritten(ROLE + HELLO)
            gate.set()


def test_the_role_leaves_at_once_where_nobody_else_could_answer(tmp_path: Path) -> None:
    with serving(tmp_path) as (gateway, upstream):
        gate = threading.Event()
        upstream.script([*begun(ROLE), WaitFor(gate)])
        with gateway.client() as client:
            gateway.chat(client, question())
            client.read_head()
            assert client.read_chunk() == rewritten(ROLE)
            gate.set()


def test_an_opening_without_content_is_held_up_to_a_bound(tmp_path: Path) -> None:
    long = event(choices=[], system_fingerprint="x" * 5_000)
    with serving_two(tmp_path) as (gateway, first, second):
        gate = threading.Event()
        first.script([*begun(ROLE), Pause(0.05), chunk(long), WaitFor(gate), Reset()])
        with gateway.client() as client:
            gateway.chat(client, question())
            client.read_head()
            gate.set()
            assert not client.read_chunked().complete
        assert not second.requests


def large_json() -> bytes:
    """An answer too large to be held until its end."""
    return json.dumps({**JSON_ANSWER, "padding": "x" * 400_000}).encode()


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "json"])
def test_nothing_is_tried_again_after_the_first_content(tmp_path: Path, stream: bool) -> None:
    with serving_two(tmp_path) as (gateway, first, second):
        gate = threading.Event()
        half = head(200, {"content-length": "999999"}), Send(large_json())
        first.script([*(begun(ROLE, HELLO) if stream else half), WaitFor(gate), Reset()])
        with gateway.client() as client:
            gateway.chat(client, question(stream=stream))
            client.read_head()
            gate.set()
            assert not client.read_chunked().complete
        assert not second.requests
        assert only_row(gateway).attempts == 1


@pytest.mark.parametrize("then", [[Close()], [Reset()], [Hang()]], ids=["closed", "reset", "silent"])
def test_a_json_answer_that_breaks_off_is_replaced_by_another_target_s(tmp_path: Path, then: Sequence[Step]) -> None:
    with serving_two(tmp_path, upstream={"idle_timeout": 0.2}) as (gateway, first, second):
        first.script([head(200, {"content-length": "9999"}), Send(json.dumps(JSON_ANSWER).encode()[:80]), *then])
        second.script(json_answer(JSON_ANSWER))
        answer, body = ask(gateway, question(stream=False))
        assert (answer.status, body.payload) == (200, rewritten(json.dumps(JSON_ANSWER).encode()))
        assert only_row(gateway).attempts == 2


@pytest.mark.parametrize("status", [400, 404, 413, 422])
def test_a_request_that_the_upstream_finds_wrong_is_not_tried_again(tmp_path: Path, status: int) -> None:
    with serving_two(tmp_path) as (gateway, first, second):
        first.script(error(status, f"{UPSTREAM_MODEL} of org-12345678 does not like it"))
        answer, body = ask(gateway)
        assert answer.status == status
        assert json.loads(body.payload)["error"]["message"] == f"{ALIAS} of *** does not like it"
        row = only_row(gateway)
        assert (row.attempts, row.outcome, row.status) == (1, "upstream_error", status)
        assert (row.usage_source, row.cost) == ("none", 0)
        assert not second.requests


@pytest.mark.parametrize("status", [401, 403])
def test_the_gateway_s_own_credential_being_refused_is_not_the_client_s_fault(tmp_path: Path, status: int) -> None:
    with serving(tmp_path) as (gateway, upstream):
        upstream.script(error(status, "Incorrect API key provided: sk-upstr***cret"))
        answer, body = ask(gateway)
    assert answer.status == 502
    assert json.loads(body.payload)["error"]["code"] == "upstream_error"
    assert b"sk-upstr" not in body.payload


def test_a_connection_that_the_upstream_closes_as_it_is_reused_is_mended_silently(tmp_path: Path) -> None:
    def closing(request: RecordedRequest) -> Sequence[Step]:
        if request.connection == 1 and len(upstream.requests) > 1:
            return [Close()]
        return sse_answer(STREAM)

    with ScriptedUpstream(closing) as upstream, RunningGateway(simple_config(tmp_path, upstream.base_url)) as gateway:
        ask(gateway)
        wait_for_pool(gateway, size=1, idle=1)
        answer, body = ask(gateway)
        assert (answer.status, body.payload) == (200, REWRITTEN_STREAM)
        assert [request.connection for request in upstream.requests] == [1, 1, 2]
        assert [row.attempts for row in gateway.rows()] == [1, 2]


def test_a_fresh_connection_that_is_closed_is_not_tried_again_on_the_same_target(tmp_path: Path) -> None:
    with serving(tmp_path) as (gateway, upstream):
        upstream.script([Close()])
        answer, body = ask(gateway)
        assert (answer.status, json.loads(body.payload)["error"]["code"]) == (502, "upstream_dropped")
        assert len(upstream.requests) == 1


def test_a_429_with_its_retry_after_is_passed_on_when_nothing_is_left(tmp_path: Path) -> None:
    with serving(tmp_path) as (gateway, upstream):
        upstream.script(error(429, f"Rate limit reached for {UPSTREAM_MODEL}", retry_after="7", set_cookie="a=b"))
        answer, body = ask(gateway)
        assert answer.status == 429
        assert (answer.header("retry-after"), answer.header("set-cookie")) == ("7", None)
        assert json.loads(body.payload)["error"]["message"] == f"Rate limit reached for {ALIAS}"
        row = only_row(gateway)
        assert (row.outcome, row.error_code, row.cost) == ("upstream_error", "upstream_429", 0)


@pytest.mark.parametrize(
    ("steps", "status", "kind"),
    [
        (json_answer(b"<html>vendor-edge</html>", 503, {"content-type": "text/html"}), 503, "provider_error"),
        (json_answer(b"<html>vendor-edge</html>", 404, {"content-type": "text/html"}), 502, "provider_error"),
        (json_answer({"message": "inner.host"}, 400), 400, "invalid_request_error"),
        ([head(302, {"location": "http://inner.host/", "content-length": "0"})], 502, "provider_error"),
    ],
    ids=["web page of a failure", "web page", "other shape", "redirect"],
)
def test_an_error_that_is_not_in_the_caller_s_shape_becomes_one_of_ours(
    tmp_path: Path, steps: Sequence[Step], status: int, kind: str
) -> None:
    with serving(tmp_path) as (gateway, upstream):
        upstream.script(steps)
        answer, body = ask(gateway)
    assert answer.status == status
    assert json.loads(body.payload)["error"]["type"] == kind
    assert answer.header("location") is None
    assert b"inner.host" not in body.payload
    assert b"vendor-edge" not in body.payload


@pytest.mark.parametrize(
    ("steps", "status", "code"),
    [
        ([Reset()], 502, "upstream_dropped"),
        (json_answer(b"<html>", headers={"content-type": "text/html"}), 502, "upstream_protocol_error"),
        (ended(ERROR_EVENT), 502, "upstream_protocol_error"),
        ([Hang()], 504, "upstream_timeout"),
    ],
    ids=["reset", "web page", "error event", "silence"],
)
def test_a_failure_that_nothing_mends_is_told_and_costs_nothing(
    tmp_path: Path, steps: Sequence[Step], status: int, code: str
) -> None:
    with serving(tmp_path, upstream={"first_byte_timeout": 0.1}) as (gateway, upstream):
        upstream.script(steps)
        answer, body = ask(gateway)
        assert (answer.status, json.loads(body.payload)["error"]["code"]) == (status, code)
        assert answer.header("x-request-id") == json.loads(body.payload)["request_id"]
        row = only_row(gateway)
        assert (row.status, row.error_code, row.usage_source, row.cost) == (status, code, "none", 0)


def test_an_unreachable_upstream_is_told_without_its_address(tmp_path: Path) -> None:
    with refusing_url() as unheard, RunningGateway(simple_config(tmp_path, unheard)) as gateway:
        answer, body = ask(gateway)
        assert (answer.status, json.loads(body.payload)["error"]["code"]) == (502, "upstream_connect_failed")
        assert unheard.rpartition(":")[2].encode() not in body.payload


def test_the_model_that_the_upstream_names_in_an_error_is_the_alias(tmp_path: Path) -> None:
    gate = threading.Event()
    with serving(tmp_path) as (gateway, upstream):
        upstream.script([*begun(ROLE), WaitFor(gate), chunk(ERROR_EVENT), chunk(DONE), Send(LAST_CHUNK)])
        with gateway.client() as client:
            gateway.chat(client, question())
            client.read_head()
            gate.set()
            body = client.read_chunked()
        assert body.payload == rewritten(ROLE + ERROR_EVENT + DONE).replace(UPSTREAM_MODEL.encode(), ALIAS.encode())
        assert only_row(gateway).outcome == "upstream_error"
    assert ANSWERING_MODEL.encode() not in body.payload
