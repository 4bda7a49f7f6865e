"""Messages as responses: events in their order for every kind of content, and one message of the same."""

import json
from typing import Any

import pytest

from proxy.dialects.translate.chat_to_messages import ChatToMessages
from proxy.dialects.translate.messages_response import MAX_HELD_ARGUMENTS, arguments_object, messages_usage
from proxy.dialects.translate.messages_to_chat import MessagesToChat
from proxy.errors import UpstreamProtocolError
from proxy.wire.schemas import Usage
from tests.dialects.translate.pairs import (
    ALIAS,
    USAGE_CHUNK,
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


def events_of(*chunks: dict[str, Any]) -> list[dict[str, Any]]:
    return datas(answered(MessagesToChat(), chat_events(*chunks, USAGE_CHUNK)))


def blocks_of(events: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """Each block's type with what its deltas bring; checks that one is open at a time, counted without a gap."""
    found: list[tuple[str, str]] = []
    is_open = False
    for event in events:
        if event["type"] == "content_block_start":
            assert not is_open
            assert event["index"] == len(found)
            found.append((event["content_block"]["type"], ""))
            is_open = True
        elif event["type"] == "content_block_delta":
            assert is_open
            assert event["index"] == len(found) - 1
            piece = next(value for key, value in event["delta"].items() if key != "type")
            found[-1] = (found[-1][0], found[-1][1] + piece)
        elif event["type"] == "content_block_stop":
            assert is_open
            is_open = False
    assert not is_open
    return found


def test_a_text_goes_at_once_and_its_usage_at_the_end() -> None:
    events = events_of(delta(role="assistant", content=""), delta(content="Hä"), delta(content="\n"), delta("stop"))
    assert [event["type"] for event in events] == [
        *("message_start", "content_block_start", "content_block_delta", "content_block_delta"),
        *("content_block_stop", "message_delta", "message_stop"),
    ]
    assert blocks_of(events) == [("text", "Hä\n")]
    assert events[-2]["delta"] == {"stop_reason": "end_turn", "stop_sequence": None}
    assert events[-2]["usage"] == {
        "input_tokens": 8,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 12,
        "output_tokens": 7,
    }


def test_the_start_has_the_alias_and_an_estimate_of_the_input() -> None:
    message = events_of(delta(content="x"), delta("stop"))[0]["message"]
    assert (message["model"], message["content"], message["stop_reason"]) == (ALIAS, [], None)
    assert message["usage"]["input_tokens"] == 42
    assert message["id"].startswith("msg_")


def test_thoughts_a_text_and_a_call_in_one_chunk_are_three_blocks_with_all_of_them() -> None:
    calls = [{"index": 0, "id": "call_1", "function": {"name": "f", "arguments": '{"a":1}'}}]
    events = events_of(delta("tool_calls", reasoning_content="hm", content="so", tool_calls=calls))
    assert blocks_of(events) == [("thinking", "hm"), ("text", "so"), ("tool_use", '{"a":1}')]
    assert events[-2]["delta"]["stop_reason"] == "tool_use"


def test_empty_values_open_no_block() -> None:
    events = events_of(
        delta(role="assistant", content="", reasoning_content="", tool_calls=[]),
        delta(content=None, reasoning=None),
        call_delta(0, "call_1", "f", "{}"),
        delta("tool_calls"),
    )
    assert blocks_of(events) == [("tool_use", "{}")]


def test_calls_one_behind_the_other_have_a_block_each() -> None:
    events = events_of(
        call_delta(0, "call_1", "f"),
        call_delta(0, arguments='{"a":'),
        call_delta(0, arguments="1}"),
        call_delta(1, "call_2", "g"),
        call_delta(1, arguments='{"b":2}'),
        delta("tool_calls"),
    )
    assert blocks_of(events) == [("tool_use", '{"a":1}'), ("tool_use", '{"b":2}')]
    starts = [event["content_block"] for event in events if event["type"] == "content_block_start"]
    assert [(one["id"], one["name"], one["input"]) for one in starts] == [("call_1", "f", {}), ("call_2", "g", {})]


def test_calls_side_by_side_come_one_behind_the_other() -> None:
    events = events_of(
        call_delta(0, "call_1", "f", '{"a":"}'),
        call_delta(1, "call_2", "g", '{"b"'),
        call_delta(0, arguments='\\""}'),
        call_delta(1, arguments=":2}"),
        delta("tool_calls"),
    )
    assert blocks_of(events) == [("tool_use", '{"a":"}\\""}'), ("tool_use", '{"b":2}')]


def test_the_second_of_two_calls_is_not_held_once_the_first_is_complete() -> None:
    response = chat_events(
        call_delta(0, "call_1", "f", "{}"), call_delta(1, "call_2", "g", '{"b":'), delta(content="x"), done=False
    )
    events = datas(answered(MessagesToChat(), response, complete=False))
    assert [event["content_block"]["type"] for event in events if event["type"] == "content_block_start"][:2] == [
        "tool_use",
        "tool_use",
    ]
    assert any(event.get("delta", {}).get("partial_json") == '{"b":' for event in events)


def test_too_much_beside_an_open_call_is_an_error() -> None:
    response = chat_events(
        call_delta(0, "call_1", "f", "{"), call_delta(1, "call_2", "g", "x" * (MAX_HELD_ARGUMENTS + 1))
    )
    with pytest.raises(UpstreamProtocolError):
        answered(MessagesToChat(), response)


def test_a_refusal_is_a_text_and_the_reason() -> None:
    events = events_of(delta(refusal="No."), delta("stop"))
    assert blocks_of(events) == [("text", "No.")]
    assert events[-2]["delta"]["stop_reason"] == "refusal"


@pytest.mark.parametrize(
    ("chat", "message"),
    [
        ("stop", "end_turn"),
        ("length", "max_tokens"),
        ("content_filter", "refusal"),
        # Trust the content, and not the word.
        ("tool_calls", "end_turn"),
    ],
)
def test_a_reason_to_finish_is_said_in_the_caller_s_words(chat: str, message: str) -> None:
    assert events_of(delta(content="x"), delta(chat))[-2]["delta"]["stop_reason"] == message


def test_a_call_that_was_cut_by_the_bound_is_no_call_to_run() -> None:
    events = events_of(call_delta(0, "call_1", "f", '{"a": [1,'), delta("length"))
    assert events[-2]["delta"]["stop_reason"] == "max_tokens"


def test_a_message_that_is_no_stream_has_the_same_blocks() -> None:
    calls = [{"id": "call_1", "type": "function", "function": {"name": "f", "arguments": '{"a": 1.00}'}}]
    message = {"role": "assistant", "content": "so", "reasoning_content": "hm", "tool_calls": calls}
    body = {"id": "x", "model": "m", "choices": [{"index": 0, "message": message, "finish_reason": "tool_calls"}]}
    response = answered(MessagesToChat(), json.dumps({**body, **USAGE_CHUNK, "choices": body["choices"]}).encode(),
                        stream=False, events=False)  # fmt: skip
    value = json.loads(response)
    assert value["content"] == [
        {"type": "thinking", "thinking": "hm", "signature": ""},
        {"type": "text", "text": "so"},
        {"type": "tool_use", "id": "call_1", "name": "f", "input": {"a": 1.0}},
    ]
    assert b'{"a": 1.00}' in response
    assert (value["stop_reason"], value["model"], value["usage"]["output_tokens"]) == ("tool_use", ALIAS, 7)


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("events", [True, False])
def test_the_client_gets_what_it_asked_for_whatever_the_upstream_sends(stream: bool, events: bool) -> None:
    message = {"role": "assistant", "content": "Hi"}
    body = {"id": "x", "choices": [{"index": 0, "message": message, "finish_reason": "stop"}], "usage": {}}
    response = chat_events(delta(content="Hi"), delta("stop")) if events else json.dumps(body).encode()
    out = answered(MessagesToChat(), response, stream=stream, events=events)
    if stream:
        assert blocks_of(datas(out)) == [("text", "Hi")]
    else:
        assert json.loads(out)["content"] == [{"type": "text", "text": "Hi"}]


def test_tools_that_the_provider_runs_are_no_calls_of_the_client_s() -> None:
    response = message_events(
        message_start(),
        *block(0, {"type": "server_tool_use", "id": "srv", "name": "web_search", "input": {}},
               {"type": "input_json_delta", "partial_json": '{"query":"x"}'}),
        *block(1, {"type": "web_search_tool_result", "tool_use_id": "srv", "content": []}),
        *block(2, {"type": "text", "text": ""}, {"type": "text_delta", "text": "found"}),
        *message_end("end_turn"),
    )  # fmt: skip
    chunks = datas(answered(ChatToMessages(), response))
    assert not any("tool_calls" in chunk["choices"][0]["delta"] for chunk in chunks)
    assert "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in chunks) == "found"


def test_unknown_events_blocks_and_deltas_are_passed_over() -> None:
    response = message_events(
        message_start(),
        {"type": "ping"},
        {"type": "later"},
        *block(0, {"type": "later_block"}, {"type": "text_delta", "text": "hidden"}),
        *block(1, {"type": "text", "text": ""}, {"type": "later_delta"}, {"type": "text_delta", "text": "x"}),
        *message_end("end_turn"),
    )
    chunks = datas(answered(ChatToMessages(), response))
    assert "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in chunks) == "x"


def test_cached_tokens_stand_beside_the_input() -> None:
    usage = Usage(input_tokens=20, cached_input_tokens=12, cache_write_tokens=3, output_tokens=7)
    assert messages_usage(usage) == {
        "input_tokens": 5,
        "cache_creation_input_tokens": 3,
        "cache_read_input_tokens": 12,
        "output_tokens": 7,
    }


@pytest.mark.parametrize("text", ['"[1]"', '"{"', '"1"'])
def test_arguments_that_are_no_object_are_an_error(text: str) -> None:
    with pytest.raises(UpstreamProtocolError):
        arguments_object(text.encode())
