"""The routing of an alias: the order of its targets, without those that are drained or out."""

from dataclasses import replace
from decimal import Decimal

import pytest

from proxy.config.tree import Fallbacks, Price, Routing
from proxy.routing.alias_routing import AliasRouting
from proxy.routing.models import Alias
from proxy.routing.strategies import STRATEGIES
from proxy.routing.strategies.base import Estimate
from tests.routing.samples import alias_of, names


def routed(*upstreams: str, **settings: object) -> tuple[Alias, AliasRouting]:
    alias = alias_of(*upstreams, model={"routing": Routing(**settings)})  # type: ignore[arg-type]
    assert alias.routing is not None
    return alias, alias.routing


def test_an_alias_without_routing_has_none() -> None:
    assert alias_of("a", "b").routing is None


def test_each_strategy_of_the_configuration_has_its_line_in_the_table() -> None:
    assert set(STRATEGIES) == {"order", "weighted", "fastest", "least-busy", "cheapest"}


def test_the_chosen_one_comes_first_and_the_others_follow_in_their_order() -> None:
    alias, routing = routed("a", "b", "c", strategy="least-busy")
    for target, count in zip(alias.targets, (2, 1, 0), strict=True):
        target.state.in_flight = count
    assert names(routing.order(alias.targets)) == ["c", "a", "b"]


def test_what_is_out_is_not_chosen_and_not_dropped() -> None:
    alias, routing = routed("a", "b", strategy="least-busy")
    alias.targets[0].state.condition.cool("rate_limit", 1e9, routing.now())
    alias.targets[1].state.in_flight = 5
    assert names(routing.order(alias.targets)) == ["b", "a"]


def test_where_all_are_out_one_is_tried_all_the_same() -> None:
    alias, routing = routed("a", "b", strategy="least-busy")
    for target in alias.targets:
        target.state.condition.cool("rate_limit", 1e9, routing.now())
    alias.targets[0].state.in_flight = 1
    assert names(routing.order(alias.targets)) == ["b", "a"]


def test_a_target_of_weight_0_gets_nothing() -> None:
    alias, routing = routed("a", "b", "c", strategy="weighted", weights={"b/model": 0})
    assert {tuple(sorted(names(routing.order(alias.targets)))) for _ in range(6)} == {("a", "c")}


def test_weights_of_another_strategy_drain_nothing() -> None:
    alias, routing = routed("a", "b", strategy="order", weights={"a/model": 0})
    assert names(routing.order(alias.targets)) == ["a", "b"]


def test_in_order_nothing_is_chosen() -> None:
    alias, routing = routed("a", "b")
    assert routing.order(alias.targets) is alias.targets
    assert not routing.chooses


def test_cheapest_goes_by_the_costs_of_the_targets() -> None:
    costs = {
        "a/model": Price(input=Decimal(2), output=Decimal(2)),
        "b/model": Price(input=Decimal(1), output=Decimal(9)),
    }
    alias = alias_of("a", "b", model={"routing": Routing(strategy="cheapest"), "costs": costs})
    assert alias.routing is not None
    assert names(alias.routing.order(alias.targets, Estimate(1_000, 1))) == ["b", "a"]
    assert names(alias.routing.order(alias.targets, Estimate(1, 1_000))) == ["a", "b"]


def test_cheapest_goes_by_costs_too_where_nothing_is_known_of_the_request() -> None:
    costs = {"a/model": Price(input=Decimal(9), output=Decimal(9)), "b/model": Price(input=Decimal(1))}
    alias = alias_of("a", "b", model={"routing": Routing(strategy="cheapest"), "costs": costs})
    assert alias.routing is not None
    assert names(alias.routing.order(alias.targets)) == ["b", "a"]


def test_a_second_target_is_another_one_that_may_be_tried() -> None:
    alias, routing = routed("a", "b", "c", strategy="least-busy")
    one, two, three = alias.targets
    two.state.in_flight = 1
    assert routing.second(alias.targets, one) is three
    three.state.condition.cool("rate_limit", 1e9, routing.now())
    assert routing.second(alias.targets, one) is two
    assert routing.second((one, three), one) is None
    assert routing.second((one, replace(one)), one) is None, "the same target in another format"


def test_the_mean_of_the_output_is_learned() -> None:
    _, routing = routed("a")
    for _ in range(200):
        routing.note_output(40)
    assert routing.mean_output == pytest.approx(40, abs=1)


def test_fallbacks_are_by_cause() -> None:
    _, routing = routed("a", fallbacks=Fallbacks(rate_limit=["x", "y"]))
    assert routing.fallbacks == {"rate_limit": ("x", "y")}
