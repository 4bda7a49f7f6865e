"""Admission of request bodies by memory and disk: the bytes of all bodies under way in a process, and their bounds.

Each body has a limit of its own elsewhere; this one holds for all of them together. A body that had arrived whole when
it was first looked at is counted only while it is decompressed.
"""

import sys
from types import TracebackType
from typing import Final, Self

from proxy.errors import Overloaded

#: A body of at most so many bytes may use the reserved part of the memory, so that large ones cannot shut it out.
MAX_SMALL_BODY_BYTES: Final = 65_536
#: The part of the limit that is reserved for small bodies is one of so many.
RESERVED_PARTS: Final = 8


class Bodies:
    """What all bodies together hold, and may hold. The limits are set by `overload`, the sums by each `Holding`."""

    def __init__(self) -> None:
        #: Bytes in memory and in temporary files.
        self.memory = 0
        self.disk = 0
        self.max_memory = sys.maxsize
        self.max_disk = sys.maxsize
        #: The process is short of memory: only small ones may grow.
        self.short = False


class Holding:
    """The memory and disk that one body has reserved; `release` it in any case, or use it with `with`."""

    def __init__(self, bodies: Bodies) -> None:
        self._bodies = bodies
        self._memory = 0
        self._disk = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.release()

    def hold(self, size: int) -> bool:
        """Reserve so many bytes of memory in all; False, and nothing is changed, where there is no room for more."""
        bodies = self._bodies
        more = size - self._memory
        if more > 0:
            large = size > MAX_SMALL_BODY_BYTES
            room = bodies.max_memory - (bodies.max_memory // RESERVED_PARTS if large else 0)
            if bodies.memory + more > room or (large and bodies.short):
                return False
        bodies.memory += more
        self._memory = size
        return True

    def require(self, size: int) -> None:
        """Reserve so many bytes of memory in all. Raises `Overloaded` where there is no room."""
        if not self.hold(size):
            raise no_room()

    def require_disk(self, size: int) -> None:
        """Reserve so many bytes of temporary files in all. Raises `Overloaded` where there is no room."""
        bodies = self._bodies
        more = size - self._disk
        if more > 0 and bodies.disk + more > bodies.max_disk:
            raise no_room()
        bodies.disk += more
        self._disk = size

    def release(self) -> None:
        """Give back all that is reserved."""
        self._bodies.memory -= self._memory
        self._bodies.disk -= self._disk
        self._memory = self._disk = 0


def no_room() -> Overloaded:
    """The error for a request whose body there is no room for: a 503 with `retry-after`."""
    return Overloaded(
        "Too many large requests are on their way to the gateway. Try again shortly.", headers={"retry-after": "1"}
    )
