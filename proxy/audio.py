"""How long an audio file is, measured in a thread while the upstream works; the only place that uses tinytag.

For answers that say nothing of it, such as plain text and subtitles. What cannot be told is None, never a guess: a
bill by the minute is then unpriced. At most a few files wait, and none for long.
"""

import asyncio
import io
import logging
import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

try:
    import tinytag
except ImportError:
    # An extra (`prometheus-gateway[audio]`): without it no length is told, and `AudioMeter` says so.
    INSTALLED = False
else:
    INSTALLED = True

MAX_WAITING = 32
MAX_SECONDS = 2.0
_log = logging.getLogger(__name__)


class AudioMeter:
    """Measures on the event loop's behalf. Made and closed on it."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(max_workers=1, thread_name_prefix="audio-length")
        self._running: set[asyncio.Task[None]] = set()
        #: Files whose length could not be told.
        self.unknown = 0

    def measure(self, data: bytes, done: Callable[[int | None], None]) -> None:
        """Call `done`, later, with the file's length in milliseconds, or None."""
        task = asyncio.get_running_loop().create_task(self._measure(data, done), name="audio-length")
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _measure(self, data: bytes, done: Callable[[int | None], None]) -> None:
        found: int | None = None
        reason = "its format is not known"
        if not INSTALLED:
            reason = "the library for it is not installed: pip install 'prometheus-gateway[audio]'"
        elif len(self._running) > MAX_WAITING:
            reason = "too many files wait to be measured"
        else:
            try:
                async with asyncio.timeout(MAX_SECONDS):
                    found = await asyncio.get_running_loop().run_in_executor(self._threads, milliseconds, data)
            except TimeoutError:
                reason = "it took too long"
        if found is None:
            self.unknown += 1
            _log.warning("the length of an audio file of %d bytes is not known: %s", len(data), reason)
        done(found)

    def close(self) -> None:
        """Measure no more."""
        for task in self._running:
            task.cancel()
        self._threads.shutdown(wait=True, cancel_futures=True)


def milliseconds(data: bytes) -> int | None:
    """The length of an audio file, rounded up; None where its head does not tell."""
    try:
        seconds = tinytag.TinyTag.get(file_obj=io.BytesIO(data), tags=False).duration
    except tinytag.TinyTagException:
        return None
    return math.ceil(seconds * 1000) if seconds is not None and 0 < seconds < 10**9 else None
