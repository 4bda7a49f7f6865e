"""The sums of a plan are exactly the hours of each period, in any zone."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from proxy.ledger import board_plan, periods
from proxy.ledger.periods import DAY, HOUR, Unit

ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Asia/Kathmandu", "Australia/Lord_Howe", "Pacific/Apia")
#: 2026, with the days on which clocks are put forward and back.
SINCE = 1_767_225_600


@given(
    st.integers(SINCE, SINCE + 365 * DAY),
    st.integers(1, 40 * DAY),
    st.sampled_from(("hour", "day", "week")),
    st.sampled_from(ZONES),
)
def test_each_hour_is_in_its_own_period_once(since: int, length: int, unit: Unit, zone: str) -> None:
    until = since + length
    starts = board_plan.begins(since, until, unit, zone)
    counted: Counter[tuple[int, int]] = Counter()
    for grain, start, sign, number in board_plan.plan_of(since, until, starts).pieces:
        for hour in range(start, start + grain, HOUR):
            counted[hour, number] += sign
    first, last = board_plan.whole_hours(since, until)
    place = periods.zone_of(zone)
    wanted = {(hour, starts.index(periods.start_of(unit, hour, place))): 1 for hour in range(first, last, HOUR)}
    assert {hour: count for hour, count in counted.items() if count} == wanted


def test_a_month_of_days_in_another_zone_reads_few_sums() -> None:
    starts = board_plan.begins(SINCE - HOUR, SINCE + 30 * DAY - HOUR, "day", "Europe/Berlin")
    plan = board_plan.plan_of(SINCE - HOUR, SINCE + 30 * DAY - HOUR, starts)
    assert (len(starts), len(plan.pieces), plan.takes_away) == (30, 90, True)


@given(st.integers(SINCE, SINCE + 9 * DAY), st.integers(1, 5 * DAY))
def test_a_cover_has_each_hour_once_and_takes_nothing_away(since: int, length: int) -> None:
    plan = board_plan.cover_of(since, since + length)
    first, last = board_plan.whole_hours(since, since + length)
    hours = [hour for grain, start, _, _ in plan.pieces for hour in range(start, start + grain, HOUR)]
    assert (hours, plan.takes_away) == (list(range(first, last, HOUR)), False)
