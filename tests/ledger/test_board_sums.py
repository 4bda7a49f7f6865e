"""Sums of lines: taken together, taken away, and as a page gets them."""

from proxy.ledger import board_sums, rollups
from proxy.ledger.board_values import Quantiles, Totals

ONE = [1] * len(rollups.SUMS)


def test_what_others_have_is_taken_away() -> None:
    values = {(0, "a"): (ONE, [1, 2, 3]), (0, "b"): (ONE, [1, 0, 0])}
    together = board_sums.as_one(values)
    assert together == {(0, ""): ([2] * len(ONE), [2, 2, 3])}
    assert board_sums.less(together, {(0, ""): values[0, "a"]}) == {(0, ""): (ONE, [1, 0, 0])}


def test_nothing_has_no_durations() -> None:
    assert board_sums.totals_of(None) == Totals()
    assert board_sums.totals_of(([0] * len(ONE), [0, 0, 0])).ttft == Quantiles()
