"""The suite of disconnects, small: its figures without their times."""

from pathlib import Path

from tests.load.disconnects import run


def test_clients_that_leave_anywhere_leave_nothing_behind_and_are_billed_once(tmp_path: Path) -> None:
    assert run(tmp_path, 240, 8, timed=False).failures == []
