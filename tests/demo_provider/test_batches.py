"""Batches of the provider for tests, over a real socket."""

import json

import openai
import pytest

from tests.demo.conftest import Provider


def batch(sdk: openai.OpenAI, endpoint: str, *bodies: object) -> openai.types.Batch:
    lines = [
        json.dumps({"custom_id": str(number), "method": "POST", "url": endpoint, "body": body})
        for number, body in enumerate(bodies)
    ]
    file = sdk.files.create(file=("in.jsonl", "\n".join(lines).encode()), purpose="batch")
    return sdk.batches.create(input_file_id=file.id, endpoint=endpoint, completion_window="24h")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("endpoint", "body"),
    [
        ("/v1/chat/completions", {"model": "demo-core", "messages": [{"role": "user", "content": "hi"}]}),
        ("/v1/completions", {"model": "demo-core", "prompt": "hi"}),
        ("/v1/embeddings", {"model": "demo-atlas", "input": "hi"}),
        ("/v1/responses", {"model": "demo-core", "input": "hi"}),
    ],
)
def test_a_batch_is_answered_at_once_line_by_line(sdk: openai.OpenAI, endpoint: str, body: dict[str, object]) -> None:
    done = batch(sdk, endpoint, body, body)
    assert done.status == "completed"
    assert done.request_counts is not None
    assert (done.request_counts.total, done.request_counts.completed) == (2, 2)
    lines = [json.loads(line) for line in sdk.files.content(done.output_file_id or "").text.splitlines()]
    assert [line["custom_id"] for line in lines] == ["0", "1"]
    assert lines[0]["response"]["body"]["model"].startswith(str(body["model"]))
    used = [line["response"]["body"]["usage"]["total_tokens"] for line in lines]
    assert done.usage is not None
    assert done.usage.total_tokens == sum(used) > 0


def test_lines_that_fail_go_to_a_file_of_their_own(sdk: openai.OpenAI) -> None:
    good = {"model": "demo-core", "messages": [{"role": "user", "content": "hi"}]}
    failing = {"model": "demo-core", "messages": [{"role": "user", "content": "demo:error=429"}]}
    done = batch(sdk, "/v1/chat/completions", good, failing, {"model": "none", "messages": []}, {})
    lines = [json.loads(line) for line in sdk.files.content(done.error_file_id or "").text.splitlines()]
    assert [(line["custom_id"], line["response"]["status_code"]) for line in lines] == [
        ("1", 429),
        ("2", 400),
        ("3", 400),
    ]


def test_batches_are_found_again(sdk: openai.OpenAI) -> None:
    done = batch(sdk, "/v1/embeddings", {"model": "demo-atlas", "input": "hi"})
    assert sdk.batches.retrieve(done.id).id == done.id
    assert done.id in [one.id for one in sdk.batches.list()]
    assert sdk.batches.cancel(done.id).status == "cancelled"


@pytest.mark.parametrize(
    "body",
    [{"input_file_id": "file-none", "endpoint": "/v1/embeddings"}, {"input_file_id": "x", "endpoint": "/v1/files"}, {}],
)
def test_a_batch_of_nothing_is_refused(provider: Provider, body: dict[str, str]) -> None:
    assert provider.http.post("/batches", json=body).status_code in (400, 404)
