"""One timer for all timeouts: a periodic sweep over everything that has a deadline.

Precise to one interval. It knows only deadlines; what a timeout means is decided by its owner.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Protocol

_log = logging.getLogger(__name__)


class Timed(Protocol):
    """Has a deadline, in monotonic seconds; infinity means none."""

    #: It has no more deadlines, and is removed at the next sweep.
    done: bool

    def overdue(self, now: float) -> bool:
        """Whether the deadline has passed; called once a sweep."""

    def expire(self) -> None:
        """Time out: the deadline has passed."""

    def interrupt(self) -> None:
        """End now: the gateway shuts down."""


class TimeoutSweeper:
    """Sweeps over its members every `interval` seconds; `start` and `stop` it on the event loop."""

    def __init__(self, interval: float = 0.1) -> None:
        self.interval = interval
        self._members: set[Timed] = set()
        self._calls: list[Callable[[], None]] = []
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._members)

    def add(self, member: Timed) -> None:
        """Watch a member until it is discarded or done."""
        self._members.add(member)

    def discard(self, member: Timed) -> None:
        """Watch it no longer."""
        self._members.discard(member)

    def every_sweep(self, call: Callable[[], None]) -> None:
        """Call a function at every sweep, such as that of a pool's own deadlines."""
        self._calls.append(call)

    def interrupt_all(self) -> None:
        """End every member: the gateway shuts down."""
        for member in list(self._members):
            member.interrupt()

    def start(self) -> None:
        """Start the timer."""
        self._timer = asyncio.get_running_loop().call_later(self.interval, self._sweep)

    def clear(self) -> None:
        """Forget all members, once nothing of theirs can come any more."""
        self._members.clear()

    def stop(self) -> None:
        """Stop the timer."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _sweep(self) -> None:
        self.start()
        now = time.monotonic()
        for member in list(self._members):
            try:
                if not member.overdue(now):
                    continue
                member.expire()
            except Exception as fault:  # noqa: BLE001 (one that fails must not keep the others from timing out)
                _log.error("A timeout could not be handled.", exc_info=fault)
            if member.done:
                self._members.discard(member)
        for call in self._calls:
            call()
