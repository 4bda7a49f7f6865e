"""The sweep over everything with a timeout."""

import asyncio
import math
import threading
import time
from collections.abc import Callable
from pathlib import Path

from proxy.clock.sweeper import TimeoutSweeper
from tests.fakes import ScriptedUpstream, WaitFor, sse_answer
from tests.serving import ALIAS, RunningGateway, simple_config
from tests.upstream.recording import run, until


class Member:
    """Waits until a moment; `gives_up` is what it does when that has passed."""

    def __init__(self, deadline: float, gives_up: bool = True) -> None:
        self.deadline = deadline
        self.gives_up = gives_up
        self.done = False
        self.expired = 0
        self.interrupted = 0

    def overdue(self, now: float) -> bool:
        return now > self.deadline

    def expire(self) -> None:
        self.expired += 1
        self.done = self.gives_up

    def interrupt(self) -> None:
        self.interrupted += 1


def sweeping(work: Callable[[TimeoutSweeper], Callable[[], bool]]) -> None:
    """Run sweeps until what `work` returns holds."""

    async def main() -> None:
        deadlines = TimeoutSweeper(interval=0.001)
        condition = work(deadlines)
        deadlines.start()
        await until(condition)
        deadlines.stop()

    run(main())


def sweeps(deadlines: TimeoutSweeper, count: int) -> Callable[[], bool]:
    """Whether that many sweeps have passed."""
    passed: list[int] = []
    deadlines.every_sweep(lambda: passed.append(1))
    return lambda: len(passed) >= count


def test_a_member_is_told_that_its_deadline_has_passed() -> None:
    member = Member(time.monotonic() - 1)

    def work(deadlines: TimeoutSweeper) -> Callable[[], bool]:
        deadlines.add(member)
        return lambda: member.expired > 0

    sweeping(work)


def test_a_member_that_fails_keeps_no_other_from_timing_out() -> None:
    member = Member(time.monotonic() - 1)

    class Broken(Member):
        def overdue(self, now: float) -> bool:
            raise RuntimeError("heartbeat")

    def work(deadlines: TimeoutSweeper) -> Callable[[], bool]:
        for other in [Broken(0.0) for _ in range(8)]:
            deadlines.add(other)
        deadlines.add(member)
        return sweeps(deadlines, 3)

    sweeping(work)
    assert member.expired == 1


def test_a_member_inside_its_deadline_is_left_alone() -> None:
    members = [Member(math.inf), Member(time.monotonic() + 60)]

    def work(deadlines: TimeoutSweeper) -> Callable[[], bool]:
        for member in members:
            deadlines.add(member)
        return sweeps(deadlines, 3)

    sweeping(work)
    assert [member.expired for member in members] == [0, 0]


def test_a_member_that_is_done_is_forgotten() -> None:
    member = Member(time.monotonic() - 1)
    kept: list[TimeoutSweeper] = []

    def work(deadlines: TimeoutSweeper) -> Callable[[], bool]:
        kept.append(deadlines)
        deadlines.add(member)
        return sweeps(deadlines, 3)

    sweeping(work)
    assert (member.expired, len(kept[0])) == (1, 0)


def test_a_member_that_goes_on_is_kept() -> None:
    member = Member(time.monotonic() - 1, gives_up=False)

    def work(deadlines: TimeoutSweeper) -> Callable[[], bool]:
        deadlines.add(member)
        return lambda: member.expired >= 2 and len(deadlines) == 1

    sweeping(work)


def test_a_discarded_member_is_not_told() -> None:
    member = Member(time.monotonic() - 1)

    def work(deadlines: TimeoutSweeper) -> Callable[[], bool]:
        deadlines.add(member)
        deadlines.discard(member)
        deadlines.discard(member)
        return sweeps(deadlines, 2)

    sweeping(work)
    assert member.expired == 0


def test_a_member_may_leave_while_another_expires() -> None:
    leaving = Member(time.monotonic() - 1)

    def work(deadlines: TimeoutSweeper) -> Callable[[], bool]:
        class Leaver(Member):
            def expire(self) -> None:
                super().expire()
                deadlines.discard(leaving)
                deadlines.discard(self)

        deadlines.add(Leaver(time.monotonic() - 1))
        deadlines.add(leaving)
        return lambda: len(deadlines) == 0

    sweeping(work)


def test_everybody_is_interrupted_when_the_gateway_goes_down() -> None:
    members = [Member(math.inf), Member(0.0)]
    deadlines = TimeoutSweeper()
    for member in members:
        deadlines.add(member)
    deadlines.interrupt_all()
    assert [member.interrupted for member in members] == [1, 1]


def test_a_cleared_sweep_holds_no_member() -> None:
    deadlines = TimeoutSweeper()
    deadlines.add(Member(math.inf))
    deadlines.clear()
    assert len(deadlines) == 0


def test_a_stopped_sweep_does_not_come_back() -> None:
    async def main() -> None:
        deadlines = TimeoutSweeper(interval=0.001)
        passed = sweeps(deadlines, 1)
        deadlines.start()
        deadlines.stop()
        deadlines.stop()
        for _ in range(20):
            await asyncio.sleep(0.001)
        assert not passed()

    run(main())


def test_streams_whose_last_chunk_comes_late_leave_nothing_to_sweep(tmp_path: Path) -> None:
    stream = b'data: {"model":"m","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
    with ScriptedUpstream() as upstream, RunningGateway(simple_config(tmp_path, upstream.base_url)) as gateway:
        for _ in range(3):
            *beginning, last_chunk = sse_answer(stream)
            read = WaitFor(threading.Event())
            upstream.script([*beginning, read, last_chunk])
            with gateway.client() as client:
                gateway.chat(client, {"model": ALIAS, "messages": [], "stream": True})
                _, body = client.read_answer()
                assert body.complete
            assert gateway.call(lambda running: len(running.deadlines)) > 0
            read.event.set()
        gateway.wait_for(until(lambda: len(gateway.gateway.deadlines) == 0))
