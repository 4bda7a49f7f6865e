"""The limiter: takes from all limits of a request, or from none, in the counters that the workers share.

It knows neither keys nor requests: subjects, units and counts. It writes no message and must not wait, but for the lock
of the counters.
"""

import time
from collections.abc import Callable
from typing import Final

from proxy.limits.budget import BudgetReservation
from proxy.limits.counters import HELD, UNTIL, SharedCounters, digest
from proxy.limits.gcra import Gcra
from proxy.limits.worst_case import RequestSize

# Units. A request takes 1 of the first two.
REQUESTS: Final = 0
#: Requests that run at once: not a rate, but a number that is held.
CONCURRENT: Final = 1
TOKENS: Final = 2
INPUT_TOKENS: Final = 3
OUTPUT_TOKENS: Final = 4
AUDIO: Final = 5


class Limit(Gcra):
    """One limit of one subject. Of `CONCURRENT` the amount is the number that may be held, without a period."""

    #: The index of its slot when it was last used. Whether it is still there is to be compared before each use.
    slot = 0

    def __init__(self, subject: str, unit: int, amount: int, period: int, burst: int, words: str, label: str) -> None:
        """`words` are for messages ("requests per minute of this key"), `label` is for metrics ("key_requests").

        The subject's counter has its unit and its period in its name, so that another amount goes on from what was
        taken before.
        """
        super().__init__(amount, period, burst)
        self.digest = digest(f"limit:{unit}:{period}:{subject}".encode())
        self.unit = unit
        self.words = words
        self.label = label


class Held:
    """What one request has taken of its limits and reserved of its budgets, until it is settled.

    The limiter knows nothing but the limits.
    """

    is_settled = False
    #: By which limits it was refused, as its response shows; None for a request that passed.
    refusal: "Refusal | None" = None
    #: What is reserved of its budgets; None where none applies.
    budgets: BudgetReservation | None = None
    #: Its size as it was estimated last.
    size: RequestSize | None = None

    def __init__(self) -> None:
        self.limits: tuple[Limit, ...] = ()
        #: How many it took of each, and the TAT to which that led; of `CONCURRENT`, how many were left.
        self.counts: list[int] = []
        self.ends: list[int] = []
        #: The time of the last taking, in monotonic nanoseconds.
        self.now = 0


class Refusal:
    """What a limit that refuses a request has to say."""

    def __init__(self, limit: Limit, wait: int, limits: tuple[Limit, ...], levels: list[int]) -> None:
        self.limit = limit
        #: Nanoseconds until the same request could pass; 0 where that is not known: a running request has to end.
        self.wait = wait
        #: All that were to be taken from, and of each the TAT; of `CONCURRENT` how many are left.
        self.limits = limits
        self.levels = levels


class Limiter:
    """Takes, gives back and settles, over all workers."""

    def __init__(self, counters: SharedCounters, clock: Callable[[], int] = time.monotonic_ns) -> None:
        """`clock` returns monotonic nanoseconds, the same in all workers."""
        self._counters = counters
        self._cells = counters.cells
        self._clock = clock

    def take(self, limits: tuple[Limit, ...], needs: tuple[int, ...], held: Held) -> Refusal | None:
        """Take `needs[unit]` of every limit and add them to `held`; or take nothing, and return the refusal of the
        limit that would refuse for longest.

        Of a limit whose burst is less than the need the whole burst is taken. Raises `Overloaded` where there is no
        counter for a new subject.
        """
        counters, cells = self._counters, self._cells
        counts: list[int] = []
        ends: list[int] = []
        refuses = False
        counters.lock()
        try:
            now = held.now = self._clock()
            self._find(limits, now)
            for limit in limits:
                unit, count = limit.unit, limit.burst
                if needs[unit] < count:
                    count = needs[unit]
                if unit == CONCURRENT:
                    end = limit.amount - counters.held(limit.slot) - 1
                    refuses = refuses or end < 0
                else:
                    # By hand, since it is done for every request: `taken`.
                    tat: int = cells[limit.slot + UNTIL]
                    end = (tat if tat > now else now) + count * limit.period // limit.amount
                    refuses = refuses or end - now > limit.window
                counts.append(count)
                ends.append(end)
            if refuses:
                return self._refusal(limits, ends, now)
            for at, limit in enumerate(limits):
                if limit.unit == CONCURRENT:
                    cells[limit.slot + HELD + counters.place] += 1
                else:
                    cells[limit.slot + UNTIL] = ends[at]
        finally:
            counters.unlock()
        held.limits += limits
        held.counts += counts
        held.ends += ends
        return None

    def settle(self, held: Held, used: tuple[int, ...] | None) -> None:
        """Give back what runs no longer, and what was taken and not used; take what was used beyond it.

        `used[unit]` is what the request has used in all, -1 where that is not known, or all of it None: then what was
        taken counts as used. A second call does nothing.
        """
        if held.is_settled:
            return
        held.is_settled = True
        counters, cells, counts = self._counters, self._cells, held.counts
        counters.lock()
        try:
            now = self._clock()
            for at, limit in enumerate(held.limits):
                unit = limit.unit
                if unit == CONCURRENT:
                    # A slot in which something is held keeps its name.
                    cells[limit.slot + HELD + counters.place] -= 1
                elif used is not None and used[unit] != counts[at] and used[unit] >= 0:
                    self._correct(limit, counts[at], used[unit], held.ends[at], now)
        finally:
            counters.unlock()

    def _correct(self, limit: Limit, count: int, used: int, end: int, now: int) -> None:
        cells = self._cells
        if used < count:
            if cells[limit.slot] == limit.digest:
                # Else its slot is another's, which it became when all had come back.
                tat = cells[limit.slot + UNTIL]
                cells[limit.slot + UNTIL] = limit.refunded(tat, now, count, count - used, end)
        else:
            self._find((limit,), now)
            cells[limit.slot + UNTIL] = limit.overrun(cells[limit.slot + UNTIL], now, used - count)

    def _find(self, limits: tuple[Limit, ...], now: int) -> None:
        """Have the slots of limits: if one is not where it was, search all, so that no search takes away what another
        one has found."""
        cells = self._cells
        for limit in limits:
            if cells[limit.slot] != limit.digest:
                for each in limits:
                    each.slot = self._counters.find(each.digest, now)
                return

    def _refusal(self, limits: tuple[Limit, ...], ends: list[int], now: int) -> Refusal:
        """The refusal that holds for longest. That of a number of running requests may end at any time."""
        levels: list[int] = []
        refusing: Limit | None = None
        longest = 0
        for at, limit in enumerate(limits):
            if limit.unit == CONCURRENT:
                levels.append(max(ends[at], 0))
                if ends[at] < 0 and refusing is None:
                    refusing = limit
                continue
            levels.append(self._cells[limit.slot + UNTIL])
            wait = limit.wait(ends[at], now)
            if wait > longest:
                refusing, longest = limit, wait
        assert refusing is not None
        return Refusal(refusing, longest, limits, levels)
