"""The delay before a second attempt, and how many there may be."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.config.tree import Hedge, Price
from proxy.routing.hedging import MAX_BURST, MAX_TIMES, MIN_TIMES, AliasHedging, HedgeBudget, RecentTimes
from proxy.upstream.target import Target
from tests.routing.samples import alias_of, eject, occupy


def times(*seconds: float) -> RecentTimes:
    recent = RecentTimes()
    for one in seconds:
        recent.add(one)
    return recent


def test_few_times_say_nothing() -> None:
    assert times(*[5.0] * (MIN_TIMES - 1)).percentile == 0.0
    assert times(*[5.0] * MIN_TIMES).percentile == 5.0


def test_the_percentile_is_that_of_the_slowest_tenth() -> None:
    assert times(*[0.1] * 90, *[2.0] * 10).percentile == 2.0
    assert times(*[0.1] * 92, *[2.0] * 8).percentile == 0.1


def test_old_times_are_forgotten() -> None:
    assert times(*[5.0] * MAX_TIMES, *[0.1] * MAX_TIMES).percentile == 0.1


def test_the_delay_is_the_larger_of_percentile_and_floor() -> None:
    hedging = AliasHedging(Hedge(floor=0.3), bool, print)
    assert hedging.delay(stream=True) == 0.3
    for _ in range(MIN_TIMES):
        hedging.note_first_content(0.1, stream=True)
    assert hedging.delay(stream=True) == 0.3
    for _ in range(MAX_TIMES):
        hedging.note_first_content(0.7, stream=True)
    assert hedging.delay(stream=True) == 0.7


def test_streams_and_whole_responses_have_delays_of_their_own() -> None:
    hedging = AliasHedging(Hedge(floor=0.3), bool, print)
    for _ in range(MIN_TIMES):
        hedging.note_first_content(8.0, stream=False)
    assert (hedging.delay(stream=True), hedging.delay(stream=False)) == (0.3, 8.0)


def test_other_settings_keep_what_is_known() -> None:
    hedging = AliasHedging(Hedge(floor=0.3), bool, print)
    for _ in range(MIN_TIMES):
        hedging.note_first_content(0.7, stream=True)
    hedging.configure(Hedge(floor=0.1, max_percent=50), {})
    assert (hedging.delay(stream=True), hedging.budget.percent) == (0.7, 50)


def test_a_budget_saves_up_a_few() -> None:
    budget = HedgeBudget(8)
    for _ in range(1_000):
        budget.earn()
    assert [budget.try_spend() for _ in range(MAX_BURST + 1)] == [True] * MAX_BURST + [False]


@given(percent=st.integers(1, 100), wanted=st.lists(st.booleans(), max_size=400))
def test_at_no_time_have_more_requests_a_second_attempt_than_the_percentage(percent: int, wanted: list[bool]) -> None:
    budget, spent = HedgeBudget(percent), 0
    for requests, one in enumerate(wanted, 1):
        budget.earn()
        spent += one and budget.try_spend()
        assert spent * 100 <= percent * requests


def target(name: str = "a", *, busy: int = 0, ejected: bool = False, out: bool = False) -> Target:
    (made,) = alias_of(name, max_requests=10).targets
    occupy(made, busy)
    if ejected:
        eject(made)
    if out:
        made.state.condition.cool("failures", 60.0, 0.0)
    return made


def test_a_target_that_is_ill_or_full_has_no_second_attempts() -> None:
    hedging = AliasHedging(Hedge(), bool, print)
    assert hedging.may_use(target(), target(busy=7))
    assert not hedging.may_use(target(), target(busy=8))
    assert not hedging.may_use(target(), target(ejected=True))
    assert not hedging.may_use(target(), target(out=True))


@pytest.mark.parametrize(("across", "may"), [(False, False), (True, True)])
def test_a_target_of_another_cost_has_second_attempts_only_if_it_may(across: bool, may: bool) -> None:
    hedging = AliasHedging(Hedge(across_prices=across), bool, print)
    hedging.configure(hedging.settings, {"a/model": Price(input=Decimal(1)), "b/model": Price(input=Decimal(2))})
    assert hedging.may_use(target("a"), target("b")) is may
    assert hedging.may_use(target("a"), target("c")) is may
    hedging.configure(hedging.settings, dict.fromkeys(("a/model", "b/model"), Price(input=Decimal(1))))
    assert hedging.may_use(target("a"), target("b"))
