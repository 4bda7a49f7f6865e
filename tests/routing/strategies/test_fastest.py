"""The strategy "fastest", by a clock and numbers that the test gives: it finds the faster target, and leaves it."""

import random
from collections.abc import Callable

from proxy.routing.strategies.base import Estimate
from proxy.routing.strategies.fastest import Fastest
from proxy.upstream.target import Target
from tests.routing.samples import Dice, targets


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def run(self, all_: tuple[Target, ...], count: int, times: Callable[[str], float], seed: int = 1) -> str:
        """So many requests one after the other, each as long as its target takes; the targets' names."""
        strategy, found = Fastest({}, {}, random.Random(seed).random), ""
        for _ in range(count):
            target = strategy.choose(all_, Estimate(), self.now)
            seconds = times(target.pool.name)
            self.now += seconds
            target.state.latency.observe(seconds, self.now)
            found += target.pool.name
        return found


def test_it_finds_the_faster_of_two_within_50_requests() -> None:
    for seed in range(50):
        found = Clock().run(targets("a", "b"), 60, lambda name: 0.3 if name == "a" else 0.1, seed)
        assert found[50:].count("b") >= 9, (seed, found)


def test_it_leaves_it_when_it_slows_and_comes_back_when_it_is_fast_again() -> None:
    clock, all_ = Clock(), targets("a", "b")
    clock.run(all_, 50, lambda name: 0.3 if name == "a" else 0.1)
    slow = clock.run(all_, 20, lambda name: 0.3 if name == "a" else 2.0)
    assert slow.count("b") <= 2, slow
    clock.run(all_, 600, lambda name: 0.3 if name == "a" else 0.1)
    again = clock.run(all_, 50, lambda name: 0.3 if name == "a" else 0.1)
    assert again.count("b") >= 45, again


def test_of_many_it_never_settles_on_the_slowest() -> None:
    times = {"a": 0.5, "b": 0.4, "c": 0.1, "d": 0.3}
    clock, all_ = Clock(), targets(*times)
    clock.run(all_, 50, times.__getitem__)
    found = clock.run(all_, 200, times.__getitem__)
    assert found.count("c") > 90
    assert found.count("a") < 10


def test_load_counts_as_slowness() -> None:
    one, two = all_ = targets("a", "b")
    one.state.latency.observe(0.1, 0.0)
    two.state.latency.observe(0.15, 0.0)
    one.state.in_flight = 1
    assert Fastest({}, {}, Dice(0.5)).choose(all_, Estimate(), 0.0) is two


def test_a_target_that_was_never_measured_counts_as_the_median() -> None:
    slow, fast, new = all_ = targets("slow", "fast", "new")
    slow.state.latency.observe(2.0, 0.0)
    fast.state.latency.observe(0.1, 0.0)
    assert Fastest({}, {}, Dice(0.5, 0.0, 0.9)).choose(all_, Estimate(), 0.0) is new


def test_one_request_of_a_hundred_measures_what_was_not_measured_lately() -> None:
    one, two = all_ = targets("a", "b")
    one.state.latency.observe(0.1, 100.0)
    two.state.latency.observe(9.0, 0.0)
    assert Fastest({}, {}, Dice(0.001)).choose(all_, Estimate(), 100.0) is two
    two.state.in_flight = 1
    assert Fastest({}, {}, Dice(0.001)).choose(all_, Estimate(), 100.0) is one, "one probe at a time"
