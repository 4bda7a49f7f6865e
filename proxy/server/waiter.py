"""Runs the coroutine of one request, without a task for as long as it waits for nothing but its client.

A client library that sends head and body apart has its request begin as a coroutine. A task for it costs two turns of
the event loop and a tenth of a JSON request's CPU time. Never compiled (setup.py): the two generators here pass for
coroutines, and only the interpreter's own do.
"""

import asyncio
import types
from collections.abc import Callable, Coroutine, Generator
from typing import Any, Final

#: What a coroutine yields when it waits for a `RequestWaiter` outside a task.
SUSPENDED: Final = object()

# States of a `RequestWaiter`.
#: The coroutine runs, or has ended.
RUNNING: Final = 0
#: It waits for the client, outside a task.
WAITING: Final = 1
#: It has waited for something else, and goes on in a task.
IN_TASK: Final = 2


class RequestWaiter:
    """The event that a request's coroutine waits on, and the stepping of that coroutine outside a task."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        tasks: set[asyncio.Task[None]],
        ended: Callable[[Exception | None], None],
    ) -> None:
        """`ended` is called once, with the error that the coroutine raised, if any; `tasks` holds its task."""
        self._loop = loop
        self._tasks = tasks
        self._ended: Callable[[Exception | None], None] | None = ended
        self._coroutine: Coroutine[Any, Any, None] | None = None
        self._state = RUNNING
        self._is_set = False
        self._future: asyncio.Future[None] | None = None

    def start(self, coroutine: Coroutine[Any, Any, None]) -> None:
        """Run a coroutine until it waits; to be called once."""
        self._coroutine = coroutine
        self._step()

    def set(self) -> None:
        """Something happened: the coroutine goes on with the next `resume`."""
        self._is_set = True

    def clear(self) -> None:
        """The coroutine has seen what happened."""
        self._is_set = False

    def resume(self) -> None:
        """Let the coroutine go on, if something happened."""
        if not self._is_set:
            return
        if self._state == WAITING:
            self._step()
        elif self._future is not None and not self._future.done():
            self._future.set_result(None)

    def notify(self) -> None:
        """Something happened: let the coroutine go on now."""
        self._is_set = True
        self.resume()

    async def wait(self) -> None:
        """Wait until something has happened; for the coroutine itself."""
        while not self._is_set:
            if self._state == IN_TASK:
                self._future = self._loop.create_future()
                await self._future
            else:
                self._state = WAITING
                await _suspend()

    def _step(self) -> None:
        self._state = RUNNING
        coroutine = self._coroutine
        assert coroutine is not None
        try:
            waits_for = coroutine.send(None)
        except StopIteration:
            self._end(None)
        except Exception as error:  # noqa: BLE001 (the border of the application)
            self._end(error)
        else:
            if waits_for is not SUSPENDED:
                self._state = IN_TASK
                task = self._loop.create_task(self._go_on(coroutine, waits_for))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

    async def _go_on(self, coroutine: Coroutine[Any, Any, None], waits_for: Any) -> None:
        try:
            await _continued(coroutine, waits_for)
        except Exception as error:  # noqa: BLE001 (the border of the application)
            self._end(error)
        else:
            self._end(None)

    def _end(self, error: Exception | None) -> None:
        # The two let go of each other: what a request leaves is freed at once, and not by the garbage collector.
        ended, self._ended, self._coroutine = self._ended, None, None
        if ended is not None:
            ended(error)


@types.coroutine
def _suspend() -> Generator[Any, None, None]:
    """Return control to the caller of `coroutine.send`."""
    yield SUSPENDED


@types.coroutine
def _continued(coroutine: Any, waits_for: Any) -> Generator[Any, Any, None]:
    """Go on, in a task, with a coroutine that was begun without one and awaits `waits_for`."""
    while True:
        try:
            yield waits_for
            break
        except BaseException as error:  # noqa: BLE001 (what it awaits has failed, or the task is cancelled)
            fault = error
        try:
            waits_for = coroutine.throw(fault)
        except StopIteration:
            return
    yield from coroutine
