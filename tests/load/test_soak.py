"""The soak, short: all but what only time shows."""

from pathlib import Path

from tests.load.soak import run


def test_a_mixed_load_with_faults_is_billed_as_the_upstream_served_it_and_leaves_nothing_open(tmp_path: Path) -> None:
    assert run(tmp_path, 4.0, 200.0, 32, measured=False).failures == []
