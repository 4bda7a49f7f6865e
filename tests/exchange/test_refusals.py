"""Errors of an upstream over real sockets, in each format: the status, the words, and when to come again."""

import json
import threading
from pathlib import Path
from typing import Any

import pytest

from proxy.exchange.attempt import MAX_ERROR_BODY_BYTES
from tests.exchange.samples import MESSAGES, ask, only_row, question, serving, word
from tests.fakes import LAST_CHUNK, Hang, Send, WaitFor, chunk, head, json_answer, sse_answer
from tests.serving import ALIAS, KEY, UPSTREAM_MODEL

#: (kind of upstream, path, body)
ROWS = {
    "chat": ("compatible", "/v1/chat/completions", {"model": ALIAS, "messages": MESSAGES}),
    "responses": ("compatible", "/v1/responses", {"model": ALIAS, "input": "x"}),
    "messages": ("anthropic", "/v1/messages", {"model": ALIAS, "messages": MESSAGES, "max_tokens": 1}),
    "generate": ("gemini", f"/v1beta/models/{ALIAS}:generateContent", {"contents": []}),
    "stream": ("gemini", f"/v1beta/models/{ALIAS}:streamGenerateContent?alt=sse", {"contents": []}),
}
LIMITS = {
    "x-ratelimit-limit-requests": "5",
    "x-ratelimit-reset-tokens": "6ms",
    "anthropic-ratelimit-unified-status": "rejected",
    "anthropic-ratelimit-requests-remaining": "0",
    "anthropic-ratelimit-tokens-reset": "2026-01-31T12:00:00Z",
}
AGAIN = {"retry-after": "3000", "retry-after-ms": "3000000"}


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS.keys())
@pytest.mark.parametrize(
    ("body", "status"),
    [
        ([{"error": {"code": 400, "message": "said", "status": "INVALID_ARGUMENT"}}, 1], 400),
        ({"object": "error", "message": "said", "type": "BadRequestError", "code": 400}, 400),
        ({"detail": [{"loc": ["body", "temperature"], "msg": "said"}]}, 422),
        ({"message": "said"}, 429),
        ({"error": "said"}, 404),
        ({"type": "error", "error": {"type": "overloaded_error", "message": "said"}}, 529),
        ({"error": {"message": "said", "type": "server_error"}}, 503),
        (b"<html>", 503),
    ],
)
def test_an_error_of_any_shape_keeps_its_status(tmp_path: Path, row: Any, body: Any, status: int) -> None:
    kind, path, asked = row
    with serving(tmp_path, upstream={"kind": kind}) as (gateway, upstream), gateway.client() as client:
        upstream.script(json_answer(body, status, {**AGAIN, **LIMITS, "content-type": "application/json"}))
        headers = {"authorization": f"Bearer {KEY}", "content-type": "application/json"}
        client.request("POST", path, json.dumps(asked).encode(), headers)
        answer, payload = client.read_answer()
        assert answer.status == status
        assert {name: answer.header(name) for name in AGAIN} == AGAIN
        shown = {name: answer.header(name) for name in LIMITS}
        assert shown == (LIMITS if status == 429 else dict.fromkeys(LIMITS))
        told = json.loads(payload.payload)
        wanted = "said" if body != b"<html>" else f"The model's provider failed (status {status})."
        assert wanted in told["error"]["message"]
        assert only_row(gateway).status == status


def test_an_error_behind_a_heartbeat_is_told_in_the_stream(tmp_path: Path) -> None:
    gate = threading.Event()
    with serving(tmp_path, model={"heartbeat_interval": 0.1}) as (gateway, upstream):
        upstream.script([WaitFor(gate), *json_answer({"message": f"{UPSTREAM_MODEL} is full"}, 429)])
        with gateway.client() as client:
            gateway.chat(client, question())
            client.read_head()
            gate.set()
            body = client.read_chunked()
        error = json.loads(body.payload.rpartition(b"data: ")[2])["error"]
        assert (error["message"], error["code"]) == (f"{ALIAS} is full", "rate_limit_exceeded")
        assert not body.complete
        assert only_row(gateway).error_code == "upstream_429"


@pytest.mark.parametrize("status", [400, 429, 503])
def test_an_error_that_never_ends_is_a_timeout(tmp_path: Path, status: int) -> None:
    with serving(tmp_path, upstream={"idle_timeout": 0.2}) as (gateway, upstream):
        upstream.script([json_answer({"message": "x" * 10}, status)[0], Hang()])
        answer, _ = ask(gateway)
        assert answer.status == 504


SECRETS = {
    "api_key": "key-of/the+account",
    "headers": {"x-tenant": "tenant-of-ours", "x-gate": "Bearer gategategate"},
    "query": {"sig": "a signature of ours", "api-version": "2024-10-21"},
}
#: How a server may quote them.
QUOTED = "POST /v1/x?sig=a+signature+of+ours&api-version=2024-10-21, key-of/the+account, tenant-of-ours; gategategate!"
SHOWN = "POST /v1/x?sig=***&api-version=2024-10-21, ***, ***; ***!"


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS.keys())
@pytest.mark.parametrize(
    "shape", [lambda said: {"error": {"message": said, "type": "x", "code": "y"}}, lambda said: {"detail": said}]
)
def test_an_error_that_quotes_what_the_upstream_is_sent_quotes_no_secret(tmp_path: Path, row: Any, shape: Any) -> None:
    kind, path, asked = row
    with serving(tmp_path, upstream={"kind": kind, **SECRETS}) as (gateway, upstream), gateway.client() as client:
        upstream.script(json_answer(shape(QUOTED), 404))
        headers = {"authorization": f"Bearer {KEY}", "content-type": "application/json"}
        client.request("POST", path, json.dumps(asked).encode(), headers)
        answer, payload = client.read_answer()
        assert answer.status == 404
        assert SHOWN in payload.payload.decode()


@pytest.mark.parametrize("pieces", [None, 40])
@pytest.mark.parametrize("begun", [False, True])
@pytest.mark.parametrize("stream", [False, True])
def test_an_error_inside_an_answer_quotes_no_secret_either(
    tmp_path: Path, stream: bool, begun: bool, pieces: int | None
) -> None:
    error = {"error": {"message": QUOTED, "type": "x", "code": "y"}}
    with serving(tmp_path, upstream=SECRETS) as (gateway, upstream):
        events = [word("hello")] if begun else []
        events.append(b"data: " + json.dumps(error).encode() + b"\n\n")
        upstream.script(sse_answer(b"".join(events), pieces) if stream else json_answer(error))
        _, payload = ask(gateway, question(stream=stream))
        assert SHOWN in payload.payload.decode()


@pytest.mark.parametrize("size", [1_000, 64_000, 70_000, 150_000])
def test_an_error_is_told_alike_however_its_bytes_were_cut(tmp_path: Path, size: int) -> None:
    body = json.dumps({"detail": "said", "filler": "x" * size}).encode()
    fields = {"content-type": "application/json", "transfer-encoding": "chunked"}
    told = []
    with serving(tmp_path) as (gateway, upstream):
        for at in (0, 100, size // 2, size, len(body)):
            upstream.script([head(422, fields), *map(chunk, filter(None, (body[:at], body[at:]))), Send(LAST_CHUNK)])
            answer, payload = ask(gateway, question(stream=False))
            told.append((answer.status, json.loads(payload.payload)["error"]["message"]))
    assert told == [told[0]] * 5
    assert told[0] == (
        422,
        "said" if size < MAX_ERROR_BODY_BYTES - 100 else "The model's provider failed (status 422).",
    )
