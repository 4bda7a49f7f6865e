"""The pool: who gets which connection, how many there may be, and which request gets the error when there is none."""

import asyncio
import socket
import threading
from typing import Any

import pytest

from proxy.errors import Overloaded, UpstreamConnectFailed, UpstreamFailed, UpstreamTimeout
from proxy.upstream.pool import Pool
from tests.fakes import Close, Hang, RecordedRequest, ScriptedUpstream, Step, WaitFor, head, json_answer
from tests.upstream.recording import Recorder, fetch, open_pool, run, silent_listener, until


def answer(_: RecordedRequest) -> list[Step]:
    return json_answer({})


def hang(_: RecordedRequest) -> list[Step]:
    return [Hang()]


def test_a_connection_is_opened_when_it_is_needed_and_kept() -> None:
    async def main() -> None:
        with ScriptedUpstream(answer) as upstream:
            async with open_pool(upstream.base_url) as pool:
                assert (pool.size, pool.idle) == (0, 0)
                await fetch(pool)
                assert (pool.size, pool.idle) == (1, 1)

    run(main())


def test_the_connection_that_was_free_last_is_taken_first() -> None:
    go = [threading.Event(), threading.Event()]

    async def main() -> None:
        with ScriptedUpstream() as upstream:
            for event in go:
                upstream.script([WaitFor(event), *json_answer({})])
            upstream.script(json_answer({}), times=2)
            async with open_pool(upstream.base_url) as pool:
                first, second = Recorder().start(pool), Recorder().start(pool)
                await asyncio.to_thread(upstream.wait_for_requests, 2)
                numbers = [request.connection for request in upstream.requests]
                for event, recorder in zip(go, (first, second), strict=True):
                    event.set()
                    await recorder.ended()
                for _ in range(2):
                    await fetch(pool)
                assert [request.connection for request in upstream.requests[2:]] == [numbers[1]] * 2

    run(main())


def test_a_taken_connection_is_usable_only_while_it_is_open_and_idle() -> None:
    async def main() -> None:
        with ScriptedUpstream(answer) as upstream:
            async with open_pool(upstream.base_url) as pool:
                recorder = await Recorder(send=False).start(pool).begun()
                connection = recorder.connection
                assert connection is not None
                states = [connection.usable]
                connection.send(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n", b"", recorder)
                states.append(connection.usable)
                await recorder.ended()
                states.append(connection.usable)
                connection.close()
                states.append(connection.usable)
                assert states == [True, False, True, False]

    run(main())


def test_there_are_never_more_connections_than_allowed() -> None:
    release = threading.Event()

    async def main() -> None:
        with ScriptedUpstream(lambda _: [WaitFor(release), *json_answer({})]) as upstream:
            async with open_pool(upstream.base_url, max_connections=3) as pool:
                recorders = [Recorder().start(pool) for _ in range(10)]
                await asyncio.to_thread(upstream.wait_for_requests, 3)
                assert repr(pool) == "<Pool vendor: 0 idle, 3 busy, 0 opening, 7 waiting>"
                release.set()
                for recorder in recorders:
                    await recorder.ended()
                assert (pool.size, pool.idle) == (3, 3)
            assert len({request.connection for request in upstream.requests}) == 3

    run(main())


def test_who_waits_is_served_in_order() -> None:
    release = threading.Event()

    async def main() -> None:
        order: list[int] = []
        with ScriptedUpstream(lambda _: [WaitFor(release), *json_answer({})]) as upstream:
            async with open_pool(upstream.base_url, max_connections=1) as pool:

                async def one(number: int) -> None:
                    await Recorder().start(pool).ended()
                    order.append(number)

                tasks = []
                for number in range(4):
                    tasks.append(asyncio.create_task(one(number)))
                    await asyncio.sleep(0)
                release.set()
                await asyncio.gather(*tasks)
        assert order == [0, 1, 2, 3]

    run(main())


@pytest.mark.parametrize(("max_waiting", "refused_at"), [(0, 3), (2, 5)])
def test_too_many_waiting_are_refused_at_once(max_waiting: int, refused_at: int) -> None:
    async def main() -> None:
        with ScriptedUpstream(hang) as upstream:
            async with open_pool(upstream.base_url, max_connections=2, max_waiting=max_waiting) as pool:
                for _ in range(1, refused_at):
                    Recorder().start(pool)
                with pytest.raises(Overloaded) as refused:
                    Recorder().start(pool)
                assert refused.value.headers == {"retry-after": "1"}
                await asyncio.to_thread(upstream.wait_for_requests, 2)

    run(main())


def test_a_forgotten_waiter_is_passed_over() -> None:
    release = threading.Event()

    async def main() -> None:
        with ScriptedUpstream(lambda _: [WaitFor(release), *json_answer({})]) as upstream:
            async with open_pool(upstream.base_url, max_connections=1) as pool:
                first, second, third = (Recorder().start(pool) for _ in range(3))
                pool.cancel(second)
                pool.cancel(second)
                release.set()
                await first.ended()
                await third.ended()
                assert second.connection is None
                assert second.ends == 0

    run(main())


def test_a_fresh_connection_has_served_no_request() -> None:
    async def main() -> None:
        with ScriptedUpstream(answer) as upstream:
            async with open_pool(upstream.base_url) as pool:
                await fetch(pool)
                await Recorder().start(pool, fresh=True).ended()
                assert [request.connection for request in upstream.requests] == [1, 2]
                assert pool.idle == 2

    run(main())


def test_a_refused_connection_is_an_error_of_its_own() -> None:
    async def main() -> None:
        async with open_pool("http://127.0.0.1:1") as pool:
            recorder = await fetch(pool)
            assert isinstance(recorder.error, UpstreamConnectFailed)
            assert "refused" in recorder.error.detail.lower()
            assert "127.0.0.1" not in recorder.error.message
            assert repr(pool) == "<Pool vendor: 0 idle, 0 busy, 0 opening, 0 waiting>"

    run(main())


@pytest.mark.parametrize("host", ["does-not-exist.invalid", "a" * 64 + ".test", "a..b"])
def test_a_name_without_an_address_is_an_error_and_leaves_no_request_waiting(host: str) -> None:
    async def main() -> None:
        async with open_pool(f"http://{host}") as pool:
            recorders = [Recorder().start(pool) for _ in range(3)]
            for recorder in recorders:
                await recorder.ended()
                assert isinstance(recorder.error, UpstreamConnectFailed)

    run(main())


def test_a_connection_that_never_comes_up_is_given_up_in_time() -> None:
    async def main(base_url: str) -> None:
        async with open_pool(base_url, connect_timeout=0.05) as pool:
            recorder = await fetch(pool)
            assert isinstance(recorder.error, UpstreamTimeout)
            assert repr(pool) == "<Pool vendor: 0 idle, 0 busy, 0 opening, 0 waiting>"

    with silent_listener() as base_url:
        run(main(base_url))


def test_an_upstream_that_is_down_fails_everyone_who_waits() -> None:
    async def main() -> None:
        async with open_pool("http://127.0.0.1:1", max_connections=2) as pool:
            recorders = [Recorder().start(pool) for _ in range(20)]
            for recorder in recorders:
                await recorder.ended()
            assert {type(recorder.error) for recorder in recorders} == {UpstreamConnectFailed}
            assert [recorder.ends for recorder in recorders] == [1] * 20

    run(main())


def test_an_upstream_that_hangs_up_as_soon_as_it_answers_the_phone_leaves_no_request_waiting() -> None:
    def hang_up(listening: socket.socket, done: threading.Event) -> None:
        while not done.is_set():
            accepted, _ = listening.accept()
            accepted.close()

    async def main(base_url: str) -> None:
        async with open_pool(base_url, max_connections=2) as pool:
            recorders = [Recorder(send=False).start(pool) for _ in range(20)]
            for recorder in recorders:
                await recorder.begun()

    done = threading.Event()
    with socket.create_server(("127.0.0.1", 0), backlog=128) as listening:
        port = listening.getsockname()[1]
        thread = threading.Thread(target=hang_up, args=(listening, done))
        thread.start()
        try:
            run(main(f"http://127.0.0.1:{port}"))
        finally:
            done.set()
            socket.create_connection(("127.0.0.1", port)).close()
            thread.join()


def test_a_connection_lost_before_anybody_had_it_is_reported_to_who_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()

        class Losing:
            """The loop, but connections are lost in the very turn in which they come up."""

            def __getattr__(self, name: str) -> Any:
                return getattr(loop, name)

            async def create_connection(self, *arguments: Any, **settings: Any) -> Any:
                transport, protocol = await loop.create_connection(*arguments, **settings)
                transport.abort()
                await until(lambda: pool.size == 0)
                return transport, protocol

        with ScriptedUpstream() as upstream:
            async with open_pool(upstream.base_url) as pool:
                monkeypatch.setattr(pool._opener, "loop", Losing())
                recorder = await fetch(pool)
                assert isinstance(recorder.error, UpstreamConnectFailed)
                assert repr(pool) == "<Pool vendor: 0 idle, 0 busy, 0 opening, 0 waiting>"
                await asyncio.to_thread(upstream.wait_for_open_connections, 0)

    run(main())


def test_a_connection_that_is_closing_is_not_handed_out() -> None:
    async def main() -> None:
        with ScriptedUpstream(answer) as upstream:
            async with open_pool(upstream.base_url) as pool:
                recorder = await fetch(pool)
                assert recorder.connection is not None
                recorder.connection.close()
                assert pool.idle == 1
                assert (await fetch(pool)).complete
            assert [request.connection for request in upstream.requests] == [1, 2]

    run(main())


def test_a_lost_connection_makes_room_for_who_waits() -> None:
    async def main() -> None:
        with ScriptedUpstream() as upstream:
            upstream.script([Close()])
            upstream.script(json_answer({}))
            async with open_pool(upstream.base_url, max_connections=1) as pool:
                first, second = Recorder().start(pool), Recorder().start(pool)
                await first.ended()
                await second.ended()
                assert (first.complete, second.complete) == (False, True)

    run(main())


def test_an_aborted_connection_makes_room_for_who_waits() -> None:
    async def main() -> None:
        with ScriptedUpstream() as upstream:
            upstream.script([Hang()])
            upstream.script(json_answer({}))
            async with open_pool(upstream.base_url, max_connections=1) as pool:
                first, second = Recorder().start(pool), Recorder().start(pool)
                await asyncio.to_thread(upstream.wait_for_requests, 1)
                assert first.connection is not None
                first.connection.abort()
                assert (await second.ended()).complete

    run(main())


def test_a_connection_that_idled_too_long_is_closed() -> None:
    async def main() -> None:
        with ScriptedUpstream(answer) as upstream:
            async with open_pool(upstream.base_url, keep_alive_timeout=60) as pool:
                await fetch(pool)
                now = asyncio.get_running_loop().time()
                pool.sweep(now + 59)
                assert pool.idle == 1
                pool.sweep(now + 61)
                assert pool.idle == 0
                await until(lambda: pool.size == 0)
                assert (await fetch(pool)).complete
            assert [request.connection for request in upstream.requests] == [1, 2]

    run(main())


def test_a_connection_that_the_upstream_closed_while_idle_is_not_handed_out() -> None:
    async def main() -> None:
        with ScriptedUpstream() as upstream:
            upstream.script([*json_answer({}), Close()])
            upstream.script(json_answer({}))
            async with open_pool(upstream.base_url) as pool:
                await fetch(pool)
                await until(lambda: pool.size == 0)
                assert (await fetch(pool)).complete

    run(main())


def test_closing_ends_idle_running_and_waiting() -> None:
    async def main() -> None:
        with ScriptedUpstream() as upstream:
            upstream.script(json_answer({}))
            upstream.script([head(200, {"transfer-encoding": "chunked"}), Hang()])
            async with open_pool(upstream.base_url, max_connections=1) as pool:
                await fetch(pool)
                running, waiting = await Recorder().start(pool).headed(), Recorder().start(pool)
                await pool.close()
                assert type(running.error) is type(waiting.error) is UpstreamFailed
                assert pool.closed
                with pytest.raises(Overloaded):
                    Recorder().start(pool)
                await until(lambda: pool.size == 0)
            await asyncio.to_thread(upstream.wait_for_open_connections, 0)

    run(main())


def test_closing_ends_what_is_being_opened() -> None:
    async def main(base_url: str) -> None:
        async with open_pool(base_url) as pool:
            recorder = Recorder().start(pool)
            await asyncio.sleep(0)
            await pool.close()
            assert isinstance(recorder.error, UpstreamFailed)
            assert repr(pool) == "<Pool vendor: 0 idle, 0 busy, 0 opening, 0 waiting>"

    with silent_listener() as base_url:
        run(main(base_url))


def test_small_packets_leave_at_once() -> None:
    async def main() -> None:
        with ScriptedUpstream(answer) as upstream:
            async with open_pool(upstream.base_url) as pool:
                recorder = await fetch(pool)
                assert no_delay(recorder)

    run(main())


def no_delay(recorder: Recorder) -> bool:
    assert recorder.connection is not None
    transport = recorder.connection._transport
    assert transport is not None
    option = transport.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    return bool(option)


def test_cancelling_while_waiting_for_a_connection_leaves_the_pool_as_it_was() -> None:
    async def main() -> None:
        with ScriptedUpstream(hang) as upstream:
            async with open_pool(upstream.base_url, max_connections=1) as pool:
                running = Recorder().start(pool)
                await asyncio.to_thread(upstream.wait_for_requests, 1)
                before = repr(pool)
                waiting = Recorder().start(pool)
                pool.cancel(waiting)
                assert repr(pool) == before
                assert running.ends == 0

    run(main())


def test_cancelling_while_connecting_leaves_one_idle_connection_for_the_next() -> None:
    async def main() -> None:
        with ScriptedUpstream(answer) as upstream:
            async with open_pool(upstream.base_url) as pool:
                pool.cancel(Recorder().start(pool))
                await until(lambda: pool.idle == 1)
                assert repr(pool) == "<Pool vendor: 1 idle, 0 busy, 0 opening, 0 waiting>"
                await fetch(pool)
            assert [request.connection for request in upstream.requests] == [1]

    run(main())


def test_cancelling_while_connecting_in_vain_leaves_nothing() -> None:
    async def main() -> None:
        async with open_pool("http://127.0.0.1:1") as pool:
            forgotten = Recorder().start(pool)
            pool.cancel(forgotten)
            await until(lambda: repr(pool) == "<Pool vendor: 0 idle, 0 busy, 0 opening, 0 waiting>")
            assert forgotten.ends == 0

    run(main())


def test_a_failed_opening_of_a_cancelled_request_is_not_reported_to_a_new_one() -> None:
    async def main() -> None:
        async with open_pool("http://127.0.0.1:1") as pool:
            pool.cancel(Recorder().start(pool))
            late = Recorder().start(pool)
            assert repr(pool) == "<Pool vendor: 0 idle, 0 busy, 2 opening, 1 waiting>"
            await until(lambda: repr(pool) == "<Pool vendor: 0 idle, 0 busy, 0 opening, 0 waiting>")
            assert late.ends == 1

    run(main())


async def cancelled(pool: Pool, recorder: Recorder) -> None:
    assert recorder.connection is not None
    recorder.connection.abort()
    await until(lambda: pool.size == 0)
    assert repr(pool) == "<Pool vendor: 0 idle, 0 busy, 0 opening, 0 waiting>"
    assert recorder.ends == 0


def test_cancelling_while_waiting_for_the_head_closes_that_connection_alone() -> None:
    async def main() -> None:
        with ScriptedUpstream(hang) as upstream:
            async with open_pool(upstream.base_url) as pool:
                recorder = Recorder().start(pool)
                await asyncio.to_thread(upstream.wait_for_requests, 1)
                await cancelled(pool, recorder)
                assert await asyncio.to_thread(upstream.requests[0].closed.wait, 5)

    run(main())


def test_cancelling_amid_the_body_closes_that_connection_alone() -> None:
    async def main() -> None:
        with ScriptedUpstream() as upstream:
            upstream.script([head(200, {"transfer-encoding": "chunked"}), Hang()])
            async with open_pool(upstream.base_url) as pool:
                recorder = await Recorder().start(pool).headed()
                await cancelled(pool, recorder)
                assert await asyncio.to_thread(upstream.requests[0].closed.wait, 5)

    run(main())
