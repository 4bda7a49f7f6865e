"""The bytes of requests' bodies that are on their way, summed over all connections of a process, and their bounds.

Each body has a bound of its own elsewhere; this is the one that holds for all of them together. A body that was here
whole when it was first looked at is counted only while it is inflated.
"""

import sys
from types import TracebackType
from typing import Final, Self

from proxy.errors import Overloaded

#: A body of at most so many bytes may use the last part of the memory, so that large ones cannot shut it out.
SMALL: Final = 65_536
#: The part of the bound that only small ones may use is one of so many.
RESERVE: Final = 8


class Bodies:
    """What all bodies together hold, and may hold. Set by who measures, kept by each `Holding`."""

    def __init__(self) -> None:
        #: Bytes in memory and in temporary files.
        self.memory = 0
        self.disk = 0
        self.max_memory = sys.maxsize
        self.max_disk = sys.maxsize
        #: The process is short of memory: only small ones may grow.
        self.short = False


class Holding:
    """What one body holds; `release` it whatever happens, or hold it with `with`."""

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
        """Have so many bytes in memory from now on; False, and nothing changed, where there is no room for more."""
        bodies = self._bodies
        more = size - self._memory
        if more > 0:
            large = size > SMALL
            room = bodies.max_memory - (bodies.max_memory // RESERVE if large else 0)
            if bodies.memory + more > room or (large and bodies.short):
                return False
        bodies.memory += more
        self._memory = size
        return True

    def require(self, size: int) -> None:
        """The same; raises `Overloaded` where there is no room."""
        if not self.hold(size):
            raise no_room()

    def require_disk(self, size: int) -> None:
        """The same for bytes in temporary files."""
        bodies = self._bodies
        more = size - self._disk
        if more > 0 and bodies.disk + more > bodies.max_disk:
            raise no_room()
        bodies.disk += more
        self._disk = size

    def release(self) -> None:
        """Hold nothing any more."""
        self._bodies.memory -= self._memory
        self._bodies.disk -= self._disk
        self._memory = self._disk = 0


def no_room() -> Overloaded:
    """What a client gets whose body there is no room for."""
    return Overloaded(
        "Too many large requests are on their way to the gateway. Try again shortly.", headers={"retry-after": "1"}
    )
