"""The writer: one a directory, everything once, whatever is replayed, killed or in the way."""

import asyncio
import sqlite3
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.errors import StoreFailed
from proxy.ledger import segments, sqlite_writer
from proxy.ledger.ingest import Writer
from proxy.ledger.journal import Journal
from proxy.ledger.ledger import prepare
from proxy.ledger.record import Final, Opened
from proxy.ledger.sqlite_writer import Storage
from tests.ledger.samples import drain, final, lines, opened, request_id, segment


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    prepare(tmp_path)
    return tmp_path


@asynccontextmanager
async def writing(data_dir: Path, batch: int = 2_000) -> AsyncIterator[Writer]:
    writer = Writer(data_dir, durability="process", batch=batch)
    try:
        yield writer
    finally:
        await writer.release()


def ingest(data_dir: Path, batch: int = 2_000) -> None:
    async def run() -> None:
        async with writing(data_dir, batch) as writer:
            await drain(writer)

    asyncio.run(run())


def query(data_dir: Path, sql: str) -> list[Any]:
    connection = sqlite3.connect(data_dir / "ledger.db")
    try:
        return connection.execute(sql).fetchall()
    finally:
        connection.close()


def rows(data_dir: Path) -> list[Any]:
    return query(data_dir, "SELECT id, outcome, cost FROM requests ORDER BY id")


def test_rows_hold_every_field_and_stored_segments_go(data_dir: Path) -> None:
    record = final(1, error_code="x", images=2, stream=False, cost=None, ttft=None)
    segment(data_dir / "journal", lines(record))
    ingest(data_dir)
    (row,) = query(data_dir, "SELECT * FROM requests")
    assert Final(*row) == record
    assert segments.names(data_dir / "journal") == []
    # The row of its offset goes with the next look.
    ingest(data_dir)
    assert query(data_dir, "SELECT * FROM segments") == []


def many(count: int) -> list[Final]:
    """Rows that differ in everything that is stored in a way of its own."""
    return [
        final(
            number,
            stream=number % 2 == 0,
            error_code=("timeout", None, "")[number % 3],
            cost=None if number % 5 == 0 else number,
            ttft=None if number % 7 == 0 else number,
        )
        for number in range(count)
    ]


def test_many_rows_at_once_hold_every_field(data_dir: Path) -> None:
    records = many(3 * sqlite_writer.TOGETHER + 7)
    segment(data_dir / "journal", lines(*records))
    ingest(data_dir)
    found = query(data_dir, "SELECT * FROM requests ORDER BY id")
    assert [Final(*row) for row in found] == records


def test_a_replay_among_many_new_rows_counts_only_the_new(data_dir: Path) -> None:
    records = many(2 * sqlite_writer.TOGETHER)
    segment(data_dir / "journal", lines(*records[30:60]), "first")
    ingest(data_dir)
    segment(data_dir / "journal", lines(*records), "second")
    ingest(data_dir)
    assert [row[0] for row in rows(data_dir)] == [record.id for record in records]
    assert query(data_dir, "SELECT sum(requests), sum(cost) FROM rollups WHERE grain = 3600") == [
        (len(records), sum(record.cost or 0 for record in records))
    ]


def test_what_was_open_when_a_batch_ended_is_open_no_more_once_it_is_settled(data_dir: Path) -> None:
    async def run() -> None:
        journal = Journal(data_dir / "journal", durability="process")
        async with writing(data_dir) as writer:
            for number in range(3):
                journal.append(opened(number))
            await drain(writer)
            journal.append(final(1))
            await drain(writer)
            assert query(data_dir, "SELECT id FROM opens") == [(request_id(0),), (request_id(2),)]
        # Another writer knows them from the database.
        async with writing(data_dir) as writer:
            journal.append(final(0))
            journal.append(final(2))
            await drain(writer)
            assert query(data_dir, "SELECT id FROM opens") == []
        journal.close()

    asyncio.run(run())
    assert {row[1] for row in rows(data_dir)} == {"complete"}


_steps = st.lists(
    st.tuples(st.integers(min_value=0, max_value=6), st.sampled_from(["open", "final", "again"])), max_size=25
)


@given(_steps, st.integers(min_value=1, max_value=7), st.integers(min_value=0, max_value=3))
def test_replaying_any_journal_changes_nothing(steps: list[tuple[int, str]], batch: int, replays: int) -> None:
    settled: set[int] = set()
    records: list[Opened | Final] = []
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
    assert sum(row[4] for row in before[1] if row[0] == 3_600) == len(ids)


def test_what_a_dead_process_left_open_is_interrupted(data_dir: Path) -> None:
    segment(data_dir / "journal", lines(opened(1), opened(2)), "dead", 1)
    segment(data_dir / "journal", lines(final(1)), "dead", 2)
    ingest(data_dir)
    assert rows(data_dir) == [(request_id(1), "complete", 330_000), (request_id(2), "interrupted", None)]
    assert query(data_dir, "SELECT * FROM opens") == []


def test_many_interrupted_requests_are_settled_in_batches(data_dir: Path) -> None:
    segment(data_dir / "journal", lines(*[opened(number) for number in range(10)]))
    ingest(data_dir, batch=3)
    assert {row[1] for row in rows(data_dir)} == {"interrupted"}
    assert len(rows(data_dir)) == 10
    assert segments.names(data_dir / "journal") == []


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
            assert other.holds
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
        insert = Storage._insert

        def full(*_: object) -> None:
            raise sqlite3.OperationalError("database or disk is full")

        monkeypatch.setattr(Storage, "_insert", full)
        return lambda: monkeypatch.setattr(Storage, "_insert", insert)

    failing_then_mended(data_dir, fail)


def test_whoever_stops_waiting_does_not_stop_the_transaction(data_dir: Path) -> None:
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
