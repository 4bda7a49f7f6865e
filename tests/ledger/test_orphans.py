"""Orphans: what a killed process had written and not counted is counted once, by the one that removes its journal."""

from pathlib import Path

from proxy.ledger.orphans import Orphans
from proxy.ledger.record import UsageRecord
from tests.ledger.samples import final, lines


class Watched:
    """Orphans of a journal of which a known owner has counted so far."""

    def __init__(self, folder: Path, number: int, offset: int) -> None:
        self.counted: list[UsageRecord] = []
        self.orphans = Orphans(folder, lambda owner: (owner, number, offset) if owner == "ours" else None, self.count)

    def count(self, finals: list[UsageRecord]) -> None:
        self.counted += finals


def segment(folder: Path, name: str, *records: UsageRecord, more: bytes = b"") -> str:
    (folder / name).write_bytes(b"".join(map(lines, records)) + more)
    return name


def test_what_lies_behind_the_position_is_uncounted(tmp_path: Path) -> None:
    one, two = final(1), final(2)
    name = segment(tmp_path, "ours-00000002.journal", one, two)
    assert Watched(tmp_path, 2, len(lines(one))).orphans.uncounted(name) == [two]
    assert Watched(tmp_path, 2, len(lines(one) + lines(two))).orphans.uncounted(name) == []
    # An earlier segment, and a later one.
    assert Watched(tmp_path, 3, 0).orphans.uncounted(name) == []
    assert Watched(tmp_path, 1, 5).orphans.uncounted(name) == [one, two]


def test_nothing_of_a_stranger_s_journal_is_counted(tmp_path: Path) -> None:
    name = segment(tmp_path, "theirs-00000001.journal", final(1))
    watched = Watched(tmp_path, 1, 0)
    assert watched.orphans.uncounted(name) == []
    watched.orphans.add_interrupted([("theirs", final(2)), ("ours", final(3))])
    watched.orphans.count_found()
    assert watched.counted == [final(3)]


def test_a_damaged_line_is_passed_over(tmp_path: Path) -> None:
    name = segment(tmp_path, "ours-00000001.journal", final(1), more=b'{"event":"final","id":"req_\n' + lines(final(2)))
    assert Watched(tmp_path, 1, 0).orphans.uncounted(name) == [final(1), final(2)]


def test_what_was_found_is_counted_once(tmp_path: Path) -> None:
    watched = Watched(tmp_path, 1, 0)
    watched.orphans.add([final(1)])
    watched.orphans.count_found()
    watched.orphans.count_found()
    assert watched.counted == [final(1)]
