"""One clock for all that waits: a periodic sweep over whoever has a deadline, instead of a timer each.

Precise to one interval. It knows only deadlines; what happens when one passes is its owner's business.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Protocol

_log = logging.getLogger(__name__)


class Waiting(Protocol):
    """Has a deadline, in monotonic seconds; infinity means none."""

    #: It waits for nothing any more and is forgotten at the next sweep.
    done: bool

    def overdue(self, now: float) -> bool:
        """Whether the deadline has passed; called once per sweep."""
        ...

    def expire(self) -> None:
        """The deadline has passed."""
        ...

    def interrupt(self) -> None:
        """The gateway goes down."""
        ...


class TimeoutSweeper:
    """Sweeps its members; `start` and `stop` on the event loop."""

    def __init__(self, interval: float = 0.1) -> None:
        self.interval = interval
        self._members: set[Waiting] = set()
        self._others: list[Callable[[], None]] = []
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._members)

    def add(self, member: Waiting) -> None:
        """ResponseObserver a member until it is discarded or done."""
        self._members.add(member)

    def discard(self, member: Waiting) -> None:
        """ResponseObserver it no longer."""
        self._members.discard(member)

    def every_sweep(self, call: Callable[[], None]) -> None:
        """Call something at every sweep, such as a pool's own sweep."""
        self._others.append(call)

    def interrupt_all(self) -> None:
        """Tell every member that the gateway goes down."""
        for member in list(self._members):
            member.interrupt()

    def start(self) -> None:
        """Begin to sweep."""
        self._timer = asyncio.get_running_loop().call_later(self.interval, self._sweep)

    def stop(self) -> None:
        """Sweep no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _sweep(self) -> None:
        self.start()
        now = time.monotonic()
        for member in [member for member in self._members if member.overdue(now)]:
            try:
                member.expire()
            except Exception as fault:  # noqa: BLE001 (one that fails must not keep the others from their deadlines)
                _log.error("A deadline could not be acted on.", exc_info=fault)
            if member.done:
                self._members.discard(member)
        for call in self._others:
            call()
