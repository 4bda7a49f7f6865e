"""Filters of reports: which of them need the rows, and that no text of theirs becomes a part of a statement."""

import pytest

from proxy.ledger.rollups import SUMS
from proxy.ledger.selection import Selection


@pytest.mark.parametrize(
    ("selection", "needs_rows"),
    [
        (Selection(), False),
        (Selection(keys=("key_1",), aliases=("a",)), False),
        (Selection(upstreams=("u",)), True),
        (Selection(outcomes=("timeout",)), True),
    ],
)
def test_only_upstreams_and_outcomes_need_the_rows(selection: Selection, needs_rows: bool) -> None:
    assert selection.needs_rows is needs_rows


def test_what_is_not_filtered_is_no_condition() -> None:
    assert Selection().condition() == ("", ())


def test_the_values_of_a_filter_are_never_in_the_statement() -> None:
    hostile = "'; DROP TABLE requests; --"
    text, values = Selection(keys=(hostile,), aliases=(hostile, "b")).condition()
    assert hostile not in text
    assert text.count("?") == len(values) == 2


def test_rows_are_taken_by_whole_hours_as_rollups_are() -> None:
    text, values = Selection(upstreams=("u",)).rows(3_700, 7_300, SUMS)
    assert values == (3_600_000_000, 10_800_000_000, '["u"]')
    assert all(f" AS {name}" in text for name in SUMS)
