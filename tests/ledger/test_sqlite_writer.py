"""What the database has of a batch: every field, each row once, and no request left open."""

import asyncio
import sqlite3
from pathlib import Path

from proxy.ledger import rollups, segments, sqlite, sqlite_writer
from proxy.ledger.journal import Journal
from proxy.ledger.ledger import open_reports, prepare
from proxy.ledger.record import UsageRecord
from proxy.ledger.reports import UsageLine
from tests.ledger.ingesting import ingest, query, rows, writing
from tests.ledger.samples import drain, final, lines, opened, request_id, segment

#: Sums that came with who pays.
NEW_SUMS = ("target_cost", "uncosted", "margin")


def test_rows_hold_every_field_and_stored_segments_go(data_dir: Path) -> None:
    record = final(1, error_code="x", images=2, stream=False, cost=None, ttft=None)
    segment(data_dir / "journal", lines(record))
    ingest(data_dir)
    (row,) = query(data_dir, "SELECT * FROM requests")
    assert UsageRecord(*row) == record
    assert segments.names(data_dir / "journal") == []
    # The row of its offset goes with the next look.
    ingest(data_dir)
    assert query(data_dir, "SELECT * FROM segments") == []


def many(count: int) -> list[UsageRecord]:
    """Rows that differ in everything that is stored in a way of its own."""
    return [
        final(
            number,
            stream=number % 2 == 0,
            error_code=("timeout", None, "")[number % 3],
            cost=None if number % 5 == 0 else number,
            ttft=None if number % 7 == 0 else number,
            # Most have rare fields, so that there is a full statement of such rows too.
            team="" if number % 4 == 0 else "team_1",
            target_cost=number if number % 4 == 1 else None,
        )
        for number in range(count)
    ]


def test_many_rows_at_once_hold_every_field(data_dir: Path) -> None:
    records = many(3 * sqlite_writer.ROWS_PER_INSERT + 7)
    segment(data_dir / "journal", lines(*records))
    ingest(data_dir)
    found = query(data_dir, "SELECT * FROM requests ORDER BY id")
    assert [UsageRecord(*row) for row in found] == records


def test_a_replay_among_many_new_rows_counts_only_the_new(data_dir: Path) -> None:
    records = many(2 * sqlite_writer.ROWS_PER_INSERT)
    segment(data_dir / "journal", lines(*records[30:60]), "first")
    ingest(data_dir)
    segment(data_dir / "journal", lines(*records), "second")
    ingest(data_dir)
    assert [row[0] for row in rows(data_dir)] == [record.id for record in records]
    assert query(data_dir, "SELECT sum(requests), sum(cost) FROM rollups WHERE view = 0 AND grain = 3600") == [
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


def test_sums_from_before_a_migration_are_kept(data_dir: Path) -> None:
    prepare(data_dir)
    path = data_dir / "ledger.db"
    connection = sqlite3.connect(path, isolation_level=None)
    sqlite.migrate(connection, path, sqlite.migrations()[:3])
    sums = {name: number for number, name in enumerate(rollups.SUMS) if name not in NEW_SUMS}
    row = {"grain": 86_400, "start": 0, "key": "k", "alias": "a", **sums, **dict.fromkeys(rollups.HISTOGRAMS, b"\1")}
    places = ", ".join("?" * len(row))
    connection.execute(f"INSERT INTO rollups ({', '.join(row)}) VALUES ({places})", tuple(row.values()))
    connection.close()

    async def run() -> UsageLine:
        async with open_reports(data_dir) as reports:
            return (await reports.usage(by="upstream")).totals

    totals = asyncio.run(run())
    assert (totals.cost, totals.unpriced, totals.requests) == (sums["cost"], sums["unpriced"], 0)
    assert (totals.target_cost, totals.uncosted, totals.margin) == (0, 0, 0)


def test_a_migration_makes_every_view_of_the_sums_that_are_there(data_dir: Path) -> None:
    prepare(data_dir)
    path = data_dir / "ledger.db"
    connection = sqlite.open_writer(path, "process")
    sqlite.migrate(connection, path, sqlite.migrations()[:4])
    histogram = rollups.observation(200_000).to_bytes(500, "little").rstrip(b"\0")
    for number in range(6):
        row = {
            "grain": 3_600, "start": 0, "key": f"k{number}", "alias": f"a{number % 2}", "team": "t", "org": "",
            "endpoint": "/e", "upstream": f"u{number % 3}", **dict.fromkeys(rollups.SUMS, 1),
            **dict.fromkeys(rollups.HISTOGRAMS, histogram),
        }  # fmt: skip
        places = ", ".join("?" * len(row))
        connection.execute(f"INSERT INTO rollups ({', '.join(row)}) VALUES ({places})", tuple(row.values()))
    sqlite.migrate(connection, path, sqlite.migrations())
    found = connection.execute(
        "SELECT view, count(*), sum(requests), sum_histograms(ttft_histogram) FROM rollups GROUP BY 1"
    )
    whole = rollups.pack(rollups.observation(*[200_000] * 6))
    views = {view: (count, requests, seen == whole) for view, count, requests, seen in found}
    connection.close()
    lines = {0: 1, 1: 2, 2: 3, 3: 1, 4: 6, 5: 6, 6: 6}
    assert views == {view: (count, 6, True) for view, count in lines.items()}
