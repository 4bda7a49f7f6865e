"""The ledger as the composition root builds it: journal, writer, reports and estimator of one data directory.

It wires and times; what a record is, how it is stored and what it costs are decided elsewhere.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from proxy.config.tree import Durability
from proxy.errors import StoreFailed
from proxy.ledger import segments, sqlite
from proxy.ledger.estimator import Estimator
from proxy.ledger.ingest import Writer
from proxy.ledger.journal import Journal
from proxy.ledger.ownership import Owners
from proxy.ledger.reports import Reports

_SEGMENTS = 64
# Rows that the estimator learns from at start.
_SEED_ROWS = 5_000
#: Looks at the journals, by whoever writes, within which another process's new object is there to be found.
OTHERS_PATIENCE = 1.5

_log = logging.getLogger(__name__)


class Ledger:
    """One process's part in the ledger of a data directory; several processes may share one.

    `journal`, `owners`, `estimator` and `reports` exist from `start` to `stop`.
    """

    journal: Journal
    owners: Owners
    reports: Reports

    def __init__(
        self,
        data_dir: Path,
        *,
        durability: Durability = "process",
        interval: float = 0.25,
        segment_bytes: int | None = None,
        bounded: int = 256 * 1024 * 1024,
        shared: bool = False,
    ) -> None:
        """`interval` is the seconds between two looks at the journal; the rest is as for `Journal`, with
        segments of a sixty-fourth of `bounded` where their size is not given.

        `shared` says that other processes of the same gateway write here: an object that they made a moment ago is
        waited for.
        """
        self.data_dir = data_dir
        self.estimator = Estimator()
        self._durability = durability
        self._interval = interval
        self._segment_bytes = segment_bytes or bounded // _SEGMENTS
        self._bounded = bounded
        self._shared = shared
        self._writer = Writer(data_dir, durability=durability)
        self._stopping = asyncio.Event()
        self._loop: asyncio.Task[None] | None = None

    @property
    def failure(self) -> str | None:
        """Why new work must be refused, or None."""
        return self.journal.failed

    @property
    def warning(self) -> str | None:
        """Why the database does not take what the journal holds, or None. Work goes on until the journal is full."""
        return self._writer.failed

    @property
    def writes(self) -> bool:
        """Whether this process is the one that writes the database."""
        return self._writer.holds

    async def start(self) -> None:
        """Make the directory, open the store, take in what a dead process left, and begin to write.

        Raises StoreFailed: a damaged or newer database, a directory that cannot be made.
        """
        prepare(self.data_dir)
        self.reports = await _open(self._writer, self.data_dir)
        try:
            for row in await self.reports.reported(_SEED_ROWS):
                self.estimator.observe(*row)
            self.journal = Journal(
                self.data_dir / "journal",
                durability=self._durability,
                segment_bytes=self._segment_bytes,
                bounded=self._bounded,
            )
            patience = OTHERS_PATIENCE * self._interval if self._shared else 0.0
            self.owners = Owners(self.journal, self.data_dir / "ledger.db", patience=patience)
            await self.owners.open()
        except BaseException:
            await self.reports.close()
            await self._writer.release()
            raise
        self._loop = asyncio.create_task(self._run(), name="ledger-writer")

    async def flush(self, patience: float = 30.0) -> None:
        """Wait until all that this process has appended so far is in the database.

        Raises StoreFailed when that takes longer than `patience` seconds.
        """
        targets = self.journal.positions()
        deadline = time.monotonic() + patience
        while not await self._has_stored(targets):
            if time.monotonic() > deadline:
                raise StoreFailed(
                    f"the ledger did not take the journal in {patience} s: {self._writer.failed or 'slow'}"
                )
            try:
                more = await self._step()
            except StoreFailed:
                more = False
            if not more:
                await asyncio.sleep(0.01)

    async def stop(self) -> None:
        """Close the journal, take in the rest of it, and let go of the database; what a failing one leaves is taken in
        by the next start."""
        loop, self._loop = self._loop, None
        if loop is None:
            return  # never started, or stopped already
        self._stopping.set()
        await loop
        self.journal.close()
        try:
            # Bills that could only be logged are to be saved by hand: until then their requests are not interrupted.
            while not self.journal.owed and self._writer.holds and await self._writer.tick():
                pass
        except StoreFailed as error:
            _log.error("the journal was not stored to its end; the next start does so: %s", error.message)
        # The writer goes last: the last connection to close is the one that checkpoints.
        await self.reports.close()
        await self.owners.close()
        await self._writer.release()

    async def _run(self) -> None:
        while not self._stopping.is_set():
            self.journal.probe()
            try:
                more = await self._step()
            except StoreFailed:
                more = False  # the writer has told, and keeps the reason; the next tick tries again
            if more:
                continue
            try:
                await asyncio.wait_for(self._stopping.wait(), self._interval)
            except TimeoutError:
                continue

    async def _step(self) -> bool:
        more = await self._writer.tick()
        await self._acknowledge()
        return more

    async def _acknowledge(self) -> None:
        """Tell the journal what is stored, whoever stored it."""
        positions = self.journal.positions()
        if not self.journal.unstored and len(positions) == 1:
            return
        if self._writer.holds:
            offsets = {name: self._writer.offset(name) for name in positions}
        else:
            offsets = await self.reports.offsets(positions)
        for name, length in positions.items():
            # A segment without a file was stored to its end and removed; while it is written only others remove it.
            gone = (
                name != self.journal.segment and not offsets.get(name) and not (self.journal.directory / name).exists()
            )
            self.journal.acknowledge(name, length if gone else offsets.get(name, 0))

    async def _has_stored(self, targets: dict[str, int]) -> bool:
        await self._acknowledge()
        return self.journal.is_stored(targets)


def prepare(data_dir: Path) -> None:
    """Make the data directory, for its owner alone. Raises StoreFailed."""
    with sqlite.mapped(data_dir):
        journal = data_dir.absolute() / "journal"
        missing = [directory for directory in (journal, *journal.parents) if not directory.exists()]
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        journal.mkdir(mode=0o700, exist_ok=True)
        for directory in missing:
            # What is synced in a directory is lost all the same if a power cut takes the directory's own name.
            segments.sync(directory.parent)


@asynccontextmanager
async def open_reports(data_dir: Path) -> AsyncIterator[Reports]:
    """Reports for a command beside or without a gateway: when none runs, what a killed one left is taken in first.

    Raises StoreFailed, also when there is no ledger.
    """
    if not (data_dir / "ledger.db").exists() and not (data_dir / "journal").exists():
        raise StoreFailed(f"{data_dir} holds no ledger; name the gateway's own with --data-dir, or start it first")
    prepare(data_dir)
    # Full syncs: with no gateway running nobody says that less will do.
    writer = Writer(data_dir, durability="power")
    try:
        reports = await _open(writer, data_dir)
        try:
            yield reports
        finally:
            await reports.close()
    finally:
        await writer.release()


async def _open(writer: Writer, data_dir: Path, patience: float = 10.0) -> Reports:
    """Become the writer and take in all there is, or wait for the one that is to have made the tables; then read."""
    path = data_dir / "ledger.db"
    deadline = time.monotonic() + patience
    try:
        while not await writer.acquire():
            if path.exists():
                reports = Reports(await sqlite.open_reader(path), path)
                if await reports.is_current():
                    return reports
                await reports.close()
            if time.monotonic() > deadline:
                raise StoreFailed(f"{path}: the process that holds {data_dir / 'writer.lock'} does not make the ledger")
            await asyncio.sleep(0.05)
        while await writer.tick():
            pass
        return Reports(await sqlite.open_reader(path), path)
    except BaseException:
        await writer.release()
        raise
