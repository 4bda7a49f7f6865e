"""What an upstream sends after its answer's own end: thrown away, and never for long or in bulk."""

import math
import threading
import time

from proxy.errors import UpstreamFailed
from proxy.upstream.drain import MAX_DRAIN_BYTES, MAX_DRAIN_SECONDS, ResponseDrainer
from tests.fakes import LAST_CHUNK, Hang, ScriptedUpstream, Send, Step, WaitFor, chunk, head, json_answer
from tests.upstream.recording import Recorder, fetch, open_pool, run, until


def after_first_piece(*rest: Step) -> tuple[list[int], int]:
    """Hand an answer over after its first piece; the numbers of its and the next connection, and how many are open."""

    async def main() -> tuple[list[int], int]:
        go = threading.Event()
        with ScriptedUpstream() as upstream:
            upstream.script([head(200, {"transfer-encoding": "chunked"}), chunk(b"one"), WaitFor(go), *rest])
            upstream.script(json_answer({}))
            async with open_pool(upstream.base_url) as pool:
                recorder = await Recorder().start(pool).received(3)
                assert recorder.connection is not None
                drainer = ResponseDrainer(recorder.connection)
                recorder.connection.replace_sink(drainer)
                go.set()
                await until(lambda: drainer.done)
                await until(lambda: pool.idle == pool.size)
                await fetch(pool)
                assert recorder.ends == 0
                return [request.connection for request in upstream.requests], pool.size

    return run(main())


def test_a_connection_whose_answer_ends_soon_is_kept() -> None:
    assert after_first_piece(chunk(b"two"), Send(LAST_CHUNK)) == ([1, 1], 1)


def test_a_connection_that_says_too_much_is_closed() -> None:
    assert after_first_piece(*[chunk(b"a" * 10_000)] * (MAX_DRAIN_BYTES // 10_000 + 1), Hang()) == ([1, 2], 1)


def test_a_connection_that_breaks_harms_nothing() -> None:
    assert after_first_piece(Send(b"what is this")) == ([1, 2], 1)


def test_a_connection_that_stays_silent_is_closed_after_a_while() -> None:
    async def main() -> None:
        with ScriptedUpstream() as upstream:
            upstream.script([head(200, {"transfer-encoding": "chunked"}), chunk(b"one"), Hang()])
            async with open_pool(upstream.base_url) as pool:
                recorder = await Recorder().start(pool).received(3)
                assert recorder.connection is not None
                drainer = ResponseDrainer(recorder.connection)
                recorder.connection.replace_sink(drainer)
                assert not drainer.overdue(time.monotonic())
                assert drainer.overdue(time.monotonic() + MAX_DRAIN_SECONDS + 1)
                drainer.expire()
                assert drainer.done
                await until(lambda: pool.size == 0)

    run(main())


def test_a_connection_that_serves_another_is_not_closed_by_a_late_deadline() -> None:
    async def main() -> None:
        go = threading.Event()
        with ScriptedUpstream() as upstream:
            upstream.script([head(200, {"transfer-encoding": "chunked"}), chunk(b"one"), Send(LAST_CHUNK)])
            upstream.script([WaitFor(go), *json_answer({})])
            async with open_pool(upstream.base_url) as pool:
                recorder = await Recorder().start(pool).headed()
                assert recorder.connection is not None
                drainer = ResponseDrainer(recorder.connection)
                if not recorder.complete:
                    recorder.connection.replace_sink(drainer)
                    await until(lambda: drainer.done)
                else:
                    drainer.body(b"", True)
                second = Recorder().start(pool)
                assert drainer.overdue(-math.inf)
                drainer.expire()
                go.set()
                assert (await second.ended()).complete

    run(main())


def test_a_failure_ends_it() -> None:
    async def main() -> None:
        with ScriptedUpstream(lambda _: json_answer({})) as upstream:
            async with open_pool(upstream.base_url) as pool:
                recorder = await fetch(pool)
                assert recorder.connection is not None
                drainer = ResponseDrainer(recorder.connection)
                drainer.failed(UpstreamFailed("gone"))
                drainer.expire()
                assert drainer.done
                assert pool.idle == 1

    run(main())
