"""Pages of requests: their order, and cursors."""

import pytest

from proxy.errors import InvalidRequest
from proxy.ledger import board_rows


def test_a_cursor_is_the_place_of_a_row() -> None:
    assert board_rows.place_of(board_rows.cursor_of(17, "req_1")) == (17, "req_1")


@pytest.mark.parametrize("cursor", ["", "17", "x.req_1", "-1.req_1", "9" * 19 + ".req_1", "²." + "a"])
def test_what_is_no_cursor_is_refused(cursor: str) -> None:
    with pytest.raises(InvalidRequest):
        board_rows.place_of(cursor)
