"""What a stream has cost, in a comment before its last event: for those who ask for it, and nobody else."""

import json
from pathlib import Path

import openai
import pytest

from tests.exchange.samples import (
    COST,
    DONE,
    HELLO,
    JSON_ANSWER,
    ROLE,
    STOP,
    STREAM,
    USAGE,
    begun,
    question,
    rewritten,
    serving,
)
from tests.fakes import Close, json_answer, sse_answer
from tests.serving import ALIAS, KEY, RunningGateway

ASKED = {"x-prism-include-metadata": "1"}
COMMENT = f": prism-cost 0.{COST:09d} input_tokens=9 cached_input_tokens=0 output_tokens=2 usage=reported\n".encode(
    "ascii"
)


def stream(
    gateway: RunningGateway, headers: dict[str, str], path: str = "/v1/chat/completions", body: object = None
) -> bytes:
    with gateway.client() as client:
        data = json.dumps(body if body is not None else question()).encode()
        client.request("POST", path, data, {"authorization": f"Bearer {KEY}", **headers})
        return client.read_answer()[1].payload


@pytest.mark.parametrize("headers", [ASKED, {"x-agentcc-include-metadata": "true"}])
def test_it_stands_before_the_last_event(tmp_path: Path, headers: dict[str, str]) -> None:
    with serving(tmp_path) as (gateway, upstream):
        upstream.script(sse_answer(STREAM))
        assert stream(gateway, headers) == rewritten(ROLE + HELLO + STOP) + COMMENT + DONE


@pytest.mark.parametrize("headers", [{}, {"x-prism-include-metadata": "0"}, {"x-prism-trace-id": "t"}])
def test_it_is_not_there_unasked(tmp_path: Path, headers: dict[str, str]) -> None:
    with serving(tmp_path) as (gateway, upstream):
        upstream.script(sse_answer(STREAM))
        assert stream(gateway, headers) == rewritten(ROLE + HELLO + STOP + DONE)


def test_it_is_the_same_wherever_the_upstreams_bytes_are_cut(tmp_path: Path) -> None:
    with serving(tmp_path) as (gateway, upstream):
        for cut in range(len(STREAM) - len(STOP + USAGE + DONE), len(STREAM)):
            upstream.script(sse_answer(STREAM, [cut]))
            assert stream(gateway, ASKED) == rewritten(ROLE + HELLO + STOP) + COMMENT + DONE


def test_a_stream_without_a_last_mark_has_it_once(tmp_path: Path) -> None:
    with serving(tmp_path) as (gateway, upstream):
        upstream.script(sse_answer(STREAM.removesuffix(DONE)))
        body = stream(gateway, ASKED)
        # Behind the last event, where that had left when the stream ended.
        assert body.count(COMMENT) == 1
        assert body.replace(COMMENT, b"") == rewritten(ROLE + HELLO + STOP)


def test_a_response_that_is_no_stream_has_its_cost_in_the_head_alone(tmp_path: Path) -> None:
    with serving(tmp_path) as (gateway, upstream):
        upstream.script(json_answer(JSON_ANSWER))
        body = stream(gateway, ASKED, body=question(stream=False))
        assert json.loads(body)["usage"]["total_tokens"] == 11
        assert b"prism-cost" not in body


def test_a_stream_that_was_cut_has_none(tmp_path: Path) -> None:
    with serving(tmp_path) as (gateway, upstream):
        upstream.script([*begun(ROLE, HELLO), Close()])
        assert b"prism-cost" not in stream(gateway, ASKED)


def test_a_cost_that_is_not_known_is_called_that(tmp_path: Path) -> None:
    with serving(tmp_path, model={"price": None}) as (gateway, upstream):
        upstream.script(sse_answer(STREAM))
        assert b": prism-cost unknown input_tokens=9 " in stream(gateway, ASKED)


def event(kind: str, **fields: object) -> bytes:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **fields})}\n\n".encode()


MESSAGE = {
    "id": "m",
    "type": "message",
    "role": "assistant",
    "model": "x",
    "content": [],
    "usage": {"input_tokens": 9, "output_tokens": 0},
}
MESSAGES_STREAM = (
    event("message_start", message=MESSAGE)
    + event("message_delta", delta={"stop_reason": "end_turn"}, usage={"output_tokens": 2})
    + event("message_stop")
)
RESPONSES_STREAM = event("response.created", response={"id": "r", "model": "x", "status": "in_progress"}) + event(
    "response.completed",
    response={
        "id": "r",
        "model": "x",
        "status": "completed",
        "output": [],
        "usage": {"input_tokens": 9, "output_tokens": 2, "total_tokens": 11},
    },
)
GEMINI_STREAM = (
    b'data: {"candidates":[{"content":{"parts":[{"text":"a"}]},"finishReason":"STOP"}],'
    b'"usageMetadata":{"promptTokenCount":9,"candidatesTokenCount":2}}\r\n\r\n'
)
GEMINI = f"/v1beta/models/{ALIAS}:streamGenerateContent?alt=sse"


@pytest.mark.parametrize(
    ("path", "form", "data", "last"),
    [
        ("/v1/messages", "anthropic", MESSAGES_STREAM, b"event: message_stop"),
        ("/v1/responses", "openai", RESPONSES_STREAM, b"event: response.completed"),
        # Google's SDK takes no comments.
        (GEMINI, "gemini", GEMINI_STREAM, None),
    ],
)
def test_each_dialect_has_it_before_its_own_last_event(
    tmp_path: Path, path: str, form: str, data: bytes, last: bytes | None
) -> None:
    with serving(tmp_path, upstream={"formats": [form]}) as (gateway, upstream):
        body = {"model": ALIAS, "messages": [], "input": "hi", "stream": True, "max_tokens": 5}
        for cut in range(0, len(data), 11):
            upstream.script(sse_answer(data, [cut] if cut else None))
            found = stream(gateway, ASKED, path, {"contents": []} if form == "gemini" else body)
            if last is None:
                assert b"prism-cost" not in found
            else:
                assert COMMENT + last in found
                assert found.count(b"prism-cost") == 1


def test_a_stream_over_a_real_client_is_still_read(tmp_path: Path) -> None:
    with serving(tmp_path) as (gateway, upstream):
        upstream.script(sse_answer(STREAM))
        client = openai.OpenAI(api_key=KEY, base_url=gateway.base_url, default_headers=ASKED, max_retries=0)
        with client.chat.completions.create(
            model=ALIAS, messages=[{"role": "user", "content": "x"}], stream=True
        ) as got:
            text = "".join(chunk.choices[0].delta.content or "" for chunk in got if chunk.choices)
        assert text == "Hello"
