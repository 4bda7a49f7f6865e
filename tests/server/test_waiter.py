"""The event that a request waits on, in a task and without one."""

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from proxy.server.suspension import SUSPENDED
from proxy.server.waiter import RequestWaiter


async def waiting(signal: RequestWaiter, log: list[str]) -> None:
    await signal.wait()
    log.append("went on")


def begun(signal: RequestWaiter, log: list[str]) -> Coroutine[Any, Any, None]:
    """A coroutine outside a task that waits for the signal, and is resumed by it."""
    coroutine = waiting(signal, log)

    def resume() -> None:
        with pytest.raises(StopIteration):
            coroutine.send(None)

    signal.resume = resume
    assert coroutine.send(None) is SUSPENDED
    return coroutine


def test_setting_it_resumes_a_coroutine_outside_a_task_at_once() -> None:
    signal, log = RequestWaiter(), list[str]()
    _ = begun(signal, log)
    signal.set()
    assert log == ["went on"]


def test_a_quiet_set_resumes_with_the_next_poke() -> None:
    signal, log = RequestWaiter(), list[str]()
    _ = begun(signal, log)
    signal.set(resume=False)
    assert log == []
    signal.poke()
    assert log == ["went on"]


def test_a_poke_without_a_set_resumes_nobody() -> None:
    signal, log = RequestWaiter(), list[str]()
    coroutine = begun(signal, log)
    signal.poke()
    assert log == []
    coroutine.close()


def test_who_comes_after_the_set_does_not_wait() -> None:
    signal, log = RequestWaiter(), list[str]()
    signal.set()
    with pytest.raises(StopIteration):
        waiting(signal, log).send(None)
    assert log == ["went on"]


def test_a_cleared_signal_is_waited_for_again() -> None:
    signal, log = RequestWaiter(), list[str]()
    signal.set()
    signal.clear()
    coroutine = begun(signal, log)
    assert not signal.is_set()
    coroutine.close()


def test_in_a_task_it_is_an_ordinary_event() -> None:
    async def run() -> list[str]:
        signal, log = RequestWaiter(), list[str]()
        signal.in_task(asyncio.get_running_loop())
        task = asyncio.create_task(waiting(signal, log))
        await asyncio.sleep(0)
        assert log == []
        signal.set()
        await task
        return log

    assert asyncio.run(run()) == ["went on"]
