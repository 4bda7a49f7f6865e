"""Reading segments: batches are bounded, torn and damaged lines affect no other, and dead owners are detected."""

import logging
import os
from pathlib import Path

import pytest

from proxy.ledger import journal_reader, segments
from proxy.ledger.journal import Journal
from proxy.ledger.journal_reader import JournalReader
from tests.ledger.samples import final, lines, opened, request_id, segment


def test_an_open_with_its_final_is_only_a_final(tmp_path: Path) -> None:
    segment(tmp_path, lines(opened(1), opened(2), final(1)))
    batch = JournalReader(tmp_path).read({})
    assert list(batch.finals) == [request_id(1)]
    assert list(batch.opens) == [request_id(2)]


def test_the_last_call_of_a_request_stands(tmp_path: Path) -> None:
    segment(tmp_path, lines(opened(1, attempt=2, upstream="b"), opened(1)))
    assert JournalReader(tmp_path).read({}).opens[request_id(1)] == ("dead", opened(1, attempt=2, upstream="b"))


def test_reading_goes_on_where_it_ended(tmp_path: Path) -> None:
    path = segment(tmp_path, lines(*[final(number) for number in range(10)]))
    reader, offsets, seen = JournalReader(tmp_path, batch=3), dict[str, int](), []
    while (batch := reader.read(offsets)).offsets:
        assert len(batch.finals) <= 3
        seen += list(batch.finals)
        offsets |= batch.offsets
    assert seen == [request_id(number) for number in range(10)]
    assert batch.finished == {path.name: path.stat().st_size}


def test_an_owner_whose_records_are_not_all_read_is_not_dead(tmp_path: Path) -> None:
    segment(tmp_path, lines(opened(1), final(2), final(3)))
    batch = JournalReader(tmp_path, batch=2).read({})
    assert batch.more
    assert "dead" in batch.living


def test_a_torn_last_line_is_left_and_of_the_dead_it_is_the_end(tmp_path: Path) -> None:
    whole = lines(final(1))
    path = segment(tmp_path, whole + lines(final(2))[:-1])
    batch = JournalReader(tmp_path).read({})
    assert list(batch.finals) == [request_id(1)]
    assert batch.offsets == {path.name: len(whole)}
    assert path.name in batch.finished
    assert batch.damaged == {}


@pytest.mark.parametrize(
    "damage",
    [b"garbage", b"\xff\xfe", b"{}", b"[" * 100_000, b'{"event":"final"}', b"x" * 700_000],
    ids=["text", "bytes", "empty", "deep", "fields", "long"],
)
def test_damaged_lines_are_put_aside_and_the_rest_goes_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: bytes
) -> None:
    path = segment(tmp_path, lines(final(1)) + damage + b"\n" + lines(final(2)))
    with caplog.at_level(logging.WARNING):
        batch = JournalReader(tmp_path).read({})
    assert list(batch.finals) == [request_id(1), request_id(2)]
    kept = tmp_path / "damaged" / f"{path.name}.0"
    assert kept.read_bytes().replace(b"\n", b"") == damage
    assert [one.stat().st_mode & 0o777 for one in (kept, kept.parent)] == [0o600, 0o700]
    assert "put aside" in caplog.text


@pytest.mark.parametrize(
    "changes", [{"input_tokens": -1}, {"output_tokens": 1 << 62}, {"cost": 10**18}, {"cost": -5}, {"started": 1 << 62}]
)
def test_numbers_that_cannot_be_true_are_damage(tmp_path: Path, changes: dict[str, int]) -> None:
    segment(tmp_path, lines(final(1, **changes), final(2)))
    assert list(JournalReader(tmp_path).read({}).finals) == [request_id(2)]


def test_a_living_journal_is_not_finished(tmp_path: Path) -> None:
    journal = Journal(tmp_path, durability="process")
    journal.append(opened(1))
    batch = JournalReader(tmp_path).read({})
    assert (batch.finished, batch.living) == ({}, {journal.owner})
    journal.close()
    batch = JournalReader(tmp_path).read({})
    assert batch.living == set()
    assert len(batch.finished) == 1


def test_an_owner_that_goes_on_to_its_next_segment_meanwhile_lives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, _, first = segments.create(tmp_path, "owner", 1)
    held: list[int] = []
    is_closed = segments.is_closed

    def rotate_first(path: Path) -> bool:
        held.append(segments.create(tmp_path, "owner", 2)[2])
        os.close(first)
        return is_closed(path)

    monkeypatch.setattr(segments, "is_closed", rotate_first)
    batch = JournalReader(tmp_path).read({})
    assert name in batch.finished
    assert batch.living == {"owner"}
    os.close(held[0])


def test_the_cost_of_an_interrupted_request_is_not_known() -> None:
    row = journal_reader.interrupted_record(opened(1, attempt=2))
    assert (row.status, row.outcome, row.usage_source, row.cost, row.attempts) == (0, "interrupted", "none", None, 2)


def test_an_interrupted_request_costs_what_budgets_had_reserved_for_it() -> None:
    row = journal_reader.interrupted_record(opened(1, reserved=420))
    assert (row.outcome, row.usage_source, row.cost) == ("interrupted", "estimated", 420)
