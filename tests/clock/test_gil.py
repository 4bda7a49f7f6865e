"""Work in steps on the event loop, and in a thread beside it: the loop goes on meanwhile."""

import asyncio
import sys
import threading
import time
from collections.abc import Generator

import pytest

from proxy.clock.gil import in_turns, pause, yield_gil


def steps(seen: list[str], count: int, fails: bool = False) -> Generator[None, None, str]:
    for number in range(count):
        seen.append(f"step {number}")
        yield
    if fails:
        raise LookupError("canary")
    return "done"


def test_other_work_goes_on_between_two_steps() -> None:
    async def main() -> list[str]:
        seen: list[str] = []

        async def other() -> None:
            for number in range(2):
                seen.append(f"other {number}")
                await pause()

        task = asyncio.create_task(other())
        assert await in_turns(steps(seen, 3)) == "done"
        await task
        return seen

    assert asyncio.run(main()) == ["step 0", "other 0", "step 1", "other 1", "step 2"]


def test_an_error_of_a_step_is_raised() -> None:
    with pytest.raises(LookupError, match="canary"):
        asyncio.run(in_turns(steps([], 1, fails=True)))


def test_a_thread_that_yields_lets_another_run_before_its_switch_interval_ends() -> None:
    before = sys.getswitchinterval()
    ran = threading.Event()
    other = threading.Thread(target=ran.set)
    sys.setswitchinterval(5)
    try:
        begin = time.monotonic()
        other.start()
        while not ran.is_set():
            yield_gil()
        assert time.monotonic() - begin < 4
    finally:
        sys.setswitchinterval(before)
        other.join()
