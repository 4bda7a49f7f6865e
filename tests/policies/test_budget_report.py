"""The report of all budgets: states, what is left, and forecasts by whole hours."""

import pytest

from proxy.ledger.spending import Payers, SpendingReader, Spent
from proxy.limits.forecast import Forecast
from proxy.policies.budget_report import BudgetLine, read_forecast

HOUR = 3_600
MICROSECONDS = 1_000_000
NOW = (1_000 * HOUR + 120) * MICROSECONDS


def line(spent: int | None, reserved: int | None = 0, limit: int = 100) -> BudgetLine:
    return BudgetLine(
        payer="key app", name="", window="month", limit=limit, spent=spent, reserved=reserved, reset=None, zone="UTC",
        on_exceed="refuse",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("spent", "reserved", "state"),
    [(0, 0, "available"), (79, 0, "available"), (80, 0, "nearly used up"), (80, 20, "used up"), (120, 0, "used up"),
     (None, None, "shared")],
)  # fmt: skip
def test_a_state_is_that_of_what_is_left(spent: int | None, reserved: int | None, state: str) -> None:
    assert line(spent, reserved).state == state


def test_what_is_not_known_is_no_number() -> None:
    one = line(None, None)
    assert (one.left, one.percent) == (None, None)
    assert line(0, limit=0).percent is None


class Reader(SpendingReader):
    """Gives one sum, and keeps for which times."""

    def __init__(self) -> None:
        self.asked: list[tuple[int, int]] = []

    def read(self, payers: Payers, start: int, end: int = 0) -> Spent:
        self.asked.append((start // MICROSECONDS // HOUR, end // MICROSECONDS // HOUR))
        return Spent(spent=240)


def test_a_forecast_counts_whole_hours_since_one_could_spend() -> None:
    reader = Reader()
    found = read_forecast(reader, Payers(), spent=0, limit=10_000, now=NOW, end=None, since=976 * HOUR - 5)
    assert reader.asked == [(976, 1_000)]
    assert found == Forecast(rate=10, used_up=1_000 * HOUR + 120 + 1_000 * HOUR)


def test_a_forecast_looks_back_a_week_at_most() -> None:
    reader = Reader()
    read_forecast(reader, Payers(), spent=0, limit=1, now=NOW, end=None, since=0)
    assert reader.asked == [(1_000 - 168, 1_000)]


def test_without_a_ledger_nothing_is_expected() -> None:
    assert read_forecast(None, Payers(), spent=0, limit=9, now=NOW, end=None, since=0) == Forecast(rate=0)
