"""A heartbeat of the event loop: a call at a steady interval. A loop that hangs is noticed by its absence."""

import asyncio
from collections.abc import Callable


class Heartbeat:
    """Calls `beat` at once and then every `interval` seconds, until `stop`."""

    def __init__(self, interval: float, beat: Callable[[], None]) -> None:
        self._interval = interval
        self._beat = beat
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._tick()

    def stop(self) -> None:
        """Call it no more."""
        if self._timer is not None:
            self._timer.cancel()

    def _tick(self) -> None:
        self._timer = self._loop.call_later(self._interval, self._tick)
        self._beat()
