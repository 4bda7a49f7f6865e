"""The strategy "cheapest": by what this request is likely to cost."""

from proxy.routing.strategies.base import Estimate
from proxy.routing.strategies.cheapest import Cheapest
from tests.routing.samples import Dice, targets


def test_it_depends_on_the_shape_of_the_request() -> None:
    all_ = targets("dear-output", "dear-input", "unknown")
    strategy = Cheapest({}, {all_[0].state: (1.0, 10.0), all_[1].state: (4.0, 4.0)}, Dice())
    assert strategy.choose(all_, Estimate(1_000, 10), 0.0) is all_[0]
    assert strategy.choose(all_, Estimate(10, 1_000), 0.0) is all_[1]


def test_what_costs_an_unknown_amount_is_dearer_than_all_others() -> None:
    all_ = targets("unknown", "known")
    assert Cheapest({}, {all_[1].state: (1e9, 1e9)}, Dice()).choose(all_, Estimate(1, 1), 0.0) is all_[1]


def test_without_any_costs_it_is_the_first_one() -> None:
    all_ = targets("a", "b")
    assert Cheapest({}, {}, Dice()).choose(all_, Estimate(1, 1), 0.0) is all_[0]
