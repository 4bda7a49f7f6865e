"""Requests of Messages as chat completions: every field by its verdict, and every kind of content."""

import json
from typing import Any

import pytest

from proxy.dialects.translate.chat_request import short_name
from proxy.dialects.translate.messages_to_chat import FIELDS, MessagesToChat
from tests.dialects.translate.pairs import answered, call_delta, chat_events, delta, refused, sent

PAIR = MessagesToChat()
HELLO: dict[str, Any] = {"max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]}
TOOL = {"name": "f", "description": "does", "input_schema": {"type": "object", "properties": {"a": {"const": 1.00}}}}
PNG = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBO"}}


def asked(**fields: Any) -> tuple[dict[str, Any], str]:
    return sent(PAIR, {**HELLO, **fields})


def messages(*values: dict[str, Any], **terms: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = sent(PAIR, {"max_tokens": 9, "messages": list(values)}, **terms)[0]["messages"]
    return found


def test_a_plain_request_loses_nothing() -> None:
    assert asked() == ({"messages": HELLO["messages"], "max_tokens": 9}, "messages>chat")


def test_the_system_prompt_is_the_first_message() -> None:
    value, _ = asked(system="be kind")
    assert value["messages"][0] == {"role": "system", "content": "be kind"}


def test_blocks_of_the_system_prompt_keep_their_borders() -> None:
    blocks = [{"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}}, {"type": "text", "text": "b"}]
    value, note = asked(system=blocks)
    assert value["messages"][0]["content"] == [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    assert note == "messages>chat"


def test_a_line_that_changes_with_each_request_does_not_spoil_the_prompt_s_cache() -> None:
    value, _ = asked(
        system=[{"type": "text", "text": "x-anthropic-billing-header: a=1"}, {"type": "text", "text": "b"}]
    )
    assert value["messages"][0]["content"] == "b"


def test_a_stream_asks_for_its_usage() -> None:
    value, _ = asked(stream=True)
    assert (value["stream"], value["stream_options"]) == (True, {"include_usage": True})


def test_a_stream_of_an_upstream_that_refuses_options_asks_for_none() -> None:
    value, _ = sent(PAIR, {**HELLO, "stream": True}, takes_stream_options=False)
    assert "stream_options" not in value


def test_the_bound_has_the_upstream_s_own_name() -> None:
    assert sent(PAIR, HELLO, max_tokens_field="max_completion_tokens")[0]["max_completion_tokens"] == 9


def test_calls_and_their_results_are_messages_of_their_own() -> None:
    found = messages(
        {"role": "user", "content": "go"},
        {
            "role": "assistant",
            "content": [
                {"type": "text", "text": "I call"},
                {"type": "tool_use", "id": "t1", "name": "f", "input": {"a": 1}},
                {"type": "tool_use", "id": "t2", "name": "g", "input": {}},
            ],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "t1", "content": "one"},
                {"type": "tool_result", "tool_use_id": "t2", "content": [{"type": "text", "text": "two"}]},
                {"type": "text", "text": "and now?"},
            ],
        },
    )
    assert [one["role"] for one in found] == ["user", "assistant", "tool", "tool", "user"]
    assert (found[1]["content"], [one["id"] for one in found[1]["tool_calls"]]) == ("I call", ["t1", "t2"])
    assert json.loads(found[1]["tool_calls"][0]["function"]["arguments"]) == {"a": 1}
    assert found[2] == {"role": "tool", "tool_call_id": "t1", "content": "one"}
    assert found[4] == {"role": "user", "content": "and now?"}


def test_numbers_in_arguments_and_schemas_stay_as_they_came() -> None:
    big = 12345678901234567890123
    found = messages(
        {"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "f", "input": {"a": big}}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t"}]},
    )
    assert str(big) in found[0]["tool_calls"][0]["function"]["arguments"]


def test_an_image_in_a_result_goes_into_the_message_behind_all_results() -> None:
    results = [
        {"type": "tool_result", "tool_use_id": "t1", "content": [{"type": "text", "text": "see"}, PNG]},
        {"type": "tool_result", "tool_use_id": "t2", "content": "two"},
    ]
    found = messages({"role": "user", "content": results})
    assert [one["role"] for one in found] == ["tool", "tool", "user"]
    assert "AAAA" not in found[0]["content"]
    assert found[2]["content"][1] == {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBO"}}


def test_a_failed_result_says_so_in_words() -> None:
    result = {"type": "tool_result", "tool_use_id": "t", "content": "boom", "is_error": True}
    value, note = asked(messages=[{"role": "user", "content": [result]}])
    assert value["messages"][0]["content"] == "Error: boom"
    assert note == "messages>chat; lossy=tool_result.is_error"


def test_thoughts_go_to_a_model_that_thinks_and_to_no_other() -> None:
    said = {
        "role": "assistant",
        "content": [
            {"type": "thinking", "thinking": "hm", "signature": "s"},
            {"type": "redacted_thinking", "data": "x"},
            {"type": "text", "text": "so"},
        ],
    }
    assert messages(said, reasoning=True) == [{"role": "assistant", "content": "so", "reasoning_content": "hm"}]
    assert messages(said) == [{"role": "assistant", "content": "so"}]


def test_media_are_data_urls_and_urls() -> None:
    content = [
        PNG,
        {"type": "image", "source": {"type": "url", "url": "https://a.example/x.png"}},
        {
            "type": "document",
            "title": "a.pdf",
            "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBE"},
        },
        {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "plain"}},
    ]
    (found,) = messages({"role": "user", "content": content})
    assert found["content"] == [
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBO"}},
        {"type": "image_url", "image_url": {"url": "https://a.example/x.png"}},
        {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBE"}},
        {"type": "text", "text": "plain"},
    ]


@pytest.mark.parametrize(
    ("block", "path"),
    [
        ({"type": "document", "source": {"type": "url", "url": "https://a.example/x.pdf"}}, "messages"),
        ({"type": "image", "source": {"type": "file", "file_id": "file_1"}}, "messages[0].content[0].source"),
        ({"type": "later"}, "messages[0].content[0].type"),
        ({"type": "tool_use", "id": "t", "name": "f", "input": [1]}, "messages[0].content[0].input"),
    ],
)
def test_content_without_a_counterpart_is_refused_by_its_path(block: dict[str, Any], path: str) -> None:
    assert refused(PAIR, {"max_tokens": 9, "messages": [{"role": "user", "content": [block]}]}) == path


def test_tools_and_their_choice_are_functions() -> None:
    value, note = asked(tools=[TOOL], tool_choice={"type": "tool", "name": "f", "disable_parallel_tool_use": True})
    function = {"name": "f", "description": "does", "parameters": TOOL["input_schema"]}
    assert value["tools"] == [{"type": "function", "function": function}]
    assert value["tool_choice"] == {"type": "function", "function": {"name": "f"}}
    assert value["parallel_tool_calls"] is False
    assert note == "messages>chat"


@pytest.mark.parametrize(("given", "chat"), [("auto", "auto"), ("any", "required"), ("none", "none")])
def test_a_choice_is_said_in_the_target_s_words(given: str, chat: str) -> None:
    assert asked(tools=[TOOL], tool_choice={"type": given})[0]["tool_choice"] == chat


def test_a_choice_without_tools_is_left_out() -> None:
    assert "tool_choice" not in asked(tool_choice={"type": "auto"})[0]


def test_tools_that_the_provider_runs_are_left_out_and_noted() -> None:
    value, note = asked(tools=[{"type": "web_search_20250305", "name": "web_search"}, TOOL])
    assert [one["function"]["name"] for one in value["tools"]] == ["f"]
    assert note == "messages>chat; dropped=tools.web_search_20250305"


def test_a_forced_tool_that_the_provider_runs_is_refused() -> None:
    tools = [{"type": "web_search_20250305", "name": "web_search"}, TOOL]
    choice = {"type": "tool", "name": "web_search"}
    assert refused(PAIR, {**HELLO, "tools": tools, "tool_choice": choice}) == "tool_choice"


def test_a_long_name_of_a_tool_is_the_same_in_the_list_the_choice_and_the_history() -> None:
    name = "a" * 100
    call = {"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": name, "input": {}}]}
    value, _ = asked(
        tools=[{**TOOL, "name": name}], tool_choice={"type": "tool", "name": name}, messages=[*HELLO["messages"], call]
    )
    short = value["tools"][0]["function"]["name"]
    assert len(short) == 64
    assert value["tool_choice"]["function"]["name"] == short
    assert value["messages"][1]["tool_calls"][0]["function"]["name"] == short


def test_a_call_has_the_client_s_own_name_of_a_tool_that_was_shortened() -> None:
    name = "a" * 100
    request = {"tools": [{**TOOL, "name": name}]}
    chunks = chat_events(call_delta(0, "call_1", short_name(name), "{}"), delta("tool_calls"))
    (found,) = json.loads(answered(PAIR, chunks, stream=False, request=request))["content"]
    assert found["name"] == name


def test_two_tools_that_would_have_the_same_name_are_refused() -> None:
    name = "a" * 100
    tools = [{**TOOL, "name": name}, {**TOOL, "name": short_name(name)}]
    assert refused(PAIR, {**HELLO, "tools": tools}) == "tools"


@pytest.mark.parametrize(("budget", "effort"), [(1_024, "low"), (4_000, "medium"), (32_000, "high")])
def test_a_budget_to_think_is_an_effort_for_a_model_that_thinks(budget: int, effort: str) -> None:
    value, note = sent(PAIR, {**HELLO, "thinking": {"type": "enabled", "budget_tokens": budget}}, reasoning=True)
    assert value["reasoning_effort"] == effort
    assert note == "messages>chat; lossy=thinking.budget_tokens"


def test_thinking_is_left_out_for_a_model_that_does_not() -> None:
    value, note = asked(thinking={"type": "adaptive"}, output_config={"effort": "high"})
    assert "reasoning_effort" not in value
    assert note == "messages>chat; dropped=thinking,output_config.effort"


def test_a_schema_of_the_output_is_a_response_format() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}}
    value, note = asked(output_config={"format": {"type": "json_schema", "schema": schema}})
    assert value["response_format"]["json_schema"] == {"name": "output", "schema": schema, "strict": True}
    assert note == "messages>chat"


def test_the_user_s_id_is_not_passed_on_as_it_is() -> None:
    value, _ = asked(metadata={"user_id": "ada@example.com"})
    assert len(value["user"]) == 64
    assert "ada" not in value["user"]


def test_an_unknown_field_is_left_out_and_noted() -> None:
    assert asked(later=1)[1] == "messages>chat; dropped=later"


def test_what_is_dropped_is_noted_once_each() -> None:
    assert asked(top_k=3, speed="fast", context_management={"edits": []})[1] == (
        "messages>chat; dropped=top_k,speed,context_management"
    )


@pytest.mark.parametrize(
    ("field", "value"), [("fallbacks", []), ("mcp_servers", [{}]), ("stop_sequences", ["a", "b", "c", "d", "e"])]
)
def test_what_changes_the_response_is_refused(field: str, value: Any) -> None:
    assert refused(PAIR, {**HELLO, field: value}) == field


def test_a_strict_alias_refuses_what_would_be_lost() -> None:
    thinking = {"type": "enabled", "budget_tokens": 2_000}
    assert refused(PAIR, {**HELLO, "thinking": thinking}, reasoning=True, strict=True) == "thinking.budget_tokens"


@pytest.mark.parametrize(
    ("field", "value"), [("messages", 1), ("messages", [{"role": 1}]), ("tools", {}), ("metadata", 3), ("system", [1])]
)
def test_a_field_of_a_wrong_type_is_refused_or_means_nothing(field: str, value: Any) -> None:
    if field == "metadata":
        assert "user" not in asked(metadata=value)[0]
    else:
        assert refused(PAIR, {**HELLO, field: value}) == field


def test_every_field_has_a_verdict_with_a_reason_unless_it_is_mapped() -> None:
    assert [name for name, rule in FIELDS.items() if not rule.why and rule.verdict.value != "map"] == []
