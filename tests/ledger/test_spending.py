"""What was spent: the same sum whether bills are in the journal, in the database, or in both halves of a window."""

import asyncio
import os
import random
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from proxy.ledger import segments
from proxy.ledger.journal import Journal
from proxy.ledger.ledger import open_reports, prepare
from proxy.ledger.record import AttemptRecord, UsageRecord
from proxy.ledger.spending import Payers, SpendingReader, Spent, _condition
from tests.ledger.samples import STARTED, final, lines, opened, segment

HOUR = 3_600_000_000
KEYS, MODELS = ("key_a", "key_b"), ("core", "bolt")
TEAMS = {"key_a": "team_x", "key_b": "team_y"}


def bills(seed: int, count: int = 400) -> list[UsageRecord]:
    random_ = random.Random(seed)
    found = []
    for number in range(count):
        key = random_.choice(KEYS)
        cost = random_.choice((None, random_.randrange(1_000_000)))
        found.append(
            final(
                number,
                started=STARTED + random_.randrange(100 * HOUR),
                key=key,
                alias=random_.choice(MODELS),
                cost=cost,
                reserved=None if cost is not None else random_.choice((None, 777)),
                team=TEAMS[key],
                org="org_z",
            )
        )
    return found


def store(data_dir: Path) -> None:
    async def run() -> None:
        async with open_reports(data_dir):
            pass

    asyncio.run(run())


def expected(rows: list[UsageRecord], start: int, end: int, *, keys: tuple[str, ...], models: tuple[str, ...]) -> int:
    return sum(
        row.cost if row.cost is not None else row.reserved or 0
        for row in rows
        if start <= row.started < end and row.key in keys and row.alias in models
    )


@pytest.mark.parametrize("seed", range(3))
def test_any_part_of_any_time_is_summed_exactly(tmp_path: Path, seed: int) -> None:
    prepare(tmp_path)
    rows = bills(seed)
    segment(tmp_path / "journal", lines(*rows[:300]))
    store(tmp_path)
    segment(tmp_path / "journal", lines(*rows[300:]), owner="alive")
    reader, random_ = SpendingReader(tmp_path), random.Random(seed)
    for _ in range(60):
        start = STARTED + random_.choice((0, random_.randrange(60 * HOUR), random_.randrange(60) * HOUR))
        end = start + random_.choice((random_.randrange(50 * HOUR), random_.randrange(50) * HOUR, 1_000_000))
        models = random_.choice((MODELS, MODELS[:1]))
        named = models if len(models) < len(MODELS) else ()
        key = random_.choice(KEYS)
        for payers in (Payers(keys=(key,), models=named), Payers(teams=(TEAMS[key],), models=named)):
            assert reader.read(payers, start, end).spent == expected(rows, start, end, keys=(key,), models=models)
        for payers in (Payers(models=named), Payers(keys=KEYS, models=named), Payers(orgs=("org_z",), models=named)):
            assert reader.read(payers, start, end).spent == expected(rows, start, end, keys=KEYS, models=models)


def test_a_bill_that_is_being_written_counts_once_it_is_whole(tmp_path: Path) -> None:
    prepare(tmp_path)
    store(tmp_path)
    line = lines(final(1, cost=5))
    path = segment(tmp_path / "journal", line[:-1])
    reader = SpendingReader(tmp_path)
    assert reader.read(Payers(), 0).spent == 0
    path.write_bytes(line)
    assert reader.read(Payers(), 0).spent == 5
    path.write_bytes(line + b'{"event":"final","id":\n' + line)
    assert reader.read(Payers(), 0).spent == 5


def test_what_runs_is_reserved_and_what_was_left_behind_is_spent(tmp_path: Path) -> None:
    prepare(tmp_path)
    store(tmp_path)
    segment(tmp_path / "journal", lines(opened(1, reserved=30), opened(2, reserved=4), final(2, cost=1)), owner="dead")
    with closing(Journal(tmp_path / "journal", durability="process")) as journal:
        journal.append(opened(3, reserved=200))
        reader = SpendingReader(tmp_path)
        assert reader.read(Payers(), 0) == Spent(31, 200)
        # A row is made of what the dead process left, and it costs the same.
        store(tmp_path)
        assert reader.read(Payers(), 0) == Spent(31, 200)
        journal.append(final(3, cost=7))
        assert reader.read(Payers(), 0) == Spent(38, 0)
    store(tmp_path)
    assert reader.read(Payers(), 0) == Spent(38, 0)


def test_a_later_attempt_replaces_the_earlier_one(tmp_path: Path) -> None:
    prepare(tmp_path)
    store(tmp_path)
    with closing(Journal(tmp_path / "journal", durability="process")) as journal:
        journal.append(AttemptRecord("req_1", STARTED, "key", "core", "/v1", "up", "m", False, 1, 5))
        journal.append(AttemptRecord("req_1", STARTED, "key", "core", "/v1", "up", "m", False, 2, 5))
        assert SpendingReader(tmp_path).read(Payers(keys=("key",)), 0) == Spent(0, 5)


def test_a_segment_that_goes_while_it_is_read_is_looked_for_in_the_database(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare(tmp_path)
    store(tmp_path)
    segment(tmp_path / "journal", lines(final(1, cost=5)), owner="dead")
    names = segments.names
    calls: list[int] = []

    def names_and_store(directory: Path) -> list[str]:
        found = names(directory)
        calls.append(len(found))
        if len(calls) == 2:
            # By another process, after the names were read.
            (directory / found[0]).rename(directory / "moved")
        if len(calls) == 3:
            os.rename(directory / "moved", directory / "0-0001.journal")
            found = names(directory)
        return found

    monkeypatch.setattr(segments, "names", names_and_store)
    assert SpendingReader(tmp_path).read(Payers(), 0).spent == 5
    assert len(calls) == 4


def test_a_sum_by_team_uses_its_index(tmp_path: Path) -> None:
    prepare(tmp_path)
    store(tmp_path)
    where, values = _condition(Payers(teams=("team_x",)))
    with closing(sqlite3.connect(tmp_path / "ledger.db")) as db:
        source = f"SELECT sum(coalesce(cost, reserved)) FROM requests WHERE started >= 1 AND started < 2{where}"
        plan = " ".join(str(row[3]) for row in db.execute(f"EXPLAIN QUERY PLAN {source}", values))
    assert "requests_by_team" in plan
