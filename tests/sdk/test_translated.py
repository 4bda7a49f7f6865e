"""SDKs of one provider whose model is at another: what they read, what is billed, and what they learn of losses."""

import json
from collections.abc import Iterator
from typing import Any

import anthropic
import openai
import pytest
from anthropic import Anthropic
from openai import OpenAI

from proxy.config.tree import Config, Upstream
from tests.dialects.translate.pairs import (
    USAGE_CHUNK,
    block,
    call_delta,
    chat_events,
    delta,
    message_end,
    message_events,
    message_start,
)
from tests.fakes import ScriptedUpstream, json_answer, sse_answer
from tests.serving import ALIAS, KEY, RunningGateway, simple_config

WEATHER: dict[str, Any] = {
    "name": "weather",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}
FUNCTION: dict[str, Any] = {"name": "weather", "parameters": WEATHER["input_schema"]}
ASKED: list[Any] = [{"role": "user", "content": "What is the weather in Paris?"}]
MESSAGE = {
    "id": "m",
    "type": "message",
    "role": "assistant",
    "model": "x",
    "content": [{"type": "text", "text": "x"}],
    "stop_reason": "end_turn",
    "usage": {"input_tokens": 1, "output_tokens": 1},
}
ARGUMENTS = '{"city":"Paris"}'


@pytest.fixture(scope="module")
def chats(upstream: ScriptedUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    """A gateway whose upstream speaks chat completions."""
    with RunningGateway(simple_config(tmp_path_factory.mktemp("chats"), f"{upstream.base_url}/v1")) as one:
        yield one


@pytest.fixture(scope="module")
def messages(upstream: ScriptedUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    """A gateway whose upstream speaks Messages."""
    config = simple_config(
        tmp_path_factory.mktemp("messages"), f"{upstream.base_url}/v1", upstream={"kind": "anthropic"}
    )
    with RunningGateway(config) as one:
        yield one


@pytest.fixture(scope="module")
def claude_client(chats: RunningGateway) -> Iterator[Anthropic]:
    with Anthropic(base_url=chats.url, api_key=KEY, max_retries=0) as one:
        yield one


@pytest.fixture(scope="module")
def openai_client(messages: RunningGateway) -> Iterator[OpenAI]:
    with OpenAI(base_url=f"{messages.url}/v1", api_key=KEY, max_retries=0) as one:
        yield one


def chat_of(message: dict[str, Any], reason: str = "stop") -> dict[str, Any]:
    choice = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": reason}
    return {"id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice], **USAGE_CHUNK} | {
        "choices": [choice]
    }


def test_a_message_streams_from_a_chat_and_is_billed_by_the_chat_s_usage(
    chats: RunningGateway, claude_client: Anthropic, upstream: ScriptedUpstream
) -> None:
    words = [delta(role="assistant", content=""), delta(content="Hel"), delta(content="lo")]
    chunks = chat_events(*words, delta("stop"), USAGE_CHUNK)
    upstream.script(sse_answer(chunks, 40))
    with claude_client.messages.stream(model=ALIAS, max_tokens=50, messages=ASKED) as stream:
        assert list(stream.text_stream) == ["Hel", "lo"]
        message = stream.get_final_message()
        assert stream.response.headers["x-prism-translated"] == "messages>chat"
    assert (message.model, message.stop_reason) == (ALIAS, "end_turn")
    assert (message.usage.input_tokens, message.usage.cache_read_input_tokens, message.usage.output_tokens) == (
        8,
        12,
        7,
    )
    request = upstream.requests[-1]
    assert request.target == "/v1/chat/completions"
    assert request.header("anthropic-version") is None
    row = chats.rows()[-1]
    assert (row.endpoint, row.outcome, row.usage_source) == ("/v1/messages", "complete", "reported")
    assert (row.input_tokens, row.cached_input_tokens, row.output_tokens) == (20, 12, 7)


def test_a_message_s_tool_is_called_by_a_chat_in_a_stream(claude_client: Anthropic, upstream: ScriptedUpstream) -> None:
    chunks = [
        call_delta(0, "call_1", "weather"),
        *(call_delta(0, arguments=ARGUMENTS[at : at + 5]) for at in range(0, len(ARGUMENTS), 5)),
        call_delta(1, "call_2", "weather", "{}"),
        delta("tool_calls"),
        USAGE_CHUNK,
    ]
    upstream.script(sse_answer(chat_events(*chunks), 33))
    with claude_client.messages.stream(model=ALIAS, max_tokens=50, messages=ASKED, tools=[WEATHER]) as stream:  # type: ignore[list-item]
        message = stream.get_final_message()
    assert [(one.id, one.input) for one in message.content if one.type == "tool_use"] == [
        ("call_1", {"city": "Paris"}),
        ("call_2", {}),
    ]
    assert message.stop_reason == "tool_use"


def test_a_message_at_once_from_a_chat(claude_client: Anthropic, upstream: ScriptedUpstream) -> None:
    upstream.script(json_answer(chat_of({"content": "Hello"})))
    message = claude_client.messages.create(model=ALIAS, max_tokens=50, messages=ASKED)
    assert [one.text for one in message.content if one.type == "text"] == ["Hello"]


def test_a_chat_streams_from_messages_and_is_billed_by_their_usage(
    messages: RunningGateway, openai_client: OpenAI, upstream: ScriptedUpstream
) -> None:
    words = [{"type": "text_delta", "text": "Hel"}, {"type": "text_delta", "text": "lo"}]
    text = block(0, {"type": "text", "text": ""}, *words)
    events = message_events(message_start(cache_read_input_tokens=5), *text, *message_end("end_turn"))
    upstream.script(sse_answer(events, 40))
    with openai_client.chat.completions.stream(
        model=ALIAS, messages=ASKED, stream_options={"include_usage": True}
    ) as stream:
        completion = stream.get_final_completion()
    assert completion.choices[0].message.content == "Hello"
    assert completion.choices[0].finish_reason == "stop"
    assert completion.usage is not None
    assert (completion.usage.prompt_tokens, completion.usage.completion_tokens) == (13, 7)
    request = upstream.requests[-1]
    assert (request.target, request.header("anthropic-version")) == ("/v1/messages", "2023-06-01")
    row = messages.rows()[-1]
    assert (row.endpoint, row.input_tokens, row.cached_input_tokens, row.output_tokens) == (
        "/v1/chat/completions", 13, 5, 7,
    )  # fmt: skip


def test_a_chat_s_tool_is_called_by_messages_in_a_stream(openai_client: OpenAI, upstream: ScriptedUpstream) -> None:
    call = {"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {}}
    pieces = [
        {"type": "input_json_delta", "partial_json": ARGUMENTS[at : at + 5]} for at in range(0, len(ARGUMENTS), 5)
    ]
    events = message_events(message_start(), *block(0, call, *pieces), *message_end("tool_use"))
    upstream.script(sse_answer(events, 33))
    with openai_client.chat.completions.stream(
        model=ALIAS, messages=ASKED, tools=[{"type": "function", "function": FUNCTION}]  # type: ignore[typeddict-item]
    ) as stream:  # fmt: skip
        calls = stream.get_final_completion().choices[0].message.tool_calls
    assert calls is not None
    (found,) = calls
    assert (found.id, found.function.name, json.loads(found.function.arguments)) == (
        "toolu_1", "weather", {"city": "Paris"},
    )  # fmt: skip


def test_what_is_lost_is_in_the_header(openai_client: OpenAI, upstream: ScriptedUpstream) -> None:
    upstream.script(json_answer(MESSAGE))
    raw = openai_client.chat.completions.with_raw_response.create(
        model=ALIAS, messages=ASKED, max_tokens=9, temperature=1.5, seed=3
    )
    assert raw.headers["x-prism-translated"] == "chat>messages; lossy=temperature; dropped=seed"


def test_a_refusal_names_the_field_and_nothing_is_sent(openai_client: OpenAI, upstream: ScriptedUpstream) -> None:
    before = len(upstream.requests)
    with pytest.raises(openai.BadRequestError) as caught:
        openai_client.chat.completions.create(model=ALIAS, messages=ASKED, n=2)
    assert (caught.value.param, caught.value.code) == ("n", "not_translatable")
    assert len(upstream.requests) == before


@pytest.mark.parametrize(
    ("status", "kind"),
    [(400, anthropic.BadRequestError), (429, anthropic.RateLimitError), (404, anthropic.NotFoundError)],
)
def test_an_error_of_a_chat_is_raised_as_anthropic_s(
    claude_client: Anthropic, upstream: ScriptedUpstream, status: int, kind: type[anthropic.APIStatusError]
) -> None:
    error = {"error": {"message": "of vendor-model", "type": "invalid_request_error", "code": "x", "param": None}}
    upstream.script(json_answer(error, status))
    with pytest.raises(kind) as caught:
        claude_client.messages.create(model=ALIAS, max_tokens=50, messages=ASKED)
    body: Any = caught.value.body
    assert body["type"] == "error"


def test_a_stream_that_breaks_off_raises(claude_client: Anthropic, upstream: ScriptedUpstream) -> None:
    upstream.script(sse_answer(chat_events(delta(content="Hel"), done=False), 40)[:-1])
    with (
        pytest.raises(anthropic.APIError),
        claude_client.messages.stream(model=ALIAS, max_tokens=50, messages=ASKED) as stream,
    ):
        stream.get_final_message()


def test_a_native_target_is_preferred_and_relayed_as_it_is(
    upstream: ScriptedUpstream, tmp_path_factory: pytest.TempPathFactory
) -> None:
    plain = simple_config(tmp_path_factory.mktemp("both"), f"{upstream.base_url}/v1", f"{upstream.base_url}/native")
    native = Upstream(base_url=f"{upstream.base_url}/native", kind="anthropic", api_key="key", warm_connections=0)
    config = Config(server=plain.server, upstreams={**plain.upstreams, "vendor2": native}, models=plain.models)
    with RunningGateway(config) as gateway, Anthropic(base_url=gateway.url, api_key=KEY, max_retries=0) as client:
        upstream.script(json_answer(MESSAGE))
        raw = client.messages.with_raw_response.create(model=ALIAS, max_tokens=9, messages=ASKED)
        assert "x-prism-translated" not in raw.headers
        assert upstream.requests[-1].target == "/native/messages"
