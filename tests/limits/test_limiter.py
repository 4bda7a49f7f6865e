"""The limiter: all limits or none, what is given back, and that nothing is left when every request has ended."""

import os
import random
import signal
from collections.abc import Iterator

import pytest

from proxy.errors import Overloaded
from proxy.limits.counters import HELD, UNTIL, SharedCounters
from proxy.limits.limiter import CONCURRENT, REQUESTS, TOKENS, Held, Limit, Limiter

MINUTE = 60 * 10**9
ONE = (1, 1, 0, 0, 0, 0)
NOTHING = (0, 0, 0, 0, 0, 0)


class Clock:
    def __init__(self) -> None:
        self.now = 10**12

    def __call__(self) -> int:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def counters() -> SharedCounters:
    return SharedCounters(slots=256)


def rate(amount: int, unit: int = REQUESTS, subject: str = "key") -> Limit:
    return Limit(subject, unit, amount, MINUTE, amount, "", "")


def running(amount: int, subject: str = "key") -> Limit:
    return Limit(subject, CONCURRENT, amount, 0, amount, "", "")


def tokens(count: int) -> tuple[int, ...]:
    return 1, 1, count, 0, 0, 0


def left(limiter: Limiter, limit: Limit, counters: SharedCounters, clock: Clock) -> int:
    slot = counters.find(limit.digest, clock.now)
    if limit.unit == CONCURRENT:
        return limit.amount - counters.held(slot)
    return limit.remaining(counters.cells[slot + UNTIL], clock.now)


def test_all_limits_are_taken_from_or_none(counters: SharedCounters, clock: Clock) -> None:
    limiter = Limiter(counters, clock)
    limits = (rate(5), running(5), rate(2, subject="team"))
    for _ in range(2):
        assert limiter.take(limits, ONE, Held()) is None
    held = Held()
    refusal = limiter.take(limits, ONE, held)
    assert refusal is not None
    assert refusal.limit is limits[2]
    assert held.limits == ()
    assert (refusal.limits, len(refusal.levels)) == (limits, 3)
    assert [left(limiter, one, counters, clock) for one in limits] == [3, 3, 0]


def test_the_limit_that_refuses_for_longest_is_named(counters: SharedCounters, clock: Clock) -> None:
    limiter = Limiter(counters, clock)
    quick, slow = rate(60), Limit("key", REQUESTS, 1, 86_400 * 10**9, 1, "", "")
    limits = (quick, running(1), slow)
    assert limiter.take(limits, ONE, Held()) is None
    refusal = limiter.take(limits, ONE, Held())
    assert refusal is not None
    assert refusal.limit is slow
    assert refusal.wait == 86_400 * 10**9


def test_a_number_of_running_requests_is_free_when_they_have_ended(counters: SharedCounters, clock: Clock) -> None:
    limiter = Limiter(counters, clock)
    limits = (running(2),)
    first, second = Held(), Held()
    assert limiter.take(limits, ONE, first) is None
    assert limiter.take(limits, ONE, second) is None
    refusal = limiter.take(limits, ONE, Held())
    assert refusal is not None
    assert (refusal.limit, refusal.wait) == (limits[0], 0)
    limiter.settle(first, ONE)
    limiter.settle(first, ONE)
    assert limiter.take(limits, ONE, Held()) is None
    assert limiter.take(limits, ONE, Held()) is not None


@pytest.mark.parametrize(("used", "remains"), [(0, 1_000), (300, 700), (400, 600), (900, 100), (5_000, 0)])
def test_tokens_are_settled_by_what_was_used(counters: SharedCounters, clock: Clock, used: int, remains: int) -> None:
    limiter, limit, held = Limiter(counters, clock), rate(1_000, TOKENS), Held()
    assert limiter.take((limit,), tokens(400), held) is None
    assert left(limiter, limit, counters, clock) == 600
    limiter.settle(held, tokens(used))
    assert left(limiter, limit, counters, clock) == remains


@pytest.mark.parametrize("used", [None, tokens(-1)])
def test_what_is_not_known_counts_as_used(counters: SharedCounters, clock: Clock, used: tuple[int, ...] | None) -> None:
    limiter, held = Limiter(counters, clock), Held()
    limits = (rate(1_000, TOKENS), running(1))
    assert limiter.take(limits, tokens(400), held) is None
    limiter.settle(held, used)
    assert [left(limiter, one, counters, clock) for one in limits] == [600, 1]


def test_a_refused_request_gives_its_place_back(counters: SharedCounters, clock: Clock) -> None:
    limiter, limit = Limiter(counters, clock), rate(3)
    for _ in range(20):
        held = Held()
        assert limiter.take((limit,), ONE, held) is None
        limiter.settle(held, NOTHING)
    assert left(limiter, limit, counters, clock) == 3


def test_a_need_beyond_the_burst_takes_the_whole_burst(counters: SharedCounters, clock: Clock) -> None:
    limiter, limit, held = Limiter(counters, clock), rate(100, TOKENS), Held()
    assert limiter.take((limit,), tokens(5_000), held) is None
    assert held.counts == [100]
    assert limiter.take((limit,), tokens(1), Held()) is not None


def test_another_amount_goes_on_from_what_was_taken(counters: SharedCounters, clock: Clock) -> None:
    """As after a reload: nothing begins anew, and nothing that was taken before is lost."""
    limiter = Limiter(counters, clock)
    held = Held()
    before = (rate(10), running(5))
    assert limiter.take(before, ONE, held) is None
    after = (rate(20), running(9))
    assert [left(limiter, one, counters, clock) for one in after] == [18, 8]
    limiter.settle(held, NOTHING)
    assert [left(limiter, one, counters, clock) for one in after] == [20, 9]


def test_limits_of_other_subjects_periods_and_units_are_apart(counters: SharedCounters, clock: Clock) -> None:
    limiter = Limiter(counters, clock)
    assert limiter.take((rate(1),), ONE, Held()) is None
    others = (rate(1, subject="other"), rate(1, TOKENS), Limit("key", REQUESTS, 1, 10**9, 1, "", ""), running(1))
    assert limiter.take(others, tokens(1), Held()) is None


def test_an_idle_subject_makes_room_and_a_refund_finds_nothing_of_it(clock: Clock) -> None:
    counters = SharedCounters(slots=2)
    limiter, held = Limiter(counters, clock), Held()
    idle = rate(1_000, TOKENS, "idle")
    assert limiter.take((idle,), tokens(100), held) is None
    clock.now += MINUTE
    busy = (rate(9, subject="a"), rate(9, subject="b"))
    assert limiter.take(busy, ONE, Held()) is None
    limiter.settle(held, tokens(0))
    assert [left(limiter, one, counters, clock) for one in busy] == [8, 8]


def test_a_full_table_refuses_a_new_subject_and_takes_nothing(clock: Clock) -> None:
    counters = SharedCounters(slots=2)
    limiter = Limiter(counters, clock)
    known, held = rate(9, subject="known"), Held()
    assert limiter.take((known, running(9, "known")), ONE, held) is None
    with pytest.raises(Overloaded):
        limiter.take((known, rate(9, subject="new")), ONE, Held())
    assert left(limiter, known, counters, clock) == 8


def test_nothing_is_left_after_a_thousand_random_ends(counters: SharedCounters, clock: Clock) -> None:
    chance = random.Random(4)
    limiter = Limiter(counters, clock)
    limits = (rate(10**6), running(10**6), rate(10**9, TOKENS))
    open_requests: list[Held] = []
    for _ in range(1_000):
        clock.now += chance.randrange(10**6)
        held = Held()
        assert limiter.take(limits, tokens(chance.randrange(10_000)), held) is None
        open_requests.append(held)
        while open_requests and chance.random() < 0.5:
            ended = open_requests.pop(chance.randrange(len(open_requests)))
            limiter.settle(ended, chance.choice([NOTHING, tokens(chance.randrange(20_000)), None]))
    for held in open_requests:
        limiter.settle(held, None)
    assert counters.held(limits[1].slot) == 0
    clock.now += MINUTE
    assert [left(limiter, one, counters, clock) for one in limits] == [one.amount for one in limits]


# over several processes


@pytest.fixture
def shared() -> Iterator[SharedCounters]:
    counters = SharedCounters(workers=4, slots=256)
    yield counters
    counters.close()


def worker(shared: SharedCounters, place: int, limits: tuple[Limit, ...], wishes: int, *, ends: bool) -> int:
    """A process that takes as often as it is allowed to, exits with how often that was, or is killed."""
    pid = os.fork()
    if not pid:
        passed = 255
        try:
            shared.place = place
            limiter = Limiter(shared)
            passed = sum(limiter.take(limits, ONE, Held()) is None for _ in range(wishes))
        finally:
            if ends:
                os._exit(passed)
            os.kill(os.getpid(), signal.SIGKILL)
    return pid


def test_four_workers_together_let_exactly_the_limit_through(shared: SharedCounters) -> None:
    limits = (Limit("key", REQUESTS, 100, 86_400 * 10**9, 100, "", ""),)
    pids = [worker(shared, place, limits, 100, ends=True) for place in range(4)]
    passed = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids]
    assert sum(passed) == 100


def test_what_a_killed_worker_held_is_free_again(shared: SharedCounters) -> None:
    limits = (running(6),)
    limiter = Limiter(shared)
    assert limiter.take(limits, ONE, Held()) is None
    pid = worker(shared, 2, limits, 5, ends=False)
    os.waitpid(pid, 0)
    assert shared.cells[limits[0].slot + HELD + 2] == 5
    assert limiter.take(limits, ONE, Held()) is not None
    shared.forget(2)
    assert [limiter.take(limits, ONE, Held()) is None for _ in range(6)] == [True] * 5 + [False]
