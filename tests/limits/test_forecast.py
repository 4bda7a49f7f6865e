"""Forecasts of budgets: from the hours before, within the window, and none from too little."""

from hypothesis import given
from hypothesis import strategies as st

from proxy.limits.forecast import MAX_HOURS, MIN_HOURS, Forecast, forecast

HOUR = 3_600
DAY = 24 * HOUR


def test_the_coming_hours_cost_what_the_recent_ones_did() -> None:
    found = forecast(spent=100, limit=1_000, now=0, end=DAY, past=240, hours=24)
    assert found == Forecast(rate=10, projected=340, used_up=None)


def test_a_limit_is_used_up_when_what_is_left_is_spent() -> None:
    found = forecast(spent=100, limit=200, now=7, end=DAY, past=240, hours=24)
    assert found.used_up == 7 + 10 * HOUR


def test_too_few_hours_say_nothing() -> None:
    found = forecast(spent=5, limit=10, now=0, end=DAY, past=5, hours=MIN_HOURS - 1)
    assert (found, found.is_known) == (Forecast(), False)


def test_a_limit_that_is_reached_needs_no_forecast() -> None:
    assert forecast(spent=10, limit=10, now=3, end=DAY, past=0, hours=0).used_up == 3


def test_nothing_spent_is_never_used_up() -> None:
    assert forecast(spent=0, limit=1, now=0, end=DAY, past=0, hours=24) == Forecast(rate=0, projected=0)


def test_a_budget_without_an_end_has_no_projection_and_may_be_used_up() -> None:
    found = forecast(spent=0, limit=240, now=0, end=None, past=24, hours=24)
    assert (found.projected, found.used_up) == (None, 240 * HOUR)


@given(
    st.integers(0, 10**12),
    st.integers(1, 10**12),
    st.integers(1, 400 * DAY),
    st.integers(0, 10**14),
    st.integers(MIN_HOURS, MAX_HOURS),
)
def test_it_is_used_up_in_the_window_only_if_the_projection_reaches_the_limit(
    spent: int, limit: int, end: int, past: int, hours: int
) -> None:
    found = forecast(spent=spent, limit=limit, now=0, end=end, past=past, hours=hours)
    assert found.projected is not None
    assert (found.used_up is not None) == (found.projected >= limit)
