"""Anthropic's own SDK as a client: what it reads, what it raises, and what its requests are billed.

The demo provider answers where its answers will do; what it never says is scripted. Facts of the wire:
https://docs.anthropic.com/en/api/messages-streaming and https://docs.anthropic.com/en/api/errors.
"""

import asyncio
import json
import threading
from collections.abc import Iterator

import anthropic
import pytest
from anthropic import Anthropic, AsyncAnthropic
from anthropic.types import MessageParam, ToolParam

from proxy.config.tree import Server
from proxy.demo.settings import demo_config
from tests.demo.conftest import Provider
from tests.demo.conftest import provider as provider
from tests.exchange.samples import ANSWERING_MODEL, begun, wait_until
from tests.fakes import LAST_CHUNK, Close, Hang, ScriptedUpstream, Send, Step, WaitFor, chunk, json_answer, sse_answer
from tests.serving import ALIAS, KEY, RunningGateway, simple_config

MESSAGES: list[MessageParam] = [{"role": "user", "content": "demo:tokens=3"}]
ASKED: list[MessageParam] = [{"role": "user", "content": "What is the weather in Paris?"}]
WEATHER: ToolParam = {
    "name": "weather",
    "input_schema": {"type": "object", "properties": {"model": {"type": "string"}}, "required": ["model"]},
}
BETA = "context-1m-2025-08-07"


def event(name: str, **fields: object) -> bytes:
    """One event of a Messages stream, as the upstream sends it."""
    return f"event: {name}\ndata: {json.dumps({'type': name, **fields})}\n\n".encode()


def start(**usage: int) -> bytes:
    """The event that a stream begins with."""
    return event("message_start", message={**whole(**usage), "content": [], "stop_reason": None})


BLOCK = event("content_block_start", index=0, content_block={"type": "text", "text": ""})
HELLO = event("content_block_delta", index=0, delta={"type": "text_delta", "text": "Hello"})
BLOCK_END = event("content_block_stop", index=0)
END = event("message_stop")
USED = {"input_tokens": 4, "cache_creation_input_tokens": 200, "cache_read_input_tokens": 3000, "output_tokens": 7}
STARTED = {**USED, "output_tokens": 1}


def ending(**usage: int) -> bytes:
    """The event that tells why a stream stops, and what it used."""
    return event("message_delta", delta={"stop_reason": "end_turn", "stop_sequence": None}, usage=usage)


def whole(**usage: int) -> dict[str, object]:
    """A whole answer."""
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": ANSWERING_MODEL,
        "content": [{"type": "text", "text": "Hello"}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": usage,
    }


@pytest.fixture(scope="module")
def demo(provider: Provider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    """A gateway in front of the demo provider."""
    server = Server(data_dir=str(tmp_path_factory.mktemp("demo")), port=0, log_format="json")
    with RunningGateway(demo_config(provider.port, provider.settings, server)) as running:
        yield running


@pytest.fixture(scope="module")
def client(demo: RunningGateway) -> Iterator[Anthropic]:
    with Anthropic(base_url=demo.url, api_key=KEY, max_retries=0) as one:
        yield one


@pytest.fixture(scope="module")
def gateway(upstream: ScriptedUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    """A gateway in front of a scripted Anthropic."""
    folder = tmp_path_factory.mktemp("gateway")
    config = simple_config(folder, f"{upstream.base_url}/v1", upstream={"kind": "anthropic"})
    with RunningGateway(config) as running:
        yield running


@pytest.fixture(scope="module")
def scripted(gateway: RunningGateway) -> Iterator[Anthropic]:
    with Anthropic(base_url=gateway.url, api_key=KEY, max_retries=0) as one:
        yield one


def test_a_message_at_once(demo: RunningGateway, client: Anthropic) -> None:
    answer = client.messages.create(model=ALIAS, max_tokens=50, messages=MESSAGES)
    assert (answer.model, answer.role, answer.stop_reason) == (ALIAS, "assistant", "end_turn")
    assert answer.content[0].type == "text"
    row = demo.rows()[-1]
    assert (row.outcome, row.usage_source, row.stream) == ("complete", "reported", False)
    assert (row.input_tokens, row.output_tokens) == (answer.usage.input_tokens, answer.usage.output_tokens)


def test_a_message_has_the_id_of_its_request(demo: RunningGateway, client: Anthropic) -> None:
    answer = client.messages.with_raw_response.create(model=ALIAS, max_tokens=50, messages=MESSAGES)
    assert answer.headers["x-request-id"] == demo.rows()[-1].id


def test_the_stream_of_a_message_is_put_together(demo: RunningGateway, client: Anthropic) -> None:
    with client.messages.stream(model=ALIAS, max_tokens=50, messages=MESSAGES) as stream:
        texts = list(stream.text_stream)
        answer = stream.get_final_message()
    assert len(texts) > 1
    assert answer.content[0].type == "text"
    assert answer.content[0].text == "".join(texts)
    assert (answer.model, answer.stop_reason, answer.usage.output_tokens) == (ALIAS, "end_turn", 3)
    row = demo.rows()[-1]
    assert (row.outcome, row.usage_source, row.output_tokens, row.stream) == ("complete", "reported", 3, True)


def test_the_events_of_a_stream_come_in_order(client: Anthropic) -> None:
    events = [one.type for one in client.messages.create(model=ALIAS, max_tokens=50, messages=MESSAGES, stream=True)]
    assert (events[0], events[-2:]) == ("message_start", ["message_delta", "message_stop"])


def test_a_tool_is_called_at_once(client: Anthropic) -> None:
    choice: anthropic.types.ToolChoiceToolParam = {"type": "tool", "name": "weather"}
    answer = client.messages.create(model=ALIAS, max_tokens=50, messages=ASKED, tools=[WEATHER], tool_choice=choice)
    (block,) = answer.content
    assert answer.stop_reason == "tool_use"
    assert block.type == "tool_use"
    assert (block.name, list(block.input)) == ("weather", ["model"])


def test_a_tool_is_called_in_a_stream(client: Anthropic) -> None:
    choice: anthropic.types.ToolChoiceToolParam = {"type": "tool", "name": "weather"}
    with client.messages.stream(
        model=ALIAS, max_tokens=50, messages=ASKED, tools=[WEATHER], tool_choice=choice
    ) as stream:
        (block,) = stream.get_final_message().content
    assert block.type == "tool_use"
    assert list(block.input) == ["model"]


def test_the_answer_of_a_tool_is_taken(client: Anthropic) -> None:
    history: list[MessageParam] = [
        *ASKED,
        {"role": "assistant", "content": [{"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {}}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_1", "content": "rain"}]},
    ]
    answer = client.messages.create(model=ALIAS, max_tokens=50, messages=history, tools=[WEATHER])
    assert answer.content[0].type == "text"
    assert "rain" in answer.content[0].text


def test_tokens_are_counted_and_not_billed(demo: RunningGateway, client: Anthropic) -> None:
    answer = client.messages.count_tokens(model=ALIAS, messages=ASKED)
    assert answer.input_tokens > 0
    row = demo.rows()[-1]
    assert (row.endpoint, row.outcome, row.cost) == ("/v1/messages/count_tokens", "complete", 0)


def test_the_beta_form_answers(client: Anthropic) -> None:
    answer = client.beta.messages.create(model=ALIAS, max_tokens=50, messages=MESSAGES, betas=[BETA])  # type: ignore[arg-type]
    assert answer.model == ALIAS


def test_the_beta_form_streams(client: Anthropic) -> None:
    with client.beta.messages.stream(model=ALIAS, max_tokens=50, messages=MESSAGES) as stream:  # type: ignore[arg-type]
        assert stream.get_final_message().usage.output_tokens == 3


def test_the_beta_form_counts_tokens(client: Anthropic) -> None:
    assert client.beta.messages.count_tokens(model=ALIAS, messages=ASKED).input_tokens > 0  # type: ignore[arg-type]


def test_what_beta_asks_for_reaches_the_upstream(scripted: Anthropic, upstream: ScriptedUpstream) -> None:
    upstream.script(json_answer(whole(**USED)))
    scripted.beta.messages.create(model=ALIAS, max_tokens=50, messages=MESSAGES, betas=[BETA])  # type: ignore[arg-type]
    sent = upstream.requests[-1]
    assert sent.header("anthropic-beta") == BETA
    assert sent.header("anthropic-version")
    assert sent.header("x-api-key") == "sk-upstream-secret"


def test_the_query_that_older_releases_send_for_beta_reaches_the_upstream(
    scripted: Anthropic, upstream: ScriptedUpstream
) -> None:
    upstream.script(json_answer(whole(**USED)))
    query = {"beta": "true"}
    scripted.messages.create(model=ALIAS, max_tokens=50, messages=MESSAGES, extra_query=query)
    assert upstream.requests[-1].target == "/v1/messages?beta=true"


def test_a_wrong_key_is_an_authentication_error(demo: RunningGateway) -> None:
    with (
        Anthropic(base_url=demo.url, api_key="prom_sk_wrong", max_retries=0) as client,
        pytest.raises(anthropic.AuthenticationError) as error,
    ):
        client.messages.create(model=ALIAS, max_tokens=50, messages=MESSAGES)
    assert isinstance(error.value.body, dict)
    assert (error.value.body["type"], error.value.body["error"]["type"]) == ("error", "authentication_error")


def test_a_key_is_taken_as_a_bearer_too(demo: RunningGateway) -> None:
    with Anthropic(base_url=demo.url, auth_token=KEY, max_retries=0) as client:
        assert client.messages.create(model=ALIAS, max_tokens=50, messages=MESSAGES).model == ALIAS


def test_an_unknown_alias_is_not_found(client: Anthropic) -> None:
    with pytest.raises(anthropic.NotFoundError) as error:
        client.messages.create(model="prometheus-cor", max_tokens=50, messages=MESSAGES)
    assert isinstance(error.value.body, dict)
    assert error.value.body["error"]["type"] == "not_found_error"


def test_the_upstream_s_own_error_is_the_same_error(scripted: Anthropic, upstream: ScriptedUpstream) -> None:
    upstream.script(json_answer({"type": "error", "error": {"type": "rate_limit_error", "message": "slow"}}, 429))
    with pytest.raises(anthropic.RateLimitError, match="slow"):
        scripted.messages.create(model=ALIAS, max_tokens=50, messages=MESSAGES)


def test_tokens_of_the_cache_are_in_the_bill_of_a_message(
    gateway: RunningGateway, scripted: Anthropic, upstream: ScriptedUpstream
) -> None:
    upstream.script(json_answer(whole(**USED)))
    answer = scripted.messages.create(model=ALIAS, max_tokens=50, messages=MESSAGES)
    assert answer.usage.cache_read_input_tokens == 3000
    check_bill(gateway)


def test_tokens_of_the_cache_are_in_the_bill_of_a_stream(
    gateway: RunningGateway, scripted: Anthropic, upstream: ScriptedUpstream
) -> None:
    upstream.script(sse_answer(start(**STARTED) + BLOCK + HELLO + BLOCK_END + ending(output_tokens=7) + END))
    with scripted.messages.stream(model=ALIAS, max_tokens=50, messages=MESSAGES) as stream:
        answer = stream.get_final_message()
    assert (answer.usage.cache_read_input_tokens, answer.usage.output_tokens) == (3000, 7)
    check_bill(gateway)


def check_bill(gateway: RunningGateway) -> None:
    """Compare the last row with `USED`; the ledger's input has the cache's part in it."""
    row = gateway.rows()[-1]
    assert (row.usage_source, row.input_tokens, row.output_tokens) == ("reported", 3204, 7)
    assert (row.cached_input_tokens, row.cache_write_tokens) == (3000, 200)


def test_an_error_in_the_midst_of_a_stream_is_raised(
    gateway: RunningGateway, scripted: Anthropic, upstream: ScriptedUpstream
) -> None:
    fault = event("error", error={"type": "overloaded_error", "message": "Overloaded"})
    read = threading.Event()
    upstream.script([*begun(start(**STARTED), BLOCK, HELLO), WaitFor(read), chunk(fault), Send(LAST_CHUNK)])
    with scripted.messages.create(model=ALIAS, max_tokens=50, messages=MESSAGES, stream=True) as stream:
        assert next(stream).type == "message_start"
        read.set()
        with pytest.raises(anthropic.APIStatusError, match="Overloaded"):
            list(stream)
    assert gateway.rows()[-1].outcome == "upstream_error"


def test_a_cut_stream_is_raised_and_billed_for_what_came(
    gateway: RunningGateway, scripted: Anthropic, upstream: ScriptedUpstream
) -> None:
    upstream.script([*begun(start(**STARTED), BLOCK, HELLO), Close()])
    with pytest.raises(anthropic.APIStatusError, match="closed the connection") as error:
        list(scripted.messages.create(model=ALIAS, max_tokens=50, messages=MESSAGES, stream=True))
    assert isinstance(error.value.body, dict)
    assert error.value.body["type"] == "error"
    row = gateway.rows()[-1]
    assert (row.outcome, row.cached_input_tokens) == ("upstream_cut", 3000)


def test_a_stream_that_is_given_up_is_cancelled_upstream(
    gateway: RunningGateway, scripted: Anthropic, upstream: ScriptedUpstream
) -> None:
    steps: list[Step] = [*begun(start(**STARTED), BLOCK, HELLO), Hang()]
    upstream.script(steps)
    with scripted.messages.stream(model=ALIAS, max_tokens=50, messages=MESSAGES) as stream:
        assert next(iter(stream.text_stream)) == "Hello"
    assert upstream.requests[-1].closed.wait(5)
    wait_until(lambda: gateway.rows()[-1].outcome == "client_closed", "the bill")


def test_the_asynchronous_client_streams_many_messages_at_once(demo: RunningGateway) -> None:
    async def read(client: AsyncAnthropic) -> str:
        async with client.messages.stream(model=ALIAS, max_tokens=50, messages=MESSAGES) as stream:
            return "".join([text async for text in stream.text_stream])

    async def run() -> set[str]:
        async with AsyncAnthropic(base_url=demo.url, api_key=KEY, max_retries=0) as client:
            return set(await asyncio.gather(*(read(client) for _ in range(20))))

    (text,) = asyncio.run(run())
    assert len(text.split()) == 3


def test_models_are_listed_page_by_page_and_shown(client: Anthropic) -> None:
    first = client.models.list(limit=3)
    assert (len(first.data), first.has_more) == (3, True)
    listed = [model.id for model in client.models.list(limit=3)]
    assert ALIAS in listed
    assert len(listed) == len(set(listed)) > 3
    model = client.models.retrieve(ALIAS)
    assert (model.type, model.id, model.display_name) == ("model", ALIAS, ALIAS)
    assert model.created_at.tzinfo is not None
    with pytest.raises(anthropic.NotFoundError):
        client.models.retrieve("nothing")
