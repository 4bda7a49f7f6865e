"""The ledger that the composition root builds: journal, ingester, reports and estimator of one data directory.

It wires and schedules them; what a record is, how it is stored and what it costs are decided elsewhere.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

from proxy.config.tree import Durability
from proxy.errors import StoreFailed
from proxy.ledger import segments, sqlite
from proxy.ledger.boards import Boards
from proxy.ledger.estimator import Estimator
from proxy.ledger.ingest import JournalIngester
from proxy.ledger.journal import Journal
from proxy.ledger.orphans import CountedUntil, CountOrphans, Orphans
from proxy.ledger.ownership import Owners
from proxy.ledger.reports import Reports

#: Segments into which the backlog is divided.
_SEGMENTS = 64
#: Rows that the estimator learns from at start.
_SEED_ROWS = 5_000
#: Ingest intervals after which an object that another process created is in the database.
INTERVALS_BEHIND = 1.5

_log = logging.getLogger(__name__)


class Ledger:
    """One process's part in the ledger of a data directory; several processes may share one.

    `journal`, `owners`, `estimator`, `reports` and `boards` exist from `start` to `stop`.
    """

    journal: Journal
    owners: Owners
    reports: Reports
    boards: Boards

    def __init__(
        self,
        data_dir: Path,
        *,
        durability: Durability = "process",
        interval: float = 0.25,
        segment_bytes: int | None = None,
        max_unstored_bytes: int = 256 * 1024 * 1024,
        shared: bool = False,
    ) -> None:
        """`interval` is the seconds between two reads of the journals; the rest is as for `Journal`, with segments of
        a sixty-fourth of `max_unstored_bytes` by default.

        `shared` says that other processes of the same gateway write here: lookups wait for an object that they created
        just before.
        """
        self.data_dir = data_dir
        self.estimator = Estimator()
        self._interval = interval
        self._lookup_wait = INTERVALS_BEHIND * interval if shared else 0.0
        self._open_journal = partial(
            Journal,
            data_dir / "journal",
            durability=durability,
            segment_bytes=segment_bytes or max_unstored_bytes // _SEGMENTS,
            max_unstored_bytes=max_unstored_bytes,
        )
        self._ingester = JournalIngester(data_dir, durability=durability)
        self._stopping = asyncio.Event()
        self._loop: asyncio.Task[None] | None = None

    @property
    def failure(self) -> str | None:
        """Why new requests must be refused, or None."""
        return self.journal.failed

    @property
    def warning(self) -> str | None:
        """Why the journal is not ingested, or None. Requests are served until the journal is full."""
        return self._ingester.failed

    def watch_orphans(self, counted_until: CountedUntil, count: CountOrphans) -> None:
        """Have counted what killed processes have not: see `proxy.ledger.orphans`. Before `start`."""
        self._ingester.orphans = Orphans(self.data_dir / "journal", counted_until, count)

    async def start(self) -> None:
        """Create the directory, open the database, ingest what a dead process left, and open the journal.

        Raises StoreFailed: a damaged or newer database, a directory that cannot be created.
        """
        prepare(self.data_dir)
        self.reports = await _open(self._ingester, self.data_dir)
        try:
            for row in await self.reports.reported(_SEED_ROWS):
                self.estimator.observe(*row)
            self.journal = self._open_journal()
            self.owners = Owners(self.journal, self.data_dir / "ledger.db", lookup_wait=self._lookup_wait)
            await self.owners.open()
            self.boards = Boards(self.data_dir / "ledger.db")
        except BaseException:
            await self.reports.close()
            await self._ingester.release()
            raise
        self._loop = asyncio.create_task(self._run(), name="ledger-ingest")

    @asynccontextmanager
    async def read(self) -> AsyncIterator[Reports]:
        """Open reports on a connection of their own: a long one delays nothing else. Raises StoreFailed."""
        path = self.data_dir / "ledger.db"
        reports = Reports(await sqlite.open_reader(path), path)
        try:
            yield reports
        finally:
            await reports.close()

    async def flush(self, timeout: float = 30.0) -> None:  # noqa: ASYNC109 (it raises an error of its own)
        """Wait until everything that this process has appended so far is in the database.

        Raises StoreFailed when that takes longer than `timeout` seconds.
        """
        targets = self.journal.positions()
        deadline = time.monotonic() + timeout
        while not await self._has_stored(targets):
            if time.monotonic() > deadline:
                raise StoreFailed(
                    f"the ledger did not take the journal in {timeout} s: {self._ingester.failed or 'slow'}"
                )
            try:
                more = await self._step()
            except StoreFailed:
                more = False
            if not more:
                await asyncio.sleep(0.01)

    async def stop(self) -> None:
        """Close the journal, ingest the rest of it, and close the database; what cannot be ingested is by the next
        start."""
        loop, self._loop = self._loop, None
        if loop is None:
            return  # never started, or stopped already
        self._stopping.set()
        await loop
        self.journal.close()
        try:
            # Records that could only be logged are to be saved by hand: until then their requests are not interrupted.
            while not self.journal.unwritten and self._ingester.is_writer and await self._ingester.tick():
                pass
        except StoreFailed as error:
            _log.error("the journal was not stored to its end; the next start does so: %s", error.message)
        # The ingester is closed last: the last connection to close is the one that checkpoints.
        await self.boards.close()
        await self.reports.close()
        await self.owners.close()
        await self._ingester.release()

    async def _run(self) -> None:
        while not self._stopping.is_set():
            self.journal.probe()
            try:
                more = await self._step()
            except StoreFailed:
                more = False  # logged by the ingester, which keeps the reason; the next tick tries again
            if more:
                continue
            try:
                await asyncio.wait_for(self._stopping.wait(), self._interval)
            except TimeoutError:
                continue

    async def _step(self) -> bool:
        more = await self._ingester.tick()
        await self._acknowledge()
        return more

    async def _acknowledge(self) -> None:
        """Tell the journal what is stored, by this process or another."""
        positions = self.journal.positions()
        if not self.journal.unstored and len(positions) == 1:
            return
        if self._ingester.is_writer:
            offsets = {name: self._ingester.offset(name) for name in positions}
        else:
            offsets = await self.reports.offsets(positions)
        for name, length in positions.items():
            # A segment without a file was stored to its end and removed; the current one is never removed by us.
            gone = (
                name != self.journal.segment and not offsets.get(name) and not (self.journal.directory / name).exists()
            )
            self.journal.acknowledge(name, length if gone else offsets.get(name, 0))

    async def _has_stored(self, targets: dict[str, int]) -> bool:
        await self._acknowledge()
        return self.journal.is_stored(targets)


def prepare(data_dir: Path) -> None:
    """Create the data directory, accessible to its owner only. Raises StoreFailed."""
    with sqlite.mapped(data_dir):
        journal = data_dir.absolute() / "journal"
        missing = [directory for directory in (journal, *journal.parents) if not directory.exists()]
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        journal.mkdir(mode=0o700, exist_ok=True)
        for directory in missing:
            # What is synced in a directory is lost all the same if a power failure takes the directory's own name.
            segments.sync(directory.parent)


@asynccontextmanager
async def open_reports(data_dir: Path) -> AsyncIterator[Reports]:
    """Open reports for a command, beside a gateway or without one: then what a killed one left is ingested first.

    Raises StoreFailed, also when there is no ledger.
    """
    if not (data_dir / "ledger.db").exists() and not (data_dir / "journal").exists():
        raise StoreFailed(f"{data_dir} holds no ledger; name the gateway's own with --data-dir, or start it first")
    prepare(data_dir)
    # Full syncs: with no gateway running its durability setting is not known.
    ingester = JournalIngester(data_dir, durability="power")
    try:
        reports = await _open(ingester, data_dir)
        try:
            yield reports
        finally:
            await reports.close()
    finally:
        await ingester.release()


async def _open(
    ingester: JournalIngester,
    data_dir: Path,
    timeout: float = 10.0,  # noqa: ASYNC109 (it raises an error of its own)
) -> Reports:
    """Become the writer and ingest everything, or wait for the process that is, to have created the tables; then read.

    Raises StoreFailed.
    """
    path = data_dir / "ledger.db"
    deadline = time.monotonic() + timeout
    try:
        while not await ingester.acquire():
            if path.exists():
                reports = Reports(await sqlite.open_reader(path), path)
                if await reports.is_current():
                    return reports
                await reports.close()
            if time.monotonic() > deadline:
                raise StoreFailed(f"{path}: the process that holds {data_dir / 'writer.lock'} does not make the ledger")
            await asyncio.sleep(0.05)
        while await ingester.tick():
            pass
        return Reports(await sqlite.open_reader(path), path)
    except BaseException:
        await ingester.release()
        raise
