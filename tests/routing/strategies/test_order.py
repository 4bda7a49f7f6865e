"""The strategy "order"."""

from proxy.routing.strategies.base import Estimate
from proxy.routing.strategies.order import InOrder
from tests.routing.samples import Dice, targets


def test_the_first_one_is_chosen() -> None:
    both = targets("a", "b")
    assert InOrder({}, {}, Dice()).choose(both, Estimate(), 0.0) is both[0]
