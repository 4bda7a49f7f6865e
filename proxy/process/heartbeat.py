"""A beat of the event loop: a call at a steady pace, as long as the loop turns. One that hangs is known by silence."""

import asyncio
from collections.abc import Callable


class Heart:
    """Calls `beat` at once and then every `interval` seconds, until `stop`."""

    def __init__(self, interval: float, beat: Callable[[], None]) -> None:
        self._interval = interval
        self._beat = beat
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._turn()

    def stop(self) -> None:
        """Beat no more."""
        if self._timer is not None:
            self._timer.cancel()

    def _turn(self) -> None:
        self._timer = self._loop.call_later(self._interval, self._turn)
        self._beat()
