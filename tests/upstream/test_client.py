"""The awaited client of a pool, on real sockets: bodies that are streamed, early responses, bounds, the idle race."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import pytest

from proxy.errors import InvalidRequest, Overloaded, UpstreamDropped, UpstreamProtocolError, UpstreamTimeout
from proxy.upstream.client import MAX_BUFFERED_BYTES, SLICE_BYTES, State, UpstreamRequest, http_chunk
from proxy.upstream.pool import Pool
from tests.fakes import (
    LAST_CHUNK,
    Close,
    Hang,
    ReadNothing,
    Reset,
    ScriptedUpstream,
    Send,
    Step,
    chunk,
    head,
    json_answer,
)
from tests.upstream.recording import open_pool, run, silent_listener, until

GET = b"GET /v1/files HTTP/1.1\r\nhost: upstream.test\r\n\r\n"
POST = b"POST /v1/files HTTP/1.1\r\nhost: upstream.test\r\ntransfer-encoding: chunked\r\n\r\n"
CHUNKED = {"transfer-encoding": "chunked"}


def with_request(
    work: Callable[[UpstreamRequest, Pool], Coroutine[Any, Any, None]], *scripts: list[Step], **settings: Any
) -> ScriptedUpstream:
    """Do something with a request of its own to an upstream that answers by these scripts."""
    upstream = ScriptedUpstream()

    async def main() -> None:
        async with open_pool(upstream.base_url, **settings) as pool:
            request = UpstreamRequest(pool)
            try:
                await work(request, pool)
            finally:
                request.close()

    with upstream:
        for script in scripts:
            upstream.script(script)
        run(main())
    return upstream


async def chunks_of(*data: bytes) -> AsyncIterator[bytes]:
    for one in data:
        yield one


async def endless() -> AsyncIterator[bytes]:
    """A client that sends a little, and then nothing more for a long time."""
    yield b"a little"
    await asyncio.sleep(60)


def test_a_response_is_read_whole() -> None:
    async def work(request: UpstreamRequest, pool: Pool) -> None:
        await request.send(GET)
        assert (request.status, dict(request.headers)[b"content-type"]) == (200, b"application/json")
        assert await request.read(100) == b'{"a": 1}'
        assert request.state is State.ENDED
        assert pool.idle == 1

    with_request(work, json_answer({"a": 1}))


def test_a_response_of_too_many_bytes_is_an_error_and_its_beginning_may_be_read() -> None:
    async def work(request: UpstreamRequest, pool: Pool) -> None:
        await request.send(GET)
        with pytest.raises(UpstreamProtocolError, match="too large"):
            await request.read(3)
        request.close()
        again = UpstreamRequest(pool)
        await again.send(GET)
        assert (await again.read_prefix(3)).startswith(b'{"a"')

    with_request(work, json_answer({"a": 1}), json_answer({"a": 1}))


def test_an_idle_connection_that_had_just_closed_is_replaced_once() -> None:
    async def work(request: UpstreamRequest, pool: Pool) -> None:
        first = UpstreamRequest(pool)
        await first.send(GET)
        await first.read(100)
        await request.send(GET)
        assert await request.read(100) == b'{"a": 1}'

    upstream = with_request(work, json_answer({}), [Reset()], json_answer({"a": 1}))
    assert [request.connection for request in upstream.requests] == [1, 1, 2]


def test_a_fresh_connection_that_is_dropped_is_not_replaced() -> None:
    async def work(request: UpstreamRequest, pool: Pool) -> None:
        with pytest.raises(UpstreamDropped):
            await request.send(GET)

    assert len(with_request(work, [Reset()]).requests) == 1


def test_what_came_before_a_cut_is_read_before_the_error() -> None:
    async def work(request: UpstreamRequest, pool: Pool) -> None:
        await request.send(GET)
        chunks = request.chunks()
        assert await anext(chunks) == b"12345"
        with pytest.raises(UpstreamDropped):
            await anext(chunks)

    with_request(work, [head(200, CHUNKED), chunk(b"12345"), Close()])


def test_a_response_to_head_has_no_body() -> None:
    async def work(request: UpstreamRequest, pool: Pool) -> None:
        await request.send(GET.replace(b"GET", b"HEAD"))
        assert await request.read(100) == b""
        await until(lambda: pool.size == 0)

    with_request(work, [head(200, {"content-length": "999"})])


# bodies that are still coming


def test_a_streamed_body_arrives_in_chunks_and_without_empty_ones() -> None:
    large = bytes(3 * SLICE_BYTES + 1)

    async def work(request: UpstreamRequest, pool: Pool) -> None:
        await request.stream(POST, chunks_of(b"one", b"", large))
        await request.receive_head()
        assert request.status == 200
        assert await request.read(100) == b"{}"

    upstream = with_request(work, json_answer({}))
    assert upstream.requests[0].body == b"one" + large


def test_a_streamed_body_goes_over_a_connection_that_has_served_no_request() -> None:
    async def work(request: UpstreamRequest, pool: Pool) -> None:
        first = UpstreamRequest(pool)
        await first.send(GET)
        await first.read(100)
        await request.stream(POST, chunks_of(b"one"))
        await request.receive_head()

    upstream = with_request(work, json_answer({}), json_answer({}))
    assert [request.connection for request in upstream.requests] == [1, 2]


def test_an_early_response_ends_the_wait_for_the_rest_of_the_body() -> None:
    async def work(request: UpstreamRequest, pool: Pool) -> None:
        async with asyncio.timeout(5):
            await request.stream(POST, endless())
        await request.receive_head()
        assert request.status == 400
        assert await request.read(100) == b"{}"
        await until(lambda: pool.size == 0)

    with_request(work, [ReadNothing(), *json_answer({}, 400)])


def test_an_upstream_that_is_gone_ends_the_wait_for_the_rest_of_the_body() -> None:
    async def work(request: UpstreamRequest, pool: Pool) -> None:
        async with asyncio.timeout(5):
            await request.stream(POST, endless())
        with pytest.raises(UpstreamDropped):
            await request.receive_head()

    with_request(work, [ReadNothing(), Reset()])


def test_an_error_of_the_bodys_source_ends_the_request() -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield b"one"
        raise InvalidRequest("not like this")

    async def work(request: UpstreamRequest, pool: Pool) -> None:
        with pytest.raises(InvalidRequest, match="not like this"):
            await request.stream(POST, broken())
        request.close()
        await until(lambda: pool.size == 0)

    with_request(work, [ReadNothing(), Hang()])


def test_an_upstream_that_does_not_take_the_body_is_timed_out_and_pauses_the_source() -> None:
    taken = 0

    async def source() -> AsyncIterator[bytes]:
        nonlocal taken
        while True:
            taken += 1
            yield bytes(1_048_576)

    async def work(request: UpstreamRequest, pool: Pool) -> None:
        with pytest.raises(UpstreamTimeout, match="slow"):
            await request.stream(POST, source())

    # It reads the head, and nothing of the body.
    with_request(work, [ReadNothing(), Hang()], idle_timeout=0.2)
    assert taken < 32


# bounds


def test_a_slow_reader_pauses_the_connection() -> None:
    piece = bytes(65_536)
    total = 64 * MAX_BUFFERED_BYTES
    seen: list[int] = []

    async def work(request: UpstreamRequest, pool: Pool) -> None:
        await request.send(GET)
        size = 0
        async for data in request.chunks():
            if not seen:
                await asyncio.sleep(0.2)
                seen.append(request._buffered_bytes)
            size += len(data)
        assert size == total

    with_request(
        work, [head(200, {"content-length": str(total)}), *[Send(piece)] * (total // len(piece))], max_connections=1
    )
    assert seen[0] <= MAX_BUFFERED_BYTES + 1_048_576


@pytest.mark.parametrize(
    ("script", "match"),
    [([Hang()], "did not answer in time"), ([head(200, CHUNKED), chunk(b"one"), Hang()], "stopped answering")],
)
def test_the_upstreams_timeouts_hold(script: list[Step], match: str) -> None:
    async def work(request: UpstreamRequest, pool: Pool) -> None:
        async def whole() -> None:
            await request.send(GET)
            await request.read(100)

        with pytest.raises(UpstreamTimeout, match=match):
            await whole()
        request.close()
        await until(lambda: pool.size == 0)

    with_request(work, script, first_byte_timeout=0.1, idle_timeout=0.1)


def test_the_connect_timeout_holds() -> None:
    async def main(base_url: str) -> None:
        async with open_pool(base_url, connect_timeout=0.05) as pool:
            request = UpstreamRequest(pool)
            with pytest.raises(UpstreamTimeout, match="reached in time"):
                await request.send(GET)
            request.close()

    with silent_listener() as base_url:
        run(main(base_url))


def test_a_full_queue_is_an_error_at_once() -> None:
    async def work(request: UpstreamRequest, pool: Pool) -> None:
        await request.send(GET)
        with pytest.raises(Overloaded):
            await UpstreamRequest(pool).send(GET)

    with_request(work, [head(200, CHUNKED), Hang()], max_connections=1, max_waiting=0)


def test_closing_leaves_the_queue_of_the_pool() -> None:
    async def work(request: UpstreamRequest, pool: Pool) -> None:
        await request.send(GET)
        waiting = UpstreamRequest(pool)
        task = asyncio.create_task(waiting.send(GET))
        await until(lambda: pool.busy == 2)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        waiting.close()
        assert pool.busy == 1

    with_request(work, [head(200, CHUNKED), Hang()], max_connections=1)


def test_no_bytes_are_no_chunk() -> None:
    assert (http_chunk(b"ab"), http_chunk(b"")) == (b"2\r\nab\r\n", b"")
    assert LAST_CHUNK.startswith(b"0")
