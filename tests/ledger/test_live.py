"""What goes through now: open attempts, rows that ended in the window, and what was spent today."""

import asyncio
from pathlib import Path

import msgspec
import pytest

from proxy.errors import StoreFailed
from proxy.ledger.journal import Journal
from proxy.ledger.live import Live, read_live
from proxy.ledger.record import UsageRecord
from tests.ledger.ingesting import writing
from tests.ledger.samples import STARTED, drain, final, lines, opened, segment

SECOND = 1_000_000
NOW = STARTED / SECOND


def look(data_dir: Path, *records: UsageRecord, by: str = "alias", now: float = NOW) -> Live:
    async def run() -> Live:
        segment(data_dir / "journal", lines(*records))
        async with writing(data_dir) as writer:
            await drain(writer)
            return await read_live(data_dir / "ledger.db", by, 10, now)

    return asyncio.run(run())


def test_rows_count_that_ended_in_the_window(data_dir: Path) -> None:
    live = look(
        data_dir,
        # A long one that ended in the window, one that ended before it, and two that lie within.
        final(1, started=STARTED - 100 * SECOND, total=95 * SECOND, cost=5),
        final(2, started=STARTED - 100 * SECOND, total=SECOND, cost=7),
        final(3, started=STARTED - 3 * SECOND, total=SECOND, ttft=300_000, cost=None),
        final(4, started=STARTED - 3 * SECOND, total=SECOND, ttft=None, status=429, outcome="refused", cost=0),
    )
    (line,) = live.lines
    assert (line.requests, line.errors, line.tokens, line.cost, line.cost_today) == (3, 1, 450, 5, 12)
    assert line.ttft == 250_000
    assert live.total.requests == 3
    assert live.total.ttft == 250_000


@pytest.mark.parametrize(
    ("by", "groups"), [("key", {"key_a": 2}), ("upstream", {"openai": 1, "other": 1}), ("team", {"": 1, "team_1": 1})]
)
def test_requests_without_a_row_are_in_flight(by: str, groups: dict[str, int], data_dir: Path) -> None:
    async def run() -> Live:
        async with writing(data_dir) as writer:
            # The journal of a process that lives.
            journal = Journal(data_dir / "journal", durability="process", segment_bytes=1_000_000)
            for record in (opened(1, team="team_1"), opened(2, upstream="other"), opened(3)):
                journal.append(msgspec.structs.replace(record, key="key_a"))
            journal.append(final(3, key="key_a", started=STARTED - 9_999 * SECOND))
            await drain(writer)
            live = await read_live(data_dir / "ledger.db", by, 10, NOW)
            journal.close()
            return live

    live = asyncio.run(run())
    assert {line.group: line.in_flight for line in live.lines if line.in_flight} == groups
    assert live.total.in_flight == 2


def test_without_a_ledger_it_says_so(tmp_path: Path) -> None:
    with pytest.raises(StoreFailed, match="no ledger yet"):
        asyncio.run(read_live(tmp_path / "ledger.db", "alias", 10, NOW))
