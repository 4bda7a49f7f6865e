"""TranslatedReader: the same output however the bytes are cut, and an honest end for every response that breaks off."""

import json
from typing import Any

import pytest

from proxy.dialects.translate.chat_to_messages import ChatToMessages
from proxy.dialects.translate.messages_to_chat import MessagesToChat
from proxy.dialects.translate.translation import Translation
from proxy.errors import UpstreamProtocolError
from tests.dialects.translate.pairs import (
    USAGE_CHUNK,
    answered,
    block,
    call_delta,
    chat_events,
    cut_anywhere,
    datas,
    delta,
    message_end,
    message_events,
    message_start,
)

CHAT = chat_events(
    delta(role="assistant", content=""),
    delta(reasoning_content="h\u00e4 \U0001f600"),
    delta(content="so\n"),
    call_delta(0, "call_1", "f", ""),
    call_delta(0, arguments='{"a":"\\"}'),
    call_delta(0, arguments='"}'),
    call_delta(1, "call_2", "g", "{}"),
    delta("tool_calls"),
    USAGE_CHUNK,
)
MESSAGES = message_events(
    message_start(cache_read_input_tokens=5),
    {"type": "ping"},
    *block(0, {"type": "thinking", "thinking": "", "signature": ""}, {"type": "thinking_delta", "thinking": "hä"},
           {"type": "signature_delta", "signature": "sig="}),
    *block(1, {"type": "text", "text": ""}, {"type": "text_delta", "text": "so\n"}),
    *block(2, {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {}},
           {"type": "input_json_delta", "partial_json": '{"a":1}'}),
    *message_end("tool_use"),
)  # fmt: skip
#: Each pair with a response of its target, and the marks of an end in the caller's dialect.
PAIRS: list[tuple[Translation, bytes, tuple[bytes, ...]]] = [
    (MessagesToChat(), CHAT, (b"message_delta", b"message_stop")),
    (ChatToMessages(), MESSAGES, (b"[DONE]",)),
]
names = pytest.mark.parametrize(("pair", "response", "ends"), PAIRS, ids=[one[0].pair for one in PAIRS])


@names
@pytest.mark.parametrize("stream", [True, False])
def test_any_cut_gives_the_same_output(
    pair: Translation, response: bytes, ends: tuple[bytes, ...], stream: bool
) -> None:
    whole = answered(pair, response, stream=stream)
    assert answered(pair, response, stream=stream, cuts=range(1, len(response))) == whole
    for cut in range(1, len(response)):
        assert answered(pair, response, stream=stream, cuts=[cut]) == whole
    for seed in range(50):
        assert answered(pair, response, stream=stream, cuts=cut_anywhere(len(response), seed)) == whole


@names
def test_line_ends_of_any_kind_give_the_same_output(
    pair: Translation, response: bytes, ends: tuple[bytes, ...]
) -> None:
    assert answered(pair, response.replace(b"\n", b"\r\n")) == answered(pair, response)


@names
def test_no_response_that_breaks_off_gets_an_end(pair: Translation, response: bytes, ends: tuple[bytes, ...]) -> None:
    begins_to_end = max(response.find(b'"finish_reason": "tool_calls"'), response.find(b'"stop_reason": "tool_use"'))
    for cut in range(begins_to_end):
        out = answered(pair, response[:cut], complete=False)
        assert not any(end in out for end in ends), cut


@names
def test_what_was_read_goes_on_in_the_same_turn(pair: Translation, response: bytes, ends: tuple[bytes, ...]) -> None:
    text = response.find(b'"so\\n"')
    end = response.find(b"\n\n", text) + 2
    assert b'"so\\n"' in answered(pair, response[:end], complete=False)


@pytest.mark.parametrize("done", [True, False])
def test_a_chat_that_gave_its_reason_is_whole_with_or_without_its_mark(done: bool) -> None:
    response = chat_events(delta(content="x"), delta("stop"), done=done)
    assert answered(MessagesToChat(), response).endswith(b'data: {"type":"message_stop"}\n\n')


def test_a_mark_without_a_reason_to_finish_is_no_end() -> None:
    out = answered(MessagesToChat(), chat_events(delta(content="x")), complete=False)
    assert b"message_stop" not in out


def test_an_error_in_a_stream_is_an_error_in_the_caller_s_dialect_and_the_last_event() -> None:
    error = {"error": {"message": "overloaded: vendor-model", "type": "server_error", "code": 503}}
    response = chat_events(delta(content="x")).removesuffix(b"data: [DONE]\n\n")
    out = answered(MessagesToChat(), response + b"data: " + json.dumps(error).encode() + b"\n\ndata: [DONE]\n\n")
    last = datas(out)[-1]
    assert last["type"] == "error"
    assert "overloaded: core" in last["error"]["message"]
    assert b"message_stop" not in out


def test_an_error_of_messages_is_an_error_of_a_chat() -> None:
    error = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
    out = answered(ChatToMessages(), message_events(message_start(), error))
    assert "Overloaded" in datas(out)[-1]["error"]["message"]
    assert b"[DONE]" not in out


@pytest.mark.parametrize("response", [b"data: {\n\n", b'data: {"choices": 1}\n\n', b"data: [1]\n\n"])
def test_an_event_that_is_no_chat_is_an_error_or_passed_over(response: bytes) -> None:
    try:
        out = answered(MessagesToChat(), response, complete=False)
    except UpstreamProtocolError:
        return
    assert b"message_stop" not in out


def test_what_was_good_of_the_same_read_is_with_the_error() -> None:
    response = chat_events(delta(content="x"), done=False) + b"data: {\n\n"
    with pytest.raises(UpstreamProtocolError) as caught:
        answered(MessagesToChat(), response)
    assert b'"text":"x"' in caught.value.before


def test_a_whole_body_that_is_no_json_is_an_error() -> None:
    with pytest.raises(UpstreamProtocolError):
        answered(MessagesToChat(), b"{", stream=False, events=False)


def test_a_response_that_gave_its_reason_and_went_silent_can_be_ended() -> None:
    conversation: Any = MessagesToChat()
    out = answered(conversation, chat_events(delta(content="x"), delta("stop"), done=False), complete=False)
    assert b"message_stop" not in out
