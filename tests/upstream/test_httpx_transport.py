"""The httpx transport of the pool, on real sockets: what httpx promises, and what cancelling it leaves behind."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from proxy.upstream import httpx_transport
from proxy.upstream.client import MAX_BUFFERED_BYTES
from proxy.upstream.httpx_transport import PoolTransport
from proxy.upstream.pool import Pool
from tests.fakes import LAST_CHUNK, Close, Hang, Reset, ScriptedUpstream, Send, WaitFor, chunk, head, json_answer
from tests.upstream.recording import open_pool, run, silent_listener, until

CHUNKED = {"transfer-encoding": "chunked"}


@asynccontextmanager
async def client_of(upstream: ScriptedUpstream, **settings: Any) -> AsyncIterator[tuple[httpx.AsyncClient, Pool]]:
    async with (
        open_pool(upstream.base_url, **settings) as pool,
        httpx.AsyncClient(transport=PoolTransport(pool), base_url=upstream.base_url) as client,
    ):
        yield client, pool


def with_client(
    upstream: ScriptedUpstream,
    work: Callable[[httpx.AsyncClient, Pool], Coroutine[Any, Any, None]],
    **settings: Any,
) -> None:
    async def main() -> None:
        async with client_of(upstream, **settings) as (client, pool):
            await work(client, pool)

    run(main())


def test_a_request_arrives_as_httpx_made_it() -> None:
    async def work(client: httpx.AsyncClient, pool: Pool) -> None:
        answer = await client.post("/v1/things?q=1", json={"a": 1}, headers={"x-own": "yes"})
        assert (answer.status_code, answer.json()) == (201, {"ok": True})

    with ScriptedUpstream() as upstream:
        upstream.script(json_answer({"ok": True}, 201))
        with_client(upstream, work)
        (request,) = upstream.requests
        assert (request.method, request.target, request.body) == ("POST", "/v1/things?q=1", b'{"a":1}')
        assert (request.header("x-own"), request.header("content-length")) == ("yes", "7")
        assert request.header("host") == upstream.base_url.removeprefix("http://")


@pytest.mark.parametrize("method", ["GET", "DELETE", "PUT", "PATCH", "OPTIONS"])
def test_every_method_passes(method: str) -> None:
    async def work(client: httpx.AsyncClient, pool: Pool) -> None:
        assert (await client.request(method, "/v1/things")).status_code == 200

    with ScriptedUpstream() as upstream:
        upstream.script(json_answer({}))
        with_client(upstream, work)
        assert upstream.requests[0].method == method


def test_an_answer_to_head_has_no_body_and_does_not_wait_for_one() -> None:
    async def work(client: httpx.AsyncClient, pool: Pool) -> None:
        answer = await client.head("/v1/things")
        assert (answer.status_code, answer.content, answer.headers["content-length"]) == (200, b"", "999")
        assert (await client.get("/v1/things")).json() == {"ok": True}

    with ScriptedUpstream() as upstream:
        upstream.script([head(200, {"content-length": "999"})])
        upstream.script(json_answer({"ok": True}))
        with_client(upstream, work)


def test_a_body_from_a_generator_is_sent_with_its_length() -> None:
    async def parts() -> AsyncIterator[bytes]:
        yield b"abc"
        yield b"def"

    async def work(client: httpx.AsyncClient, pool: Pool) -> None:
        await client.post("/v1/things", content=parts())

    with ScriptedUpstream() as upstream:
        upstream.script(json_answer({}))
        with_client(upstream, work)
        (request,) = upstream.requests
        assert request.body == b"abcdef"
        assert request.header("content-length") == "6"
        assert request.header("transfer-encoding") is None


def test_a_request_body_is_bounded() -> None:
    async def main(upstream: ScriptedUpstream) -> None:
        async with (
            open_pool(upstream.base_url) as pool,
            httpx.AsyncClient(transport=PoolTransport(pool, max_request_body_bytes=5)) as client,
        ):
            with pytest.raises(httpx.LocalProtocolError, match="larger than 5 bytes"):
                await client.post(upstream.base_url, content=b"123456")

    with ScriptedUpstream() as upstream:
        run(main(upstream))
        assert upstream.requests == []


def test_hop_by_hop_and_framing_headers_are_the_transports_own() -> None:
    async def work(client: httpx.AsyncClient, pool: Pool) -> None:
        answer = await client.post(
            "/",
            content=b"x",
            headers={"connection": "x-secret, close", "x-secret": "1", "te": "trailers", "keep-alive": "9", "host": "b"}
            | {"expect": "100-continue", "content-length": "500"},
        )
        assert "keep-alive" not in answer.headers
        assert "x-named" not in answer.headers
        assert answer.headers["x-kept"] == "yes"

    with ScriptedUpstream() as upstream:
        fields = {"keep-alive": "timeout=5", "connection": "x-named", "x-named": "1", "x-kept": "yes"}
        upstream.script(json_answer({}, headers=fields))
        with_client(upstream, work)
        (request,) = upstream.requests
        names = [name.lower() for name, _ in request.headers]
        assert not {"connection", "x-secret", "te", "keep-alive", "expect"} & set(names)
        assert request.header("content-length") == "1"
        assert request.header("host") == upstream.base_url.removeprefix("http://")


@pytest.mark.parametrize("header", [{"x-a": "b\r\nx-c: d"}, {"x a": "b"}, {"x-a\r\nx-b": "c"}, {"x-a": "\x00"}])
def test_a_header_that_would_break_the_request_is_refused(header: dict[str, str]) -> None:
    async def work(client: httpx.AsyncClient, pool: Pool) -> None:
        with pytest.raises(httpx.LocalProtocolError):
            await client.get("/", headers=header)

    with ScriptedUpstream() as upstream:
        with_client(upstream, work)
        assert upstream.requests == []


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("http://elsewhere.test/", httpx.ConnectError),
        ("https://127.0.0.1/", httpx.ConnectError),
        ("http://127.0.0.1:1/", httpx.ConnectError),
        ("ftp://127.0.0.1/", httpx.UnsupportedProtocol),
    ],
)
def test_another_host_is_never_reached(url: str, kind: type[Exception]) -> None:
    async def work(client: httpx.AsyncClient, pool: Pool) -> None:
        with pytest.raises(kind, match=r"spoken here|reaches only"):
            await client.get(url)
        assert pool.size == 0

    with ScriptedUpstream() as upstream:
        with_client(upstream, work)


def test_an_answer_is_streamed_as_it_arrives() -> None:
    first_read = threading.Event()

    async def work(client: httpx.AsyncClient, pool: Pool) -> None:
        async with client.stream("GET", "/") as answer:
            pieces = answer.aiter_raw()
            assert await anext(pieces) == b"one"
            first_read.set()
            assert b"".join([piece async for piece in pieces]) == b"two"

    with ScriptedUpstream() as upstream:
        upstream.script([head(200, CHUNKED), chunk(b"one"), WaitFor(first_read), chunk(b"two"), Send(LAST_CHUNK)])
        with_client(upstream, work)


def test_a_connection_serves_again_after_a_clean_end() -> None:
    async def work(client: httpx.AsyncClient, pool: Pool) -> None:
        for _ in range(3):
            await client.get("/")
        assert (pool.size, pool.idle) == (1, 1)

    with ScriptedUpstream() as upstream:
        upstream.script(json_answer({}), times=3)
        with_client(upstream, work)
        assert [request.connection for request in upstream.requests] == [1, 1, 1]


def test_a_slow_reader_pauses_the_connection_and_still_gets_every_byte() -> None:
    total = 64 * MAX_BUFFERED_BYTES
    piece = bytes(range(256)) * 256

    async def work(client: httpx.AsyncClient, pool: Pool) -> None:
        async with client.stream("GET", "/") as answer:
            stream = answer.stream
            assert isinstance(stream, httpx.AsyncByteStream)
            await until(lambda: upstream.requests[0].bytes_sent > MAX_BUFFERED_BYTES)
            await asyncio.to_thread(_settled, upstream)
            # The kernel's buffers hold some of it; most has never left the upstream.
            assert upstream.requests[0].bytes_sent < total / 2
            data = b"".join([part async for part in answer.aiter_raw()])
        assert data == piece * (total // len(piece))

    with ScriptedUpstream(socket_buffer=65_536) as upstream:
        fields = {"content-length": str(total)}
        upstream.script([head(200, fields), *[Send(piece)] * (total // len(piece))])
        with_client(upstream, work)


def _settled(upstream: ScriptedUpstream) -> None:
    """Wait until the upstream can write no more for a while."""
    pause = threading.Event()
    while True:
        before = upstream.requests[0].bytes_sent
        pause.wait(0.1)
        if upstream.requests[0].bytes_sent == before:
            return


@pytest.mark.parametrize(
    ("steps", "kind"),
    [
        ([Reset()], httpx.ReadError),
        ([Close()], httpx.ReadError),
        ([Send(b"what is this\r\n\r\n")], httpx.RemoteProtocolError),
        ([head(200, {"content-length": "10"}), Send(b"12345"), Close()], httpx.ReadError),
        ([head(200, CHUNKED), chunk(b"12345"), Reset()], httpx.ReadError),
        ([head(200, CHUNKED), Send(b"zz\r\n")], httpx.RemoteProtocolError),
    ],
)
def test_faults_of_the_upstream_are_httpx_errors(steps: list[Any], kind: type[Exception]) -> None:
    async def work(client: httpx.AsyncClient, pool: Pool) -> None:
        with pytest.raises(kind):
            await client.get("/")
        await until(lambda: pool.size == 0)

    with ScriptedUpstream() as upstream:
        upstream.script(steps)
        with_client(upstream, work)


def test_what_came_before_a_cut_is_read_before_the_error() -> None:
    async def work(client: httpx.AsyncClient, pool: Pool) -> None:
        async with client.stream("GET", "/") as answer:
            pieces = answer.aiter_raw()
            await until(lambda: pool.size == 0)
            assert await anext(pieces) == b"12345"
            with pytest.raises(httpx.ReadError):
                await anext(pieces)

    with ScriptedUpstream() as upstream:
        upstream.script([head(200, CHUNKED), chunk(b"12345"), Close()])
        with_client(upstream, work)


def test_an_idle_connection_that_the_upstream_has_closed_is_replaced_without_an_error() -> None:
    async def work(client: httpx.AsyncClient, pool: Pool) -> None:
        await client.get("/")
        assert (await client.get("/")).json() == {"ok": True}

    with ScriptedUpstream() as upstream:
        upstream.script(json_answer({}))
        upstream.script([Reset()])
        upstream.script(json_answer({"ok": True}))
        with_client(upstream, work)
        assert [request.connection for request in upstream.requests] == [1, 1, 2]


def test_a_fresh_connection_that_is_dropped_is_not_tried_again() -> None:
    async def work(client: httpx.AsyncClient, pool: Pool) -> None:
        with pytest.raises(httpx.ReadError):
            await client.get("/")

    with ScriptedUpstream() as upstream:
        upstream.script([Reset()])
        with_client(upstream, work)
        assert len(upstream.requests) == 1


def test_a_refused_connection_is_a_connect_error() -> None:
    async def main() -> None:
        async with (
            open_pool("http://127.0.0.1:1") as pool,
            httpx.AsyncClient(transport=PoolTransport(pool)) as client,
        ):
            with pytest.raises(httpx.ConnectError):
                await client.get("http://127.0.0.1:1/")

    run(main())


def test_the_read_timeout_holds_for_the_head() -> None:
    async def work(client: httpx.AsyncClient, pool: Pool) -> None:
        with pytest.raises(httpx.ReadTimeout):
            await client.get("/", timeout=httpx.Timeout(5.0, read=0.02))
        await until(lambda: pool.size == 0)

    with ScriptedUpstream() as upstream:
        upstream.script([Hang()])
        with_client(upstream, work)
        assert upstream.requests[0].closed.wait(5)


def test_the_read_timeout_holds_between_two_pieces() -> None:
    async def work(client: httpx.AsyncClient, pool: Pool) -> None:
        async with client.stream("GET", "/", timeout=httpx.Timeout(5.0, read=0.2)) as answer:
            pieces = answer.aiter_raw()
            assert await anext(pieces) == b"one"
            with pytest.raises(httpx.ReadTimeout):
                await anext(pieces)
        await until(lambda: pool.size == 0)

    with ScriptedUpstream() as upstream:
        upstream.script([head(200, CHUNKED), chunk(b"one"), Hang()])
        with_client(upstream, work)


def test_the_pool_timeout_holds_while_all_connections_are_taken() -> None:
    async def work(client: httpx.AsyncClient, pool: Pool) -> None:
        async with client.stream("GET", "/"):
            with pytest.raises(httpx.PoolTimeout):
                await client.get("/", timeout=httpx.Timeout(5.0, pool=0.02))
            assert repr(pool) == "<Pool vendor: 0 idle, 1 busy, 0 opening, 0 waiting>"

    with ScriptedUpstream() as upstream:
        upstream.script([head(200, CHUNKED), Hang()])
        with_client(upstream, work, max_connections=1)


def test_a_full_queue_is_a_pool_timeout_at_once() -> None:
    async def work(client: httpx.AsyncClient, pool: Pool) -> None:
        async with client.stream("GET", "/"):
            with pytest.raises(httpx.PoolTimeout):
                await client.get("/", timeout=None)

    with ScriptedUpstream() as upstream:
        upstream.script([head(200, CHUNKED), Hang()])
        with_client(upstream, work, max_connections=1, max_waiting=0)


def test_the_connect_timeout_holds_while_a_connection_comes_up() -> None:
    async def main(base_url: str) -> None:
        async with (
            open_pool(base_url) as pool,
            httpx.AsyncClient(transport=PoolTransport(pool)) as client,
        ):
            with pytest.raises(httpx.ConnectTimeout):
                await client.get(base_url, timeout=httpx.Timeout(5.0, connect=0.02))

    with silent_listener() as base_url:
        run(main(base_url))


def test_an_answer_closed_early_gives_its_connection_up() -> None:
    async def work(client: httpx.AsyncClient, pool: Pool) -> None:
        async with client.stream("GET", "/"):
            assert pool.size == 1
        await until(lambda: pool.size == 0)

    with ScriptedUpstream() as upstream:
        upstream.script([head(200, CHUNKED), chunk(b"one"), Hang()])
        with_client(upstream, work)
        assert upstream.requests[0].closed.wait(5)


def test_two_hundred_cancelled_requests_leave_the_pool_as_it_was() -> None:
    async def work(client: httpx.AsyncClient, pool: Pool) -> None:
        arrived = 0
        for number in range(200):
            arrived = len(upstream.requests)
            task = asyncio.create_task(client.get("/", timeout=None))
            if number % 4 == 1:
                await asyncio.sleep(0)
            elif number % 4 == 2:
                await until(lambda: pool.size > 0)
            elif number % 4 == 3:
                await until(lambda seen=arrived: len(upstream.requests) > seen)  # type: ignore[misc]
            task.cancel()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        await until(lambda: pool.size == pool.idle)
        upstream.handler = lambda _: json_answer({"ok": True})
        assert (await client.get("/")).json() == {"ok": True}
        assert repr(pool) == f"<Pool vendor: {pool.idle} idle, 0 busy, 0 opening, 0 waiting>"

    with ScriptedUpstream(handler=lambda _: [Hang()]) as upstream:
        with_client(upstream, work, max_connections=2)


def test_cancelling_while_waiting_for_a_place_leaves_the_queue() -> None:
    async def work(client: httpx.AsyncClient, pool: Pool) -> None:
        async with client.stream("GET", "/"):
            task = asyncio.create_task(client.get("/"))
            await until(lambda: pool.saturated)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert repr(pool) == "<Pool vendor: 0 idle, 1 busy, 0 opening, 0 waiting>"

    with ScriptedUpstream() as upstream:
        upstream.script([head(200, CHUNKED), Hang()])
        with_client(upstream, work, max_connections=1)


def test_closing_the_client_leaves_the_pool_open() -> None:
    async def main(upstream: ScriptedUpstream) -> None:
        async with open_pool(upstream.base_url) as pool:
            for _ in range(2):
                async with httpx.AsyncClient(transport=PoolTransport(pool)) as client:
                    await client.get(upstream.base_url)
            assert pool.idle == 1

    with ScriptedUpstream() as upstream:
        upstream.script(json_answer({}), times=2)
        run(main(upstream))


def test_closing_the_pool_ends_a_running_answer_with_an_error() -> None:
    async def work(client: httpx.AsyncClient, pool: Pool) -> None:
        async with client.stream("GET", "/", timeout=None) as answer:
            await pool.close()
            with pytest.raises(httpx.ReadError):
                async with asyncio.timeout(5.0):
                    await answer.aread()

    with ScriptedUpstream() as upstream:
        upstream.script([head(200, CHUNKED), chunk(b"one"), Hang()])
        with_client(upstream, work)


def test_the_tables_of_headers_do_not_overlap() -> None:
    assert not httpx_transport.HOP_BY_HOP & httpx_transport.OWN
