"""Watches what the process is short of, and says whether a new request may come in.

Sampled by the sweep of the deadlines, not by requests: for a request this is a few reads of attributes. Running answers
are never ended for the sake of new ones.
"""

import logging
import sys
import time
from types import MappingProxyType
from typing import Final

from proxy.clock.sweeper import TimeoutSweeper
from proxy.config.tree import Server
from proxy.errors import Overloaded, StoreFailed
from proxy.ledger.journal import Journal
from proxy.overload.grades import BEGINS, CLOSE, NEVER, PAUSE, REFUSE, Gauge, Shedder
from proxy.overload.malloc import give_back
from proxy.overload.readings import Readings, memory_bound, spool_bound
from proxy.server.bodies import RESERVED_PARTS
from proxy.server.load_shedding import SheddingState

#: The part of the descriptors from which on they are for files: upstreams have what is left above the last grade.
FILES: Final = 0.98
#: The part of the memory that heads and unread answers must hold to be a reason to refuse while nothing else runs.
HELD: Final = 1 / 64
#: Sweeps from one count of the descriptors to the next.
COUNT_EVERY: Final = 5
#: Seconds from one time that free memory is given back to the next, while there is little left.
GIVE_BACK_EVERY: Final = 2.0
_RETRY_AFTER: Final = MappingProxyType({"retry-after": "1"})
_FULL = "The gateway is overloaded and takes no new work for a moment. Try again shortly."
_BUSY = "Too many requests are under way. Try again shortly."
_UNWRITABLE = "The gateway cannot write its ledger and takes no new work."
_log = logging.getLogger(__name__)


class Overload:
    """See the module; `sample` at every sweep."""

    def __init__(self, server: Server, deadlines: TimeoutSweeper, pressure: SheddingState, readings: Readings) -> None:
        self._deadlines = deadlines
        self._pressure = pressure
        self.readings = readings
        self.journal: Journal | None = None
        self.memory = Gauge(*BEGINS)
        self.descriptors = Gauge(*BEGINS)
        self.backlog = Gauge(NEVER, 0.80, NEVER)
        self.loop = Shedder()
        #: Bodies that are on their way.
        self.bodies = pressure.bodies
        #: Requests under way that have no deadline of their own: those for objects, and those whose body still comes.
        self.others = 0
        #: The worst of all; what it is about is in `problems`.
        self.grade = 0
        self._refused = 0.0
        self._carried = 0.0
        self._sweeps = 0
        self._swept = 0.0
        self._give_back_at = 0.0
        self._open = (0, 1)
        self._last_connection = sys.maxsize
        pressure.reached = self._exhausted
        self.limit(server)

    def start(self, journal: Journal) -> None:
        """Look for the first time: clients may come before the first sweep."""
        self.journal = journal
        self.readings.open()
        self.sample()

    def stop(self) -> None:
        """Look no more."""
        self.readings.close()

    def limit(self, server: Server) -> None:
        """Hold these bounds from now on."""
        self._max_in_flight = server.max_in_flight
        self._max_lag = server.max_loop_lag
        self._max_memory = server.max_memory_bytes or memory_bound(server.workers)
        bodies = self.bodies
        # A largest one has room by itself, beside what only small ones may use.
        least = server.max_body_bytes * RESERVED_PARTS // (RESERVED_PARTS - 1) + 1
        bodies.max_memory = max(server.max_coming_bytes or self._max_memory // 4, least)
        bodies.max_disk = server.max_spool_bytes or spool_bound(server.workers)

    @property
    def in_flight(self) -> int:
        """Requests under way."""
        return len(self._deadlines) + self.others

    def admit(self) -> None:
        """Let a new request in. Raises `StoreFailed` while its row could not be kept, and `Overloaded`."""
        journal = self.journal
        if journal is None or journal.failed is not None or self.backlog.grade:
            # No row says so: it is rows that there is no room for.
            raise StoreFailed(_UNWRITABLE, headers=_RETRY_AFTER)
        if self._refused and self._is_refused():
            raise Overloaded(_FULL, headers=_RETRY_AFTER)
        if len(self._deadlines) + self.others >= self._max_in_flight:
            raise Overloaded(_BUSY, headers=_RETRY_AFTER)

    def may_connect(self, opening: int) -> bool:
        """Whether there is a descriptor for a connection to an upstream, and some are left for the ledger's files.

        `opening` others may not have got theirs yet.
        """
        number = self.readings.lowest_free() + opening
        if number >= self._pressure.last_descriptor:
            self._exhausted()
        return number < self._last_connection

    def _exhausted(self) -> None:
        """The last descriptors are being given away: this cannot wait for the next count."""
        self._open = self.readings.descriptors()
        self.descriptors.see(1.0, time.monotonic())
        self._follow()

    def sample(self) -> None:
        """Read everything, and act on it."""
        now = time.monotonic()
        if self._swept:
            self.loop.see(max(0.0, now - self._swept - self._deadlines.interval), self._max_lag, now)
        self._swept = now
        self.memory.see(self._memory_share(now), now)
        if self._sweeps % COUNT_EVERY == 0:
            count, most = self._open = self.readings.descriptors()
            self.descriptors.see(count / most, now)
            if count:
                self._pressure.last_descriptor = int(most * BEGINS[-1])
                self._last_connection = int(most * FILES)
        self._sweeps += 1
        if self.journal is not None:
            self.backlog.see(self.journal.fullness, now)
        self._follow()

    def reason(self) -> str | None:
        """Why new work should go elsewhere, or None."""
        return self._told() if self.grade >= REFUSE else None

    def warning(self) -> str | None:
        """What is becoming short while work still goes on, or None."""
        return self._told() if self.grade == CLOSE else None

    def problems(self) -> list[str]:
        """What is short, in words."""
        count, most = self._open
        found = []
        if self.descriptors.grade:
            found.append(f"{count} of {most} descriptors are open (raise the limit on open files)")
        if self.memory.grade:
            found.append(
                f"the process holds {self.memory.value:.0%} of the {self._max_memory >> 20} MiB of memory it may have "
                "(server.max_memory_bytes)"
            )
        if self.backlog.grade:
            found.append(f"the journal is at {self.backlog.value:.0%} of what may wait for the database")
        if self.loop.grade:
            found.append(
                f"the event loop is {self.loop.lag:.2f} s late, so {self.loop.share:.0%} of new requests are refused "
                "(server.max_loop_lag)"
            )
        return found

    def _told(self) -> str:
        return "overloaded: " + "; ".join(self.problems())

    def _memory_share(self, now: float) -> float:
        """The part of its memory that the process holds; what is free but still held must refuse nobody."""
        share = self.readings.resident() / self._max_memory
        if share >= BEGINS[0] and now >= self._give_back_at:
            self._give_back_at = now + GIVE_BACK_EVERY
            give_back()
            share = self.readings.resident() / self._max_memory
        return share

    def _follow(self) -> None:
        """Act on what was read."""
        # With nothing under way there is nothing whose end would free memory: refusing would never end.
        frees = self.in_flight or self._pressure.held >= self._max_memory * HELD
        memory = self.memory.grade if frees else min(self.memory.grade, CLOSE)
        self.bodies.short = memory >= REFUSE
        full = max(memory, self.descriptors.grade)
        self._refused = 1.0 if full >= REFUSE else self.loop.share
        # The journal has no first grade: its only one is the second.
        self._tell(max(full, REFUSE if self.backlog.grade else 0, self.loop.grade))
        pressure = self._pressure
        # A busy loop is no reason to close connections: new ones would only cost it more.
        pressure.closing = full >= CLOSE
        if pressure.paused != (full >= PAUSE):
            pressure.paused = full >= PAUSE
            if pressure.paused:
                pressure.pause()

    def _tell(self, grade: int) -> None:
        """One line for each change."""
        before, self.grade = self.grade, grade
        if grade > before:
            _log.warning("overload grade %d, was %d: %s", grade, before, "; ".join(self.problems()))
        elif grade < before:
            _log.warning("overload grade %d, was %d", grade, before)

    def _is_refused(self) -> bool:
        """Whether this one is of the refused share; evenly spread, not by chance."""
        self._carried += self._refused
        if self._carried < 1.0:
            return False
        self._carried -= 1.0
        return True
