"""The direct face of one answer, under an application of the test's own, on real sockets."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from proxy.config.tree import Server
from proxy.errors import BodyTooLarge, ClientGone
from proxy.server.cycle import EXTENSION, RequestCycle
from proxy.server.listener import Listener, bind
from tests.fakes import Body, Head, RawClient
from tests.upstream.recording import run, until

App = Callable[[RequestCycle], Awaitable[None]]
GET = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n"


def serve(app: App, work: Callable[[RawClient], None]) -> None:
    """Run the client's side in a thread while the application is served."""

    async def asgi(scope: Any, receive: Any, send: Any) -> None:
        await app(scope["extensions"][EXTENSION])

    serve_asgi(asgi, work)


def serve_asgi(asgi: Any, work: Callable[[RawClient], None]) -> None:
    """The same for an application that is called as one."""

    async def main() -> None:
        ready = asyncio.Event()
        with bind("127.0.0.1", 0) as listening:
            listener = Listener(asgi, Server(), ready.set)
            serving = asyncio.create_task(listener.serve(sockets=[listening]))
            await ready.wait()
            try:
                await asyncio.to_thread(_client, listening.getsockname()[1], work)
            finally:
                listener.should_exit = True
                await serving

    run(main())


def _client(port: int, work: Callable[[RawClient], None]) -> None:
    with RawClient("127.0.0.1", port) as client:
        work(client)


def answer_to(app: App, request: bytes = GET) -> tuple[Head, Body]:
    answers: list[tuple[Head, Body]] = []

    def work(client: RawClient) -> None:
        client.send(request)
        answers.append(client.read_answer())

    serve(app, work)
    return answers[0]


def test_a_known_length_is_told() -> None:
    async def app(client: RequestCycle) -> None:
        client.begin(201, b"x-a: b\r\n", 5)
        client.write(b"hello", True)
        assert (client.status, client.bytes_out) == (201, 5)

    head, body = answer_to(app)
    assert (head.status, head.header("x-a"), head.header("content-length")) == (201, "b", "5")
    assert head.header("transfer-encoding") is None
    assert body.payload == b"hello"


def test_an_unknown_length_is_chunked_piece_by_piece() -> None:
    async def app(client: RequestCycle) -> None:
        client.begin(200, b"", None)
        client.write(b"one", False)
        client.write(b"", False)
        client.write(b"two", False)
        client.write(b"three", True)
        assert client.bytes_out == 11

    _, body = answer_to(app)
    assert (body.pieces, body.complete) == ([b"one", b"two", b"three"], True)


@pytest.mark.parametrize("size", [1, 15, 16, 2_047, 2_048, 2_049, 70_000])
def test_a_chunk_of_any_size_is_a_whole_one(size: int) -> None:
    async def app(client: RequestCycle) -> None:
        client.begin(200, b"", None)
        client.write(b"a" * size, False)
        client.write(b"b" * size, True)

    _, body = answer_to(app)
    assert (body.pieces, body.complete) == ([b"a" * size, b"b" * size], True)


def test_an_empty_last_piece_ends_the_chunks() -> None:
    async def app(client: RequestCycle) -> None:
        client.begin(200, b"", None)
        client.write(b"one", False)
        client.write(b"", True)

    _, body = answer_to(app)
    assert (body.pieces, body.complete) == ([b"one"], True)


def test_the_head_leaves_with_the_first_bytes() -> None:
    async def app(client: RequestCycle) -> None:
        client.begin(200, b"", None)
        assert client.transport.get_write_buffer_size() == 0
        client.write(b"", True)

    _, body = answer_to(app)
    assert (body.payload, body.complete) == (b"", True)


def test_a_cut_answer_has_what_was_written_and_no_end() -> None:
    async def app(client: RequestCycle) -> None:
        client.begin(200, b"", None)
        client.write(b"one", False)
        client.abort()

    _, body = answer_to(app)
    assert (body.payload, body.complete) == (b"one", False)


def test_nothing_follows_the_last_piece() -> None:
    async def app(client: RequestCycle) -> None:
        client.begin(200, b"", 3)
        client.write(b"one", True)
        client.write(b"two", True)
        client.abort()

    def work(client: RawClient) -> None:
        for _ in range(2):
            client.send(GET)
            assert client.read_answer()[1].payload == b"one"

    serve(app, work)


def test_the_body_is_read_whole() -> None:
    async def app(client: RequestCycle) -> None:
        data = await client.read_body(100)
        client.begin(200, b"", len(data))
        client.write(data, True)

    def work(client: RawClient) -> None:
        client.send(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 6\r\n\r\none")
        client.send(b"two")
        assert client.read_answer()[1].payload == b"onetwo"

    serve(app, work)


@pytest.mark.parametrize(
    "rest",
    [b"content-length: 101\r\n\r\n" + b"a" * 50, b"transfer-encoding: chunked\r\n\r\n65\r\n" + b"a" * 101],
    ids=["announced", "counted"],
)
def test_a_body_beyond_the_limit_is_refused_before_it_is_whole(rest: bytes) -> None:
    refused: list[str] = []

    async def app(client: RequestCycle) -> None:
        try:
            await client.read_body(100)
        except BodyTooLarge as error:
            refused.append(error.message)
            client.begin(413, b"", 0)
            client.write(b"", True)

    def work(client: RawClient) -> None:
        client.send(b"POST / HTTP/1.1\r\nhost: a\r\n" + rest)
        assert client.read_answer()[0].header("connection") == "close"

    serve(app, work)
    assert refused == ["The request body is larger than 100 bytes, the most this endpoint takes."]


def test_what_still_comes_of_a_refused_body_reserves_no_memory() -> None:
    reserved: list[int] = []

    async def app(client: RequestCycle) -> None:
        with pytest.raises(BodyTooLarge):
            await client.read_body(100)
        while client.body.received < 102:  # noqa: ASYNC110 (the body sets no event any more)
            await asyncio.sleep(0)
        reserved.append(client.protocol.context.shedding.bodies.memory)
        client.begin(413, b"", 0)
        client.write(b"", True)

    def work(client: RawClient) -> None:
        client.send(b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n65\r\n" + b"a" * 101)
        time.sleep(0.05)
        client.send(b"\r\n1\r\na\r\n")
        assert client.read_answer()[0].status == 413

    serve(app, work)
    assert reserved == [0]


def test_a_client_that_leaves_while_it_sends_is_told_apart() -> None:
    gone: list[type] = []

    async def app(client: RequestCycle) -> None:
        try:
            await client.read_body(100)
        except ClientGone as error:
            gone.append(type(error))

    def work(client: RawClient) -> None:
        client.send(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 6\r\n\r\none")
        client.close()

    async def wait() -> None:
        await until(lambda: gone == [ClientGone])

    serve(app, work)
    run(wait())


def test_an_application_that_fails_before_its_answer_is_a_500(caplog: pytest.LogCaptureFixture) -> None:
    async def app(client: RequestCycle) -> None:
        raise LookupError("canary")

    head, body = answer_to(app)
    assert head.status == 500
    assert json.loads(body.payload)["error"]["code"] == "internal_error"
    assert b"canary" not in body.payload
    assert "canary" in caplog.text


def test_an_application_that_fails_in_its_answer_cuts_it(caplog: pytest.LogCaptureFixture) -> None:
    async def app(client: RequestCycle) -> None:
        client.begin(200, b"", None)
        client.write(b"one", False)
        raise LookupError("canary")

    _, body = answer_to(app)
    assert (body.payload, body.complete) == (b"one", False)
    assert "canary" in caplog.text


def test_an_application_that_ends_without_an_answer_is_a_500() -> None:
    async def app(client: RequestCycle) -> None:
        """Say nothing."""

    assert answer_to(app)[0].status == 500


def test_an_application_that_waits_for_something_else_goes_on_afterwards() -> None:
    async def app(client: RequestCycle) -> None:
        await asyncio.to_thread(int)
        data = await client.read_body(10)
        await asyncio.sleep(0)
        client.begin(200, b"", len(data))
        client.write(data, True)

    _, body = answer_to(app, b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\nok")
    assert body.payload == b"ok"
