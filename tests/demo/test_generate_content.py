"""The native Gemini endpoints of the demo provider, over a real socket."""

import json
from typing import Any

import httpx
import pytest

from tests.demo.conftest import Provider

TOOL = {"functionDeclarations": [{"name": "weather", "parameters": {"type": "object", "properties": {"city": {}}}}]}


def ask(
    provider: Provider, text: str, call: str = "generateContent", model: str = "demo-core", **body: Any
) -> httpx.Response:
    contents = [{"role": "user", "parts": [{"text": text}]}]
    root = provider.base_url.removesuffix("/v1")
    return provider.http.post(f"{root}/v1beta/models/{model}:{call}", json={"contents": contents, **body})


def events(provider: Provider, text: str, **body: Any) -> list[Any]:
    answer = ask(provider, text, "streamGenerateContent?alt=sse", **body)
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.text.endswith("\r\n\r\n")
    return [json.loads(block.removeprefix("data: ")) for block in answer.text.split("\r\n\r\n")[:-1]]


def text_of(answer: Any) -> str:
    return "".join(part.get("text", "") for part in answer["candidates"][0]["content"]["parts"])


def test_an_answer_has_text_model_and_usage(provider: Provider) -> None:
    answer = ask(provider, "demo:tokens=5").json()
    assert answer["modelVersion"] == "demo-core-2026-09-02"
    assert answer["candidates"][0]["finishReason"] == "STOP"
    assert answer["usageMetadata"]["candidatesTokenCount"] == 5


def test_a_stream_has_model_and_usage_so_far_in_every_chunk(provider: Provider) -> None:
    found = events(provider, "demo:tokens=3")
    assert [chunk["usageMetadata"]["candidatesTokenCount"] for chunk in found] == [1, 2, 3]
    assert {chunk["modelVersion"] for chunk in found} == {"demo-core-2026-09-02"}


def test_only_the_last_chunk_has_a_finish_reason(provider: Provider) -> None:
    found = events(provider, "demo:tokens=3")
    assert ["finishReason" in chunk["candidates"][0] for chunk in found] == [False, False, True]


def test_the_chunks_of_a_stream_are_the_whole_text(provider: Provider) -> None:
    whole = text_of(ask(provider, "What is a gateway?").json())
    assert "".join(map(text_of, events(provider, "What is a gateway?"))) == whole


def test_without_sse_a_stream_is_one_array(provider: Provider) -> None:
    answer = ask(provider, "demo:tokens=3", "streamGenerateContent")
    assert answer.headers["content-type"] == "application/json"
    assert "\r\n,\r\n" in answer.text
    assert "".join(map(text_of, answer.json())) == "the sun was"


def test_past_the_limit_the_answer_stops(provider: Provider) -> None:
    answer = ask(provider, "What is a gateway?", generationConfig={"maxOutputTokens": 3}).json()
    assert answer["candidates"][0]["finishReason"] == "MAX_TOKENS"


@pytest.mark.parametrize("streamed", [False, True])
def test_a_function_is_called(provider: Provider, streamed: bool) -> None:
    answer = (
        events(provider, "Weather?", tools=[TOOL])[0] if streamed else ask(provider, "Weather?", tools=[TOOL]).json()
    )
    (part,) = answer["candidates"][0]["content"]["parts"]
    assert part["functionCall"] == {"name": "weather", "args": {"city": "Paris"}}


def test_no_function_is_called_where_none_may_be(provider: Provider) -> None:
    config = {"functionCallingConfig": {"mode": "NONE"}}
    assert text_of(ask(provider, "hello", tools=[TOOL], toolConfig=config).json()).startswith("Hello")


def test_the_answer_of_a_function_is_answered_with_text(provider: Provider) -> None:
    contents = [
        {"role": "user", "parts": [{"text": "Weather?"}]},
        {"role": "model", "parts": [{"functionCall": {"name": "weather", "args": {}}}]},
        {"role": "user", "parts": [{"functionResponse": {"name": "weather", "response": {"sky": "sunny"}}}]},
    ]
    assert "sunny" in text_of(ask(provider, "", contents=contents, tools=[TOOL]).json())


def test_a_wanted_schema_is_kept_to(provider: Provider) -> None:
    config = {"responseMimeType": "application/json", "responseSchema": {"type": "object", "properties": {"n": {}}}}
    assert json.loads(text_of(ask(provider, "hi", generationConfig=config).json())).keys() == {"n"}


def test_counted_tokens_are_those_of_the_bill(provider: Provider) -> None:
    system = {"parts": [{"text": "Be kind."}]}
    counted = ask(provider, "hello", "countTokens", systemInstruction=system).json()["totalTokens"]
    assert counted == ask(provider, "hello", systemInstruction=system).json()["usageMetadata"]["promptTokenCount"]


def test_a_vector_is_that_of_the_embeddings_endpoint(provider: Provider) -> None:
    content = {"parts": [{"text": "hello"}]}
    native = ask(provider, "", "embedContent", "demo-atlas", content=content, outputDimensionality=8).json()
    other = provider.post("/embeddings", model="demo-atlas", input="hello", dimensions=8).json()
    assert native["embedding"]["values"] == other["data"][0]["embedding"]


def test_models_are_listed_and_described(provider: Provider) -> None:
    root = provider.base_url.removesuffix("/v1")
    first = provider.http.get(f"{root}/v1beta/models").json()["models"][0]
    assert first["name"] == "models/demo-spark-2026-08-07"
    assert provider.http.get(f"{root}/v1beta/{first['name']}").json() == first


@pytest.mark.parametrize(
    ("text", "status", "name"), [("demo:error=429", 429, "RESOURCE_EXHAUSTED"), ("demo:x=1", 400, "INVALID_ARGUMENT")]
)
def test_an_error_is_in_googles_shape(provider: Provider, text: str, status: int, name: str) -> None:
    answer = ask(provider, text)
    assert answer.status_code == status
    assert (answer.json()["error"]["code"], answer.json()["error"]["status"]) == (status, name)


def test_an_error_stands_bare_in_the_stream(provider: Provider) -> None:
    answer = ask(provider, "demo:error-event=1 demo:tokens=3", "streamGenerateContent?alt=sse").text
    assert json.loads(answer.split("\r\n\r\n")[-1])["error"]["status"] == "INTERNAL"


def test_without_usage_there_is_no_such_key(provider: Provider) -> None:
    assert not any("usageMetadata" in chunk for chunk in events(provider, "hi demo:no-usage"))


def test_without_an_end_no_chunk_has_a_finish_reason(provider: Provider) -> None:
    assert not any("finishReason" in chunk["candidates"][0] for chunk in events(provider, "hi demo:no-done"))


def test_the_key_is_taken_as_googles_sdk_sends_it(provider: Provider) -> None:
    url = f"{provider.base_url.removesuffix('/v1')}/v1beta/models"
    for key, status in ((provider.settings.api_key, 200), ("wrong", 401)):
        assert httpx.get(url, headers={"x-goog-api-key": key}, trust_env=False).status_code == status
