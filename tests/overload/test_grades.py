"""The arithmetic of grades: it rises at once, falls only after a while, and a single pause is no overload."""

import pytest

from proxy.overload.grades import (
    CLOSE,
    GRADE_RATIOS,
    LAG_SWEEPS,
    MAX_SHED_RATIO,
    NEVER,
    PAUSE,
    REFUSE,
    RELEASE_SECONDS,
    Gauge,
    LoadShedder,
)

MAX_LAG = 0.25


@pytest.mark.parametrize(("value", "grade"), [(0.79, 0), (0.80, CLOSE), (0.90, REFUSE), (0.95, PAUSE), (1.2, PAUSE)])
def test_a_grade_is_reached_at_once(value: float, grade: int) -> None:
    gauge = Gauge(*GRADE_RATIOS)
    gauge.update(value, 0.0)
    assert gauge.grade == grade


def test_a_grade_is_kept_just_below_where_it_begins() -> None:
    gauge = Gauge(*GRADE_RATIOS)
    for now, value in enumerate((0.90, 0.89, 0.86, 0.86)):
        gauge.update(value, float(now))
    assert gauge.grade == REFUSE


def test_a_grade_falls_when_it_has_been_low_for_a_while() -> None:
    gauge = Gauge(*GRADE_RATIOS)
    grades = []
    for now, value in ((0.0, 0.95), (1.0, 0.1), (1.0 + RELEASE_SECONDS / 2, 0.1), (1.0 + RELEASE_SECONDS, 0.1)):
        gauge.update(value, now)
        grades.append(gauge.grade)
    assert grades == [PAUSE, PAUSE, PAUSE, 0]


def test_a_dip_does_not_count_when_it_rises_again_meanwhile() -> None:
    gauge = Gauge(*GRADE_RATIOS)
    for now, value in ((0.0, 0.95), (1.0, 0.1), (1.0 + RELEASE_SECONDS / 2, 0.95), (1.0 + RELEASE_SECONDS, 0.1)):
        gauge.update(value, now)
    assert gauge.grade == PAUSE


def test_a_grade_that_never_begins_is_passed_over() -> None:
    gauge = Gauge(NEVER, 0.8, NEVER)
    gauge.update(0.9, 0.0)
    assert gauge.grade


def late(shedder: LoadShedder, *lags: float, start: float = 0.0) -> LoadShedder:
    shedder.max_lag = MAX_LAG
    for number, lag in enumerate(lags):
        shedder.update(lag, start + number * 0.1)
    return shedder


def test_one_long_pause_among_sweeps_in_time_refuses_nothing() -> None:
    assert late(LoadShedder(), *[0.0] * 10, 5.0).ratio == 0.0


def test_sweeps_that_are_late_again_and_again_refuse_more_and_more() -> None:
    shedder = late(LoadShedder(), *[MAX_LAG * 2] * (LAG_SWEEPS + 1))
    first = shedder.ratio
    assert 0 < first < late(shedder, MAX_LAG * 2).ratio


def test_some_work_always_goes_on() -> None:
    assert late(LoadShedder(), *[MAX_LAG * 2] * 1_000).ratio == MAX_SHED_RATIO < 1


def test_a_loop_that_is_in_time_again_refuses_less_and_at_last_nothing() -> None:
    shedder = late(LoadShedder(), *[MAX_LAG * 2] * 30)
    worst = shedder.ratio
    assert shedder.grade == REFUSE
    assert 0 < late(shedder, *[0.0] * 10, start=3.0).ratio < worst
    assert late(shedder, *[0.0] * 200, start=4.0).ratio == 0
    assert shedder.grade == 0
