"""What a request waits on for its client: the next piece of the body, the end of the answer, or the client's leaving.

An event like asyncio's, for one waiter, that can also resume a coroutine which runs in no task: that saves a task, two
futures and a turn of the loop for nearly every request.
"""

import asyncio
from collections.abc import Callable
from typing import Literal

from proxy.server.suspension import suspend


class RequestWaiter(asyncio.Event):
    """See the module. Made without `resume`, it only remembers that it was set."""

    def __init__(self) -> None:
        # Not the base class's own: nothing of it is used, and this is made for every request.
        self._flag = False
        self._suspended = False
        self._future: asyncio.Future[None] | None = None
        self._task_loop: asyncio.AbstractEventLoop | None = None
        #: Steps the coroutine that waits.
        self.resume: Callable[[], None] | None = None

    def in_task(self, loop: asyncio.AbstractEventLoop) -> None:
        """From now on the waiter runs in a task."""
        self._task_loop = loop

    def is_set(self) -> bool:
        """Whether it is set."""
        return self._flag

    def set(self, resume: bool = True) -> None:
        """Set it; the waiter goes on now, or, where `resume` is false, with the next `poke`."""
        self._flag = True
        if resume:
            self.poke()

    def poke(self) -> None:
        """Let the waiter go on if it was set."""
        if not self._flag:
            return
        if self._suspended:
            self._suspended = False
            if self.resume is not None:
                self.resume()
        elif self._future is not None and not self._future.done():
            self._future.set_result(None)

    def clear(self) -> None:
        """Unset it."""
        self._flag = False

    async def wait(self) -> Literal[True]:
        """Wait until it is set."""
        while not self._flag:
            if self._task_loop is None:
                self._suspended = True
                await suspend()
            else:
                self._future = self._task_loop.create_future()
                await self._future
        return True
