"""Counters that all workers of a gateway share: 64-bit integers by name, in memory that is mapped before the fork.

A subject (a limit of a key, a budget of a team) has one slot of cells. Nothing here is written to disk: who needs a
value after a restart reads it from the ledger. A subject's name must not be made up by clients without a bound.
"""

import fcntl
import mmap
import os
import tempfile
import time
from hashlib import blake2b
from typing import Final

from proxy.errors import Overloaded

# The cells of a slot, from the index that `slot` returns.
#: The digest of the subject's name; 0 in a slot that was never used.
NAME: Final = 0
#: Monotonic nanoseconds until which the slot keeps its subject, also while no worker holds anything in it.
UNTIL: Final = 1
#: Four cells for whatever the owner of the name counts.
FIRST: Final = 2
SECOND: Final = 3
THIRD: Final = 4
FOURTH: Final = 5
#: What the first worker holds: running requests, reserved nano-dollars. Worker `place` has the cell `HELD + place`.
HELD: Final = 6

#: Slots that a name may have: those from its digest on. A table so full that all of them are taken refuses the name.
MAX_PROBES: Final = 256
#: `UNTIL` of a subject that is never given up while the gateway runs.
FOREVER: Final = 2**63 - 1

_FULL: Final = "More keys and models are being limited than the gateway can count. Try again shortly."


class SharedCounters:
    """A table of slots with open addressing, for the processes that are forked after it was made.

    Only between `lock` and `unlock` may a slot be looked up, read to decide, or written; a new one needs its `UNTIL`,
    or something held in it, before the lock ends. An index may be kept, and is to be compared with the name
    (`cells[index] == digest(name)`) under each lock, because an idle subject's slot may be another's by then.
    """

    def __init__(self, workers: int = 1, slots: int = 65_536) -> None:
        self.workers = workers
        #: This worker's number, set after the fork.
        self.place = 0
        #: Cells of one slot.
        self.stride = HELD + workers
        self._slots = slots
        memory = mmap.mmap(-1, slots * self.stride * 8)
        #: All cells, as signed 64-bit integers.
        self.cells = memoryview(memory).cast("q")
        #: The file whose lock is that of the memory, without a name; -1 where one process is alone.
        self._file = _nameless_file() if workers > 1 else -1

    def slot(self, name: bytes, now: int = 0) -> int:
        """The index of the first cell of a subject: found, or taken over from one that is idle, with all cells but
        `UNTIL` 0.

        `now` is in monotonic nanoseconds, by default as it is. `UNTIL` is at least that afterwards, so that the next
        search with the same `now` does not take the slot away again. Raises `Overloaded` where every slot that the
        name may have belongs to a subject that still counts.
        """
        return self.find(digest(name), now or time.monotonic_ns())

    def find(self, wanted: int, now: int) -> int:
        """The same, for the digest of a name."""
        cells, stride, slots = self.cells, self.stride, self._slots
        first = wanted % slots
        idle = -1
        for step in range(min(MAX_PROBES, slots)):
            at = (first + step) % slots * stride
            found = cells[at]
            if found == wanted:
                if cells[at + UNTIL] < now:
                    cells[at + UNTIL] = now
                return at
            if found == 0:
                idle = at if idle < 0 else idle
                break
            if idle < 0 and cells[at + UNTIL] < now and not any(cells[at + HELD : at + stride]):
                idle = at
        if idle < 0:
            raise Overloaded(_FULL, headers={"retry-after": "1"})
        # The name last, and never 0 in between: a process that is killed here must not break the search for others.
        for cell in range(idle + UNTIL, idle + stride):
            cells[cell] = 0
        cells[idle + UNTIL] = now
        cells[idle] = wanted
        return idle

    def lookup(self, wanted: int) -> int:
        """The index of the first cell of a subject by the digest of its name; -1 where it has no slot. Takes none."""
        cells, stride, slots = self.cells, self.stride, self._slots
        first = wanted % slots
        for step in range(min(MAX_PROBES, slots)):
            at = (first + step) % slots * stride
            found = cells[at]
            if found == wanted:
                return at
            if found == 0:
                break
        return -1

    def held(self, slot: int) -> int:
        """What all workers together hold in a slot."""
        if self.workers == 1:
            return self.cells[slot + HELD]
        return sum(self.cells[slot + HELD : slot + self.stride])

    def lock(self) -> None:
        """Keep the other workers out until `unlock`. To be held for microseconds; a worker that is killed loses it."""
        if self._file >= 0:
            fcntl.lockf(self._file, fcntl.LOCK_EX)

    def unlock(self) -> None:
        """Let the other workers in."""
        if self._file >= 0:
            fcntl.lockf(self._file, fcntl.LOCK_UN)

    def forget(self, place: int) -> None:
        """A worker's process has ended: give back what it held. For the supervisor, before another takes its place."""
        self.lock()
        try:
            held = self.cells[HELD + place :: self.stride]
            held[:] = memoryview(bytes(8 * self._slots)).cast("q")
        finally:
            self.unlock()

    def close(self) -> None:
        """Close the file of the lock. The memory is returned with the object."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


def digest(name: bytes) -> int:
    """The digest of a subject's name, a signed 64-bit integer and never 0. Two of 65,536 names share one by a chance of
    1 in 10^10."""
    return int.from_bytes(blake2b(name, digest_size=8).digest(), "little", signed=True) or 1


def _nameless_file() -> int:
    """An open file that no other program can open. A record lock on it belongs to a process, and ends with that."""
    if hasattr(os, "memfd_create"):
        return os.memfd_create("prometheus-gateway-counters")
    descriptor, path = tempfile.mkstemp()
    os.unlink(path)
    return descriptor
