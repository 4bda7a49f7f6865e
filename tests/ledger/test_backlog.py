"""The backlog of a journal: what waits is counted once, and forgotten once it is stored to its end."""

from proxy.ledger.backlog import Backlog, Segment


def backlog(**lengths: int) -> Backlog:
    made = Backlog(max_bytes=100)
    for number, (name, length) in enumerate(lengths.items()):
        segment = Segment(name, number, -1)
        segment.length = length
        made.add(segment)
        made.unstored += length
    return made


def test_bytes_that_are_stored_count_once() -> None:
    waiting = backlog(a=60, b=40)
    assert waiting.is_full
    for offset in (50, 50, 20):
        waiting.acknowledge("a", offset)
    assert (waiting.unstored, waiting.is_full) == (50, False)


def test_no_more_is_stored_than_was_appended() -> None:
    waiting = backlog(a=60)
    waiting.acknowledge("a", 1_000)
    assert waiting.unstored == 0


def test_only_a_segment_that_has_ended_is_forgotten() -> None:
    waiting = Backlog(max_bytes=100)
    segment = Segment("a", 1, -1)
    waiting.add(segment)
    segment.length = waiting.unstored = 10
    waiting.acknowledge("a", 10)
    assert waiting.positions() == {"a": 10}
    segment.ended = True
    waiting.acknowledge("a", 10)
    assert waiting.positions() == {}


def test_a_segment_that_is_not_known_was_stored_or_is_anothers() -> None:
    waiting = backlog(a=10)
    waiting.acknowledge("b", 10)
    assert waiting.unstored == 10
    assert waiting.is_stored({"b": 99})
    assert not waiting.is_stored({"a": 10, "b": 99})
    waiting.acknowledge("a", 10)
    assert waiting.is_stored({"a": 10})
