"""What a board may be about."""

import pytest

from proxy.errors import InvalidRequest
from proxy.ledger.board_values import Board, Totals


@pytest.mark.parametrize(
    "values", [{"since": 2, "until": 2}, {"since": -1, "until": 2}, {"since": 1, "until": 2, "zone": "Mars"}]
)
def test_what_no_board_is_about(values: dict[str, object]) -> None:
    with pytest.raises(InvalidRequest):
        Board(**values)  # type: ignore[arg-type]


def test_a_margin_is_known_where_the_cost_of_a_target_is() -> None:
    assert not Totals(requests=1, uncosted=1).has_margin
    assert Totals(requests=2, uncosted=1, margin=-5).has_margin
