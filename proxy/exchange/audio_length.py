"""The length of an audio file, for responses that do not report it; the only module that uses tinytag.

A WAV file has it in its head. Others are parsed in a thread, in a bounded number of steps: few at first, so that no
file keeps the others waiting, and those that need more one after the other. An unknown length is None, never a guess:
a bill by the minute is then unpriced.
"""

import asyncio
import io
import logging
import math
import struct
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import BinaryIO, Final, cast

try:
    import tinytag
except ImportError:
    # An extra (`prometheus-gateway[audio]`): without it only WAV files are measured.
    INSTALLED = False
else:
    INSTALLED = True

MAX_WAITING: Final = 32
#: Seconds for which a response waits for the length of its file.
MAX_SECONDS: Final = 2.0
#: Reads and seeks in a file, in the first look and in the second: some milliseconds of work, and less than a second.
QUICK_STEPS: Final = 20_000
MAX_STEPS: Final = 400_000
#: How often all of a file may be read in these steps.
MAX_READINGS: Final = 4
#: Chunks of a WAV file that are looked at.
MAX_CHUNKS: Final = 256
#: The longest length that is believed.
MAX_MILLISECONDS: Final = 10**12
NOT_INSTALLED = "the library for its format is not installed: pip install 'prometheus-gateway[audio]'"
_TOO_MANY = "too many files wait to be measured"
_TOO_LONG = "it took too long"
_UNKNOWN = "its format is not known"
#: WAV formats whose samples have one size: PCM, floats, A-law, mu-law; and the one that names another further on.
_PLAIN: Final = frozenset({1, 3, 6, 7})
_EXTENSIBLE: Final = 0xFFFE
#: Lengths of a WAV file's data that mean that it goes on to the end.
_OPEN: Final = frozenset({0, 0xFFFFFFFF})
_log = logging.getLogger(__name__)

#: Called with a length in milliseconds; or with None, and why it is not known.
Measured = Callable[[int | None, str], None]


class TooManySteps(Exception):
    """A file was not measured within its steps."""


class AudioMeter:
    """Measures files without blocking the event loop. Made and closed on it."""

    def __init__(self) -> None:
        self._threads = [
            (ThreadPoolExecutor(max_workers=1, thread_name_prefix=f"audio-length-{name}"), steps)
            for name, steps in (("quick", QUICK_STEPS), ("slow", MAX_STEPS))
        ]
        self._running: set[asyncio.Task[None]] = set()
        self._closed = threading.Event()

    def measure(self, data: memoryview, done: Measured) -> None:
        """Call `done`, at once or later, with the file's length. The bytes must stay as they are until then."""
        found = wav_milliseconds(data)
        if found is not None:
            done(found, "")
        elif not INSTALLED:
            done(None, NOT_INSTALLED)
        elif len(self._running) >= MAX_WAITING:
            done(None, _TOO_MANY)
        else:
            task = asyncio.get_running_loop().create_task(self._measure(data, done), name="audio-length")
            self._running.add(task)
            task.add_done_callback(self._running.discard)

    async def _measure(self, data: memoryview, done: Measured) -> None:
        found: int | None = None
        reason = _TOO_LONG
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(MAX_SECONDS):
                for threads, steps in self._threads:
                    try:
                        found = await loop.run_in_executor(threads, milliseconds, data, steps, self._closed.is_set)
                    except TooManySteps:
                        continue
                    reason = _UNKNOWN
                    break
        except TimeoutError:
            # Its thread ends by itself, after its last step.
            pass
        done(found, reason if found is None else "")

    def close(self) -> None:
        """Measure no more; what is being measured ends at its next step."""
        self._closed.set()
        for task in self._running:
            task.cancel()
        for threads, _ in self._threads:
            threads.shutdown(wait=False, cancel_futures=True)


def warn(size: int, reason: str) -> None:
    """Say that the bill of a file of so many bytes lacks its length."""
    _log.warning("the length of an audio file of %d bytes is not known, so it is not billed: %s", size, reason)


def milliseconds(
    data: bytes | memoryview, steps: int = MAX_STEPS, stopped: Callable[[], bool] = lambda: False
) -> int | None:
    """The length of an audio file, rounded up; None where its head does not say. Raises `TooManySteps`."""
    found = wav_milliseconds(memoryview(data))
    if found is not None:
        return found
    file = _File(memoryview(data), steps, stopped)
    try:
        seconds = tinytag.TinyTag.get(file_obj=cast(BinaryIO, file), tags=False).duration
    except tinytag.TinyTagException as error:
        # It wraps whatever its parsers raise.
        if file.is_spent:
            raise TooManySteps from error
        return None
    return math.ceil(seconds * 1000) if seconds is not None and 0 < seconds < MAX_MILLISECONDS / 1000 else None


def wav_milliseconds(data: memoryview) -> int | None:
    """The length of a WAV file, rounded up, by its head and the bytes that are there; None for any other."""
    if bytes(data[:4]) != b"RIFF" or bytes(data[8:12]) != b"WAVE":
        return None
    at, frame, rate, size = 12, 0, 0, 0
    for _ in range(MAX_CHUNKS):
        if at + 8 > len(data):
            break
        name, length = struct.unpack_from("<4sI", data, at)
        at += 8
        left = len(data) - at
        if name == b"fmt " and not frame and min(length, left) >= 16:
            form, channels, rate, bits = struct.unpack_from("<HHI6xH", data, at)
            if form == _EXTENSIBLE and min(length, left) >= 26:
                form = struct.unpack_from("<H", data, at + 24)[0]
            if form not in _PLAIN:
                return None
            # Not the size that the head gives beside them: a reader goes by the samples too.
            frame = channels * ((bits + 7) // 8)
        elif name == b"data":
            size += left if length in _OPEN else min(length, left)
            if length in _OPEN:
                break
        at += length + length % 2
    else:
        return None
    if not frame or not rate or not size:
        return None
    return -(-size * 1000 // (frame * rate))


class _File(io.RawIOBase):
    """What tinytag reads from: the bytes, for a bounded number of steps."""

    def __init__(self, data: memoryview, steps: int, stopped: Callable[[], bool]) -> None:
        self._data = data
        self._at = 0
        self._steps = steps
        self._bytes = MAX_READINGS * len(data)
        self._stopped = stopped
        self.is_spent = False

    def read(self, size: int = -1) -> bytes:
        self._step()
        end = len(self._data) if size < 0 else self._at + size
        found = bytes(self._data[self._at : end])
        self._at += len(found)
        self._bytes -= len(found)
        return found

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._step()
        base = 0 if whence == io.SEEK_SET else self._at if whence == io.SEEK_CUR else len(self._data)
        if base + offset < 0:
            raise OSError("before the beginning of the file")
        self._at = base + offset
        return self._at

    def tell(self) -> int:
        return self._at

    def _step(self) -> None:
        self._steps -= 1
        if self._steps < 0 or self._bytes < 0 or self._stopped():
            self.is_spent = True
            raise TooManySteps
