"""ASGI applications on a request cycle: what they are given, and what becomes of what they send."""

import asyncio
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from proxy.config.tree import Server
from proxy.server.context import ServerContext
from proxy.server.cycle import EXTENSION, RequestCycle
from proxy.server.protocol import GuardedProtocol
from tests.fakes import RawClient
from tests.server.test_cycle import serve_asgi
from tests.server.test_splits import Wire
from tests.upstream.recording import run

App = Callable[[Any, Any, Any], Awaitable[None]]
GET = b"GET /a%20b?c=d HTTP/1.1\r\nhost: a\r\nx-b: c\r\n\r\n"


def start(status: int = 200, *headers: tuple[bytes, bytes]) -> dict[str, Any]:
    return {"type": "http.response.start", "status": status, "headers": list(headers)}


def part(body: bytes = b"", more: bool = False) -> dict[str, Any]:
    return {"type": "http.response.body", "body": body, "more_body": more}


def written_by(app: App, sent: bytes = GET) -> bytes:
    """What a client gets of an application, on a connection without sockets."""

    async def main() -> bytes:
        wire = Wire()
        protocol = GuardedProtocol(ServerContext(app, Server()))
        protocol.connection_made(wire)
        protocol.data_received(sent)
        await asyncio.sleep(0)
        return wire.written

    written: bytes = run(main())
    return written


def sending(*messages: dict[str, Any]) -> App:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        for message in messages:
            await send(message)

    return app


def test_the_scope_says_what_the_head_said() -> None:
    scopes: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        scopes.append(scope)
        await sending(start(), part())(scope, receive, send)

    written_by(app)
    (scope,) = scopes
    assert (scope["method"], scope["path"], scope["raw_path"]) == ("GET", "/a%20b", b"/a%20b")
    assert (scope["query_string"], scope["http_version"]) == (b"c=d", "1.1")
    assert scope["headers"] == [(b"host", b"a"), (b"x-b", b"c")]
    assert isinstance(scope["extensions"][EXTENSION], RequestCycle)


def test_the_body_comes_piece_by_piece_and_both_addresses_are_told() -> None:
    first = threading.Event()
    pieces: list[bytes] = []
    addresses: list[tuple[str, int]] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        addresses[:] = [scope["server"], scope["client"]]
        while True:
            message = await receive()
            pieces.append(message["body"])
            first.set()
            if not message["more_body"]:
                break
        await sending(start(204), part())(scope, receive, send)

    def work(client: RawClient) -> None:
        client.send(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 6\r\n\r\none")
        assert first.wait(5)
        # By now it waits for the next one.
        client.send(b"two")
        head, _ = client.read_answer()
        assert (head.status, head.header("content-length"), head.header("transfer-encoding")) == (204, None, None)
        assert addresses == [client.socket.getpeername(), client.socket.getsockname()]

    serve_asgi(app, work)
    assert b"".join(pieces) == b"onetwo"


def test_a_body_of_unknown_length_is_chunked() -> None:
    written = written_by(sending(start(200, (b"X-A", b"b")), part(b"one", True), part(b"two")))
    head, _, body = written.partition(b"\r\n\r\n")
    assert b"\r\nx-a: b\r\n" in head
    assert b"transfer-encoding: chunked" in head
    assert body == b"3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n"


def test_an_announced_length_is_sent_once_and_the_body_as_it_is() -> None:
    written = written_by(sending(start(200, (b"Content-Length", b"3")), part(b"one")))
    assert written.lower().count(b"content-length: 3\r\n") == 1
    assert written.endswith(b"\r\n\r\none")


def test_a_head_request_gets_no_body() -> None:
    app = sending(start(200, (b"content-length", b"3")), part(b""))
    assert written_by(app, GET.replace(b"GET", b"HEAD")).endswith(b"content-length: 3\r\n\r\n")


def test_an_application_may_end_the_connection() -> None:
    written = written_by(sending(start(200, (b"connection", b"close"), (b"content-length", b"0")), part()))
    assert written.lower().count(b"connection: close") == 1


@pytest.mark.parametrize(
    "messages",
    [
        [part(b"one")],
        [start(200, (b"x-a", b"b\r\nx-c: d")), part()],
        [start(200, (b"content-length", b"2")), part(b"one")],
        [start(200, (b"content-length", b"4")), part(b"one")],
    ],
    ids=["body first", "a line end in a header", "more than announced", "less than announced"],
)
def test_what_is_no_response_becomes_a_500(messages: list[dict[str, Any]], caplog: pytest.LogCaptureFixture) -> None:
    assert written_by(sending(*messages)).startswith(b"HTTP/1.1 500 ")
    assert "RuntimeError" in caplog.text


def test_nothing_may_follow_a_response(caplog: pytest.LogCaptureFixture) -> None:
    written = written_by(sending(start(200, (b"content-length", b"3")), part(b"one"), part(b"two")))
    assert written.endswith(b"one")
    assert "out of order" in caplog.text


def test_a_response_that_has_begun_is_not_interrupted_by_a_continue() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(start())
        await send(part(b"Hi", more=True))
        await receive()
        await send(part(b"!"))

    request = b"POST / HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 2\r\n\r\n{}"
    assert written_by(app, request).endswith(b"\r\n\r\n2\r\nHi\r\n1\r\n!\r\n0\r\n\r\n")
