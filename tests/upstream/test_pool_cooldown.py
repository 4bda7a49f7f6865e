"""The cooldown between two keys: what an upstream sends late reaches no request, and none waits longer than needed."""

import asyncio
import threading

import pytest

from proxy.errors import UpstreamConnectFailed
from proxy.upstream.pool import COOLDOWN_SECONDS, Pool
from tests.fakes import Pause, RecordedRequest, ScriptedUpstream, Send, Step, WaitFor, json_answer
from tests.upstream.recording import Recorder, open_pool, run, until

LATE = b"".join(step.data for step in json_answer({"of": "alice"}) if isinstance(step, Send))


def answer(_: RecordedRequest) -> list[Step]:
    return json_answer({})


async def fetch(pool: Pool, key: str, *, fresh: bool = False) -> Recorder:
    return await Recorder().start(pool, fresh, key).ended()


def connections(upstream: ScriptedUpstream) -> list[int]:
    return [request.connection for request in upstream.requests]


def test_a_key_takes_its_own_connection_at_once() -> None:
    async def main() -> None:
        with ScriptedUpstream(answer) as upstream:
            async with open_pool(upstream.base_url) as pool:
                for key in ("alice", "alice", "bob", "alice", "bob", "alice"):
                    await fetch(pool, key)
                assert connections(upstream) == [1, 1, 2, 1, 2, 1]

    run(main())


def test_another_key_takes_a_connection_that_has_rested() -> None:
    async def main() -> None:
        with ScriptedUpstream(answer) as upstream:
            async with open_pool(upstream.base_url) as pool:
                await fetch(pool, "alice")
                await asyncio.sleep(COOLDOWN_SECONDS)
                await fetch(pool, "carl", fresh=True)
                # That of alice lies below one that has not rested.
                await fetch(pool, "bob")
                assert connections(upstream) == [1, 2, 1]

    run(main())


def test_another_key_takes_a_connection_that_has_served_no_request() -> None:
    async def main() -> None:
        with ScriptedUpstream(answer) as upstream:
            async with open_pool(upstream.base_url) as pool:
                waiter = Recorder().start(pool)
                pool.cancel(waiter)
                await until(lambda: pool.idle == 1)
                await fetch(pool, "bob")
                assert (connections(upstream), pool.size) == ([1], 1)

    run(main())


@pytest.mark.parametrize("late", [LATE, b"garbage", LATE[:40]])
def test_an_answer_that_comes_again_reaches_no_other_key(late: bytes) -> None:
    """The other key asks soon after the answer, and the upstream sends another one soon after that."""

    async def main() -> None:
        with ScriptedUpstream(answer) as upstream:
            upstream.script([*json_answer({"of": "alice"}), Pause(0.06), Send(late)])
            async with open_pool(upstream.base_url) as pool:
                await fetch(pool, "alice")
                await asyncio.sleep(0.01)
                bob = await fetch(pool, "bob")
                assert (bob.data, bob.error) == (b"{}", None)
                # And it ends the connection on which it came.
                await until(lambda: pool.size == 1)
                assert (await fetch(pool, "alice")).data == b"{}"

    run(main())


def test_where_there_is_no_other_a_connection_rests_for_a_round_trip() -> None:
    """Those who wait are served in their order, whoever they are."""

    async def main() -> None:
        release = threading.Event()
        order: list[str] = []
        with ScriptedUpstream(lambda _: [WaitFor(release), *json_answer({})]) as upstream:
            async with open_pool(upstream.base_url, max_connections=1) as pool:

                async def one(key: str) -> None:
                    await Recorder().start(pool, key=key).ended()
                    order.append(key)

                keys = ["alice", "alice", "bob", "carl", "bob", "bob", "alice"]
                tasks = []
                for key in keys:
                    tasks.append(asyncio.create_task(one(key)))
                    await asyncio.sleep(0)
                release.set()
                await asyncio.gather(*tasks)
                assert order == keys
                assert set(connections(upstream)) == {1}

    run(main())


def test_where_there_is_no_other_bytes_that_came_late_close_the_connection() -> None:
    async def main() -> None:
        with ScriptedUpstream(answer) as upstream:
            async with open_pool(upstream.base_url, max_connections=1) as pool:
                # The first answer says how far away the upstream is, as far as the pool knows.
                alice = await fetch(pool, "alice")
                assert alice.connection is not None
                alice.connection.round_trip = COOLDOWN_SECONDS
                upstream.script([*json_answer({}), Pause(0.02), Send(LATE)])
                await fetch(pool, "alice")
                bob = await fetch(pool, "bob")
                assert (bob.data, connections(upstream)) == (b"{}", [1, 1, 2])

    run(main())


def test_a_connection_rests_for_a_round_trip_before_it_is_given_to_another_key_that_waits() -> None:
    async def main() -> None:
        release = threading.Event()
        with ScriptedUpstream(answer) as upstream:
            upstream.script([WaitFor(release), *json_answer({}), Pause(0.02), Send(LATE)])
            async with open_pool(upstream.base_url, max_connections=1) as pool:
                alice = await Recorder().start(pool, key="alice").begun()
                assert alice.connection is not None
                alice.connection.round_trip = COOLDOWN_SECONDS
                bob = Recorder().start(pool, key="bob")
                release.set()
                await bob.ended()
                assert (bob.data, connections(upstream)) == (b"{}", [1, 2])

    run(main())


@pytest.mark.parametrize("key", ["alice", "bob"])
def test_bytes_that_are_here_and_not_read_yet_close_the_connection(key: str) -> None:
    """The loop was busy while they came, and gets the next request first."""

    async def main() -> None:
        sent = threading.Event()
        with ScriptedUpstream(answer) as upstream:
            upstream.script([*json_answer({}), WaitFor(sent), Send(LATE)])
            async with open_pool(upstream.base_url) as pool:
                alice = await fetch(pool, "alice")
                await asyncio.sleep(COOLDOWN_SECONDS)
                sent.set()
                assert alice.connection is not None
                unread = alice.connection.poll_unread
                assert unread is not None
                # Nothing is awaited: the loop cannot read.
                while not unread(0):
                    pass
                after = await fetch(pool, key)
                assert (after.data, connections(upstream)) == (b"{}", [1, 2])

    run(main())


def test_where_none_can_be_opened_an_idle_one_serves() -> None:
    async def main() -> None:
        may = [True]
        with ScriptedUpstream(answer) as upstream:
            async with open_pool(upstream.base_url) as made:
                pool = Pool("vendor", made.upstream, may_connect=lambda: may[0])
                await fetch(pool, "alice")
                may[0] = False
                bob = await fetch(pool, "bob")
                assert (bob.data, connections(upstream)) == (b"{}", [1, 1])
                await pool.close()

    run(main())


def test_a_fresh_connection_has_room_made_for_it() -> None:
    """The one that has been idle for longest makes way, and no more of them than needed."""

    async def main() -> None:
        with ScriptedUpstream(answer) as upstream:
            async with open_pool(upstream.base_url, max_connections=4, max_waiting=0) as pool:
                for _ in range(9):
                    assert (await fetch(pool, "alice", fresh=True)).error is None
                    assert pool.size <= 4
                assert connections(upstream) == list(range(1, 10))
                assert pool.idle == 4
                await fetch(pool, "alice")
                assert connections(upstream)[-1] == 9

    run(main())


def test_many_fresh_connections_at_once_make_each_their_own_room() -> None:
    async def main() -> None:
        with ScriptedUpstream(answer) as upstream:
            async with open_pool(upstream.base_url, max_connections=4) as pool:
                await asyncio.gather(*(fetch(pool, f"key_{number}") for number in range(4)))
                assert pool.idle == 4
                asked = await asyncio.gather(*(fetch(pool, "alice", fresh=number % 2 == 0) for number in range(8)))
                assert [one.error for one in asked] == [None] * 8

    run(main())


def test_a_fresh_connection_that_cannot_be_opened_is_an_error_though_others_idle() -> None:
    async def main() -> None:
        with ScriptedUpstream(answer) as upstream:
            async with open_pool(upstream.base_url) as pool:
                await fetch(pool, "alice")
                pool._opener.dialer.port = 1
                assert isinstance((await fetch(pool, "alice", fresh=True)).error, UpstreamConnectFailed)

    run(main())


def test_a_pool_that_is_retired_serves_who_waits_and_keeps_nothing() -> None:
    async def main() -> None:
        release = threading.Event()
        with ScriptedUpstream(lambda _: [WaitFor(release), *json_answer({})]) as upstream:
            async with open_pool(upstream.base_url, max_connections=1) as pool:
                recorders = [Recorder().start(pool, key=key) for key in ("alice", "bob", "carl")]
                pool.retire()
                release.set()
                for recorder in recorders:
                    assert (await recorder.ended()).error is None
                await until(lambda: pool.is_empty)

    run(main())
