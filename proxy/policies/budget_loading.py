"""Reads from the ledger what budgets have spent: once when a window begins, and again where memory may be behind it.

Memory is behind after a worker has died with running requests, and where a request was settled that began before the
ledger was read. It runs beside the event loop, in threads, and never on the path of a request whose budgets are loaded.
"""

import asyncio
import heapq
import logging
import time
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Final

import msgspec

from proxy.auth.grants import Grant, credit_limit
from proxy.auth.key_index import local_id
from proxy.errors import GatewayError
from proxy.ledger.spending import Payers, SpendingReader, ids_of
from proxy.limits.budget import UNKNOWN, Pot, Spending
from proxy.limits.calendar import NEVER, Window
from proxy.limits.counters import HELD, SharedCounters

#: Readings at once.
_MAX_READINGS: Final = 2
#: Seconds after the first reading at which the ledger is read again: for requests that began before it and that no
#: budget of this gateway has seen, such as those of a process that is being replaced.
_AGAIN_SECONDS: Final = (2.0, 60.0, 3_600.0)
#: Seconds after the death of a worker: by the last one its requests have their rows.
_AFTER_DEATH_SECONDS: Final = (0.0, 1.0, 4.0)
#: Seconds until what has changed is read.
_STALE_SECONDS: Final = 1.0
#: Seconds between two looks at the workers, and at what is due.
LOOK_SECONDS: Final = 0.5
#: A slot in which each worker has a mark, which is cleared when it has died.
_WORKERS: Final = b"budgets: workers"
_MICROSECONDS: Final = 1_000_000

_log = logging.getLogger(__name__)


class BudgetLoader:
    """Loads the spendings of one worker, and keeps them right. Belongs to one running event loop."""

    def __init__(
        self,
        counters: SharedCounters,
        data_dir: Path,
        grants: Mapping[str, tuple[Grant, ...]],
        warn: Callable[[Spending], None],
    ) -> None:
        """`grants` has those of pots without a calendar; `warn` is called for each spending that was read again."""
        self._counters = counters
        self._data_dir = data_dir
        self._reader = SpendingReader(data_dir)
        self._grants = grants
        self._warn = warn
        self._loading: dict[int, asyncio.Task[None]] = {}
        self._readings = asyncio.Semaphore(_MAX_READINGS)
        #: What this worker counts in, by digest.
        self._known: dict[int, Spending] = {}
        self._due = _Due()
        self._marks: list[int] = []
        self._refreshing: asyncio.Task[None] | None = None

    async def load(self, pot: Pot, moment: int) -> None:
        """Have what a pot has spent in the window of a moment counted. Raises StoreFailed."""
        # One of those that wait may be cancelled.
        await asyncio.shield(self.begin(pot, moment))

    async def look_up(self, pot: Pot, moment: int) -> tuple[Spending, int, int]:
        """The spending of a pot at a moment, what is spent and what is reserved of it; loads nothing.

        By what is counted where it is loaded, and else by the ledger. Raises StoreFailed.
        """
        spending = pot.spending(moment)
        async with self._readings:
            if spending.limit == UNKNOWN:
                spending = await asyncio.to_thread(self._with_limit, pot, moment // _MICROSECONDS)
                pot.replace(spending)
            counted = spending.loaded_counts()
            if counted is None:
                counted = await asyncio.to_thread(self._read, spending, moment), 0
        return spending, *counted

    def preload(self, pots: Iterable[Pot]) -> None:
        """Load those that no request has needed yet, so that operators see them."""
        now = time.time_ns() // 1_000
        for pot in pots:
            if pot.spending(now).digest not in self._known:
                self.begin(pot, now)

    def begin(self, pot: Pot, moment: int) -> asyncio.Task[None]:
        """Begin to load, if that has not begun."""
        spending = pot.spending(moment)
        task = self._loading.get(spending.digest)
        if task is None:
            task = asyncio.get_running_loop().create_task(self._load(pot, spending, moment))
            self._loading[spending.digest] = task
            task.add_done_callback(partial(self._loaded, spending.digest))
        return task

    async def _load(self, pot: Pot, spending: Spending, moment: int) -> None:
        async with self._readings:
            if spending.limit == UNKNOWN:
                spending = await asyncio.to_thread(self._with_limit, pot, moment // _MICROSECONDS)
                pot.replace(spending)
            base = await asyncio.to_thread(self._read, spending, moment)
        spending.load(base, moment)
        self._warn(spending)
        self.remember(spending)

    def _loaded(self, digest: int, task: asyncio.Task[None]) -> None:
        self._loading.pop(digest, None)
        if not task.cancelled():
            # Raised in those that wait for it, of whom none may be left.
            task.exception()

    def remember(self, spending: Spending) -> None:
        """Keep a spending right that this worker counts in from now on."""
        self._known[spending.digest] = spending
        for seconds in _AGAIN_SECONDS:
            self._due.add(spending, seconds, rebase=True)

    def mark_stale(self, spending: Spending) -> None:
        """Something was counted that the ledger may have been read with."""
        self._due.add(spending, _STALE_SECONDS, rebase=False)

    # what is due

    def look(self) -> None:
        """Notice workers that have died, and read what is due. For a timer."""
        marks = self._read_marks() if self._counters.workers > 1 else []
        if marks != self._marks:
            if self._marks and any(old and old != new for old, new in zip(self._marks, marks, strict=True)):
                for spending in list(self._known.values()):
                    for seconds in _AFTER_DEATH_SECONDS:
                        self._due.add(spending, seconds, rebase=True)
            self._marks = marks
        if self._due.is_due() and self._refreshing is None:
            self._refreshing = asyncio.get_running_loop().create_task(self._refresh_due())

    def _read_marks(self) -> list[int]:
        counters = self._counters
        counters.lock()
        try:
            at = counters.slot(_WORKERS)
            cells, own = counters.cells, HELD + counters.place
            if not cells[at + own]:
                cells[at + own] = time.monotonic_ns()
            return list(cells[at + HELD : at + HELD + counters.workers])
        finally:
            counters.unlock()

    async def _refresh_due(self) -> None:
        """Read the ledger for all that is due, one after the other."""
        try:
            now_wall = time.time_ns() // 1_000
            for digest in [digest for digest, one in self._known.items() if one.end + 3_600 * _MICROSECONDS < now_wall]:
                del self._known[digest]
            while self._due.is_due():
                spending, rebase = self._due.pop()
                if self._known.get(spending.digest) is spending:
                    await self.refresh(spending, rebase=rebase)
        except GatewayError as error:
            _log.error("what budgets have spent could not be read again: %s", error.message)
        finally:
            self._refreshing = None

    async def refresh(self, spending: Spending, *, rebase: bool) -> None:
        """Read the ledger again for one spending; with `rebase` up to now. Raises StoreFailed."""
        begun = spending.begin_refresh(time.time_ns() // 1_000 if rebase else 0)
        if begun is None:
            return
        async with self._readings:
            base = await asyncio.to_thread(self._read, spending, begun[0])
        if spending.end_refresh(base, begun):
            self._warn(spending)
        else:
            self.mark_stale(spending)

    # in threads

    def _read(self, spending: Spending, until: int) -> int:
        """What was spent in a window by requests that began before a moment."""
        start = spending.start
        if spending.pot.calendar is None:
            start = self._since(spending.pot.name)
        return self._reader.read(self._payers(spending.pot), start, min(until, spending.end)).spent

    def _payers(self, pot: Pot) -> Payers:
        payers = pot.payers
        if not pot.name.startswith("file ") or not (payers.keys or payers.teams or payers.orgs):
            return payers
        found = ids_of(self._data_dir, payers)
        local = tuple([local_id(name) for name in payers.keys])
        return msgspec.structs.replace(found, keys=(*found.keys, *local))

    def _since(self, name: str) -> int:
        """The first grant of credits, in microseconds."""
        return min([grant.created for grant in self._grants.get(name, ())], default=0) * _MICROSECONDS

    def _with_limit(self, pot: Pot, now: int) -> Spending:
        """The spending of prepaid credits, by what was granted and has not expired."""
        found = credit_limit(self._grants.get(pot.name, ()), partial(self._spent_of_credits, pot), now)
        end = NEVER if found.until is None else found.until * _MICROSECONDS
        return Spending(pot, Window("credits", 0, end), max(found.limit, 0))

    def _spent_of_credits(self, pot: Pot, until: int) -> int:
        return self._reader.read(pot.payers, self._since(pot.name), until * _MICROSECONDS).spent


class _Due:
    """What is to be read again, and when."""

    def __init__(self) -> None:
        #: (monotonic seconds, number, spending, whether with a new basis).
        self._heap: list[tuple[float, int, Spending, bool]] = []
        self._number = 0
        #: The digests of those that are in it without a new basis, each once.
        self._stale: set[int] = set()

    def is_due(self) -> bool:
        return bool(self._heap) and self._heap[0][0] <= time.monotonic()

    def add(self, spending: Spending, seconds: float, *, rebase: bool) -> None:
        if not rebase:
            if spending.digest in self._stale:
                return
            self._stale.add(spending.digest)
        self._number += 1
        heapq.heappush(self._heap, (time.monotonic() + seconds, self._number, spending, rebase))

    def pop(self) -> tuple[Spending, bool]:
        _, _, spending, rebase = heapq.heappop(self._heap)
        if not rebase:
            self._stale.discard(spending.digest)
        return spending, rebase
