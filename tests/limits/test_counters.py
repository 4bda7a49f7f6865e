"""Counters that processes share: slots by name, their reuse, the lock that dies with its holder, what a worker held."""

import os
import select
import signal
from collections.abc import Callable, Iterator

import pytest

from proxy.errors import Overloaded
from proxy.limits.counters import FIRST, FOREVER, HELD, MAX_PROBES, UNTIL, SharedCounters, digest


@pytest.fixture
def shared() -> Iterator[SharedCounters]:
    counters = SharedCounters(workers=3, slots=64)
    yield counters
    counters.close()


def live(counters: SharedCounters, name: bytes, until: int = 100) -> int:
    """The slot of a subject that counts until then."""
    slot = counters.slot(name, now=1)
    counters.cells[slot + UNTIL] = until
    return slot


def fork(work: Callable[[], None]) -> int:
    """The id of a new process that does `work` and exits."""
    pid = os.fork()
    if not pid:
        code = 1
        try:
            work()
            code = 0
        finally:
            os._exit(code)
    return pid


def ended(pid: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def test_a_name_has_one_slot_whose_cells_begin_at_zero() -> None:
    counters = SharedCounters(slots=64)
    slot = counters.slot(b"key:1", now=5)
    assert counters.slot(b"key:1") == slot != counters.slot(b"key:2")
    assert counters.cells[slot] == digest(b"key:1")
    assert list(counters.cells[slot + FIRST : slot + counters.stride]) == [0] * (counters.stride - FIRST)


def test_a_search_does_not_take_away_what_the_one_before_has_found() -> None:
    counters = SharedCounters(slots=2)
    fresh = counters.slot(b"fresh", now=5)
    old = counters.slot(b"old", now=5)
    assert counters.slot(b"old", now=9) == old
    assert counters.slot(b"another", now=9) == fresh
    with pytest.raises(Overloaded):
        counters.slot(b"a third", now=9)


def test_all_names_of_a_table_keep_what_they_count() -> None:
    counters = SharedCounters(slots=1_024)
    names = [b"%d" % number for number in range(700)]
    for number, name in enumerate(names):
        counters.cells[live(counters, name) + FIRST] = number
    assert [counters.cells[counters.slot(name, now=1) + FIRST] for name in names] == list(range(700))


def test_a_full_table_refuses_a_new_subject_and_keeps_the_old() -> None:
    counters = SharedCounters(slots=8)
    slots = [live(counters, b"%d" % number) for number in range(8)]
    with pytest.raises(Overloaded) as refusal:
        counters.slot(b"new", now=99)
    assert refusal.value.status == 503
    assert [counters.slot(b"%d" % number, now=99) for number in range(8)] == slots


def test_an_idle_subject_gives_its_slot_to_a_new_one_with_nothing_in_it() -> None:
    counters = SharedCounters(slots=2)
    live(counters, b"live", FOREVER)
    old = live(counters, b"old", 10)
    counters.cells[old + FIRST] = 7
    assert counters.slot(b"new", now=11) == old
    assert counters.cells[old] == digest(b"new")
    assert counters.cells[old + FIRST] == 0
    counters.cells[old + UNTIL] = 20
    with pytest.raises(Overloaded):
        counters.slot(b"old", now=12)


def test_a_slot_in_which_a_worker_holds_something_is_not_given_away() -> None:
    counters = SharedCounters(workers=2, slots=1)
    try:
        slot = counters.slot(b"busy", now=1)
        counters.cells[slot + HELD + 1] = 1
        with pytest.raises(Overloaded):
            counters.slot(b"new", now=2)
        counters.cells[slot + HELD + 1] = 0
        assert counters.slot(b"new", now=2) == slot
    finally:
        counters.close()


def test_a_name_is_found_behind_slots_that_were_taken_over() -> None:
    counters = SharedCounters(slots=4)
    slots = [live(counters, b"%d" % number) for number in range(4)]
    counters.cells[slots[0] + UNTIL] = 1
    assert counters.slot(b"new", now=3) == slots[0]
    assert [counters.slot(b"%d" % number, now=2) for number in (1, 2, 3)] == [slots[1], slots[2], slots[3]]


def test_a_search_ends_after_so_many_slots() -> None:
    counters = SharedCounters(slots=4 * MAX_PROBES)
    wanted = digest(b"new")
    stride = counters.stride
    for step in range(MAX_PROBES):
        at = (wanted + step) % (4 * MAX_PROBES) * stride
        counters.cells[at], counters.cells[at + UNTIL] = step + 1, 100
    with pytest.raises(Overloaded):
        counters.slot(b"new", now=1)


def test_what_one_process_counts_another_sees(shared: SharedCounters) -> None:
    slot = shared.slot(b"key")

    def count() -> None:
        for _ in range(500):
            shared.lock()
            shared.cells[shared.slot(b"key") + FIRST] += 1
            shared.unlock()

    children = [fork(count) for _ in range(3)]
    assert [ended(pid) for pid in children] == [0, 0, 0]
    assert shared.cells[slot + FIRST] == 1_500


def test_the_lock_of_a_process_that_is_killed_is_free(shared: SharedCounters) -> None:
    reader, writer = os.pipe()

    def hold() -> None:
        shared.lock()
        os.write(writer, b"x")
        signal.pause()

    pid = fork(hold)
    os.read(reader, 1)
    os.kill(pid, signal.SIGKILL)
    assert ended(pid) == -signal.SIGKILL
    # It would wait for ever if the lock had outlived its holder.
    signal.alarm(20)
    shared.lock()
    signal.alarm(0)
    shared.unlock()
    os.close(reader)
    os.close(writer)


def test_a_holder_keeps_the_others_out(shared: SharedCounters) -> None:
    reader, writer = os.pipe()
    slot = shared.slot(b"key")

    def second() -> None:
        os.write(writer, b"x")
        shared.lock()
        os.write(writer, b"y")
        if shared.cells[slot + FIRST] != 1:
            raise AssertionError
        shared.unlock()

    shared.lock()
    pid = fork(second)
    os.read(reader, 1)
    # It has not come past the lock, nor will it, however long this waits.
    assert select.select([reader], [], [], 0.1)[0] == []
    shared.cells[slot + FIRST] = 1
    shared.unlock()
    assert ended(pid) == 0
    os.close(reader)
    os.close(writer)


def test_what_a_worker_held_is_given_back_when_it_has_ended(shared: SharedCounters) -> None:
    slots = [shared.slot(b"a"), shared.slot(b"b")]
    for slot in slots:
        shared.cells[slot + FIRST] = 9
        for place in range(3):
            shared.cells[slot + HELD + place] = place + 1
    assert shared.held(slots[0]) == 6
    shared.forget(1)
    assert [shared.held(slot) for slot in slots] == [4, 4]
    assert [shared.cells[slot + FIRST] for slot in slots] == [9, 9]


def test_one_process_alone_needs_no_file() -> None:
    counters = SharedCounters(slots=8)
    counters.lock()
    counters.lock()
    counters.unlock()
    counters.close()


def test_a_lookup_finds_a_slot_and_takes_none() -> None:
    counters = SharedCounters(slots=64)
    assert counters.lookup(digest(b"key:1")) == -1
    slot = counters.slot(b"key:1", now=5)
    assert counters.lookup(digest(b"key:1")) == slot
    assert counters.lookup(digest(b"key:2")) == -1
    assert sum(counters.cells[at] != 0 for at in range(0, len(counters.cells), counters.stride)) == 1
