"""Ingesting: one writer a directory, and every record once, whatever is replayed, killed or in the way."""

import asyncio
import sqlite3
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.errors import StoreFailed
from proxy.ledger import rollups, segments
from proxy.ledger.journal import Journal
from proxy.ledger.ledger import prepare
from proxy.ledger.record import AttemptRecord, UsageRecord
from proxy.ledger.sqlite_writer import SQLiteWriter
from tests.ledger.ingesting import ingest, query, rows, writing
from tests.ledger.samples import drain, final, lines, opened, request_id, segment

_steps = st.lists(
    st.tuples(st.integers(min_value=0, max_value=6), st.sampled_from(["open", "final", "again"])), max_size=25
)


@given(_steps, st.integers(min_value=1, max_value=7), st.integers(min_value=0, max_value=3))
def test_replaying_any_journal_changes_nothing(steps: list[tuple[int, str]], batch: int, replays: int) -> None:
    settled: set[int] = set()
    records: list[AttemptRecord | UsageRecord] = []
    for number, event in steps:
        if event == "open" and number not in settled:
            records.append(opened(number))
        elif event == "final":
            records.append(final(number))
            settled.add(number)
    content = lines(*records)
    with tempfile.TemporaryDirectory() as folder:
        data_dir = Path(folder)
        prepare(data_dir)
        segment(data_dir / "journal", content, "first")
        ingest(data_dir, batch)
        before = rows(data_dir), query(data_dir, "SELECT * FROM rollups")
        for number in range(replays):
            segment(data_dir / "journal", content, f"replay{number}")
            ingest(data_dir, batch)
        assert (rows(data_dir), query(data_dir, "SELECT * FROM rollups")) == before
    ids = {record.id for record in records}
    assert [(row[0], row[1] == "complete") for row in before[0]] == [
        (id_, id_ in {request_id(number) for number in settled}) for id_ in sorted(ids)
    ]
    first_sum = 3 + len(rollups.DIMENSIONS)
    for view in range(len(rollups.VIEWS)):
        for grain in (rollups.HOUR, rollups.DAY):
            assert sum(row[first_sum] for row in before[1] if row[:2] == (view, grain)) == len(ids)


def test_a_long_request_outlives_its_segment(data_dir: Path) -> None:
    async def run() -> None:
        journal = Journal(data_dir / "journal", durability="process", segment_bytes=400)
        async with writing(data_dir) as writer:
            journal.append(opened(1))
            for number in range(2, 6):
                journal.append(final(number))
            await drain(writer)
            assert len(segments.names(data_dir / "journal")) == 1
            assert [row[0] for row in rows(data_dir)] == [request_id(number) for number in range(2, 6)]
            journal.append(final(1))
            await drain(writer)
            assert rows(data_dir)[0] == (request_id(1), "complete", 330_000)
            assert query(data_dir, "SELECT * FROM opens") == []
        journal.close()

    asyncio.run(run())


def test_only_one_writes_and_the_next_takes_over(data_dir: Path) -> None:
    async def run() -> None:
        async with writing(data_dir) as one, writing(data_dir) as other:
            assert await one.acquire()
            assert not await other.acquire()
            segment(data_dir / "journal", lines(final(1)), "a")
            await drain(other)
            assert len(segments.names(data_dir / "journal")) == 1
            await drain(one)
            await one.release()
            segment(data_dir / "journal", lines(final(2)), "b")
            await drain(other)
            assert other.is_writer
            assert len(rows(data_dir)) == 2

    asyncio.run(run())


def test_a_crash_between_reading_and_removing_repeats_nothing(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    segment(data_dir / "journal", lines(final(1)))
    with monkeypatch.context() as patch:
        patch.setattr(segments, "remove", lambda *_: False)
        ingest(data_dir)
    assert len(segments.names(data_dir / "journal")) == 1
    before = query(data_dir, "SELECT * FROM rollups")
    ingest(data_dir)
    assert query(data_dir, "SELECT * FROM rollups") == before
    assert segments.names(data_dir / "journal") == []


def failing_then_mended(data_dir: Path, fail: Callable[[], Callable[[], None]]) -> None:
    """Nothing is lost while `fail` holds, the reason is visible, and it goes when the cause goes."""

    async def run() -> None:
        async with writing(data_dir) as writer:
            await drain(writer)
            segment(data_dir / "journal", lines(final(1), opened(2)))
            mend = fail()
            try:
                with pytest.raises(StoreFailed):
                    await writer.tick()
                assert writer.failed
                assert len(segments.names(data_dir / "journal")) == 1
            finally:
                mend()
            await drain(writer)
            assert not writer.failed
        assert [row[1] for row in rows(data_dir)] == ["complete", "interrupted"]

    asyncio.run(run())


def test_a_lock_of_another_program_is_waited_out(data_dir: Path) -> None:
    def fail() -> Callable[[], None]:
        connection = sqlite3.connect(data_dir / "ledger.db", isolation_level=None)
        connection.execute("BEGIN IMMEDIATE")
        return connection.close

    failing_then_mended(data_dir, fail)


def test_a_full_disk_is_waited_out(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> Callable[[], None]:
        insert = SQLiteWriter._insert

        def full(*_: object) -> None:
            raise sqlite3.OperationalError("database or disk is full")

        monkeypatch.setattr(SQLiteWriter, "_insert", full)
        return lambda: monkeypatch.setattr(SQLiteWriter, "_insert", insert)

    failing_then_mended(data_dir, fail)


def test_cancelling_the_caller_does_not_stop_the_transaction(data_dir: Path) -> None:
    segment(data_dir / "journal", lines(final(1)))

    async def run() -> None:
        async with writing(data_dir) as writer:
            await writer.acquire()
            waiting: Awaitable[bool] = asyncio.wait_for(writer.tick(), 0)
            with pytest.raises(TimeoutError):
                await waiting
            await drain(writer)
            assert writer.failed is None

    asyncio.run(run())
    assert len(rows(data_dir)) == 1
