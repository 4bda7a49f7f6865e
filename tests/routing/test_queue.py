"""The queue of requests that wait for room, on a clock of its own."""

from functools import partial

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from proxy.routing.queue import (
    MAX_PRIORITY,
    SECONDS_PER_PRIORITY,
    FairQueue,
    Waiter,
    has_room,
    is_full,
    never,
    reset_of,
    with_room_first,
)
from proxy.upstream.target import Target
from tests.routing.samples import alias_of, eject, occupy


class Bay:
    """Room for some requests; keeps which were started, and when."""

    def __init__(self, room: int = 0) -> None:
        self.room = room
        self.queue = FairQueue()
        self.started: list[str] = []

    def try_start(self, name: str, now: float) -> bool:
        if not self.room:
            return False
        self.room -= 1
        self.started.append(name)
        return True

    def add(self, name: str, *, key: str = "", priority: int = 5, since: float = 0.0) -> Waiter:
        waiter = Waiter("core", key or name, priority, since, (), partial(self.try_start, name))
        self.queue.push(waiter)
        return waiter

    def serve(self, room: int, now: float = 0.0) -> list[str]:
        """Those that start when there is so much room."""
        self.room, self.started = room, []
        self.queue.serve(now)
        return self.started


def test_the_first_of_a_key_goes_first() -> None:
    bay = Bay()
    for name in "abc":
        bay.add(name, key="one")
    assert [bay.serve(1), bay.serve(2), bay.serve(1)] == [["a"], ["b", "c"], []]


def test_each_key_has_its_turn_however_many_of_one_wait() -> None:
    bay = Bay()
    for number in range(6):
        bay.add(f"heavy{number}", key="heavy")
    for number in range(2):
        bay.add(f"light{number}", key="light", since=1.0)
    assert bay.serve(4, now=1.0) == ["heavy0", "light0", "heavy1", "light1"]


def test_a_key_that_comes_late_has_no_turns_saved_up() -> None:
    bay = Bay()
    for number in range(20):
        bay.add(f"a{number}", key="a")
    bay.serve(10)
    for number in range(10):
        bay.add(f"b{number}", key="b")
    assert [name[0] for name in bay.serve(6)].count("b") == 3


def test_a_key_alone_that_could_not_start_is_not_put_behind_a_new_one_for_long() -> None:
    bay = Bay()
    for number in range(10):
        bay.add(f"a{number}", key="a")
    bay.serve(9)
    assert bay.serve(0) == []
    for number in range(10):
        bay.add(f"b{number}", key="b")
    assert "a9" in bay.serve(2)


def test_the_higher_priority_goes_first() -> None:
    bay = Bay()
    bay.add("low", priority=1)
    bay.add("high", priority=9)
    assert bay.serve(2) == ["high", "low"]


def test_waiting_raises_the_priority() -> None:
    bay = Bay()
    bay.add("old", priority=4, since=0.0)
    bay.add("new", priority=5, since=2 * SECONDS_PER_PRIORITY)
    assert bay.serve(1, now=2 * SECONDS_PER_PRIORITY) == ["old"]


def test_one_that_cannot_start_keeps_no_other_waiting() -> None:
    bay = Bay()
    bay.queue.push(Waiter("other", "one", 9, 0.0, (), never))
    bay.add("a", priority=0)
    assert bay.serve(1) == ["a"]
    assert (len(bay.queue), bay.queue.count("other"), bay.queue.count("core")) == (1, 1, 0)


def test_one_that_left_is_not_started() -> None:
    bay = Bay()
    waiter = bay.add("a")
    bay.add("b")
    assert (bay.queue.discard(waiter), bay.queue.discard(waiter)) == (True, False)
    assert bay.serve(2) == ["b"]
    assert len(bay.queue) == 0


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 9)), max_size=40), st.data())
def test_none_waits_for_ever(others: list[tuple[str, int]], data: st.DataObject) -> None:
    """However many of others come, one is served once it has waited long enough, and each key has had its turn."""
    bay = Bay()
    bay.add("mine", key="mine", priority=0)
    now, served = 0.0, 0
    while "mine" not in bay.started:
        for key, priority in others:
            bay.add("other", key=key, priority=priority, since=now)
        bay.serve(1, now)
        now += SECONDS_PER_PRIORITY
        served += 1
        assert served <= MAX_PRIORITY + 5


class Waiting(RuleBasedStateMachine):
    """Any order of coming, leaving and serving: no request is lost, none starts twice, and no room is left unused."""

    def __init__(self) -> None:
        super().__init__()
        self.bay = Bay()
        self.waiting: dict[str, Waiter] = {}
        self.now = 0.0
        self.names = 0

    @rule(key=st.sampled_from("abcd"), priority=st.integers(0, 9))
    def come(self, key: str, priority: int) -> None:
        self.names += 1
        name = f"{key}{self.names}"
        self.waiting[name] = self.bay.add(name, key=key, priority=priority, since=self.now)

    @rule(data=st.data())
    def leave(self, data: st.DataObject) -> None:
        if self.waiting:
            name = data.draw(st.sampled_from(sorted(self.waiting)))
            assert self.bay.queue.discard(self.waiting.pop(name))

    @rule(room=st.integers(0, 5), seconds=st.floats(0, 20))
    def serve(self, room: int, seconds: float) -> None:
        self.now += seconds
        started = self.bay.serve(room, self.now)
        assert len(started) == min(room, len(self.waiting))
        for name in started:
            del self.waiting[name]

    @invariant()
    def the_counts_are_right(self) -> None:
        assert len(self.bay.queue) == len(self.waiting) == self.bay.queue.count("core")
        assert len(self.bay.queue._turns) <= len(self.bay.queue._lanes) + 64


TestWaiting = Waiting.TestCase


# room


def target(*, busy: int = 0, most: int = 0, until: float = 0.0, out: bool = False, ejected: bool = False) -> Target:
    (made,) = alias_of("vendor", max_requests=most).targets
    occupy(made, busy)
    if until:
        made.state.condition.cool("rate_limit", until, 0.0)
    if out:
        made.state.condition.cool("failures", 1e9, 0.0)
    if ejected:
        eject(made)
    return made


def test_room_is_bounded_by_running_requests_and_by_a_providers_limit() -> None:
    assert has_room(target(busy=1_000), now=1.0)
    assert has_room(target(busy=1, most=2), now=1.0)
    assert not has_room(target(busy=2, most=2), now=1.0)
    assert is_full(target(busy=2, most=2))
    assert not has_room(target(until=2.0), now=1.0)
    assert has_room(target(until=2.0), now=2.0)


def test_targets_with_room_come_first() -> None:
    full, free = target(busy=1, most=1), target()
    assert with_room_first((full, free), 1.0) == (free, full)
    assert with_room_first((free, full), 1.0) == (free, full)
    assert with_room_first((full,), 1.0) == ()


def test_a_target_that_is_ill_is_not_used_in_place_of_the_wait_and_not_waited_for() -> None:
    full, ill, ejected = target(busy=1, most=1), target(out=True), target(ejected=True)
    assert with_room_first((full, ill, ejected), 1.0) == ()
    assert with_room_first((ill, ejected), 1.0) == (ill, ejected)


def test_the_reset_is_that_of_the_first_limit_and_unknown_for_running_requests() -> None:
    assert reset_of((target(until=9.0), target(until=7.0)), 1.0) == 7.0
    assert reset_of((target(until=9.0), target(busy=1, most=1)), 1.0) == 0.0
    assert reset_of((target(until=9.0), target(out=True)), 1.0) == 9.0
