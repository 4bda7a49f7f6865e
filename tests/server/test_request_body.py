"""The parts of a request's body: kept, collected, handed on, and their bounds."""

import pytest

from proxy.server.bodies import Bodies, Holding
from proxy.server.request_body import MAX_KEPT_BYTES, TIMED_PART_BYTES, RequestBody


def kept(*parts: bytes) -> RequestBody:
    body = RequestBody()
    for part in parts:
        body.add(part)
    return body


@pytest.mark.parametrize("parts", [(), (b"one",), (b"one", b"two", b"three")])
def test_what_has_arrived_is_taken_once(parts: tuple[bytes, ...]) -> None:
    body = kept(*parts)
    assert (body.take(), body.take()) == (b"".join(parts), b"")
    body.add(b"four")
    assert (body.take(), body.received) == (b"four", len(b"".join(parts)) + 4)


def test_too_much_that_is_kept_says_so_until_it_is_taken() -> None:
    body = RequestBody()
    assert not body.add(b"a" * MAX_KEPT_BYTES)
    assert body.add(b"a")
    body.take()
    assert not body.add(b"a")


def test_what_is_collected_beyond_its_limit_is_refused() -> None:
    body = kept(b"one")
    body.collect(5, Holding(Bodies()))
    assert not body.add(b"aa")
    assert body.add(b"a")
    assert (body.is_too_large, body.is_refused) == (True, True)


def test_what_there_is_no_room_for_is_refused_and_is_not_too_large() -> None:
    bodies = Bodies()
    bodies.max_memory = 5
    body = kept(b"one")
    body.collect(100, Holding(bodies))
    assert not body.is_refused
    assert body.add(b"two")
    assert (body.is_too_large, body.is_refused) == (False, True)


def test_a_body_that_is_whole_needs_no_room() -> None:
    bodies = Bodies()
    bodies.max_memory = 0
    body = kept(b"one")
    body.complete = True
    body.collect(100, Holding(bodies))
    assert not body.is_refused
    assert body.take() == b"one"


def test_what_is_handed_on_is_not_kept() -> None:
    seen: list[bytes] = []

    def sink(part: bytes) -> bool:
        seen.append(part)
        return len(seen) > 1

    body = kept(b"one", b"two")
    assert not body.hand_on(sink)
    assert body.add(b"three")
    assert seen == [b"onetwo", b"three"]
    assert body.take() == b""


def test_each_large_part_of_a_body_has_the_time_that_a_body_may_take() -> None:
    body = RequestBody()
    assert (body.is_late(109.0, 100.0, 10.0), body.is_late(111.0, 100.0, 10.0)) == (False, True)
    body.received = TIMED_PART_BYTES
    assert (body.is_late(119.0, 100.0, 10.0), body.is_late(121.0, 100.0, 10.0)) == (False, True)
    body.timed_from = 105.0
    assert not body.is_late(121.0, 100.0, 10.0)


def test_what_comes_of_a_refused_body_is_not_kept() -> None:
    body = RequestBody()
    body.add(b"first")
    body.collect(5, Holding(Bodies()))
    assert body.add(b"more than its limit")
    body.release()
    body.discard()
    for _ in range(3):
        assert not body.add(b"what the client sends on")
    assert body.take() == b""
