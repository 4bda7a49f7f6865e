"""The suite of slow clients, small: without the bounds of memory and time."""

from pathlib import Path

from tests.load.slow import run


def test_clients_that_do_not_read_or_do_not_come_to_the_point_are_dropped_and_harm_nobody(tmp_path: Path) -> None:
    assert run(tmp_path, 100, 1.0, 1.0, measured=False).failures == []
