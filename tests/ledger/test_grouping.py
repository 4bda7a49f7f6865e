"""What lines of reports are by, and that rows are read by whole hours, as rollups are."""

from typing import Any, get_args

import pytest

from proxy.errors import InvalidRequest
from proxy.ledger.grouping import By, Grouping
from proxy.ledger.rollups import SUMS
from proxy.ledger.selection import Selection


def test_rows_are_taken_by_whole_hours_as_rollups_are() -> None:
    text, values = Grouping(by="key").source((3_700, 7_300), SUMS, Selection(users=("u",)))
    assert values == (3_600_000_000, 10_800_000_000, "u")
    assert "FROM requests" in text


@pytest.mark.parametrize(
    "options",
    [
        {"by": "price"},
        {"by": "metadata"},
        {"by": "day", "zone": "Mars/Base"},
        {"by": "day", "zone": "../../etc/passwd"},
    ],
)
def test_what_cannot_be_grouped_by_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest):
        Grouping(**options)


@pytest.mark.parametrize("by", get_args(By))
def test_no_text_of_a_group_is_in_the_statement(by: Any) -> None:
    hostile = "x'; DROP TABLE requests; --"
    grouping = Grouping(by=by, metadata_key=hostile, tags={hostile: (hostile,)})
    text, values = grouping.source((0, 3_600), ("requests",), Selection())
    assert hostile not in text
    assert text.count("?") == len(values)


def test_a_page_of_another_report_is_refused() -> None:
    for by in ("hour", "day", "week", "month"):
        with pytest.raises(InvalidRequest, match="not one of this report"):
            Grouping(by=by).value("gpt-5")
