"""The strategy "weighted": smooth weighted round robin."""

from proxy.routing.strategies.base import Estimate
from proxy.routing.strategies.weighted import Weighted
from tests.routing.samples import Dice, targets


def chosen(weights: tuple[int, ...], count: int, usable: slice = slice(None)) -> str:
    """The names of the targets that so many requests get."""
    all_ = targets(*"abc"[: len(weights)])
    strategy = Weighted({one.state: weight for one, weight in zip(all_, weights, strict=True)}, {}, Dice())
    return "".join(strategy.choose(all_[usable], Estimate(), 0.0).pool.name for _ in range(count))


def test_each_gets_its_share_of_every_round_evenly_spread() -> None:
    assert chosen((5, 1, 1), 14) == "aabacaaaabacaa"


def test_equal_weights_take_turns() -> None:
    assert chosen((1, 1), 4) == "abab"


def test_those_that_may_not_be_tried_are_passed_over_and_the_others_keep_their_shares() -> None:
    assert sorted(chosen((5, 2, 1), 6, slice(1, None))) == ["b"] * 4 + ["c"] * 2
