"""Filters of reports: which of them need the rows, and that no text of theirs becomes a part of a statement."""

import pytest

from proxy.errors import InvalidRequest
from proxy.ledger.selection import Selection


@pytest.mark.parametrize(
    ("selection", "needs_rows"),
    [
        (Selection(), False),
        (Selection(keys=("key_1",), aliases=("a",)), False),
        (Selection(upstreams=("u",), teams=("t",), orgs=("o",), endpoints=("/e",), tagged=()), False),
        (Selection(outcomes=("timeout",)), True),
        (Selection(statuses=("5xx",)), True),
        (Selection(sessions=("s",)), True),
        (Selection(users=("u",)), True),
        (Selection(metadata=(("k", "v"),)), True),
    ],
)
def test_only_what_rollups_do_not_have_needs_the_rows(selection: Selection, needs_rows: bool) -> None:
    assert selection.needs_rows is needs_rows


def test_what_is_not_filtered_is_no_condition() -> None:
    assert Selection().condition() == ("", ())


def test_the_values_of_a_filter_are_never_in_the_statement() -> None:
    hostile = "'; DROP TABLE requests; --"
    text, values = Selection(keys=(hostile,), aliases=(hostile, "b")).condition()
    assert hostile not in text
    assert text.count("?") == len(values) == 2


def test_a_pair_of_metadata_is_never_in_the_statement() -> None:
    hostile = "'; DROP TABLE requests; --"
    text, values = Selection(metadata=((hostile, hostile),), statuses=("404", "5xx")).condition()
    assert hostile not in text
    assert text.count("?") == len(values) == 4


@pytest.mark.parametrize("status", ["", "42", "600", "xxx", "4xx5", "-200"])
def test_what_is_no_status_is_refused(status: str) -> None:
    with pytest.raises(InvalidRequest, match="such as 429"):
        Selection(statuses=(status,))
