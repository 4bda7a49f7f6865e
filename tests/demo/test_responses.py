"""The Responses API of the demo provider, over a real socket."""

import json

import openai
import pytest

from tests.demo.conftest import Provider, named_events, read_until

CALL = {
    "type": "function",
    "name": "weather",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
}


def stream(provider: Provider, text: str, **body: object) -> list[tuple[str, dict[str, object]]]:
    answer = provider.post("/responses", input=text, stream=True, **body)
    assert answer.headers["content-type"].startswith("text/event-stream")
    return named_events(answer.text)


def test_an_answer_has_text_model_and_usage(sdk: openai.OpenAI) -> None:
    answer = sdk.responses.create(model="demo-core", input="What is a gateway?")
    assert answer.output_text.startswith("A model gateway")
    assert (answer.status, answer.model) == ("completed", "demo-core-2026-09-02")
    assert answer.usage is not None
    assert answer.usage.total_tokens == answer.usage.input_tokens + answer.usage.output_tokens > 0


def test_a_stream_has_its_named_events_in_order(provider: Provider) -> None:
    assert [name for name, _ in stream(provider, "demo:tokens=2")] == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
        "response.output_text.delta",
        "response.output_text.delta",
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.completed",
    ]


def test_events_are_numbered_from_zero_and_say_their_name_again(provider: Provider) -> None:
    found = stream(provider, "demo:tokens=3")
    assert [payload["sequence_number"] for _, payload in found] == list(range(len(found)))
    assert [payload["type"] for _, payload in found] == [name for name, _ in found]


def test_a_stream_has_no_end_mark(provider: Provider) -> None:
    assert "[DONE]" not in provider.post("/responses", input="hi", stream=True).text


def test_the_sdk_puts_a_stream_together(sdk: openai.OpenAI) -> None:
    with sdk.responses.stream(model="demo-core", input="What is a gateway?") as running:
        assert running.get_final_response().output_text.startswith("A model gateway")


def test_usage_stands_in_the_last_event_alone(provider: Provider) -> None:
    usages = [payload["response"]["usage"] for _, payload in stream(provider, "hi") if "response" in payload]  # type: ignore[index]
    assert usages[:-1] == [None, None]
    assert usages[-1]["total_tokens"] > 0


def test_past_the_limit_the_answer_is_incomplete(provider: Provider) -> None:
    name, payload = stream(provider, "What is a gateway?", max_output_tokens=3)[-1]
    assert name == "response.incomplete"
    assert payload["response"]["incomplete_details"] == {"reason": "max_output_tokens"}  # type: ignore[index]


@pytest.mark.parametrize("streamed", [False, True])
def test_a_function_is_called(sdk: openai.OpenAI, streamed: bool) -> None:
    if streamed:
        with sdk.responses.stream(model="demo-core", input="Weather?", tools=[CALL]) as running:  # type: ignore[list-item]
            answer = running.get_final_response()
    else:
        answer = sdk.responses.create(model="demo-core", input="Weather?", tools=[CALL])  # type: ignore[list-item, assignment]
    (item,) = answer.output
    assert item.type == "function_call"
    assert (item.name, json.loads(item.arguments)) == ("weather", {"city": "Paris"})


def test_the_output_of_a_function_is_answered_with_text(sdk: openai.OpenAI) -> None:
    answer = sdk.responses.create(
        model="demo-core",
        tools=[CALL],  # type: ignore[list-item]
        input=[
            {"role": "user", "content": "Weather?"},
            {"type": "function_call", "call_id": "c", "name": "weather", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "c", "output": "sunny"},
        ],
    )
    assert "sunny" in answer.output_text


def test_a_wanted_schema_is_kept_to(provider: Provider) -> None:
    form = {"type": "json_schema", "name": "x", "schema": {"type": "object", "properties": {"n": {"type": "integer"}}}}
    answer = provider.post("/responses", input="hi", text={"format": form}).json()
    assert json.loads(answer["output"][0]["content"][0]["text"]) == {"n": 1}


def test_pictures_are_counted(provider: Provider) -> None:
    parts = [{"type": "input_text", "text": "hi"}, {"type": "input_image", "image_url": "data:image/png;base64,AA"}]
    answer = provider.post("/responses", input=[{"role": "user", "content": parts}]).json()
    assert answer["usage"]["input_tokens"] > 765


def test_an_answer_is_found_again_and_deleted(sdk: openai.OpenAI) -> None:
    answer = sdk.responses.create(model="demo-core", input="hello")
    assert sdk.responses.retrieve(answer.id).output_text == answer.output_text
    sdk.responses.delete(answer.id)
    with pytest.raises(openai.NotFoundError):
        sdk.responses.retrieve(answer.id)


def test_what_was_not_to_be_stored_is_not_found(sdk: openai.OpenAI) -> None:
    answer = sdk.responses.create(model="demo-core", input="hello", store=False)
    with pytest.raises(openai.NotFoundError):
        sdk.responses.retrieve(answer.id)


def test_a_stored_answer_is_streamed_again_from_where_it_was_left(sdk: openai.OpenAI) -> None:
    answer = sdk.responses.create(model="demo-core", input="demo:tokens=2")
    again = list(sdk.responses.retrieve(answer.id, stream=True, starting_after=7))
    assert [event.type for event in again] == ["response.output_item.done", "response.completed"]


def test_an_answer_continues_the_conversation(sdk: openai.OpenAI) -> None:
    first = sdk.responses.create(model="demo-core", input="hello")
    second = sdk.responses.create(model="demo-core", input="and?", previous_response_id=first.id)
    assert first.usage is not None
    assert second.usage is not None
    assert second.usage.input_tokens > first.usage.total_tokens
    assert len(sdk.responses.input_items.list(second.id).data) == 3


def test_an_answer_from_the_background_can_be_cancelled(sdk: openai.OpenAI) -> None:
    answer = sdk.responses.create(model="demo-core", input="hello", background=True)
    assert answer.status == "queued"
    assert sdk.responses.retrieve(answer.id).status == "completed"
    assert sdk.responses.cancel(answer.id).status == "cancelled"


def test_any_other_answer_cannot(sdk: openai.OpenAI) -> None:
    answer = sdk.responses.create(model="demo-core", input="hello")
    with pytest.raises(openai.BadRequestError, match="synchronous"):
        sdk.responses.cancel(answer.id)


def test_input_tokens_are_those_of_the_bill(sdk: openai.OpenAI) -> None:
    answer = sdk.responses.create(model="demo-core", input="hello", instructions="Be kind.")
    assert answer.usage is not None
    counted = sdk.responses.input_tokens.count(model="demo-core", input="hello", instructions="Be kind.")
    assert counted.input_tokens == answer.usage.input_tokens


def test_a_conversation_is_compacted(sdk: openai.OpenAI) -> None:
    answer = sdk.responses.compact(model="demo-core", input=[{"role": "user", "content": "hello"}])
    assert [item.type for item in answer.output][-1] == "compaction"


def test_an_error_is_an_event_in_the_stream(provider: Provider) -> None:
    name, payload = stream(provider, "demo:error-event=1 demo:tokens=3")[-1]
    assert (name, payload["type"]) == ("error", "error")
    assert "demo-spark" in payload["error"]["message"]  # type: ignore[index]


def test_an_ordered_error_has_its_status(provider: Provider) -> None:
    assert provider.post("/responses", input="demo:error=429", stream=True).status_code == 429


def test_without_the_last_event_the_stream_is_not_over(provider: Provider) -> None:
    assert stream(provider, "hi demo:no-done")[-1][0] == "response.output_item.done"


@pytest.mark.parametrize("streamed", [False, True])
def test_without_usage_there_is_null(provider: Provider, streamed: bool) -> None:
    if streamed:
        assert stream(provider, "hi demo:no-usage")[-1][1]["response"]["usage"] is None  # type: ignore[index]
    else:
        assert provider.post("/responses", input="hi demo:no-usage").json()["usage"] is None


def test_a_stream_can_be_cut(provider: Provider) -> None:
    with provider.open_post("/responses", input="demo:cut=2 demo:tokens=9", stream=True) as connection:
        received = read_until(connection, b"never", 1)
    assert received.count(b"output_text.delta\ndata") == 2
    assert b"response.completed" not in received


@pytest.mark.parametrize("body", [{"input": 5}, {"input": [{"role": "user", "content": 5}, 7]}, {"tools": "x"}])
def test_a_wrong_body_is_a_400(provider: Provider, body: dict[str, object]) -> None:
    assert provider.post("/responses", **body).status_code == 400
