"""The suite of cross-talk, small."""

from pathlib import Path

from tests.load.crosstalk import run


def test_each_answer_and_each_bill_is_that_of_its_own_request_over_an_upstream_that_mixes_them_up(
    tmp_path: Path,
) -> None:
    assert run(tmp_path, 2_000, 32).failures == []
