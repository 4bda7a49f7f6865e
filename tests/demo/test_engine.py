"""What the demo provider reads of a request and what it refuses."""

from typing import Any

import msgspec
import pytest

from proxy.demo.engine import ChatRequest, DemoOutput, cut_text
from proxy.errors import InvalidRequest, ModelNotFound

TOOL = {"type": "function", "function": {"name": "look"}}


def request(**fields: Any) -> ChatRequest:
    body = {"model": "demo-core", "messages": [{"role": "user", "content": "hi"}], **fields}
    return msgspec.json.decode(msgspec.json.encode(body), type=ChatRequest)


@pytest.mark.parametrize(
    "fields",
    [
        {"n": 0},
        {"n": 5},
        {"max_tokens": 0},
        {"max_completion_tokens": 0},
        {"stop": ["a", "b", "c", "d", "e"]},
        {"messages": []},
    ],
)
def test_a_value_out_of_range_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(msgspec.ValidationError):
        request(**fields)


@pytest.mark.parametrize(
    ("fields", "param"),
    [({"stream_options": {"include_usage": True}}, "stream_options"), ({"model": "demo-atlas"}, "model")],
)
def test_a_wrong_field_is_refused_by_name(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        request(**fields).validate("x")
    assert caught.value.param == param


def test_nulls_are_as_good_as_nothing() -> None:
    names = ("n", "stop", "stream", "stream_options", "max_tokens", "tools", "tool_choice", "response_format")
    assert request(**dict.fromkeys(names)).validate("x") == "demo-core-2026-09-02"


def test_unknown_fields_are_let_pass() -> None:
    assert request(some_new_field={"a": 1}).validate("x") == "demo-core-2026-09-02"


def test_an_unknown_model_is_not_found() -> None:
    with pytest.raises(ModelNotFound):
        request(model="gpt").validate("x")


def test_the_last_user_message_is_the_one_answered() -> None:
    roles = [("user", "first"), ("user", "second"), ("assistant", "third")]
    asked = request(messages=[{"role": role, "content": content} for role, content in roles])
    assert asked.last_user_message.text == "second"


def test_the_text_of_a_message_in_parts_is_joined() -> None:
    parts = [{"type": "text", "text": "a"}, {"type": "input_audio"}, {"type": "text", "text": "b"}]
    assert request(messages=[{"role": "user", "content": parts}]).last_user_message.text == "a\nb"


def test_tools_and_earlier_calls_count_as_input() -> None:
    bare = request().input_tokens
    assert request(tools=[TOOL]).input_tokens > bare
    call = {"role": "assistant", "content": None, "tool_calls": [{"id": "call_1", "function": {"name": "look"}}]}
    assert request(messages=[{"role": "user", "content": "hi"}, call]).input_tokens > bare + 3


def test_a_tool_that_is_no_function_is_not_called() -> None:
    assert request(tools=[{"type": "custom", "custom": {"name": "x"}}]).called_function() is None


def test_an_unknown_tool_choice_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="other"):
        request(tools=[TOOL], tool_choice={"type": "function", "function": {"name": "other"}}).called_function()


# which function is called


def offered(*names: str) -> list[dict[str, object]]:
    return [{"type": "function", "function": {"name": name}} for name in names]


def called(text: str, *names: str, **fields: object) -> str | None:
    messages = [{"role": "user", "content": text}]
    function = request(messages=messages, tools=offered(*names), **fields).called_function()
    return None if function is None else function.name


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Weather?", "get_weather"),
        ("What is the weather in Paris?", "get_weather"),
        ("weather", "getWeather"),
        ("the weather, please", "fetch-current-weather"),
        ("Call get_weather.", "get_weather"),
        ("search the web", "web_search"),
        ("run the shell", "shell"),
        ("Apply this patch", "apply_patch"),
    ],
)
def test_a_text_asks_for_a_function_by_its_name(text: str, name: str) -> None:
    assert called(text, "other", name) == name


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Hi", "Agent"),
        ("What is a gateway?", "shell"),
        ("Apply yourself", "apply_patch"),
        ("reading", "read"),
        ("", "look"),
        ("Hi", "get"),
        ("The agent reads files. " * 50, "Agent"),
    ],
)
def test_a_text_that_asks_for_none_gets_none(text: str, name: str) -> None:
    assert called(text, name) is None
    assert called(text, name, tool_choice="auto") is None


def test_what_is_required_is_called() -> None:
    assert called("Hi", "one", "two", tool_choice="required") == "one"
    assert called("Two?", "one", "two", tool_choice="required") == "two"


def test_nothing_is_called_after_the_answer_of_a_tool() -> None:
    messages = [{"role": "user", "content": "one"}, {"role": "tool", "content": "done"}]
    asked = request(messages=messages, tools=offered("one"), tool_choice="required")
    assert asked.called_function() is None
    assert asked.called_function("one") is None


def test_a_phrase_names_the_function() -> None:
    asked = request(messages=[{"role": "user", "content": "Hi"}], tools=offered("one", "two"))
    found = asked.called_function("two")
    assert found is not None
    assert found.name == "two"
    with pytest.raises(InvalidRequest, match="demo:call"):
        asked.called_function("three")


# outputs


@pytest.mark.parametrize(
    ("stops", "limit", "result"),
    [
        ([], None, ("one two three", "stop")),
        ([], 4, ("one two three", "stop")),
        ([], 3, ("one two thre", "length")),
        ([], 0, ("", "length")),
        ([" three", " two"], None, ("one", "stop")),
        ([" two"], 1, ("one", "stop")),
        (["four"], 1, ("one ", "length")),
    ],
)
def test_a_text_is_cut_at_the_first_stop_and_at_the_limit(
    stops: list[str], limit: int | None, result: tuple[str, str]
) -> None:
    assert cut_text("one two three", stops, limit) == result


def test_the_name_of_a_called_function_counts_as_output() -> None:
    assert (DemoOutput("four", "stop").tokens, DemoOutput("{}", "tool_calls", "fives").tokens) == (1, 1 + 2)
