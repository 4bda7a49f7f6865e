"""A stored response as an origin: head and parts again, as fast as the client reads, at no cost."""

from pathlib import Path

from proxy.exchange.replay import ReplayOrigin, StoredResponse
from tests.exchange.doubles import MemoryDownstream, bench, context_of

JSON = StoredResponse(200, b"content-type: application/json\r\n", False, (b'{"a":', b"1}"))
EVENTS = StoredResponse(200, b"content-type: text/event-stream\r\n", True, (b"one", b"two", b"three", b"four"))


def test_a_json_response_is_sent_whole_with_its_length(tmp_path: Path) -> None:
    with bench(tmp_path) as made:
        context = context_of(stream=False)
        down = made.run(context, ReplayOrigin(context, JSON)).downstream
        assert (down.status, down.length, down.body, down.ended) == (200, 7, b'{"a":1}', "whole")
        assert down.lines.startswith(JSON.lines)
        (final,) = made.settled
        assert (final.outcome, final.cost, final.upstream, final.attempts, final.bytes_out) == ("complete", 0, "", 0, 7)


def test_a_stream_is_sent_part_by_part(tmp_path: Path) -> None:
    with bench(tmp_path) as made:
        context = context_of()
        down = made.run(context, ReplayOrigin(context, EVENTS)).downstream
        assert (down.writes, down.length, down.ended) == (list(EVENTS.parts), None, "whole")


def test_it_waits_for_a_client_that_is_behind(tmp_path: Path) -> None:
    with bench(tmp_path) as made:
        context = context_of()
        down = made.run(context, ReplayOrigin(context, EVENTS), MemoryDownstream(room=6)).downstream
        assert down.writes == [b"one", b"two"]
        assert made.settled == []
        down.drain()
        assert (down.writes, down.ended) == (list(EVENTS.parts), "whole")
        assert len(made.settled) == 1


def test_a_client_that_leaves_in_the_middle_is_settled(tmp_path: Path) -> None:
    with bench(tmp_path) as made:
        context = context_of()
        run = made.run(context, ReplayOrigin(context, EVENTS), MemoryDownstream(room=1))
        run.exchange.client_disconnected()
        assert made.outcomes == [("client_closed", 200)]
        assert run.downstream.writes == [b"one"]


def test_an_empty_stream_is_one(tmp_path: Path) -> None:
    with bench(tmp_path) as made:
        context = context_of()
        down = made.run(context, ReplayOrigin(context, StoredResponse(200, b"", True, ()))).downstream
        assert (down.body, down.ended) == (b"", "whole")
