"""Chat completions of the demo provider: the wire of answers and streams, tools, formats, limits, usage."""

import json
from collections.abc import Iterator
from typing import Any

import openai
import pytest

from proxy.demo.words import count_tokens
from tests.demo.conftest import Provider

WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {
            "type": "object",
            "properties": {
                "location": {"type": "string"},
                "unit": {"type": "string", "enum": ["celsius", "fahrenheit"]},
            },
            "required": ["location"],
        },
    },
}
USAGE = {"include_usage": True}


@pytest.fixture
def sdk(provider: Provider) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=provider.base_url, api_key=provider.settings.api_key, max_retries=0) as client:
        yield client


def contents(events: list[Any]) -> list[str]:
    chunks = [event for event in events if isinstance(event, dict) and event.get("choices")]
    return [delta["content"] for chunk in chunks if (delta := chunk["choices"][0]["delta"]).get("content")]


def message(provider: Provider, text: str, **body: Any) -> Any:
    return provider.chat(text, **body).json()["choices"][0]["message"]


def test_an_answer_has_openais_keys_and_the_dated_model(provider: Provider) -> None:
    answer = provider.chat("What is a gateway?", model="demo-spark").json()
    assert answer["id"].startswith("chatcmpl-")
    assert answer["object"] == "chat.completion"
    assert answer["model"] == "demo-spark-2026-08-07"
    assert answer["system_fingerprint"].startswith("fp_")
    assert answer["choices"][0]["finish_reason"] == "stop"
    assert answer["choices"][0]["message"]["role"] == "assistant"


def test_the_answer_is_the_same_for_the_same_input(provider: Provider) -> None:
    assert message(provider, "Tell me of whales.") == message(provider, "Tell me of whales.")


def test_the_answer_depends_on_the_last_user_message(provider: Provider) -> None:
    assert "whales" in message(provider, "Tell me of whales.")["content"]


def test_usage_follows_from_the_texts(provider: Provider) -> None:
    answer = provider.chat("Tell me of whales.").json()
    content = answer["choices"][0]["message"]["content"]
    assert answer["usage"]["completion_tokens"] == count_tokens(content)
    assert answer["usage"]["total_tokens"] == answer["usage"]["prompt_tokens"] + count_tokens(content)


def test_a_longer_prompt_costs_more(provider: Provider) -> None:
    short, long = (provider.chat(text).json()["usage"]["prompt_tokens"] for text in ("a", "a" * 401))
    assert long == short + 100


def test_a_stream_starts_with_the_role_alone(provider: Provider) -> None:
    delta = provider.events("hi")[0]["choices"][0]["delta"]
    assert delta == {"role": "assistant", "content": "", "refusal": None}


def test_a_stream_has_the_same_text_as_the_whole_answer_word_by_word(provider: Provider) -> None:
    words = contents(provider.events("What is a gateway?"))
    assert "".join(words) == message(provider, "What is a gateway?")["content"]
    assert len(words) > 40


def test_a_stream_ends_with_the_finish_reason_and_done(provider: Provider) -> None:
    finish, done = provider.events("hi")[-2:]
    assert finish["choices"][0]["delta"] == {}
    assert finish["choices"][0]["finish_reason"] == "stop"
    assert done == "[DONE]"


def test_a_stream_is_named_an_event_stream(provider: Provider) -> None:
    headers = provider.chat("hi", stream=True).headers
    assert headers["content-type"] == "text/event-stream; charset=utf-8"
    assert "content-length" not in headers


def test_without_include_usage_no_chunk_has_the_key(provider: Provider) -> None:
    assert not any("usage" in event for event in provider.events("hi")[:-1])


def test_with_include_usage_only_one_extra_chunk_has_numbers(provider: Provider) -> None:
    *chunks, last, _ = provider.events("hi", stream_options=USAGE)
    assert all(chunk["usage"] is None for chunk in chunks)
    assert last["choices"] == []
    assert last["usage"] == provider.chat("hi").json()["usage"]


def test_all_chunks_of_a_stream_share_id_and_model(provider: Provider) -> None:
    events = provider.events("hi")[:-1]
    assert len({(event["id"], event["created"], event["model"]) for event in events}) == 1


def test_a_tool_is_called_with_arguments_that_fit_its_schema(provider: Provider) -> None:
    choice = provider.chat("Weather?", tools=[WEATHER]).json()["choices"][0]
    call = choice["message"]["tool_calls"][0]
    assert choice["finish_reason"] == "tool_calls"
    assert choice["message"]["content"] is None
    assert call["function"]["name"] == "get_weather"
    assert json.loads(call["function"]["arguments"]) == {"location": "Paris", "unit": "celsius"}


def test_a_streamed_tool_call_comes_in_fragments(provider: Provider) -> None:
    chunks = [event["choices"][0] for event in provider.events("Weather?", tools=[WEATHER])[:-1]]
    first = chunks[0]["delta"]["tool_calls"][0]
    parts = [chunk["delta"]["tool_calls"][0]["function"]["arguments"] for chunk in chunks[1:-1]]
    assert first["id"].startswith("call_")
    assert first["function"] == {"name": "get_weather", "arguments": ""}
    assert len(parts) > 1
    assert json.loads("".join(parts))["location"] == "Paris"
    assert chunks[-1]["finish_reason"] == "tool_calls"


def test_tool_choice_none_gives_text(provider: Provider) -> None:
    assert message(provider, "Weather?", tools=[WEATHER], tool_choice="none")["content"]


def test_tool_choice_names_the_function(provider: Provider) -> None:
    other = {"type": "function", "function": {"name": "other"}}
    answer = message(provider, "Weather?", tools=[WEATHER, other], tool_choice=other)
    assert answer["tool_calls"][0]["function"] == {"name": "other", "arguments": "{}"}


def test_after_a_tools_answer_there_is_text(provider: Provider) -> None:
    messages = [
        {"role": "user", "content": "Weather?"},
        {"role": "assistant", "content": None, "tool_calls": [{"id": "call_1"}]},
        {"role": "tool", "tool_call_id": "call_1", "content": "rain at 8 degrees"},
    ]
    answer = provider.post("/chat/completions", messages=messages, tools=[WEATHER]).json()["choices"][0]
    assert answer["finish_reason"] == "stop"
    assert "rain at 8 degrees" in answer["message"]["content"]


def test_json_object_gives_json(provider: Provider) -> None:
    content = message(provider, "Give me JSON.", response_format={"type": "json_object"})["content"]
    assert isinstance(json.loads(content), dict)


def test_json_schema_gives_json_of_that_schema(provider: Provider) -> None:
    schema = {"type": "object", "properties": {"age": {"type": "integer", "minimum": 18}}, "required": ["age"]}
    wanted = {"type": "json_schema", "json_schema": {"name": "person", "schema": schema}}
    assert json.loads(message(provider, "Who?", response_format=wanted)["content"]) == {"age": 18}


@pytest.mark.parametrize("wanted", [{"type": "text"}, {"type": "json_schema"}])
def test_any_other_format_is_text(provider: Provider, wanted: dict[str, str]) -> None:
    assert message(provider, "hi", response_format=wanted) == message(provider, "hi")


@pytest.mark.parametrize(("detail", "tokens"), [("low", 85), ("high", 765)])
def test_an_image_counts_as_input(provider: Provider, detail: str, tokens: int) -> None:
    text = {"type": "text", "text": "What is it?"}
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo=", "detail": detail}}
    counts = [
        provider.post("/chat/completions", messages=[{"role": "user", "content": parts}]).json()["usage"]
        for parts in ([text], [text, image])
    ]
    assert counts[1]["prompt_tokens"] - counts[0]["prompt_tokens"] == tokens


def test_an_image_is_mentioned_with_its_kind(provider: Provider) -> None:
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 5000}}
    answer = provider.post("/chat/completions", messages=[{"role": "user", "content": [image]}]).json()
    assert "1 images (image/png)" in answer["choices"][0]["message"]["content"]


@pytest.mark.parametrize("field", ["max_tokens", "max_completion_tokens"])
def test_the_limit_cuts_with_the_reason_length(provider: Provider, field: str) -> None:
    answer = provider.chat("What is a gateway?", **{field: 5}).json()
    assert answer["choices"][0]["finish_reason"] == "length"
    assert answer["usage"]["completion_tokens"] == 5


def test_an_answer_within_the_limit_ends_with_stop(provider: Provider) -> None:
    assert provider.chat("demo:tokens=5", max_tokens=5).json()["choices"][0]["finish_reason"] == "stop"


@pytest.mark.parametrize("stop", [" stands", ["nowhere", " stands"]])
def test_the_answer_ends_before_a_stop(provider: Provider, stop: str | list[str]) -> None:
    assert message(provider, "What is a gateway?", stop=stop)["content"] == "A model gateway"


def test_n_gives_so_many_different_choices(provider: Provider) -> None:
    choices = provider.chat("hi", n=4).json()["choices"]
    assert [choice["index"] for choice in choices] == [0, 1, 2, 3]
    assert len({choice["message"]["content"] for choice in choices}) == 4


def test_n_streams_each_choice_to_its_end(provider: Provider) -> None:
    choices = [event["choices"][0] for event in provider.events("hi", n=2)[:-1]]
    assert [choice["index"] for choice in choices if choice["finish_reason"] == "stop"] == [0, 1]


def test_tokens_orders_an_answer_of_that_size_one_token_a_chunk(provider: Provider) -> None:
    events = provider.events("demo:tokens=50", stream_options=USAGE)
    assert len(contents(events)) == 50
    assert events[-2]["usage"]["completion_tokens"] == 50


def test_no_usage_leaves_it_out_of_an_answer(provider: Provider) -> None:
    assert "usage" not in provider.chat("demo:no-usage").json()


def test_no_usage_leaves_the_extra_chunk_out_of_a_stream(provider: Provider) -> None:
    events = provider.events("demo:no-usage", stream_options=USAGE)
    assert all(event["choices"] for event in events[:-1])
    assert events[-1] == "[DONE]"


def test_no_done_ends_the_stream_after_the_last_chunk(provider: Provider) -> None:
    assert provider.events("demo:no-done")[-1]["choices"][0]["finish_reason"] == "stop"


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("status", [400, 401, 404, 418, 500, 503, 599])
def test_an_ordered_error_has_its_status_and_names_the_model(provider: Provider, status: int, stream: bool) -> None:
    answer = provider.chat(f"demo:error={status}", stream=stream)
    assert answer.status_code == status
    assert "demo-spark-2026-08-07" in answer.json()["error"]["message"]


def test_the_sdk_reads_a_stream(sdk: openai.OpenAI) -> None:
    stream = sdk.chat.completions.create(
        model="demo-core-2026-09-02", messages=[{"role": "user", "content": "demo:tokens=9"}], stream=True
    )
    assert sum(1 for chunk in stream if chunk.choices[0].delta.content) == 9


def test_the_sdk_gathers_a_streamed_tool_call(sdk: openai.OpenAI) -> None:
    with sdk.chat.completions.stream(
        model="demo-core",
        messages=[{"role": "user", "content": "Weather?"}],
        tools=[WEATHER],  # type: ignore[list-item]  # the SDK wants its own TypedDict, a caller sends plain JSON
    ) as stream:
        calls = stream.get_final_completion().choices[0].message.tool_calls
    assert calls is not None
    assert json.loads(calls[0].function.arguments)["location"] == "Paris"


def test_the_sdk_raises_its_rate_limit_error(sdk: openai.OpenAI) -> None:
    with pytest.raises(openai.RateLimitError) as caught:
        sdk.chat.completions.create(model="demo-core", messages=[{"role": "user", "content": "demo:error=429"}])
    assert caught.value.code == "rate_limit_exceeded"
    assert caught.value.response.headers["retry-after"] == "1"


def test_the_sdk_raises_an_error_event(sdk: openai.OpenAI) -> None:
    with pytest.raises(openai.APIError, match="demo-core-2026-09-02"):
        list(
            sdk.chat.completions.create(
                model="demo-core", messages=[{"role": "user", "content": "demo:error-event=1"}], stream=True
            )
        )
