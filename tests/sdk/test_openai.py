"""The official SDK as a client: what it is given is what it would have been given directly."""

import asyncio
from collections.abc import Iterator

import openai
import pytest
from openai import AsyncOpenAI, OpenAI
from openai.types.chat import ChatCompletionMessageParam, ChatCompletionToolParam

from proxy.ledger.record import UsageRecord
from tests.exchange.samples import (
    DONE,
    HELLO,
    JSON_ANSWER,
    ROLE,
    STOP,
    STREAM,
    begun,
    event,
    wait_until,
    word,
)
from tests.fakes import LAST_CHUNK, Close, Hang, ScriptedUpstream, Send, chunk, json_answer, sse_answer
from tests.serving import ALIAS, KEY, RunningGateway

MESSAGES: list[ChatCompletionMessageParam] = [{"role": "user", "content": "hello"}]
TOOLS: list[ChatCompletionToolParam] = [
    {"type": "function", "function": {"name": "weather", "parameters": {"properties": {"model": {"type": "string"}}}}}
]


@pytest.fixture
def client(gateway: RunningGateway) -> Iterator[OpenAI]:
    with OpenAI(base_url=gateway.base_url, api_key=KEY, max_retries=0) as one:
        yield one


def last_row(gateway: RunningGateway) -> UsageRecord:
    return gateway.rows()[-1]


def test_an_answer_at_once(gateway: RunningGateway, upstream: ScriptedUpstream, client: OpenAI) -> None:
    upstream.script(json_answer(JSON_ANSWER))
    answer = client.chat.completions.create(model=ALIAS, messages=MESSAGES)
    assert (answer.model, answer.choices[0].message.content) == (ALIAS, "Hello")
    assert answer.usage is not None
    assert answer.usage.total_tokens == 11
    assert answer._request_id == last_row(gateway).id


def test_a_stream_without_usage_has_no_extra_event_and_is_billed(
    gateway: RunningGateway, upstream: ScriptedUpstream, client: OpenAI
) -> None:
    upstream.script(sse_answer(STREAM))
    events = list(client.chat.completions.create(model=ALIAS, messages=MESSAGES, stream=True))
    assert [one.choices[0].delta.content for one in events] == ["", "Hello", None]
    assert {one.model for one in events} == {ALIAS}
    assert all(one.usage is None for one in events)
    row = last_row(gateway)
    assert (row.outcome, row.usage_source, row.input_tokens, row.output_tokens) == ("complete", "reported", 9, 2)


def test_a_stream_with_usage_ends_with_it(upstream: ScriptedUpstream, client: OpenAI) -> None:
    upstream.script(sse_answer(STREAM))
    options = {"include_usage": True}
    events = list(
        client.chat.completions.create(model=ALIAS, messages=MESSAGES, stream=True, stream_options=options)  # type: ignore[call-overload]
    )
    assert events[-1].choices == []
    assert events[-1].usage.total_tokens == 11


def test_a_call_of_a_tool_comes_in_pieces(upstream: ScriptedUpstream, client: OpenAI) -> None:
    call = {"index": 0, "id": "call_1", "type": "function", "function": {"name": "weather", "arguments": ""}}
    pieces = ['{"mod', 'el": "x"}']
    events = event(choices=[{"index": 0, "delta": {"tool_calls": [call]}, "finish_reason": None}])
    for piece in pieces:
        delta = {"tool_calls": [{"index": 0, "function": {"arguments": piece}}]}
        events += event(choices=[{"index": 0, "delta": delta, "finish_reason": None}])
    events += event(choices=[{"index": 0, "delta": {}, "finish_reason": "tool_calls"}])
    upstream.script(sse_answer(events + DONE))
    seen = list(client.chat.completions.create(model=ALIAS, messages=MESSAGES, tools=TOOLS, stream=True))
    deltas = [one.choices[0].delta.tool_calls for one in seen]
    arguments = [(delta[0].function and delta[0].function.arguments) or "" for delta in deltas if delta]
    assert "".join(arguments) == '{"model": "x"}'
    assert b'"properties":{"model":{"type":"string"}}' in upstream.requests[-1].body


def test_a_picture_reaches_the_upstream_whole(upstream: ScriptedUpstream, client: OpenAI) -> None:
    upstream.script(json_answer(JSON_ANSWER))
    url = "data:image/png;base64," + "iVBORw0KGgo=" * 5_000
    content = [{"type": "text", "text": "what?"}, {"type": "image_url", "image_url": {"url": url}}]
    client.chat.completions.create(model=ALIAS, messages=[{"role": "user", "content": content}])  # type: ignore[list-item,misc]
    assert url.encode() in upstream.requests[-1].body


def test_an_unknown_alias_is_not_found(client: OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as error:
        client.chat.completions.create(model="prometheus-cor", messages=MESSAGES)
    assert (error.value.code, error.value.param) == ("model_not_found", "model")
    assert error.value.request_id


def test_a_wrong_key_is_an_authentication_error(gateway: RunningGateway) -> None:
    with OpenAI(base_url=gateway.base_url, api_key="prom_sk_wrong", max_retries=0) as client:
        with pytest.raises(openai.AuthenticationError) as error:
            client.chat.completions.create(model=ALIAS, messages=MESSAGES)
        assert error.value.code == "invalid_api_key"
        with pytest.raises(openai.AuthenticationError):
            client.models.list()


def test_the_upstream_s_rate_limit_is_a_rate_limit_error(upstream: ScriptedUpstream, client: OpenAI) -> None:
    upstream.script(json_answer({"error": {"message": "slow", "code": "rate_limit_exceeded"}}, 429))
    with pytest.raises(openai.RateLimitError) as error:
        client.chat.completions.create(model=ALIAS, messages=MESSAGES)
    assert error.value.code == "rate_limit_exceeded"


def test_the_models_are_listed_and_found(client: OpenAI) -> None:
    assert [model.id for model in client.models.list()] == [ALIAS]
    assert client.models.retrieve(ALIAS).id == ALIAS
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("nothing")


def test_a_cut_stream_raises(gateway: RunningGateway, upstream: ScriptedUpstream, client: OpenAI) -> None:
    upstream.script([*begun(ROLE, HELLO), chunk(word("more")), Close()])
    with pytest.raises(openai.APIError, match="closed the connection"):
        list(client.chat.completions.create(model=ALIAS, messages=MESSAGES, stream=True))
    assert last_row(gateway).outcome == "upstream_cut"


def test_a_stream_that_is_given_up_is_cancelled_upstream(
    gateway: RunningGateway, upstream: ScriptedUpstream, client: OpenAI
) -> None:
    upstream.script([*begun(ROLE, HELLO), Hang()])
    stream = client.chat.completions.create(model=ALIAS, messages=MESSAGES, stream=True)
    assert next(iter(stream)).choices[0].delta.role == "assistant"
    stream.close()
    assert upstream.requests[-1].closed.wait(5)
    wait_until(lambda: last_row(gateway).outcome == "client_closed", "the bill")


def test_the_asynchronous_client_streams_many_answers_at_once(
    gateway: RunningGateway, upstream: ScriptedUpstream
) -> None:
    upstream.script([*begun(ROLE), chunk(HELLO), chunk(STOP + DONE), Send(LAST_CHUNK)], times=20)

    async def read(client: AsyncOpenAI) -> str:
        stream = await client.chat.completions.create(model=ALIAS, messages=MESSAGES, stream=True)
        return "".join([one.choices[0].delta.content or "" async for one in stream])

    async def run() -> list[str]:
        async with AsyncOpenAI(base_url=gateway.base_url, api_key=KEY, max_retries=0) as client:
            return await asyncio.gather(*(read(client) for _ in range(20)))

    assert asyncio.run(run()) == ["Hello"] * 20


def test_an_asynchronous_call_that_is_cancelled_is_cancelled_upstream(
    gateway: RunningGateway, upstream: ScriptedUpstream
) -> None:
    upstream.script([Hang()])
    count = len(upstream.requests)

    async def run() -> None:
        async with AsyncOpenAI(base_url=gateway.base_url, api_key=KEY, max_retries=0) as client:
            call = asyncio.create_task(client.chat.completions.create(model=ALIAS, messages=MESSAGES))
            await asyncio.to_thread(upstream.wait_for_requests, count + 1)
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call

    asyncio.run(run())
    assert upstream.requests[-1].closed.wait(5)
    wait_until(lambda: last_row(gateway).outcome == "client_closed", "the bill")
