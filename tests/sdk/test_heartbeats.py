"""The official SDKs as clients of streams with heartbeats: they see the events, and nothing of what stands between."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from anthropic import Anthropic
from openai import AsyncOpenAI, OpenAI
from openai.types.chat import ChatCompletionMessageParam

from tests.exchange.samples import DONE, EVENTS, HELLO, ROLE, STOP, serving, word
from tests.fakes import LAST_CHUNK, Pause, Send, Step, chunk, head
from tests.sdk import test_anthropic as messages
from tests.sdk import test_gemini as generate
from tests.serving import ALIAS, KEY, RunningGateway

ASKED: list[ChatCompletionMessageParam] = [{"role": "user", "content": "hello"}]
#: Long enough for a heartbeat, whichever sweep it waits for.
THINKS = Pause(0.35)


def thoughtful(*events: bytes) -> list[Step]:
    """An answer that lets its client wait before its head, and before each event."""
    return [THINKS, head(200, EVENTS), *(step for one in events for step in (THINKS, chunk(one))), Send(LAST_CHUNK)]


@contextmanager
def beating(tmp_path: Path, kind: str, steps: list[Step]) -> Iterator[RunningGateway]:
    """A gateway with heartbeats over an upstream that answers so."""
    with serving(tmp_path, server={"heartbeat_interval": 0.05}, upstream={"kind": kind}) as (gateway, upstream):
        upstream.script(steps)
        yield gateway


def heartbeats(gateway: RunningGateway, answer: bytes) -> bool:
    """Whether the client was sent more than the answer, whose model has a shorter name for it."""
    return gateway.rows()[-1].bytes_out > len(answer)


def test_openai_s_client_sees_the_events_of_a_chat(tmp_path: Path) -> None:
    answer = (ROLE, HELLO, word(" there"), STOP + DONE)
    with beating(tmp_path, "compatible", thoughtful(*answer)) as gateway:
        with OpenAI(base_url=gateway.base_url, api_key=KEY, max_retries=0) as client:
            stream = client.chat.completions.create(model=ALIAS, messages=ASKED, stream=True)
            assert [one.choices[0].delta.content for one in stream] == ["", "Hello", " there", None]
        assert heartbeats(gateway, b"".join(answer))


def test_openai_s_asynchronous_client_does_too(tmp_path: Path) -> None:
    async def read(gateway: RunningGateway) -> str:
        async with AsyncOpenAI(base_url=gateway.base_url, api_key=KEY, max_retries=0) as client:
            stream = await client.chat.completions.create(model=ALIAS, messages=ASKED, stream=True)
            return "".join([one.choices[0].delta.content or "" async for one in stream])

    with beating(tmp_path, "compatible", thoughtful(ROLE, HELLO, STOP + DONE)) as gateway:
        assert asyncio.run(read(gateway)) == "Hello"


def test_anthropic_s_client_puts_a_message_together(tmp_path: Path) -> None:
    parts = (messages.start(**messages.STARTED), messages.BLOCK, messages.HELLO, messages.BLOCK_END)
    answer = (*parts, messages.ending(**messages.USED) + messages.END)
    with beating(tmp_path, "anthropic", thoughtful(*answer)) as gateway:
        with (
            Anthropic(base_url=gateway.url, api_key=KEY, max_retries=0) as client,
            client.messages.stream(model=ALIAS, max_tokens=9, messages=[{"role": "user", "content": "hi"}]) as stream,
        ):
            assert list(stream.text_stream) == ["Hello"]
            assert stream.get_final_message().stop_reason == "end_turn"
        assert heartbeats(gateway, b"".join(answer))


def test_google_s_client_which_takes_comments_for_json_gets_none(tmp_path: Path) -> None:
    answer = (generate.event("Hello"), generate.event(" there", "STOP", usageMetadata=generate.USED))
    with beating(tmp_path, "gemini", thoughtful(*answer)) as gateway:
        client = generate.client_of(gateway)
        stream = client.models.generate_content_stream(model=ALIAS, contents="hi")
        assert [one.text for one in stream] == ["Hello", " there"]
        assert not heartbeats(gateway, b"".join(answer))
