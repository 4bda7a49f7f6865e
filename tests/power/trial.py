"""One power cut: requests are billed and stored, the power goes somewhere, and what is left is taken in and judged."""

import asyncio
import random
import sqlite3
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from unittest.mock import patch

import msgspec

from proxy.config.tree import Durability
from proxy.errors import StoreFailed
from proxy.ledger import sqlite
from proxy.ledger.ingest import JournalIngester
from proxy.ledger.journal import Journal
from proxy.ledger.ledger import open_reports, prepare
from proxy.ledger.record import UsageRecord
from tests.ledger.samples import final, opened, request_id
from tests.power.database import Connection, LossyFileSystem
from tests.power.disk import LossyDisk

REQUESTS = 60


class Found(msgspec.Struct):
    """What one trial found."""

    acknowledged: int
    rows: int
    lost: int
    #: Rows that no request wrote, or with other numbers than it wrote.
    wrong: int
    #: Rows counted more often, or less, in the sums than they are there.
    miscounted: int
    damaged: bool

    @property
    def good(self) -> bool:
        """Whether nothing is to be held against it."""
        return not (self.lost or self.wrong or self.miscounted or self.damaged)


def trials(seeds: Iterable[int], *, durability: Durability = "power", deaf: str = "") -> Iterator[tuple[int, Found]]:
    """A trial for each seed, in a folder of its own."""
    for seed in seeds:
        with tempfile.TemporaryDirectory() as folder:
            yield seed, trial(Path(folder), seed, durability=durability, deaf=deaf)


def trial(folder: Path, seed: int, *, durability: Durability = "power", deaf: str = "") -> Found:
    """Cut the power once, at a moment that the seed chooses; `deaf` is as for `LossyDisk`."""
    chance = random.Random(seed)
    data_dir, left = folder / "data", folder / "left"
    acknowledged: set[int] = set()
    before: set[int] = set()
    disk = LossyDisk(data_dir, seed, chance.randrange(450), lambda: before.update(acknowledged), deaf)
    file_system = LossyFileSystem(disk)

    def connect(path: Path) -> Connection:
        sqlite._create(path)
        return Connection(path, file_system)

    prepare(data_dir)
    with disk.watching(), patch.object(sqlite, "_connect", connect), patch.object(sqlite, "_MAX_WAL_BYTES", 16 * 4096):
        asyncio.run(_work(data_dir, disk, chance, durability, acknowledged))
        disk.cut()
    file_system.unregister()
    assert disk.left is not None
    prepare(left)
    for path, content in disk.left.items():
        (left / Path(path).relative_to(data_dir)).write_bytes(content)
    return _judge(left, before)


async def _work(
    data_dir: Path, disk: LossyDisk, chance: random.Random, durability: Durability, acknowledged: set[int]
) -> None:
    journal = Journal(data_dir / "journal", durability=durability, segment_bytes=chance.choice([1_500, 6_000, 1 << 20]))
    writer = JournalIngester(data_dir, durability=durability, batch=chance.choice([7, 50, 2_000]))
    for number in range(REQUESTS):
        if disk.left is not None:
            break
        with suppress(StoreFailed):
            # Refused while a failed sync is mended; the others are the requests that ran then.
            journal.append(opened(number))
        if chance.random() < 0.9:
            journal.append(_bill(number), _remember(acknowledged, number))
        if chance.random() < 0.2:
            await writer.tick()
            for name in journal.positions():
                journal.acknowledge(name, writer.offset(name))
        elif chance.random() < 0.5:
            await asyncio.sleep(0)
    journal.close()
    # The last callbacks run on the event loop.
    await asyncio.sleep(0)
    await writer.release()


def _bill(number: int) -> UsageRecord:
    return final(number, input_tokens=1_000 + number)


def _remember(acknowledged: set[int], number: int) -> Callable[[], None]:
    return lambda: acknowledged.add(number)


def _judge(left: Path, acknowledged: set[int]) -> Found:
    async def read() -> tuple[list[UsageRecord], int]:
        async with open_reports(left) as reports:
            rows = [row async for row in reports.export()]
            return rows, (await reports.usage(by="key")).totals.requests

    try:
        rows, counted = asyncio.run(read())
    except StoreFailed:
        return Found(len(acknowledged), rows=0, lost=len(acknowledged), wrong=0, miscounted=0, damaged=True)
    connection = sqlite3.connect(left / "ledger.db")
    try:
        sound = connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    finally:
        connection.close()
    settled = Counter(row.id for row in rows if row.outcome == "complete")
    written = {request_id(number): _bill(number) for number in range(REQUESTS)}
    return Found(
        acknowledged=len(acknowledged),
        rows=len(rows),
        lost=sum(settled[request_id(number)] != 1 for number in acknowledged),
        wrong=sum(row != written.get(row.id) for row in rows if row.outcome == "complete"),
        miscounted=abs(counted - len(rows)),
        damaged=not sound,
    )
