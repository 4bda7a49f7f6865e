"""Two things that the event loop does too late for figures below a millisecond: writing, and waking at a given time.

uvloop gathers the writes of one turn and its timers count in milliseconds. No HTTP here.
"""

import asyncio
import ctypes
import os
from collections.abc import Callable

_CLOCK_MONOTONIC = 1
_ABSOLUTE = 1
_NANOSECONDS = 1_000_000_000


def push(transport: asyncio.Transport, descriptor: int, data: bytes) -> None:
    """Write now, in a system call of its own; what the kernel does not take waits in the transport."""
    if transport.is_closing():
        return
    if transport.get_write_buffer_size() == 0:
        try:
            sent = os.write(descriptor, data)
        except BlockingIOError:
            sent = 0
        except OSError:
            # The peer is gone; the transport reports it to its protocol.
            transport.abort()
            return
        if sent == len(data):
            return
        data = data[sent:]
    transport.write(data)


class _Timespec(ctypes.Structure):
    _fields_ = (("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long))


class _TimerSpec(ctypes.Structure):
    _fields_ = (("interval", _Timespec), ("value", _Timespec))


class ExactTimer:
    """Calls back at a time of the monotonic clock, to some microseconds (a Linux timerfd). Close it after use.

    Raises OSError where the kernel gives no timer.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, callback: Callable[[], None]) -> None:
        self._loop = loop
        self._callback = callback
        self._library = ctypes.CDLL(None, use_errno=True)
        self._descriptor = self._library.timerfd_create(_CLOCK_MONOTONIC, os.O_NONBLOCK | os.O_CLOEXEC)
        if self._descriptor < 0:
            raise OSError(ctypes.get_errno(), "timerfd_create failed: the open-loop generator needs Linux")
        loop.add_reader(self._descriptor, self._expired)

    def wake_at(self, when: int) -> None:
        """Set the one next wake-up, in nanoseconds of the monotonic clock; a time that has passed wakes at once."""
        value = _Timespec(*divmod(max(when, 1), _NANOSECONDS))
        spec = _TimerSpec(_Timespec(0, 0), value)
        if self._library.timerfd_settime(self._descriptor, _ABSOLUTE, ctypes.byref(spec), None) != 0:
            raise OSError(ctypes.get_errno(), "timerfd_settime failed")

    def close(self) -> None:
        self._loop.remove_reader(self._descriptor)
        os.close(self._descriptor)

    def _expired(self) -> None:
        try:
            os.read(self._descriptor, 8)
        except BlockingIOError:
            return
        self._callback()
