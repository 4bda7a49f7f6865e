"""The retry plan as a sentence: what comes after which end of an attempt."""

import math
import time

import pytest

from proxy.errors import UpstreamConnectFailed, UpstreamDropped, UpstreamTimeout
from proxy.routing.retry import (
    CLIENT_TIMEOUT_MARGIN_SECONDS,
    GIVE_UP,
    MAX_ATTEMPTS,
    RETRY,
    RETRY_FRESH,
    ErrorStatus,
    RetryPlan,
    Wait,
)
from tests.routing.samples import eject, targets


def plan_of(*upstreams: str, patience: float = math.inf, timeout: float = 60.0, uploads: bool = False) -> RetryPlan:
    """A plan whose first attempt has begun."""
    plan = RetryPlan(targets(*upstreams), time.monotonic(), timeout, patience, uploads)
    plan.begin()
    return plan


def dropped(*, reused: bool) -> UpstreamDropped:
    error = UpstreamDropped("gone")
    error.reused = reused
    return error


def status(code: int, retry_after: float = math.inf) -> ErrorStatus:
    return ErrorStatus(code, retry_after)


@pytest.mark.parametrize("error", [UpstreamConnectFailed("no"), UpstreamTimeout("late"), dropped(reused=False)])
def test_a_failed_attempt_moves_to_the_next_target(error: UpstreamConnectFailed) -> None:
    plan = plan_of("a", "b")
    assert plan.after(error) == RETRY
    assert plan.target.pool.name == "b"
    plan.begin()
    assert plan.after(error) == GIVE_UP


def test_a_connection_closed_as_it_was_reused_is_replaced_once_at_the_same_target() -> None:
    plan = plan_of("a")
    assert plan.after(dropped(reused=True)) == RETRY_FRESH
    assert plan.target.pool.name == "a"
    plan.begin()
    assert plan.after(dropped(reused=True)) == GIVE_UP


@pytest.mark.parametrize("code", [500, 502, 503, 529, 408, 409, 429])
def test_a_status_that_another_target_may_mend_moves_to_it(code: int) -> None:
    plan = plan_of("a", "b")
    if code == 500:
        assert plan.after(status(code)) == RETRY
        assert plan.target.pool.name == "a"
        plan.begin()
    assert plan.after(status(code)) == RETRY
    assert plan.target.pool.name == "b"


@pytest.mark.parametrize("code", [400, 401, 404, 413, 422])
def test_a_status_about_the_request_is_final(code: int) -> None:
    assert plan_of("a", "b").after(status(code)) == GIVE_UP


@pytest.mark.parametrize("code", [429, 503, 529])
def test_the_last_target_is_waited_for_once_when_it_says_so(code: int) -> None:
    plan = plan_of("a")
    before = time.monotonic()
    step = plan.after(status(code, 0.5))
    assert isinstance(step, Wait)
    assert before + 0.5 <= step.until <= time.monotonic() + 0.5
    plan.begin()
    assert plan.after(status(code, 0.5)) == GIVE_UP


@pytest.mark.parametrize("seconds", [math.inf, 3600.0])
def test_a_wait_that_is_too_long_or_not_given_is_none(seconds: float) -> None:
    assert plan_of("a").after(status(429, seconds)) == GIVE_UP


def test_a_wait_beyond_the_request_s_own_time_is_none() -> None:
    assert plan_of("a", timeout=0.2).after(status(429, 0.5)) == GIVE_UP


def test_attempts_are_bounded_whatever_the_targets() -> None:
    plan = plan_of("a", "b", "c", "d", "e")
    for _ in range(MAX_ATTEMPTS - 1):
        assert plan.after(status(503)) == RETRY
        plan.begin()
    assert plan.after(status(503)) == GIVE_UP
    assert not plan.has_next


def test_nothing_is_retried_once_the_time_for_the_first_byte_is_over() -> None:
    assert plan_of("a", "b", timeout=0.0).after(status(503)) == GIVE_UP


def test_an_ejected_first_target_is_tried_last() -> None:
    all_ = targets("a", "b")
    eject(all_[0])
    plan = RetryPlan(all_, time.monotonic(), 60.0, math.inf, False)
    assert plan.target.pool.name == "b"


def test_the_retry_budget_of_an_upstream_is_taken_and_given_back() -> None:
    plan = plan_of("a")
    retries = plan.target.pool.retries
    assert plan.after(status(500)) == RETRY
    assert retries.running == 1
    plan.release()
    assert retries.running == 0


def test_a_patient_client_changes_nothing_and_an_impatient_one_is_sent_an_error_in_time() -> None:
    arrived = time.monotonic()
    assert RetryPlan(targets("a"), arrived, 60.0, math.inf, False).first_byte_deadline == arrived + 60.0
    plan = RetryPlan(targets("a"), arrived, 60.0, 10.0, False)
    assert plan.first_byte_deadline == arrived + 10.0 - CLIENT_TIMEOUT_MARGIN_SECONDS
    assert plan.deadline == arrived + 60.0


def test_an_upload_has_all_the_time_that_its_client_takes_to_send_it() -> None:
    arrived = time.monotonic()
    assert RetryPlan(targets("a"), arrived, 60.0, 10.0, True).first_byte_deadline == arrived + 60.0


def test_the_time_of_failed_attempts_is_counted_as_lost() -> None:
    plan = plan_of("a", "b")
    plan.after(status(503))
    time.sleep(0.01)
    plan.begin()
    assert 0.01 <= plan.lost_seconds < 5
