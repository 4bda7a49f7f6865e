"""Chat completions as responses: chunks for every kind of content, and one completion of the same."""

import json
from typing import Any

import pytest

from proxy.dialects.translate.chat_response import chat_usage
from proxy.dialects.translate.chat_to_messages import ChatToMessages
from proxy.dialects.translate.messages_to_chat import MessagesToChat
from proxy.wire.schemas import Usage
from tests.dialects.translate.pairs import (
    ALIAS,
    answered,
    block,
    call_delta,
    chat_events,
    datas,
    delta,
    message_end,
    message_events,
    message_start,
)

TEXT = block(0, {"type": "text", "text": ""}, {"type": "text_delta", "text": "Hi"})
ASKS_USAGE = {"stream_options": {"include_usage": True}}


def chunks_of(*events: dict[str, Any], request: dict[str, Any] | None = None) -> list[dict[str, Any]]:
    return datas(answered(ChatToMessages(), message_events(message_start(), *events), request=request))


def deltas(chunks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [chunk["choices"][0]["delta"] for chunk in chunks if chunk["choices"]]


def test_all_chunks_have_one_id_one_time_and_the_alias() -> None:
    chunks = chunks_of(*TEXT, *message_end("end_turn"))
    assert {(one["id"][:9], one["created"], one["model"], one["object"]) for one in chunks} == {
        ("chatcmpl-", 1_700_000_000, ALIAS, "chat.completion.chunk")
    }
    assert deltas(chunks) == [{"role": "assistant", "content": ""}, {"content": "Hi"}, {}]
    assert chunks[-1]["choices"][0]["finish_reason"] == "stop"


def test_the_stream_ends_with_its_mark() -> None:
    assert answered(ChatToMessages(), message_events(message_start(), *TEXT, *message_end("end_turn"))).endswith(
        b"data: [DONE]\n\n"
    )


def test_usage_comes_in_a_chunk_of_its_own_if_it_was_asked_for() -> None:
    with_usage = chunks_of(*TEXT, *message_end("end_turn"), request=ASKS_USAGE)
    assert (with_usage[-1]["choices"], with_usage[-1]["usage"]["total_tokens"]) == ([], 15)
    assert not any("usage" in chunk for chunk in chunks_of(*TEXT, *message_end("end_turn")))


def test_calls_are_counted_by_themselves_and_bring_their_arguments_byte_by_byte() -> None:
    call = {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {}}
    chunks = chunks_of(
        *TEXT,
        *block(1, call, {"type": "input_json_delta", "partial_json": '{"a":'},
               {"type": "input_json_delta", "partial_json": "1}"}),
        *block(2, {**call, "id": "toolu_2", "name": "g"}),
        *message_end("tool_use"),
    )  # fmt: skip
    calls = [one["tool_calls"][0] for one in deltas(chunks) if "tool_calls" in one]
    assert calls == [
        {"index": 0, "id": "toolu_1", "type": "function", "function": {"name": "f", "arguments": ""}},
        {"index": 0, "function": {"arguments": '{"a":'}},
        {"index": 0, "function": {"arguments": "1}"}},
        {"index": 1, "id": "toolu_2", "type": "function", "function": {"name": "g", "arguments": ""}},
        {"index": 1, "function": {"arguments": "{}"}},
    ]
    assert chunks[-1]["choices"][0]["finish_reason"] == "tool_calls"


def test_thoughts_come_as_reasoning_with_the_state_behind_them() -> None:
    thinking = {"type": "thinking", "thinking": "", "signature": ""}
    chunks = chunks_of(
        *block(0, thinking, {"type": "thinking_delta", "thinking": "hm"},
               {"type": "signature_delta", "signature": "sig=="}),
        *block(1, {"type": "redacted_thinking", "data": "xyz"}),
        *message_end("end_turn"),
    )  # fmt: skip
    assert deltas(chunks)[1:-1] == [
        {"reasoning_content": "hm"},
        {"thinking_blocks": [{"index": 0, "type": "thinking", "thinking": "", "signature": "sig=="}]},
        {"thinking_blocks": [{"index": 1, "type": "redacted_thinking", "data": "xyz"}]},
    ]


@pytest.mark.parametrize(
    ("message", "chat"),
    [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("refusal", "content_filter"),
        # An answer that is not finished is not called so.
        ("pause_turn", "length"),
    ],
)
def test_a_reason_to_finish_is_said_in_the_caller_s_words(message: str, chat: str) -> None:
    assert chunks_of(*TEXT, *message_end(message))[-1]["choices"][0]["finish_reason"] == chat


def test_a_completion_that_is_no_stream_has_all_of_it() -> None:
    content = [
        {"type": "thinking", "thinking": "hm", "signature": "sig"},
        {"type": "text", "text": "so"},
        {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {"a": 1}},
    ]
    usage = {"input_tokens": 5, "cache_read_input_tokens": 12, "cache_creation_input_tokens": 3, "output_tokens": 7}
    body = {"id": "m", "type": "message", "model": "x", "content": content, "stop_reason": "tool_use", "usage": usage}
    value = json.loads(answered(ChatToMessages(), json.dumps(body).encode(), stream=False, events=False))
    (choice,) = value["choices"]
    assert choice["finish_reason"] == "tool_calls"
    message = choice["message"]
    assert (message["content"], message["reasoning_content"], message["refusal"]) == ("so", "hm", None)
    assert json.loads(message["tool_calls"][0]["function"]["arguments"]) == {"a": 1}
    assert message["thinking_blocks"] == [{"type": "thinking", "thinking": "hm", "signature": "sig"}]
    assert value["usage"]["prompt_tokens"] == 20
    assert value["usage"]["prompt_tokens_details"] == {"cached_tokens": 12, "cache_write_tokens": 3}


def test_cached_tokens_are_part_of_the_input() -> None:
    found = chat_usage(Usage(input_tokens=20, cached_input_tokens=12, output_tokens=7, reasoning_tokens=3))
    assert (found["prompt_tokens"], found["total_tokens"]) == (20, 27)
    assert found["completion_tokens_details"] == {"reasoning_tokens": 3}


def calls_of(*chunks: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    out = answered(MessagesToChat(), chat_events(*chunks), stream=False)
    return [(one["id"], one["name"], one["input"]) for one in json.loads(out)["content"] if one["type"] == "tool_use"]


def test_calls_without_an_index_are_told_apart_by_their_ids() -> None:
    chunks = (call_delta(None, "a", "f", '{"x":1}'), call_delta(None, "b", "f", '{"x":2}'), delta("stop"))
    assert calls_of(*chunks) == [("a", "f", {"x": 1}), ("b", "f", {"x": 2})]


def test_calls_that_all_have_the_index_0_are_told_apart_by_their_ids() -> None:
    chunks = (call_delta(0, "a", "f", '{"x":1}'), call_delta(0, "b", "f", '{"x":2}'), delta("stop"))
    assert calls_of(*chunks) == [("a", "f", {"x": 1}), ("b", "f", {"x": 2})]


def test_a_call_without_an_id_gets_one_that_is_the_same_each_time() -> None:
    chunks = (call_delta(0, None, "f", '{"x":1}'), delta("tool_calls"))
    ((first, *_),) = calls_of(*chunks)
    ((second, *_),) = calls_of(*chunks)
    assert first == second
    assert first.startswith("call_")


def test_arguments_before_the_name_wait_for_it() -> None:
    chunks = (call_delta(0, "a", None, '{"x":'), call_delta(0, None, "f", "1}"), delta("tool_calls"))
    assert calls_of(*chunks) == [("a", "f", {"x": 1})]


def test_a_content_that_is_a_list_is_read_too() -> None:
    pieces = [
        {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]},
        {"type": "text", "text": "so"},
    ]
    out = answered(MessagesToChat(), chat_events(delta(content=pieces), delta("stop")), stream=False)
    assert [one.get("text") or one.get("thinking") for one in json.loads(out)["content"]] == ["hm", "so"]


def test_other_choices_than_the_first_are_passed_over() -> None:
    other = {"choices": [{"index": 1, "delta": {"content": "other"}, "finish_reason": "stop"}]}
    out = answered(MessagesToChat(), chat_events(delta(content="x"), other, delta("stop")), stream=False)
    assert json.loads(out)["content"] == [{"type": "text", "text": "x"}]
