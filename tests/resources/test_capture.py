"""Streams of runs and of stored responses: the alias put back, what they make recorded, usage billed, cuts told."""

import json
import threading
from pathlib import Path
from typing import Any

import pytest

from tests.exchange.samples import wait_for_settled
from tests.fakes import (
    LAST_CHUNK,
    Close,
    Hang,
    ScriptedUpstream,
    Send,
    Step,
    WaitFor,
    chunk,
    head,
    json_answer,
    sse_answer,
)
from tests.resources.samples import ALIAS, KEY, OTHER, UPSTREAM_MODEL, ask, ask_json, gateway_over, record_owner

RUN = {"id": "run_1", "object": "thread.run", "thread_id": "thread_1", "status": "queued", "model": "vendor-x"}
USAGE = {"prompt_tokens": 20, "completion_tokens": 11, "total_tokens": 31}


def event(kind: str, data: Any) -> bytes:
    payload = data if isinstance(data, str) else json.dumps(data, separators=(",", ":"))
    return f"event: {kind}\ndata: {payload}\n\n".encode()


STREAM = (
    event("thread.created", {"id": "thread_1", "object": "thread", "metadata": {}})
    + event("thread.run.created", {**RUN, "usage": None})
    + event(
        "thread.message.completed",
        {
            "id": "msg_1",
            "object": "thread.message",
            "content": [{"type": "image_file", "image_file": {"file_id": "file-made"}}],
        },
    )
    + event("thread.run.completed", {**RUN, "status": "completed", "usage": USAGE})
    + event("done", "[DONE]")
)


@pytest.mark.parametrize("pieces", [None, 1, 37])
def test_a_run_shows_the_alias_and_is_billed_once(tmp_path: Path, pieces: int | None) -> None:
    with ScriptedUpstream() as upstream, gateway_over(tmp_path, upstream.base_url) as gateway:
        gateway.add_key("other", OTHER)
        record_owner(gateway, "asst_1", "assistant", alias=ALIAS)
        upstream.script(sse_answer(STREAM, pieces))
        with gateway.client() as client:
            _, body = ask(client, "POST", "/v1/threads/runs", {"assistant_id": "asst_1", "stream": True})
        assert body.complete
        assert body.payload == STREAM.replace(b"vendor-x", ALIAS.encode())
        (row,) = gateway.rows()
        assert (row.input_tokens, row.output_tokens, row.usage_source) == (20, 11, "reported")
        assert (row.alias, row.stream, row.outcome) == (ALIAS, True, "complete")
        assert row.cost == 20 * 1100 + 11 * 4400
        upstream.handler = lambda request: json_answer({"id": "x"})
        for path in ("/v1/threads/thread_1", "/v1/threads/thread_1/runs/run_1", "/v1/files/file-made"):
            assert ask_json(gateway, "GET", path)[0] == 200
            assert ask_json(gateway, "GET", path, key=OTHER)[0] == 404


def test_a_run_with_a_model_of_its_own_is_asked_for_it_and_shown_under_its_alias(tmp_path: Path) -> None:
    with ScriptedUpstream() as upstream, gateway_over(tmp_path, upstream.base_url) as gateway:
        record_owner(gateway, "asst_1", "assistant")
        record_owner(gateway, "thread_1", "thread")
        upstream.script(json_answer(RUN))
        upstream.script(json_answer({"object": "list", "data": [RUN], "has_more": False}))
        body = {"assistant_id": "asst_1", "model": ALIAS}
        assert ask_json(gateway, "POST", "/v1/threads/thread_1/runs", body)[1]["model"] == ALIAS
        assert json.loads(upstream.requests[0].body)["model"] == UPSTREAM_MODEL
        assert ask_json(gateway, "GET", "/v1/threads/thread_1/runs")[1]["data"][0]["model"] == ALIAS


def test_what_a_stream_makes_is_recorded_before_its_event_leaves(tmp_path: Path) -> None:
    asked = threading.Event()
    with ScriptedUpstream() as upstream, gateway_over(tmp_path, upstream.base_url) as gateway:
        record_owner(gateway, "asst_1", "assistant")
        begun = STREAM[: STREAM.index(b"event: thread.message")]
        steps = sse_answer(begun)[:-1]
        upstream.script([*steps, WaitFor(asked), chunk(STREAM[len(begun) :]), *sse_answer(b"")[-1:]])
        upstream.script(json_answer(RUN))
        with gateway.client() as client:
            headers = {"authorization": f"Bearer {KEY}", "content-type": "application/json"}
            client.request("POST", "/v1/threads/runs", b'{"assistant_id":"asst_1","stream":true}', headers)
            client.read_head()
            client.read_until(b"run_1")
            assert ask_json(gateway, "GET", "/v1/threads/thread_1/runs/run_1")[0] == 200
            asked.set()
            client.read_until(b"[DONE]")


def test_a_run_that_is_left_before_it_was_counted_is_not_free(tmp_path: Path) -> None:
    begun = STREAM[: STREAM.index(b"event: thread.run.completed")]
    with ScriptedUpstream() as upstream, gateway_over(tmp_path, upstream.base_url) as gateway:
        record_owner(gateway, "asst_1", "assistant", alias=ALIAS)
        upstream.script([*sse_answer(begun)[:-1], Hang()])
        with gateway.client() as client:
            headers = {"authorization": f"Bearer {KEY}", "content-type": "application/json"}
            client.request("POST", "/v1/threads/runs", b'{"assistant_id":"asst_1","stream":true}', headers)
            client.read_head()
            client.read_until(b"file-made")
        (row,) = wait_for_settled(gateway)
        assert (row.outcome, row.usage_source, row.cost) == ("client_closed", "none", None)


def test_a_run_that_the_upstream_refuses_is_free(tmp_path: Path) -> None:
    with ScriptedUpstream() as upstream, gateway_over(tmp_path, upstream.base_url) as gateway:
        record_owner(gateway, "asst_1", "assistant", alias=ALIAS)
        upstream.script(json_answer({"error": {"message": "no"}}, 400))
        assert ask_json(gateway, "POST", "/v1/threads/runs", {"assistant_id": "asst_1"})[0] == 400
        (row,) = gateway.rows()
        assert (row.outcome, row.cost) == ("upstream_error", 0)


def test_what_was_started_and_is_counted_nowhere_is_not_free(tmp_path: Path) -> None:
    with ScriptedUpstream() as upstream, gateway_over(tmp_path, upstream.base_url) as gateway:
        record_owner(gateway, "asst_1", "assistant", alias=ALIAS)
        upstream.script(json_answer({**RUN, "usage": None}))
        assert ask_json(gateway, "POST", "/v1/threads/runs", {"assistant_id": "asst_1"})[0] == 200
        upstream.script(json_answer({"id": "video_1", "object": "video", "status": "queued"}))
        assert ask_json(gateway, "POST", "/v1/videos", {"model": ALIAS, "prompt": "a cat"})[0] == 200
        assert [(row.usage_source, row.cost) for row in gateway.rows()] == [("none", None)] * 2


def test_no_later_usage_of_a_run_takes_its_counts_away(tmp_path: Path) -> None:
    last = event("thread.run.completed", {**RUN, "status": "completed", "usage": {"prompt_tokens": 0}})
    with ScriptedUpstream() as upstream, gateway_over(tmp_path, upstream.base_url) as gateway:
        record_owner(gateway, "asst_1", "assistant", alias=ALIAS)
        upstream.script(sse_answer(STREAM.replace(b"event: done", last + b"event: done")))
        with gateway.client() as client:
            ask(client, "POST", "/v1/threads/runs", {"assistant_id": "asst_1", "stream": True})
        (row,) = gateway.rows()
        assert (row.input_tokens, row.output_tokens, row.usage_source) == (20, 11, "reported")


@pytest.mark.parametrize("ending", [[Close()], [Send(LAST_CHUNK)]])
def test_a_run_that_is_cut_says_so_and_never_ends_cleanly(tmp_path: Path, ending: list[Step]) -> None:
    begun = STREAM[: STREAM.index(b"event: thread.run.completed")]
    with ScriptedUpstream() as upstream, gateway_over(tmp_path, upstream.base_url) as gateway:
        record_owner(gateway, "asst_1", "assistant", alias=ALIAS)
        upstream.script([*sse_answer(begun)[:-1], *ending])
        with gateway.client() as client:
            _, body = ask(client, "POST", "/v1/threads/runs", {"assistant_id": "asst_1", "stream": True})
        assert not body.complete
        assert b'"error"' in body.payload.split(b"\n\n")[-2]
        assert b"[DONE]" not in body.payload
        (row,) = gateway.rows()
        assert row.outcome == "upstream_cut"


def test_an_error_inside_a_run_names_no_upstream(tmp_path: Path) -> None:
    failed = event("error", {"code": "rate_limit_exceeded", "message": "Rate limit for vendor-secret in org-abcdef"})
    stream = event("thread.run.created", RUN) + failed + event("done", "[DONE]")
    with ScriptedUpstream() as upstream, gateway_over(tmp_path, upstream.base_url) as gateway:
        record_owner(gateway, "asst_1", "assistant", alias=ALIAS)
        upstream.script(sse_answer(stream.replace(b"vendor-secret", UPSTREAM_MODEL.encode())))
        with gateway.client() as client:
            _, body = ask(client, "POST", "/v1/threads/runs", {"assistant_id": "asst_1", "stream": True})
        assert UPSTREAM_MODEL.encode() not in body.payload
        assert b"org-abcdef" not in body.payload
        assert b"rate_limit_exceeded" in body.payload


def test_a_stored_response_is_streamed_again_under_its_alias_and_not_billed_again(tmp_path: Path) -> None:
    response = {"id": "resp_1", "model": "vendor-x", "usage": {"input_tokens": 1, "output_tokens": 2}}
    stream = event("response.created", {"type": "response.created", "response": {**response, "usage": None}})
    stream += event("response.completed", {"type": "response.completed", "response": response})
    with ScriptedUpstream() as upstream, gateway_over(tmp_path, upstream.base_url) as gateway:
        record_owner(gateway, "resp_1", "response", alias=ALIAS)
        upstream.script(sse_answer(stream))
        with gateway.client() as client:
            _, body = ask(client, "GET", "/v1/responses/resp_1?stream=true&starting_after=0")
        assert body.payload == stream.replace(b"vendor-x", ALIAS.encode())
        assert upstream.requests[0].target == "/responses/resp_1?stream=true&starting_after=0"
        (row,) = gateway.rows()
        assert (row.stream, row.usage_source, row.cost) == (True, "none", 0)


def test_a_stream_that_breaks_before_its_first_event_is_an_error(tmp_path: Path) -> None:
    with ScriptedUpstream() as upstream, gateway_over(tmp_path, upstream.base_url) as gateway:
        record_owner(gateway, "asst_1", "assistant")
        upstream.script([head(200, {"content-type": "text/event-stream", "transfer-encoding": "chunked"}), Close()])
        status, _ = ask_json(gateway, "POST", "/v1/threads/runs", {"assistant_id": "asst_1", "stream": True})
        assert status == 502
