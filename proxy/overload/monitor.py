"""Decides whether a new request is admitted: by memory, descriptors, the journal's backlog and the event loop's lag.

They are sampled by the sweep of the timeouts, not by requests: a request costs a few reads of attributes. Running
responses are never ended in favour of new requests.
"""

import logging
import time
from types import MappingProxyType
from typing import Final

from proxy.clock.sweeper import TimeoutSweeper
from proxy.config.tree import Server
from proxy.errors import Overloaded, StoreFailed
from proxy.ledger.journal import Journal
from proxy.overload.descriptors import DescriptorGauge
from proxy.overload.grades import CLOSE, NEVER, PAUSE, REFUSE, EvenRefusal, Gauge, LoadShedder
from proxy.overload.memory import MemoryGauge
from proxy.overload.readings import Readings, memory_limit, spool_limit
from proxy.server.bodies import RESERVED_PARTS, Bodies
from proxy.server.load_shedding import SheddingState

#: Ratio of the memory that request heads and unread responses must hold to be a reason to refuse while no request runs.
MIN_HELD_RATIO: Final = 1 / 64
#: Ratio of the journal's bound at which new requests are refused.
MAX_BACKLOG_RATIO: Final = 0.80
_RETRY_AFTER: Final = MappingProxyType({"retry-after": "1"})
_OVERLOADED: Final = "The gateway is overloaded and takes no new work for a moment. Try again shortly."
_TOO_MANY: Final = "Too many requests are under way. Try again shortly."
_UNWRITABLE: Final = "The gateway cannot write its ledger and takes no new work."
_log = logging.getLogger(__name__)


class Overload:
    """Admits or refuses new requests, and sets what the listener sheds; call `sample` at every sweep."""

    def __init__(self, server: Server, sweeper: TimeoutSweeper, shedding: SheddingState, readings: Readings) -> None:
        self._sweeper = sweeper
        self._shedding = shedding
        self.readings = readings
        self.journal: Journal | None = None
        self.memory = MemoryGauge()
        self.descriptors = DescriptorGauge()
        self.backlog = Gauge(NEVER, MAX_BACKLOG_RATIO, NEVER)
        self.loop = LoadShedder()
        self._refusal = EvenRefusal()
        #: Requests under way without a timeout in the sweeper: for resources, and those whose body is still arriving.
        self.others = 0
        #: The highest grade of all; `problems` has the reasons.
        self.grade = 0
        shedding.reached = self._exhausted
        self.reconfigure(server)

    def start(self, journal: Journal) -> None:
        """Take the first sample: clients may connect before the first sweep."""
        self.journal = journal
        self.readings.open()
        self.sample()

    def stop(self) -> None:
        """Close the readings."""
        self.readings.close()

    def reconfigure(self, server: Server) -> None:
        """Apply the limits of a configuration."""
        self._max_in_flight = server.max_in_flight
        self.loop.max_lag = server.max_loop_lag
        self.memory.max_bytes = server.max_memory_bytes or memory_limit(server.workers)
        bodies = self.bodies
        # One largest body has room beside the part that is reserved for small ones.
        min_bytes = server.max_body_bytes * RESERVED_PARTS // (RESERVED_PARTS - 1) + 1
        bodies.max_memory = max(server.max_coming_bytes or self.memory.max_bytes // 4, min_bytes)
        bodies.max_disk = server.max_spool_bytes or spool_limit(server.workers)

    @property
    def bodies(self) -> Bodies:
        """The request bodies that are arriving."""
        return self._shedding.bodies

    @property
    def in_flight(self) -> int:
        """Requests under way."""
        return len(self._sweeper) + self.others

    def admit(self) -> None:
        """Admit a new request. Raises `StoreFailed` while its record could not be stored, and `Overloaded`."""
        journal = self.journal
        if journal is None or journal.failed is not None or self.backlog.grade:
            # It gets no record: there is no room for records.
            raise StoreFailed(_UNWRITABLE, headers=_RETRY_AFTER)
        if self._refusal.ratio and self._refusal.refuses_next():
            raise Overloaded(_OVERLOADED, headers=_RETRY_AFTER)
        if len(self._sweeper) + self.others >= self._max_in_flight:
            raise Overloaded(_TOO_MANY, headers=_RETRY_AFTER)

    def may_connect(self, opening: int) -> bool:
        """Whether there is a descriptor for a connection to an upstream, beside those for the ledger's files.

        `opening` is the number of other connections that may not have got theirs yet.
        """
        number = self.readings.lowest_free() + opening
        if number >= self._shedding.last_descriptor:
            self._exhausted()
        return number < self.descriptors.end_of_upstreams

    def sample(self) -> None:
        """Measure everything, and apply the result."""
        now = time.monotonic()
        self.loop.sweep(now, self._sweeper.interval)
        self.memory.sample(self.readings, now)
        self.descriptors.sample(self.readings, now)
        if self.journal is not None:
            self.backlog.update(self.journal.fullness, now)
        self._apply()

    def reason(self) -> str | None:
        """Why the gateway is not ready, or None."""
        return self._summary() if self.grade >= REFUSE else None

    def warning(self) -> str | None:
        """What is running out while the gateway is ready, or None."""
        return self._summary() if self.grade == CLOSE else None

    def problems(self) -> list[str]:
        """What is running out, in words."""
        found = []
        if self.descriptors.grade:
            found.append(
                f"{self.descriptors.open} of {self.descriptors.max_open} descriptors are open "
                "(raise the limit on open files)"
            )
        if self.memory.grade:
            found.append(
                f"the process holds {self.memory.value:.0%} of the {self.memory.max_bytes >> 20} MiB of memory it may "
                "have (server.max_memory_bytes)"
            )
        if self.backlog.grade:
            found.append(f"the journal is at {self.backlog.value:.0%} of what may wait for the database")
        if self.loop.grade:
            found.append(
                f"the event loop is {self.loop.lag:.2f} s late, so {self.loop.ratio:.0%} of new requests are refused "
                "(server.max_loop_lag)"
            )
        return found

    def _summary(self) -> str:
        return "overloaded: " + "; ".join(self.problems())

    def _exhausted(self) -> None:
        """A client has got one of the last descriptors."""
        self.descriptors.exhausted(self.readings, time.monotonic())
        self._apply()

    def _apply(self) -> None:
        """Set what is refused, and what the listener sheds, by the grades."""
        shedding = self._shedding
        shedding.last_descriptor = self.descriptors.end_of_clients
        # With no request under way there is none whose end would free memory: refusing would never end.
        can_free = self.in_flight or shedding.held >= self.memory.max_bytes * MIN_HELD_RATIO
        memory = self.memory.grade if can_free else min(self.memory.grade, CLOSE)
        self.bodies.short = memory >= REFUSE
        full = max(memory, self.descriptors.grade)
        self._refusal.ratio = 1.0 if full >= REFUSE else self.loop.ratio
        self._set_grade(max(full, REFUSE if self.backlog.grade else 0, self.loop.grade))
        # A late event loop is no reason to close connections: new ones would only cost it more.
        shedding.closing = full >= CLOSE
        if shedding.paused != (full >= PAUSE):
            shedding.paused = full >= PAUSE
            if shedding.paused:
                shedding.pause()

    def _set_grade(self, grade: int) -> None:
        """Log each change on one line."""
        before, self.grade = self.grade, grade
        if grade > before:
            _log.warning("overload grade %d, was %d: %s", grade, before, "; ".join(self.problems()))
        elif grade < before:
            _log.warning("overload grade %d, was %d", grade, before)
