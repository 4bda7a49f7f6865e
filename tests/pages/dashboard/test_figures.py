"""Figures are short to read, and exact beside that; what is not known is a dash."""

import pytest

from proxy.ledger.board_values import Totals
from proxy.pages.dashboard.figures import Change, Figures, cost_of, margin_of

UTC = Figures("UTC")


@pytest.mark.parametrize(
    ("nano", "text", "exact"),
    [
        (None, "–", "not known"),
        (0, "$0.00", "$0.00 USD"),
        (1, "$0.000000001", "$0.000000001 USD"),
        (12_345_678, "$0.012", "$0.012345678 USD"),
        (995_000_000, "$1.00", "$0.995 USD"),
        (1_234_567_890_123, "$1,234.57", "$1234.567890123 USD"),
        (-5_000_000_000, "-$5.00", "$-5.00 USD"),
    ],
)
def test_money_is_rounded_with_all_digits_beside(nano: int | None, text: str, exact: str) -> None:
    assert UTC.money(nano) == (text, exact)


def test_numbers_and_durations_have_units() -> None:
    assert [UTC.short(value) for value in (None, 999, 1_000, 12_345, 999_600, 2**40)] == [
        "–",
        "999",
        "1.00 k",
        "12.3 k",
        "1.00 M",
        "1.10 T",
    ]
    assert [UTC.duration(value) for value in (None, 12, 1_234, 12_345, 123_456, 1_234_567)] == [
        "–",
        "12 µs",
        "1.23 ms",
        "12.3 ms",
        "123 ms",
        "1.23 s",
    ]


def test_changes_say_which_way() -> None:
    assert UTC.change(150, 100) == Change("+50.0 %", "up")
    assert UTC.change(50, 100) == Change("−50.0 %", "down")
    assert UTC.change(5, 0) == Change("new", "up")
    assert UTC.change(None, 5).direction == UTC.change(0, 0).direction == "none"


def test_times_are_of_the_zone() -> None:
    assert Figures("Asia/Tokyo").time(0) == "1970-01-01 09:00:00"


def test_a_cost_that_is_known_of_no_request_is_not_0() -> None:
    assert cost_of(Totals(requests=2, unpriced=2)) is None
    assert cost_of(Totals(requests=2, unpriced=1, cost=5)) == 5
    assert cost_of(Totals()) == 0
    assert margin_of(Totals(requests=2, uncosted=2)) is None
