"""The retry plan as a sentence: what comes after which end of an attempt."""

import asyncio
import math
import time

import pytest

from proxy.config.tree import Model, Server, Upstream
from proxy.errors import UpstreamConnectFailed, UpstreamDropped, UpstreamTimeout
from proxy.routing.models import Alias, compile_alias
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
from proxy.upstream.pool import Pool
from tests.routing.samples import alias_of, eject, targets


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


def keyed_plan(*keys: int) -> RetryPlan:
    """A plan over upstreams with so many keys each, whose first attempt has begun."""

    async def make() -> Alias:
        upstreams = {
            f"u{place}": Upstream(base_url="http://127.0.0.1:9", api_keys=[f"key-{place}-{n}" for n in range(count)])
            for place, count in enumerate(keys)
        }
        pools = {name: Pool(name, upstream) for name, upstream in upstreams.items()}
        model = Model(capability="chat", targets=[f"{name}/model" for name in pools])
        return compile_alias("core", model, pools, Server())

    alias = asyncio.run(make())
    plan = RetryPlan(alias.targets, time.monotonic(), 60.0, math.inf, False)
    plan.alias = alias
    plan.begin()
    return plan


@pytest.mark.parametrize("code", [401, 403, 429])
def test_each_key_of_an_upstream_is_tried_once_beyond_the_bound_on_attempts(code: int) -> None:
    plan = keyed_plan(6)
    labels = [plan.target.label]
    while plan.after(ErrorStatus(code, math.inf, elsewhere=True)) == RETRY:
        labels.append(plan.target.label)
        plan.begin()
    assert labels == ["u0/model", *(f"u0/model#{number}" for number in range(2, 7))]
    assert plan.target.pool.retries.running == 0, "another key is on no budget"


def test_a_failure_of_the_upstream_itself_is_no_reason_for_another_key_without_a_budget() -> None:
    plan = keyed_plan(6)
    for _ in range(3):
        plan.target.pool.retries.try_acquire(0)
    assert plan.after(UpstreamConnectFailed("no")) == GIVE_UP


def test_what_is_about_the_target_is_tried_at_the_next_one() -> None:
    plan = plan_of("a", "b")
    assert plan.after(ErrorStatus(404, math.inf, elsewhere=True)) == RETRY
    assert plan.target.pool.name == "b"
    assert plan_of("a", "b").after(ErrorStatus(404, math.inf)) == GIVE_UP


def test_a_request_is_in_flight_at_one_target_at_a_time_and_at_none_after_its_end() -> None:
    plan = keyed_plan(1, 2)
    first = plan.target
    assert first.state.in_flight == 1
    plan.after(UpstreamConnectFailed("no"))
    plan.begin()
    assert (first.state.in_flight, plan.target.state.in_flight) == (0, 1)
    plan.end()
    plan.end()
    assert plan.target.state.in_flight == 0


def test_another_alias_has_attempts_of_its_own_and_nothing_is_held_of_the_first() -> None:
    plan, other = keyed_plan(2), alias_of("x", "y", "z")
    first = plan.target
    plan.fall_back(other, other.targets, ("later",))
    assert (first.state.in_flight, plan.alias, plan.standby) == (0, other, ("later",))
    plan.begin()
    assert plan.after(UpstreamConnectFailed("no")) == RETRY
    plan.begin()
    assert plan.after(UpstreamConnectFailed("no")) == RETRY
    assert plan.attempts == 3
