"""The coroutine of a request, stepped without a task for as long as it waits for its client alone."""

import asyncio
from typing import Any

import pytest

from proxy.server.waiter import RequestWaiter


class Stepped:
    """A coroutine that waits twice, and what was seen of it."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self.ended: list[Exception | None] = []
        self.tasks: set[asyncio.Task[None]] = set()
        self.waiter = RequestWaiter(asyncio.get_running_loop(), self.tasks, self.ended.append)

    async def waits(self) -> None:
        for number in range(2):
            await self.waiter.wait()
            self.waiter.clear()
            self.log.append(f"went on {number}")

    async def waits_for_something_else_first(self) -> None:
        await asyncio.sleep(0)
        await self.waits()

    async def fails(self) -> None:
        await self.waiter.wait()
        raise LookupError("canary")


def test_a_notification_resumes_the_coroutine_at_once_and_without_a_task() -> None:
    async def main() -> None:
        one = Stepped()
        one.waiter.start(one.waits())
        one.waiter.notify()
        assert (one.log, one.ended) == (["went on 0"], [])
        one.waiter.notify()
        assert (one.log, one.ended, one.tasks) == (["went on 0", "went on 1"], [None], set())

    asyncio.run(main())


def test_what_is_set_is_seen_with_the_next_resume() -> None:
    async def main() -> None:
        one = Stepped()
        one.waiter.start(one.waits())
        one.waiter.resume()
        one.waiter.set()
        assert one.log == []
        one.waiter.resume()
        assert one.log == ["went on 0"]
        one.waiter.resume()
        assert one.log == ["went on 0"]
        one.waiter.notify()

    asyncio.run(main())


def test_what_was_set_before_is_not_waited_for() -> None:
    async def main() -> None:
        one = Stepped()
        one.waiter.set()
        one.waiter.start(one.waits())
        assert one.log == ["went on 0"]
        one.waiter.notify()

    asyncio.run(main())


def test_a_coroutine_that_waits_for_something_else_goes_on_in_a_task() -> None:
    async def main() -> None:
        one = Stepped()
        one.waiter.start(one.waits_for_something_else_first())
        assert len(one.tasks) == 1
        await asyncio.sleep(0.01)
        one.waiter.notify()
        assert one.log == []
        await asyncio.sleep(0.01)
        assert one.log == ["went on 0"]
        one.waiter.notify()
        await asyncio.gather(*one.tasks)
        assert one.ended == [None]

    asyncio.run(main())


def test_an_error_of_the_coroutine_is_handed_over_and_raised_nowhere() -> None:
    async def main() -> list[Any]:
        one = Stepped()
        one.waiter.start(one.fails())
        one.waiter.notify()
        return one.ended

    (error,) = asyncio.run(main())
    assert isinstance(error, LookupError)


async def failing() -> None:
    raise LookupError("canary")


def test_what_is_awaited_first_may_fail_and_the_coroutine_sees_it() -> None:
    async def main() -> None:
        one = Stepped()

        async def waits_in_vain() -> None:
            try:
                await asyncio.get_running_loop().create_task(failing())
            except LookupError:
                one.log.append("seen")
            await asyncio.sleep(0)
            one.log.append("went on")

        one.waiter.start(waits_in_vain())
        await asyncio.sleep(0.01)
        assert (one.log, one.ended) == (["seen", "went on"], [None])

    asyncio.run(main())


@pytest.mark.parametrize("turns", [0, 1])
def test_a_cancelled_task_cancels_the_coroutine(turns: int) -> None:
    async def main() -> None:
        one = Stepped()

        async def waits_long() -> None:
            try:
                for _ in range(turns):
                    await asyncio.sleep(0)
                await asyncio.sleep(60)
            finally:
                await asyncio.sleep(0)
                one.log.append("cleaned up")

        one.waiter.start(waits_long())
        await asyncio.sleep(0.01)
        (task,) = one.tasks
        task.cancel()
        await asyncio.wait([task])
        assert (one.log, task.cancelled()) == (["cleaned up"], True)

    asyncio.run(main())
