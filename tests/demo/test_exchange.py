"""Sending and receiving of the demo provider: faults on the wire, pace, the client's leaving, the body's bounds."""

import asyncio
import json

import httpx
import pytest
from starlette.types import Message

from proxy.demo.exchange import MAX_BODY_BYTES, ClientDisconnected, DemoExchange
from proxy.demo.settings import DemoSettings
from tests.demo.conftest import Provider, is_silent, read_until

CONTENT = b'"delta":{"content"'


def test_a_cut_aborts_the_stream_after_so_many_chunks(provider: Provider) -> None:
    with provider.open_chat("demo:cut=3", stream=True) as connection:
        received = read_until(connection, b"never", 1)
    assert received.count(CONTENT) == 3
    assert received.startswith(b"HTTP/1.1 200")
    assert not received.endswith(b"\r\n0\r\n\r\n")


def test_an_uncut_stream_ends_with_the_last_chunk_of_the_body(provider: Provider) -> None:
    with provider.open_chat("hi", stream=True) as connection:
        assert read_until(connection, b"\r\n0\r\n\r\n", 1).endswith(b"data: [DONE]\n\n\r\n0\r\n\r\n")


def test_a_cut_of_none_aborts_before_the_first_event(provider: Provider) -> None:
    with provider.open_chat("demo:cut=0", stream=True) as connection:
        received = read_until(connection, b"never", 1)
    assert b"data:" not in received
    assert not received.endswith(b"0\r\n\r\n")


def test_a_cut_aborts_a_whole_answer_in_its_middle(provider: Provider) -> None:
    with provider.open_chat("demo:cut=3") as connection:
        head, _, body = read_until(connection, b"never", 1).partition(b"\r\n\r\n")
    assert 0 < len(body) < int(head.partition(b"content-length: ")[2].split()[0])


@pytest.mark.parametrize("stream", [True, False])
def test_a_stall_keeps_the_connection_and_sends_no_more(provider: Provider, stream: bool) -> None:
    with provider.open_chat("demo:stall=2", stream=stream) as connection:
        read_until(connection, CONTENT if stream else b'"content"', 2 if stream else 1)
        assert is_silent(connection)


@pytest.mark.parametrize(
    ("text", "chunks"),
    [("demo:stall=2", 2), ("demo:pace=600", 1), ("demo:delay=600", 0), ("demo:error=500 demo:delay=600", 0)],
)
def test_nothing_runs_on_when_the_client_leaves(provider: Provider, text: str, chunks: int) -> None:
    with provider.open_chat(text, stream=True) as connection:
        assert read_until(connection, CONTENT, chunks).count(CONTENT) == chunks
        assert is_silent(connection)
    assert provider.app.falls_idle()


def test_a_client_that_leaves_an_embedding_ends_it(provider: Provider) -> None:
    body = {"model": "demo-atlas", "input": "demo:delay=600"}
    with pytest.raises(httpx.ReadTimeout):
        provider.http.post("/embeddings", json=body, timeout=httpx.Timeout(10, read=0.1))
    assert provider.app.falls_idle()


def test_a_client_that_leaves_a_whole_answer_ends_it(provider: Provider) -> None:
    with provider.open_chat("hello demo:pace=600") as connection:
        assert is_silent(connection)
    assert provider.app.falls_idle()


def test_an_error_event_comes_after_so_many_chunks_and_ends_the_stream(provider: Provider) -> None:
    events = provider.events("demo:error-event=3")
    assert len(events) == 1 + 3 + 1
    assert events[-1].keys() == {"error"}
    assert events[-1]["error"]["type"] == "server_error"


def test_a_body_past_the_cap_is_a_413(provider: Provider) -> None:
    answer = provider.http.post("/chat/completions", content=b" " * (MAX_BODY_BYTES + 1))
    assert answer.status_code == 413


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"model": 1}', b"\xff", b"[" * 100_000])
def test_a_body_that_is_no_such_json_is_a_400(provider: Provider, body: bytes) -> None:
    answer = provider.http.post("/chat/completions", content=body)
    assert answer.status_code == 400
    assert answer.json()["error"]["type"] == "invalid_request_error"


def exchange_of(*messages: Message) -> DemoExchange:
    """An exchange whose client sends these messages, and then nothing."""
    waiting = list(messages)

    async def receive() -> Message:
        if waiting:
            return waiting.pop(0)
        await asyncio.Event().wait()
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        raise AssertionError(message)

    return DemoExchange({"type": "http"}, receive, send, DemoSettings())


def test_a_pause_ends_at_once_when_the_client_leaves() -> None:
    with pytest.raises(ClientDisconnected):
        asyncio.run(exchange_of({"type": "http.disconnect"}).pause(600))


def test_a_pause_lasts_while_the_client_stays() -> None:
    asyncio.run(exchange_of().pause(0.001))


def test_a_body_in_parts_is_joined() -> None:
    parts = (
        {"type": "http.request", "body": b"[1,", "more_body": True},
        {"type": "http.request", "body": json.dumps([2])[1:].encode()},
    )
    assert asyncio.run(exchange_of(*parts).read(list[int])) == [1, 2]


def test_a_client_that_leaves_with_half_its_body_is_given_up() -> None:
    parts: tuple[Message, ...] = (
        {"type": "http.request", "body": b"[1,", "more_body": True},
        {"type": "http.disconnect"},
    )
    with pytest.raises(ClientDisconnected):
        asyncio.run(exchange_of(*parts).read(list[int]))
