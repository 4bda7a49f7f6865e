"""Requests of chat completions as Messages: every field by its verdict, and every kind of content."""

from typing import Any

import pytest

from proxy.dialects.translate.chat_to_messages import DEFAULT_MAX_TOKENS, FIELDS, ChatToMessages
from tests.dialects.translate.pairs import refused, sent

PAIR = ChatToMessages()
HELLO: dict[str, Any] = {"max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]}
TOOL = {"type": "function", "function": {"name": "f", "description": "does", "parameters": {"type": "object"}}}
CALL = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a": 1.00}'}}


def asked(**fields: Any) -> tuple[dict[str, Any], str]:
    return sent(PAIR, {**HELLO, **fields})


def messages(*values: dict[str, Any], **terms: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = sent(PAIR, {"max_tokens": 9, "messages": list(values)}, **terms)[0]["messages"]
    return found


def test_a_plain_request_loses_nothing() -> None:
    assert asked() == ({"messages": HELLO["messages"], "max_tokens": 9}, "chat>messages")


def test_leading_system_and_developer_messages_are_the_system_prompt() -> None:
    given = [{"role": "system", "content": "a"}, {"role": "developer", "content": "b"}, *HELLO["messages"]]
    value, note = asked(messages=given)
    assert value["system"] == [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    assert note == "chat>messages"


def test_a_later_system_message_is_moved_to_the_front_and_never_to_the_user() -> None:
    value, note = asked(messages=[*HELLO["messages"], {"role": "system", "content": "late"}])
    assert (value["system"], value["messages"]) == ("late", HELLO["messages"])
    assert note == "chat>messages; lossy=messages.system"


def test_consecutive_results_are_one_turn_before_what_the_user_says() -> None:
    found = messages(
        {"role": "user", "content": "go"},
        {"role": "assistant", "content": None, "tool_calls": [CALL, {**CALL, "id": "c2"}]},
        {"role": "tool", "tool_call_id": "c1", "content": "one"},
        {"role": "tool", "tool_call_id": "c2", "content": [{"type": "text", "text": "two"}]},
        {"role": "user", "content": "and now?"},
    )
    assert [one["role"] for one in found] == ["user", "assistant", "user"]
    assert found[1]["content"][0] == {"type": "tool_use", "id": "c1", "name": "f", "input": {"a": 1.0}}
    assert found[2]["content"] == [
        {"type": "tool_result", "tool_use_id": "c1", "content": "one"},
        {"type": "tool_result", "tool_use_id": "c2", "content": "two"},
        {"type": "text", "text": "and now?"},
    ]


def test_a_call_without_a_result_is_refused() -> None:
    given = [{"role": "assistant", "tool_calls": [CALL]}, {"role": "user", "content": "x"}]
    assert refused(PAIR, {**HELLO, "messages": given}) == "messages"


def test_empty_texts_are_no_blocks() -> None:
    found = messages({"role": "user", "content": "go"}, {"role": "assistant", "content": ""})
    assert found == [{"role": "user", "content": "go"}]


def test_media_are_sources() -> None:
    content = [
        {"type": "text", "text": "see"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBO"}},
        {"type": "image_url", "image_url": {"url": "https://a.example/x.png"}},
        {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBE"}},
    ]
    (found,) = messages({"role": "user", "content": content})
    assert found["content"][1:] == [
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBO"}},
        {"type": "image", "source": {"type": "url", "url": "https://a.example/x.png"}},
        {
            "type": "document",
            "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBE"},
            "title": "a.pdf",
        },
    ]


@pytest.mark.parametrize(
    ("part", "path"),
    [
        ({"type": "image_url", "image_url": {"url": "file:///etc/passwd"}}, "messages[0].content[0]"),
        ({"type": "image_url", "image_url": {"url": "data:image/png,raw"}}, "messages[0].content[0]"),
        ({"type": "image_url", "image_url": {"url": "data:image/tiff;base64,AAAA"}}, "messages"),
        ({"type": "file", "file": {"file_id": "file-1"}}, "messages[0].content[0].file.file_id"),
        ({"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}}, "messages"),
        ({"type": "later"}, "messages[0].content[0].type"),
    ],
)
def test_content_without_a_counterpart_is_refused_by_its_path(part: dict[str, Any], path: str) -> None:
    assert refused(PAIR, {**HELLO, "messages": [{"role": "user", "content": [part]}]}) == path


def test_tools_get_parameters_where_they_have_none() -> None:
    value, _ = asked(tools=[TOOL, {"type": "function", "function": {"name": "g"}}])
    assert value["tools"] == [
        {"name": "f", "description": "does", "input_schema": {"type": "object"}},
        {"name": "g", "input_schema": {"type": "object", "properties": {}}},
    ]


@pytest.mark.parametrize(
    ("given", "choice"),
    [
        ("auto", {"type": "auto"}),
        ("required", {"type": "any"}),
        ("none", {"type": "none"}),
        ({"type": "function", "function": {"name": "f"}}, {"type": "tool", "name": "f"}),
    ],
)
def test_a_choice_is_said_in_the_target_s_words(given: Any, choice: dict[str, Any]) -> None:
    value, note = asked(tools=[TOOL], tool_choice=given)
    assert (value["tool_choice"], note) == (choice, "chat>messages")


def test_allowed_tools_are_the_only_ones_left() -> None:
    allowed = {"mode": "required", "tools": [{"type": "function", "function": {"name": "f"}}]}
    other = {"type": "function", "function": {"name": "g"}}
    value, note = asked(tools=[TOOL, other], tool_choice={"type": "allowed_tools", "allowed_tools": allowed})
    assert [one["name"] for one in value["tools"]] == ["f"]
    assert value["tool_choice"] == {"type": "any"}
    assert note == "chat>messages; lossy=tool_choice.allowed_tools"


def test_calls_one_by_one_are_asked_for_in_the_choice() -> None:
    value, _ = asked(tools=[TOOL], parallel_tool_calls=False)
    assert value["tool_choice"] == {"type": "auto", "disable_parallel_tool_use": True}


def test_without_a_bound_the_alias_s_own_or_the_default_is_set_and_noted() -> None:
    request = {"messages": HELLO["messages"]}
    assert sent(PAIR, request) == (
        {**request, "max_tokens": DEFAULT_MAX_TOKENS},
        "chat>messages; lossy=max_tokens",
    )
    assert sent(PAIR, request, max_output_tokens=64_000)[0]["max_tokens"] == 64_000


def test_the_newer_name_of_the_bound_wins() -> None:
    assert asked(max_completion_tokens=7)[0]["max_tokens"] == 7


def test_a_temperature_above_1_is_1() -> None:
    value, note = asked(temperature=1.7)
    assert (value["temperature"], note) == (1, "chat>messages; lossy=temperature")


@pytest.mark.parametrize(("given", "stops"), [("END", ["END"]), (["a", "b"], ["a", "b"]), (["a", "\n"], ["a"])])
def test_stops_are_a_list_without_blanks(given: Any, stops: list[str]) -> None:
    assert asked(stop=given)[0]["stop_sequences"] == stops


def test_an_effort_is_a_budget_below_the_bound_for_a_model_that_thinks() -> None:
    request = {**HELLO, "max_tokens": 5_000, "reasoning_effort": "high", "temperature": 0.2}
    value, note = sent(PAIR, request, reasoning=True)
    assert value["thinking"] == {"type": "enabled", "budget_tokens": 4_999}
    assert "temperature" not in value
    assert note == "chat>messages; lossy=reasoning_effort; dropped=temperature"


def test_an_effort_without_a_bound_leaves_room_for_the_answer() -> None:
    value, _ = sent(PAIR, {"messages": HELLO["messages"], "reasoning_effort": "low"}, reasoning=True)
    assert (value["thinking"]["budget_tokens"], value["max_tokens"]) == (2_048, 2_048 + DEFAULT_MAX_TOKENS)


def test_a_tool_cannot_be_forced_while_the_model_thinks() -> None:
    request = {**HELLO, "max_tokens": 5_000, "reasoning_effort": "low", "tools": [TOOL], "tool_choice": "required"}
    value, note = sent(PAIR, request, reasoning=True)
    assert value["tool_choice"] == {"type": "auto"}
    assert "tool_choice" in note


def test_a_loop_of_tools_without_its_thoughts_is_gone_on_with_without_thinking() -> None:
    given = [
        {"role": "user", "content": "go"},
        {"role": "assistant", "tool_calls": [CALL]},
        {"role": "tool", "tool_call_id": "c1", "content": "one"},
    ]
    request = {"messages": given, "max_tokens": 5_000, "reasoning_effort": "low"}
    value, note = sent(PAIR, request, reasoning=True)
    assert "thinking" not in value
    assert note == "chat>messages; dropped=reasoning_effort"


def test_thoughts_with_their_state_go_back_in_place() -> None:
    blocks = [{"type": "thinking", "thinking": "hm", "signature": "s"}, {"type": "redacted_thinking", "data": "x"}]
    given = [
        {"role": "user", "content": "go"},
        {"role": "assistant", "content": "so", "tool_calls": [CALL], "thinking_blocks": blocks},
        {"role": "tool", "tool_call_id": "c1", "content": "one"},
    ]
    value, _ = sent(PAIR, {"messages": given, "max_tokens": 5_000, "reasoning_effort": "low"}, reasoning=True)
    assert value["thinking"]["type"] == "enabled"
    assert value["messages"][1]["content"][:3] == [*blocks, {"type": "text", "text": "so"}]


def test_thoughts_of_a_stream_are_put_together_with_their_state() -> None:
    blocks = [{"index": 0, "type": "thinking", "thinking": "", "signature": "s"}]
    said = {"role": "assistant", "content": "so", "reasoning_content": "hm", "thinking_blocks": blocks}
    (found,) = messages(said)
    assert found["content"][0] == {"type": "thinking", "thinking": "hm", "signature": "s"}


def test_an_unknown_effort_is_refused() -> None:
    assert refused(PAIR, {**HELLO, "reasoning_effort": "some"}, reasoning=True) == "reasoning_effort"


def test_a_schema_of_the_output_is_its_format() -> None:
    schema = {"type": "object", "properties": {}}
    given = {"type": "json_schema", "json_schema": {"name": "x", "strict": True, "schema": schema}}
    value, note = asked(response_format=given)
    assert value["output_config"] == {"format": {"type": "json_schema", "schema": schema}}
    assert note == "chat>messages"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("n", 2),
        ("logprobs", True),
        ("logit_bias", {"1": 1}),
        ("audio", {"voice": "x"}),
        ("modalities", ["text", "audio"]),
        ("prediction", {}),
        ("functions", []),
        ("web_search_options", {}),
        ("tool_choice", "some"),
        ("response_format", {"type": "later"}),
    ],
)
def test_what_changes_the_response_is_refused(field: str, value: Any) -> None:
    assert refused(PAIR, {**HELLO, field: value}) == field


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("n", 1),
        ("logprobs", False),
        ("modalities", ["text"]),
        ("frequency_penalty", 0),
        ("store", False),
        ("seed", None),
    ],
)
def test_a_value_that_says_nothing_is_no_loss(field: str, value: Any) -> None:
    assert asked(**{field: value}) == asked()


def test_hints_are_left_out_and_noted() -> None:
    fields = {"seed": 1, "frequency_penalty": 0.5, "verbosity": "low", "service_tier": "flex", "metadata": {"a": "b"}}
    assert asked(**fields)[1] == "chat>messages; dropped=seed,frequency_penalty,verbosity,service_tier,metadata"


def test_every_field_has_a_verdict_with_a_reason_unless_it_is_mapped() -> None:
    assert [name for name, rule in FIELDS.items() if not rule.why and rule.verdict.value != "map"] == []
