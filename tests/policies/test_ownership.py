"""What a relayed request names must be the key's own, and what it makes is the key's before the client knows of it."""

import json
import threading
from pathlib import Path

import pytest

from proxy.config.tree import Kind
from proxy.ledger.record import BATCH_INPUT
from tests.fakes import ScriptedUpstream, Send, WaitFor, chunk, head, json_answer, sse_answer
from tests.resources.samples import ALIAS, KEY, OTHER, ask, ask_json, gateway_over, record_owner
from tests.serving import RunningGateway

RESPONSE: dict[str, object] = {
    "id": "resp_new",
    "object": "response",
    "model": "vendor-model-dated",
    "output": [],
    "usage": None,
}
EVENTS = b"".join(
    b"event: %b\ndata: %b\n\n" % (kind.encode(), json.dumps({"type": kind, "response": RESPONSE}).encode())
    for kind in ("response.created", "response.completed")
)
INPUT = {"model": ALIAS, "input": "hello"}


def test_anothers_object_in_a_request_looks_like_one_that_does_not_exist(tmp_path: Path) -> None:
    naming: list[dict[str, object]] = [
        {"previous_response_id": "resp_theirs"},
        {"conversation": {"id": "resp_theirs"}},
        {"input": [{"role": "user", "content": [{"type": "input_file", "file_id": "resp_theirs"}]}]},
        {"tools": [{"type": "file_search", "vector_store_ids": ["resp_mine", "resp_theirs"]}]},
    ]
    with ScriptedUpstream() as upstream, gateway_over(tmp_path, upstream.base_url) as gateway:
        gateway.add_key("other", OTHER)
        record_owner(gateway, "resp_mine", "response")
        record_owner(gateway, "resp_theirs", "response", name="other")
        for fields in naming:
            status, theirs = ask_json(gateway, "POST", "/v1/responses", {**INPUT, **fields})
            unknown = json.loads(json.dumps(fields).replace("resp_theirs", "resp_unknown"))
            other_status, nobodys = ask_json(gateway, "POST", "/v1/responses", {**INPUT, **unknown})
            assert (status, other_status) == (404, 404)
            assert json.dumps(theirs["error"]).replace("resp_theirs", "resp_unknown") == json.dumps(nobodys["error"])
        assert upstream.requests == []


def test_a_file_in_a_chat_must_be_the_keys_own(tmp_path: Path) -> None:
    with ScriptedUpstream() as upstream, gateway_over(tmp_path, upstream.base_url) as gateway:
        gateway.add_key("other", OTHER)
        record_owner(gateway, "file-theirs", name="other")
        content = [{"type": "file", "file": {"file_id": "file-theirs"}}]
        body = {"model": ALIAS, "messages": [{"role": "user", "content": content}]}
        assert ask_json(gateway, "POST", "/v1/chat/completions", body)[0] == 404
        assert upstream.requests == []


@pytest.mark.parametrize("stream", [False, True])
def test_a_response_is_its_keys_and_no_others(tmp_path: Path, stream: bool) -> None:
    with ScriptedUpstream() as upstream, gateway_over(tmp_path, upstream.base_url) as gateway:
        gateway.add_key("other", OTHER)
        answer = sse_answer(EVENTS) if stream else json_answer(RESPONSE)
        upstream.script(answer, times=2)
        with gateway.client() as client:
            headers = {"authorization": f"Bearer {OTHER}", "content-type": "application/json"}
            client.request("POST", "/v1/responses", json.dumps({**INPUT, "stream": stream}).encode(), headers)
            assert client.read_answer()[0].status == 200
        next_turn = {**INPUT, "previous_response_id": "resp_new"}
        assert ask_json(gateway, "POST", "/v1/responses", next_turn)[0] == 404
        with gateway.client() as client:
            client.request("POST", "/v1/responses", json.dumps(next_turn).encode(), headers)
            assert client.read_answer()[0].status == 200
        assert len(upstream.requests) == 2


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("restarts", [False, True])
def test_a_response_that_another_key_makes_again_is_still_the_first_keys(
    tmp_path: Path, stream: bool, restarts: bool
) -> None:
    """Some upstreams let a client choose the id of its response; an answer may name any id that was known before."""
    with ScriptedUpstream() as upstream:
        with gateway_over(tmp_path, upstream.base_url) as gateway:
            gateway.add_key("other", OTHER)
            upstream.script(json_answer(RESPONSE))
            assert ask_json(gateway, "POST", "/v1/responses", INPUT)[0] == 200
            if not restarts:
                taken_over_by_nobody(gateway, upstream, stream)
        if restarts:
            with gateway_over(tmp_path, upstream.base_url) as gateway:
                gateway.add_key("other", OTHER)
                taken_over_by_nobody(gateway, upstream, stream)


def taken_over_by_nobody(gateway: RunningGateway, upstream: ScriptedUpstream, stream: bool) -> None:
    """The other key is answered with the id of the first one's response, and can do nothing with it."""
    upstream.script(sse_answer(EVENTS) if stream else json_answer(RESPONSE))
    with gateway.client() as client:
        ask(client, "POST", "/v1/responses", {**INPUT, "stream": stream}, key=OTHER)
    asked = len(upstream.requests)
    item = {"items": [{"type": "message", "role": "user", "content": "x"}]}
    for method, path, body in (
        ("GET", "/v1/responses/resp_new", None),
        ("GET", "/v1/responses/resp_new/input_items", None),
        ("POST", "/v1/responses/resp_new/cancel", None),
        ("DELETE", "/v1/responses/resp_new", None),
        ("POST", "/v1/conversations/resp_new/items", item),
        ("POST", "/v1/responses", {**INPUT, "previous_response_id": "resp_new"}),
        ("POST", "/v1/responses", {**INPUT, "conversation": "resp_new"}),
    ):
        assert ask_json(gateway, method, path, body, key=OTHER)[0] == 404, (method, path)
    assert len(upstream.requests) == asked
    upstream.script(json_answer(RESPONSE), times=2)
    assert ask_json(gateway, "GET", "/v1/responses/resp_new")[0] == 200
    assert ask_json(gateway, "POST", "/v1/responses", {**INPUT, "previous_response_id": "resp_new"})[0] == 200
    upstream.script(json_answer({"id": "resp_new", "object": "response", "deleted": True}))
    assert ask_json(gateway, "DELETE", "/v1/responses/resp_new")[0] == 200


CHOSEN = {"request_id": "resp_chosen", "rid": "resp_chosen", "response_id": "resp_chosen", "metadata": {"rid": "kept"}}


@pytest.mark.parametrize("size", [1, 100_000])
@pytest.mark.parametrize(
    ("kind", "passed"),
    [
        ("vllm", {"rid", "response_id"}),
        ("sglang", {"response_id"}),
        ("compatible", set()),
        ("openai", {"request_id", "rid", "response_id"}),
    ],
)
def test_a_client_cannot_choose_the_id_of_what_it_makes(
    tmp_path: Path, kind: Kind, passed: set[str], size: int
) -> None:
    """What the upstream is known to take ids from is left out; a field that means nothing to it stays."""
    with ScriptedUpstream() as upstream, gateway_over(tmp_path, upstream.base_url, upstream={"kind": kind}) as gateway:
        upstream.handler = lambda request: json_answer(RESPONSE)
        chat = {"model": ALIAS, "messages": [{"role": "user", "content": "x" * size}]}
        for path, body in (("/v1/responses", {**INPUT, "input": "x" * size}), ("/v1/chat/completions", chat)):
            ask_json(gateway, "POST", path, {**body, **CHOSEN})
            sent = json.loads(upstream.requests[-1].body)
            assert sent.keys() & CHOSEN.keys() == passed | {"metadata"}, path
            assert sent["metadata"] == CHOSEN["metadata"]
        assert ask_json(gateway, "POST", "/v1/conversations", CHOSEN)[0] == 200
        assert json.loads(upstream.requests[-1].body).keys() == passed | {"metadata"}


@pytest.mark.parametrize("stream", [False, True])
def test_a_response_is_recorded_before_the_bytes_with_its_id_leave(tmp_path: Path, stream: bool) -> None:
    """The upstream stops in the middle of the answer: what the client has by then is already usable."""
    with ScriptedUpstream() as upstream, gateway_over(tmp_path, upstream.base_url) as gateway:
        padded = json.dumps({**RESPONSE, "output": ["x" * 400_000]}).encode()
        data = EVENTS if stream else padded
        cut = EVENTS.index(b"\n\n") + 2 if stream else 300_000
        first, second = data[:cut], data[cut:]
        kind = "text/event-stream" if stream else "application/json"
        asked_again = threading.Event()
        upstream.script(
            [
                head(200, {"content-type": kind, "transfer-encoding": "chunked"}),
                chunk(first),
                WaitFor(asked_again),
                chunk(second),
                Send(b"0\r\n\r\n"),
            ]
        )
        upstream.script(json_answer({**RESPONSE, "id": "resp_next"}))
        with gateway.client() as client:
            headers = {"authorization": f"Bearer {KEY}", "content-type": "application/json"}
            client.request("POST", "/v1/responses", json.dumps({**INPUT, "stream": stream}).encode(), headers)
            client.read_head()
            client.read_until(b"resp_new")
            next_turn = {**INPUT, "previous_response_id": "resp_new"}
            assert ask_json(gateway, "POST", "/v1/responses", next_turn)[0] == 200
            asked_again.set()
            client.read_until(b"\r\n0\r\n\r\n")


def test_a_following_turn_goes_where_the_response_is(tmp_path: Path) -> None:
    with (
        ScriptedUpstream() as first,
        ScriptedUpstream() as second,
        gateway_over(tmp_path, first.base_url, second.base_url) as gateway,
    ):
        record_owner(gateway, "resp_there", "response", upstream="vendor2")
        second.script(json_answer(RESPONSE))
        status, _ = ask_json(gateway, "POST", "/v1/responses", {**INPUT, "previous_response_id": "resp_there"})
        assert status == 200
        assert first.requests == []


def test_objects_at_two_providers_cannot_be_named_together(tmp_path: Path) -> None:
    with (
        ScriptedUpstream() as first,
        ScriptedUpstream() as second,
        gateway_over(tmp_path, first.base_url, second.base_url) as gateway,
    ):
        record_owner(gateway, "resp_here", "response")
        record_owner(gateway, "file-there", upstream="vendor2")
        content = [{"role": "user", "content": [{"type": "input_file", "file_id": "file-there"}]}]
        body = {"model": ALIAS, "input": content, "previous_response_id": "resp_here"}
        status, answer = ask_json(gateway, "POST", "/v1/responses", body)
        assert (status, answer["error"]["code"]) == (400, "objects_apart")


def test_the_smaller_calls_of_the_responses_api_are_relayed_under_the_alias(tmp_path: Path) -> None:
    with ScriptedUpstream() as upstream, gateway_over(tmp_path, upstream.base_url) as gateway:
        upstream.script(json_answer({"object": "response.input_tokens", "input_tokens": 12}))
        status, answer = ask_json(gateway, "POST", "/v1/responses/input_tokens", INPUT)
        assert (status, answer["input_tokens"]) == (200, 12)
        assert json.loads(upstream.requests[0].body)["model"] == "vendor-model-2026-08-07"
        assert upstream.requests[0].target == "/responses/input_tokens"


def test_a_response_that_is_not_stored_is_not_recorded(tmp_path: Path) -> None:
    with ScriptedUpstream() as upstream, gateway_over(tmp_path, upstream.base_url) as gateway:
        upstream.script(json_answer(RESPONSE))
        assert ask_json(gateway, "POST", "/v1/responses", {**INPUT, "store": False})[0] == 200
        assert ask_json(gateway, "GET", "/v1/responses/resp_new")[0] == 404


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/threads/runs", {"assistant_id": "asst_1"}),
        ("/v1/threads/thread_1/runs", {"assistant_id": "asst_1"}),
        ("/v1/batches", {"input_file_id": "file-batch", "endpoint": "/v1/responses", "completion_window": "24h"}),
    ],
)
def test_what_runs_under_an_objects_alias_needs_the_right_to_it(
    tmp_path: Path, path: str, body: dict[str, str]
) -> None:
    """A key that has lost an alias cannot use it by what it made with it."""
    with ScriptedUpstream() as upstream, gateway_over(tmp_path, upstream.base_url) as gateway:
        gateway.add_key("other", OTHER, models=["something-else"])
        for id_, kind in (("asst_1", "assistant"), ("file-batch", BATCH_INPUT)):
            record_owner(gateway, id_, kind, name="other", alias=ALIAS)
        record_owner(gateway, "thread_1", "thread", name="other")
        status, answer = ask_json(gateway, "POST", path, body, key=OTHER)
        assert (status, answer["error"]["code"]) == (404, "model_not_found")
        assert upstream.requests == []
