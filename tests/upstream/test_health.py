"""Ejection of an upstream that fails: after how many failures, for how long, and what brings it back."""

from collections.abc import Callable

from proxy.config.tree import Upstream
from proxy.upstream.health import Health


def health(may_eject: Callable[[], bool] = lambda: True, **settings: float) -> Health:
    """Of an upstream with these settings."""
    return Health(Upstream(base_url="http://vendor.test", **settings), may_eject)  # type: ignore[arg-type]


def fail(one: Health, times: int, now: float = 0.0, *, gateway: bool = True) -> list[float]:
    """What each of so many failures gives."""
    return [one.failed(now, gateway=gateway) for _ in range(times)]


def test_five_failures_in_a_row_eject_for_thirty_seconds() -> None:
    one = health()
    assert fail(one, 5) == [0.0, 0.0, 0.0, 0.0, 30.0]
    assert one.ejected
    assert (one.may_try(29.9), one.may_try(30.0)) == (False, True)


def test_errors_of_the_upstream_s_own_eject_too() -> None:
    assert fail(health(), 5, gateway=False)[-1] == 30.0


def test_an_answer_between_them_begins_the_count_again() -> None:
    one = health()
    fail(one, 4)
    assert not one.succeeded(0.0)
    assert fail(one, 4) == [0.0] * 4
    assert not one.ejected


def test_failures_without_an_answer_are_counted_apart_from_errors_of_its_own() -> None:
    one = health(consecutive_5xx=0)
    fail(one, 4)
    assert fail(one, 1, gateway=False) == [0.0]
    assert fail(one, 4) == [0.0] * 4
    assert fail(one, 1) == [30.0]


def test_neither_count_ejects_when_both_are_switched_off() -> None:
    one = health(consecutive_5xx=0, consecutive_gateway_failures=0)
    assert fail(one, 50) == [0.0] * 50
    assert one.may_try(0.0)


def test_the_first_request_after_an_ejection_tries_alone() -> None:
    one = health()
    fail(one, 5)
    assert one.may_try(30.0)
    one.probe(30.0)
    assert not one.may_try(39.9)
    assert one.may_try(40.0)


def test_a_good_answer_brings_it_back() -> None:
    one = health()
    fail(one, 5)
    assert one.succeeded(31.0)
    assert one.may_try(31.0)
    assert not one.succeeded(32.0)


def test_a_try_that_fails_ejects_at_once_and_for_longer_each_time() -> None:
    one = health(max_ejection_time=100.0)
    fail(one, 5)
    assert [one.failed(now, gateway=True) for now in (30.0, 90.0, 180.0, 280.0)] == [60.0, 90.0, 100.0, 100.0]


def test_a_failure_during_the_ejection_does_not_lengthen_it() -> None:
    one = health()
    fail(one, 5)
    assert fail(one, 5, now=10.0) == [0.0] * 5
    assert one.may_try(30.0)


def test_each_interval_in_good_health_makes_up_for_one_ejection() -> None:
    one = health()
    fail(one, 5)
    one.failed(30.0, gateway=True)
    one.succeeded(100.0)
    assert fail(one, 5, now=105.0)[-1] == 90.0
    one.succeeded(200.0)
    assert fail(one, 5, now=220.0)[-1] == 60.0


def test_nothing_is_ejected_beyond_what_may_be() -> None:
    one = health(may_eject=lambda: False)
    assert fail(one, 20) == [0.0] * 20
    assert one.may_try(0.0)
