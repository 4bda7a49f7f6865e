"""The condition of a target: what takes it out, for how long, what brings it back; by a clock that the test moves."""

from proxy.upstream.condition import (
    EJECTION_SECONDS,
    MAX_EJECTION_SECONDS,
    MAX_FAILURES_IN_ROW,
    MIN_WINDOW_REQUESTS,
    PROBE_SECONDS,
    WINDOW_SECONDS,
    Condition,
)


def ejected(now: float = 0.0) -> Condition:
    condition = Condition()
    for _ in range(MAX_FAILURES_IN_ROW):
        condition.failed(now)
    return condition


def test_a_cooldown_ends_by_itself_and_then_one_request_probes() -> None:
    condition = Condition()
    condition.cool("rate_limit", 3.0, 10.0)
    assert (condition.out, condition.cause, condition.since) == (True, "rate_limit", 10.0)
    assert not condition.may_try(12.9)
    assert condition.may_try(13.0)
    condition.probe(13.0)
    assert not condition.may_try(13.0 + PROBE_SECONDS - 0.1), "one probe at a time"
    assert condition.may_try(13.0 + PROBE_SECONDS), "a probe that never ends must not keep it out"


def test_a_longer_cooldown_is_not_shortened_by_another_cause() -> None:
    condition = Condition()
    condition.cool("credential", 600.0, 0.0)
    condition.cool("rate_limit", 1.0, 0.0)
    assert condition.cause == "credential"
    assert not condition.may_try(599.0)


def test_a_good_response_brings_it_back() -> None:
    condition = Condition()
    condition.cool("rate_limit", 60.0, 0.0)
    assert condition.succeeded(1.0)
    assert (condition.out, condition.cause) == (False, "")
    assert condition.may_try(1.0)


def test_failures_in_a_row_eject_it() -> None:
    condition = Condition()
    assert [condition.failed(0.0) for _ in range(MAX_FAILURES_IN_ROW)] == [0.0] * 4 + [EJECTION_SECONDS]
    assert condition.out


def test_a_success_between_them_does_not() -> None:
    condition = Condition()
    for _ in range(4):
        condition.failed(0.0)
        condition.succeeded(0.0)
    assert condition.failed(0.0) == 0.0


def test_more_than_half_of_a_window_ejects_it() -> None:
    condition = Condition()
    outcomes = [condition.failed(1.0) or float(condition.succeeded(1.0)) for _ in range(MIN_WINDOW_REQUESTS // 2)]
    assert outcomes == [0.0] * (MIN_WINDOW_REQUESTS // 2)
    assert condition.failed(1.0) == EJECTION_SECONDS, "11 of 21"


def test_failures_of_another_window_do_not_count() -> None:
    condition = Condition()
    for _ in range(MIN_WINDOW_REQUESTS // 2):
        condition.failed(0.0)
        condition.succeeded(0.0)
    assert condition.failed(WINDOW_SECONDS + 1.0) == 0.0


def test_each_failed_probe_doubles_its_time_up_to_a_bound() -> None:
    condition, now, times = ejected(), 0.0, []
    for _ in range(6):
        now += MAX_EJECTION_SECONDS
        times.append(condition.failed(now))
    assert times == [10.0, 20.0, 40.0, 60.0, 60.0, 60.0]


def test_failures_while_it_is_out_do_not_prolong_that() -> None:
    condition = ejected()
    assert condition.failed(1.0) == 0.0
    assert condition.may_try(EJECTION_SECONDS)


def test_after_a_window_without_failures_nothing_is_kept() -> None:
    condition = ejected()
    condition.succeeded(10.0)
    condition.succeeded(20.0 + WINDOW_SECONDS)
    assert (condition.watched, condition.ejections) == (False, 0)
