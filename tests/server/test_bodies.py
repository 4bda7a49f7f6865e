"""The sum of all bodies that are on their way: what it counts, whom it refuses, and that nothing stays in it."""

import pytest

from proxy.errors import Overloaded
from proxy.server.bodies import MAX_SMALL_BODY_BYTES, RESERVED_PARTS, Bodies, Holding

LIMIT = 80 * MAX_SMALL_BODY_BYTES


def bodies() -> Bodies:
    made = Bodies()
    made.max_memory = LIMIT
    made.max_disk = LIMIT
    return made


def test_what_grows_shrinks_and_ends_adds_up() -> None:
    shared = bodies()
    one, two = Holding(shared), Holding(shared)
    assert one.hold(1_000)
    assert two.hold(500)
    assert one.hold(200)
    assert shared.memory == 700
    one.release()
    two.release()
    two.release()
    assert shared.memory == 0


def test_one_that_has_no_room_keeps_what_it_had() -> None:
    shared = bodies()
    one = Holding(shared)
    assert one.hold(MAX_SMALL_BODY_BYTES)
    assert not one.hold(LIMIT + 1)
    assert shared.memory == MAX_SMALL_BODY_BYTES
    with pytest.raises(Overloaded) as refused:
        one.require(LIMIT + 1)
    assert refused.value.headers == {"retry-after": "1"}


def test_one_that_fails_within_with_holds_nothing() -> None:
    shared = bodies()
    one = Holding(shared)
    assert one.hold(MAX_SMALL_BODY_BYTES)
    with pytest.raises(Overloaded), one:
        one.require(LIMIT + 1)
    assert shared.memory == 0


def test_large_ones_leave_room_for_small_ones() -> None:
    shared = bodies()
    large, small = Holding(shared), Holding(shared)
    assert large.hold(LIMIT - LIMIT // RESERVED_PARTS)
    assert not Holding(shared).hold(MAX_SMALL_BODY_BYTES + 1)
    assert small.hold(MAX_SMALL_BODY_BYTES)


def test_while_memory_is_short_only_small_ones_grow() -> None:
    shared = bodies()
    large, small = Holding(shared), Holding(shared)
    assert large.hold(MAX_SMALL_BODY_BYTES + 1)
    shared.short = True
    assert not large.hold(MAX_SMALL_BODY_BYTES + 2)
    assert small.hold(MAX_SMALL_BODY_BYTES)
    assert large.hold(1)


def test_the_disk_has_a_sum_of_its_own() -> None:
    shared = bodies()
    one, two = Holding(shared), Holding(shared)
    one.require_disk(LIMIT)
    with pytest.raises(Overloaded):
        two.require_disk(1)
    assert (shared.disk, shared.memory) == (LIMIT, 0)
    one.release()
    two.require_disk(1)
    two.release()
    assert shared.disk == 0
