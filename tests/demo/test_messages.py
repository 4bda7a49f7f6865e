"""The Messages API of the demo provider, over a real socket."""

import json
from typing import Any

import httpx
import pytest

from tests.demo.conftest import Provider, named_events, read_until

TOOL = {"name": "weather", "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}}}


def ask(provider: Provider, text: str, **body: Any) -> httpx.Response:
    messages = [{"role": "user", "content": text}]
    return provider.post("/messages", **{"max_tokens": 100, "messages": messages, **body})


def stream(provider: Provider, text: str, **body: Any) -> list[tuple[str, Any]]:
    return named_events(ask(provider, text, stream=True, **body).text)


def test_an_answer_has_text_model_and_usage(provider: Provider) -> None:
    answer = ask(provider, "demo:tokens=5").json()
    assert (answer["type"], answer["role"], answer["stop_reason"]) == ("message", "assistant", "end_turn")
    assert (answer["model"], answer["usage"]["output_tokens"]) == ("demo-spark-2026-08-07", 5)
    assert answer["content"][0]["type"] == "text"


def test_a_stream_has_its_named_events_in_order(provider: Provider) -> None:
    assert [name for name, _ in stream(provider, "demo:tokens=2")] == [
        "message_start",
        "content_block_start",
        "ping",
        "content_block_delta",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]


def test_the_pieces_of_a_stream_are_the_whole_text(provider: Provider) -> None:
    whole = ask(provider, "What is a gateway?").json()["content"][0]["text"]
    deltas = [payload["delta"]["text"] for name, payload in stream(provider, "What is a gateway?") if "block_d" in name]
    assert "".join(deltas) == whole


def test_the_model_stands_in_the_first_event_and_the_usage_in_the_last_but_one(provider: Provider) -> None:
    found = stream(provider, "demo:tokens=7")
    assert found[0][1]["message"]["model"] == "demo-spark-2026-08-07"
    assert found[-2][1]["usage"]["output_tokens"] == 7


def test_past_the_limit_the_answer_stops(provider: Provider) -> None:
    assert ask(provider, "What is a gateway?", max_tokens=3).json()["stop_reason"] == "max_tokens"


def test_the_limit_must_be_given(provider: Provider) -> None:
    assert ask(provider, "hi", max_tokens=None).status_code == 400


def test_a_tool_is_used(provider: Provider) -> None:
    answer = ask(provider, "Weather?", tools=[TOOL]).json()
    (block,) = answer["content"]
    assert (answer["stop_reason"], block["type"], block["input"]) == ("tool_use", "tool_use", {"city": "Paris"})


def test_a_tools_arguments_are_streamed(provider: Provider) -> None:
    found = stream(provider, "Weather?", tools=[TOOL])
    parts = [payload["delta"]["partial_json"] for name, payload in found if name == "content_block_delta"]
    assert json.loads("".join(parts)) == {"city": "Paris"}


@pytest.mark.parametrize(
    ("choice", "kind"), [({"type": "none"}, "text"), ({"type": "auto"}, "text"), ({"type": "any"}, "tool_use")]
)
def test_the_choice_of_tools_is_followed(provider: Provider, choice: dict[str, str], kind: str) -> None:
    assert ask(provider, "Hi", tools=[TOOL], tool_choice=choice).json()["content"][0]["type"] == kind


def test_the_result_of_a_tool_is_answered_with_text(provider: Provider) -> None:
    messages = [
        {"role": "user", "content": "Weather?"},
        {"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "weather", "input": {}}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": "sunny"}]},
    ]
    assert "sunny" in ask(provider, "", messages=messages, tools=[TOOL]).json()["content"][0]["text"]


def test_a_picture_is_seen(provider: Provider) -> None:
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AA"}}
    messages = [{"role": "user", "content": [image, {"type": "text", "text": "What?"}]}]
    assert "image/png" in ask(provider, "", messages=messages).json()["content"][0]["text"]


@pytest.mark.parametrize("path", ["/messages/count_tokens", "/count_tokens"])
def test_counted_tokens_are_those_of_the_bill(provider: Provider, path: str) -> None:
    body = {"messages": [{"role": "user", "content": "hello"}], "system": "Be kind."}
    counted = provider.post(path, **body).json()
    assert counted == {"input_tokens": ask(provider, "", **body).json()["usage"]["input_tokens"]}


def test_an_error_is_in_anthropics_shape(provider: Provider) -> None:
    answer = ask(provider, "demo:error=429")
    assert answer.status_code == 429
    assert (answer.json()["type"], answer.json()["error"]["type"]) == ("error", "rate_limit_error")


def test_an_error_is_an_event_in_the_stream(provider: Provider) -> None:
    name, payload = stream(provider, "demo:error-event=1 demo:tokens=3")[-1]
    assert (name, payload["error"]["type"]) == ("error", "api_error")


def test_without_the_last_event_the_stream_is_not_over(provider: Provider) -> None:
    assert stream(provider, "hi demo:no-done")[-1][0] == "message_delta"


def test_without_usage_there_is_no_such_key(provider: Provider) -> None:
    assert "usage" not in ask(provider, "hi demo:no-usage").json()
    found = stream(provider, "hi demo:no-usage")
    assert "usage" not in found[0][1]["message"]
    assert "usage" not in found[-2][1]


def test_a_stream_can_be_cut(provider: Provider) -> None:
    messages = [{"role": "user", "content": "demo:cut=2 demo:tokens=9"}]
    with provider.open_post("/messages", messages=messages, max_tokens=20, stream=True) as connection:
        received = read_until(connection, b"never", 1)
    assert received.count(b"event: content_block_delta") == 2
    assert b"message_stop" not in received


def test_the_key_is_taken_as_anthropics_sdk_sends_it(provider: Provider) -> None:
    body = {"model": "demo-spark", "max_tokens": 5, "messages": [{"role": "user", "content": "hi"}]}
    url = f"{provider.base_url}/messages"
    for key, status in ((provider.settings.api_key, 200), ("wrong", 401)):
        answer = httpx.post(url, json=body, headers={"x-api-key": key}, trust_env=False)
        assert answer.status_code == status
