"""Budgets as arithmetic: what is left, what a request reserves, and what it has cost in the end. All in nano-dollars.

A budget has one slot of the shared counters for each window: what was spent is read from the ledger once, and counted
in memory from then on. Nothing here reads the ledger, knows a request or writes a log.
"""

import time
from typing import Final

from proxy.errors import Overloaded
from proxy.ledger.spending import Payers
from proxy.limits.calendar import NEVER, Calendar, Window
from proxy.limits.counters import FIRST, FOURTH, HELD, SECOND, THIRD, UNTIL, SharedCounters, digest

# What a slot counts. The ledger's sum over requests that began before the basis, and what began later has cost.
BASE: Final = FIRST
LIVE: Final = SECOND
#: The basis, in microseconds since 1970; 0 while the ledger has not been read.
BASIS: Final = THIRD
#: The lowest eight bits are the warnings that were given; above them stands the number of changes of the base.
STATE: Final = FOURTH
MAX_WARNINGS: Final = 8
_WARNED: Final = 2**MAX_WARNINGS - 1
_CHANGE: Final = 2**MAX_WARNINGS

# What happens to a request whose worst case is more than what is left.
REFUSE: Final = 0
SOFT_CAP: Final = 1
STOP_STREAM: Final = 2
WARN: Final = 3
MODES: Final = ("refuse", "soft_cap", "stop_stream", "warn")

#: Nanoseconds for which an idle slot keeps its subject; after that the ledger is read again.
KEPT_NANOSECONDS: Final = 600 * 10**9
#: The limit of credits that have not been computed.
UNKNOWN: Final = -1
#: More than any budget: the next warning of one that has none left.
_NO_WARNING: Final = 2**62


class Rule:
    """What an operator has decided of one budget."""

    def __init__(
        self,
        label: str,
        limit: int,
        mode: int = REFUSE,
        warn: tuple[int, ...] = (),
        *,
        allows_unpriced: bool = False,
        output_tokens: int = 0,
    ) -> None:
        """`label` names it to clients; `limit` is in nano-dollars; `warn` are percentages; `output_tokens` are reserved
        where a request has no cap of its own, 0 for as many as is usual."""
        self.label = label
        self.limit = limit
        self.mode = mode
        self.warn = tuple(sorted({one for one in warn if one > 0}))[:MAX_WARNINGS]
        self.allows_unpriced = allows_unpriced
        self.output_tokens = output_tokens


class Pot:
    """One budget, whose money all of its requests spend; its windows follow each other."""

    def __init__(
        self,
        name: str,
        rule: Rule,
        payers: Payers,
        calendar: Calendar | None,
        counters: SharedCounters,
        owner: str = "",
    ) -> None:
        """`name` is unique among the gateway's budgets, and the same in each of its workers; `payers` says whose
        requests it counts, `owner` names it to operators. Without a calendar these are prepaid credits, whose limit is
        computed when they are loaded.
        """
        self.owner = owner
        self.name = name
        self.rule = rule
        self.payers = payers
        self.calendar = calendar
        self.counters = counters
        self._current: Spending | None = None

    def spending(self, moment: int) -> "Spending":
        """That of the window of a moment, in microseconds since 1970."""
        current = self._current
        if current is None or not current.start <= moment < current.end:
            if self.calendar is None:
                current = Spending(self, Window("credits", 0, NEVER), UNKNOWN)
            else:
                current = Spending(self, self.calendar.at(moment), self.rule.limit)
            self._current = current
        return current

    def replace(self, spending: "Spending") -> None:
        """Count by another spending from now on, such as one with the limit that credits have left."""
        self._current = spending


class Spending:
    """What is spent and reserved of one budget in one window."""

    def __init__(self, pot: Pot, window: Window, limit: int) -> None:
        """With an `UNKNOWN` limit it counts as not loaded."""
        self.pot = pot
        self.window = window
        self.start = window.start
        self.end = window.end
        self.limit = limit
        self.digest = digest(f"budget {pot.name} {window.id}".encode())
        self.at = 0
        #: Nano-dollars at which the next warning is due.
        self.warn_at = 0
        self._counters = pot.counters

    # Between `lock` and `unlock` of the counters.

    def find(self, now: int) -> bool:
        """Whether its slot is there, and what was spent is known. `now` is in monotonic nanoseconds.

        Raises `Overloaded` where there is no slot for it.
        """
        cells = self._counters.cells
        if cells[self.at] != self.digest:
            self.at = self._counters.find(self.digest, now)
        cells[self.at + UNTIL] = now + KEPT_NANOSECONDS
        return cells[self.at + BASIS] != 0 and self.limit != UNKNOWN

    def spent(self) -> int:
        """What was spent in the window, by requests that have ended."""
        cells, at = self._counters.cells, self.at
        spent: int = cells[at + BASE] + cells[at + LIVE]
        return spent

    def reserved(self) -> int:
        """What running requests have reserved, in all workers."""
        return self._counters.held(self.at)

    def left(self) -> int:
        """What neither is spent nor reserved; below 0 where requests have cost more than they reserved."""
        # By hand, since it is done for every request: `spent` and `reserved`.
        counters, at = self._counters, self.at
        spent: int = counters.cells[at + BASE] + counters.cells[at + LIVE]
        return self.limit - spent - counters.held(at)

    def refuses(self, nanos: int) -> bool:
        """Whether a request of this worst case is more than what is left. What costs nothing is never refused."""
        mode = self.pot.rule.mode
        if nanos <= 0 or mode == WARN:
            return False
        left = self.left()
        return nanos > left if mode == REFUSE else left <= 0

    def due_warnings(self) -> list[int]:
        """The percentages that were reached and not warned of by any worker; they are taken as warned of now."""
        spent = self.spent()
        if spent < self.warn_at:
            return []
        cells, at = self._counters.cells, self.at
        state: int = cells[at + STATE]
        reached, self.warn_at = self._reached(spent)
        due = [percent for bit, percent in enumerate(self.pot.rule.warn) if reached & ~state & (1 << bit)]
        # A limit that was raised may be warned of again.
        cells[at + STATE] = (state & ~_WARNED) | reached
        return due

    def _reached(self, spent: int) -> tuple[int, int]:
        """The warnings that are reached, as bits, and at how many nano-dollars the next one is."""
        reached = 0
        if self.limit > 0:
            for bit, percent in enumerate(self.pot.rule.warn):
                threshold = -(-self.limit * percent // 100)
                if spent < threshold:
                    return reached, threshold
                reached |= 1 << bit
        return reached, _NO_WARNING

    # With a lock of their own.

    def load(self, base: int, basis: int) -> None:
        """Take what the ledger has of requests that began before `basis`, unless another worker has done so.

        What was reached until then was warned of, or was spent without this budget: no warning is due for it.
        """
        counters = self._counters
        counters.lock()
        try:
            now = time.monotonic_ns()
            if not self.find(now) and counters.cells[self.at + BASIS] == 0:
                cells, at = counters.cells, self.at
                cells[at + BASE] = base
                cells[at + LIVE] = 0
                cells[at + BASIS] = basis
                cells[at + STATE] = (cells[at + STATE] & ~_WARNED) | self._reached(base)[0]
        finally:
            counters.unlock()

    def begin_refresh(self, basis: int = 0) -> tuple[int, int] | None:
        """Begin to read the ledger again: the basis, and the number of changes, for `end_refresh`; None if not loaded.

        A new `basis` makes what was counted in memory a part of the base, which is then to be read.
        """
        counters = self._counters
        counters.lock()
        try:
            if not self.find(time.monotonic_ns()):
                return None
            cells, at = counters.cells, self.at
            if basis > cells[at + BASIS]:
                cells[at + BASE] += cells[at + LIVE]
                cells[at + LIVE] = 0
                cells[at + BASIS] = basis
                cells[at + STATE] += _CHANGE
            return cells[at + BASIS], cells[at + STATE] // _CHANGE
        finally:
            counters.unlock()

    def end_refresh(self, base: int, begun: tuple[int, int]) -> bool:
        """Take what the ledger has now; False where something has changed since, and it is to be read again."""
        counters = self._counters
        counters.lock()
        try:
            cells, at = counters.cells, self.at
            if cells[at] != self.digest or cells[at + BASIS] != begun[0] or cells[at + STATE] // _CHANGE != begun[1]:
                return False
            cells[at + BASE] = base
            return True
        finally:
            counters.unlock()

    def counts(self) -> tuple[int, int]:
        """What is spent and what is reserved, for a report."""
        counters = self._counters
        counters.lock()
        try:
            if counters.cells[self.at] != self.digest:
                return 0, 0
            return self.spent(), self.reserved()
        finally:
            counters.unlock()

    def loaded_counts(self) -> tuple[int, int] | None:
        """The same for who spends nothing and must take no slot; None where it is not loaded."""
        counters = self._counters
        counters.lock()
        try:
            at = counters.lookup(self.digest)
            cells = counters.cells
            if at < 0 or cells[at + BASIS] == 0:
                return None
            spent: int = cells[at + BASE] + cells[at + LIVE]
            return spent, counters.held(at)
        finally:
            counters.unlock()


class BudgetReservation:
    """What one request holds of all its budgets, until it is settled."""

    def __init__(self, nanos: int, spendings: tuple[Spending, ...], alias: str = "") -> None:
        """`alias` is the one for which it is held."""
        self.nanos = nanos
        self.spendings = spendings
        self.alias = alias

    def pots(self) -> list[Pot]:
        """The budgets in which it is held."""
        return [spending.pot for spending in self.spendings]

    def settle(self, counters: SharedCounters, cost: int, started: int) -> tuple[list[Spending], list[Spending]]:
        """Give the reservation back, and count what the request has cost: it began at `started`, in microseconds.

        Returns the spendings for which the ledger is to be read again, and those of which a warning may be due.
        """
        stale: list[Spending] = []
        warned: list[Spending] = []
        nanos, cells = self.nanos, counters.cells
        held = HELD + counters.place
        counters.lock()
        try:
            for spending in self.spendings:
                at = spending.at
                if cells[at] != spending.digest:
                    # It held nothing. Where the slot is not loaded, the ledger has the cost when it is read.
                    if not _is_found(spending):
                        continue
                    at = spending.at
                if nanos:
                    cells[at + held] = max(cells[at + held] - nanos, 0)
                if not cost:
                    continue
                if started >= cells[at + BASIS]:
                    cells[at + LIVE] += cost
                else:
                    # The ledger may have been read with or without it.
                    cells[at + BASE] += cost
                    cells[at + STATE] += _CHANGE
                    stale.append(spending)
                if cells[at + BASE] + cells[at + LIVE] >= spending.warn_at:
                    warned.append(spending)
        finally:
            counters.unlock()
        return stale, warned

    def exchange(self, other: "BudgetReservation", counters: SharedCounters, now: int) -> Spending | None:
        """Become another reservation if its budgets have it, with what this one gives back: the one that refuses, None
        for success. Between `lock` and `unlock`, under which those of the other must have been found loaded."""
        cells, held, nanos = counters.cells, HELD + counters.place, self.nanos
        own = [spending.at + held for spending in self.spendings if cells[spending.at] == spending.digest]
        for at in own:
            cells[at] -= nanos
        refused = reserve(other.spendings, other.nanos, counters, now)
        if refused is None:
            self.nanos, self.spendings, self.alias = other.nanos, other.spendings, other.alias
        else:
            for at in own:
                cells[at] += nanos
        return refused

    def overdrawn(self, counters: SharedCounters, cost: int) -> Spending | None:
        """The first budget that stops streams and has less left than the request has cost so far; None if none has."""
        counters.lock()
        try:
            for spending in self.spendings:
                stops = spending.pot.rule.mode == STOP_STREAM and counters.cells[spending.at] == spending.digest
                # What it holds itself is there for it.
                if stops and cost > spending.left() + self.nanos:
                    return spending
        finally:
            counters.unlock()
        return None


def _is_found(spending: Spending) -> bool:
    """Whether there is a slot for a spending, and it is loaded."""
    try:
        return spending.find(time.monotonic_ns())
    except Overloaded:
        return False


def reserve(spendings: tuple[Spending, ...], nanos: int, counters: SharedCounters, now: int) -> Spending | None:
    """Reserve a request's worst case in all of its budgets, or in none: the one that refuses, None for success.

    All must have been found loaded under the same lock. `now` is in monotonic nanoseconds.
    """
    for spending in spendings:
        if spending.refuses(nanos):
            return spending
    cells, held = counters.cells, HELD + counters.place
    for spending in spendings:
        cells[spending.at + held] += nanos
    return None
