"""The strategy "least-busy"."""

from proxy.routing.strategies.base import Estimate
from proxy.routing.strategies.least_busy import LeastBusy
from tests.routing.samples import Dice, targets


def test_the_fewest_requests_in_flight() -> None:
    all_ = targets("a", "b", "c")
    for target, count in zip(all_, (2, 1, 3), strict=True):
        target.state.in_flight = count
    assert LeastBusy({}, {}, Dice()).choose(all_, Estimate(), 0.0) is all_[1]


def test_of_equals_any_one() -> None:
    all_ = targets("a", "b", "c")
    strategy = LeastBusy({}, {}, Dice(0.0, 0.4, 0.9))
    assert [strategy.choose(all_, Estimate(), 0.0).pool.name for _ in all_] == ["a", "b", "c"]
