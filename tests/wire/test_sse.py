"""The parser: where events end under all line ends, that no cut moves an end, and that it holds no more than it may."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.errors import UpstreamProtocolError
from proxy.wire.sse import SSEParser, before_last_event
from tests.corpus import exchanges
from tests.wire.cuts import chunkings, cut, cut_places, random_chunkings, single_bytes

#: Streams, each as the blocks it must be cut into, and what is left without a blank line.
STREAMS: tuple[tuple[list[bytes], bytes], ...] = (
    ([], b""),
    ([b"data: a\n\n"], b""),
    ([b"data: a\r\n\r\n"], b""),
    ([b"data: a\r\r"], b""),
    ([b"data: a\n\n", b"data: b\n\n", b"data: [DONE]\n\n"], b""),
    ([b"data: a\r\n\r\n", b"data: b\r\n\r\n"], b""),
    ([b"data: a\r\r", b"data: b\r\r"], b""),
    ([b"data: a\n\r\n", b"data: b\r\n\n", b"data: c\n\n"], b""),
    ([b"data: a\r\n\n", b"data: b\n\n"], b""),
    ([b"data: a\n\r", b"data: b\n\n"], b""),
    ([b"data: a\r\n\r", b"data: b\n\n"], b""),
    ([b"event: x\ndata: a\n\n", b"data: b\nevent: y\n\n"], b""),
    ([b"event: x\rdata: a\r\r"], b"data: b\r"),
    ([b"data: a\rdata: b\n\n"], b""),
    ([b"data: a\ndata: b\ndata: c\n\n"], b""),
    ([b": OPENROUTER PROCESSING\n\n", b"data: a\n\n"], b""),
    ([b":\n\n", b": ping\ndata: a\n\n"], b""),
    ([b"data: a\n\n", b"\n\n"], b""),
    ([b"\n\n", b"\n\n", b"\n\n"], b"\n"),
    ([b"\r\r", b"\r\r"], b"\r"),
    ([b"\r\n\r\n", b"\r\n\r\n"], b"\r\n"),
    ([b"data: a\r\r", b"\ndata: b\n\n"], b""),
    ([b"\xef\xbb\xbfdata: a\n\n"], b""),
    ([b"data:a\n\n", b"data\n\n", b"data: \n\n"], b""),
    ([b"id: 1\nretry: 3000\n\n"], b""),
    ([b"data: a\n\n"], b"data: b"),
    ([b"data: a\n\n"], b"data: b\n"),
    ([b"data: a\r\n\r\n"], b"data: b\r\n"),
    ([b"data: a\n\n"], b"data: b\n\r"),
    ([], b"no field at all"),
    ([b"\x00\xff\xfe\n\n"], b"\x80"),
    ([b"data: \xe2\x80\xa8 line separator \xc2\x85\n\n"], b""),
)


def run(pieces: list[bytes], limit: int = 1_048_576) -> tuple[list[bytes], bytes]:
    parser = SSEParser(limit)
    return [block for piece in pieces for block in parser.feed(piece)], parser.rest()


@pytest.mark.parametrize(("blocks", "rest"), STREAMS)
def test_an_event_ends_with_its_blank_line_however_it_is_cut(blocks: list[bytes], rest: bytes) -> None:
    for pieces in chunkings(b"".join(blocks) + rest):
        assert run(pieces) == (blocks, rest)


@pytest.mark.parametrize("end", [b"\n\n", b"\r\n\r\n", b"\r\r", b"\r\n\n"])
def test_an_event_is_given_with_the_last_byte_of_its_blank_line(end: bytes) -> None:
    parser = SSEParser()
    assert parser.feed(b"data: a" + end[:-1]) == []
    assert parser.feed(end[-1:]) == [b"data: a" + end]


@pytest.mark.parametrize("end", [b"\n\r", b"\r\n\r"])
def test_after_a_line_feed_a_cr_waits_for_the_line_feed_it_may_have(end: bytes) -> None:
    parser = SSEParser()
    assert parser.feed(b"data: a" + end) == []
    assert parser.feed(b"\ndata: b") == [b"data: a" + end + b"\n"]
    assert parser.rest() == b"data: b"


def test_the_rest_is_given_once() -> None:
    parser = SSEParser()
    parser.feed(b"data: a\n\ndata: b")
    assert [parser.rest(), parser.rest()] == [b"data: b", b""]


def test_a_parser_goes_on_after_its_rest() -> None:
    parser = SSEParser()
    parser.feed(b"data: a\n")
    parser.rest()
    assert parser.feed(b"\n\n") == [b"\n\n"]


@pytest.mark.parametrize("end", [b"\n\n", b"\r\n\r\n", b"\r\r"])
def test_an_event_of_just_the_limit_passes(end: bytes) -> None:
    event = b"x" * (100 - len(end)) + end
    for pieces in chunkings(event + event):
        assert run(pieces, limit=100) == ([event, event], b"")


@pytest.mark.parametrize("end", [b"\n\n", b"\r\n\r\n", b"\r\r"])
def test_an_event_beyond_the_limit_is_an_error_that_names_the_setting(end: bytes) -> None:
    event = b"x" * (101 - len(end)) + end
    for pieces in chunkings(b"data: a" + end + event):
        with pytest.raises(UpstreamProtocolError) as caught:
            # What was whole before it in the same read is given first.
            run([*pieces, b""], limit=100)
        assert "server.max_event_bytes" in caught.value.detail


@pytest.mark.parametrize("filler", [b"x", b"\r\nx", b"\n", b"\r"])
def test_no_more_than_the_limit_is_held(filler: bytes) -> None:
    endless = (b"data: a" + filler.replace(b"\n", b"\nx").replace(b"\r", b"\rx") * 100)[:300]
    for pieces in chunkings(endless):
        parser = SSEParser(100)
        refused = 0
        for piece in pieces:
            try:
                parser.feed(piece)
            except UpstreamProtocolError:
                refused += 1
                break
            assert len(parser._held) <= 100
        assert refused


def test_the_limit_is_for_one_event_and_not_for_one_read() -> None:
    events = [b"data: a\n\n"] * 1000
    assert run([b"".join(events)], limit=20) == (events, b"")


def test_a_large_event_in_small_pieces_is_searched_once() -> None:
    # A search from the beginning at every piece would read these 4 MiB some four thousand times.
    event = b"data: " + b"x" * 4_194_304 + b"\r\n\r\n"
    blocks, rest = run(cut(event, range(1024, len(event), 1024)), limit=5_000_000)
    assert (len(blocks), blocks[0] == event, rest) == (1, True, b"")


@given(
    st.lists(st.sampled_from([b"\n", b"\r", b"\r\n", b"data: a", b"x", b":", b"\xff"]), max_size=60).map(b"".join),
    cut_places(120),
)
def test_no_cut_moves_an_end_nor_changes_a_byte(stream: bytes, places: list[int]) -> None:
    blocks, rest = run([stream])
    assert b"".join(blocks) + rest == stream
    assert run(cut(stream, places)) == (blocks, rest)
    assert run(single_bytes(stream)) == (blocks, rest)


@given(st.lists(st.sampled_from([b"\n", b"\r", b"\r\n", b"ab"]), max_size=40).map(b"".join))
def test_ends_are_where_a_reader_of_whole_lines_sees_them(stream: bytes) -> None:
    blocks, rest = run([stream])
    texts = [block for block in [*blocks, rest if rest.endswith((b"\n\r", b"\n\r\n")) else b""] if b"ab" in block]
    assert len(texts) == _events_of(stream)


def _events_of(stream: bytes) -> int:
    """How many events with text a reader that goes line by line dispatches."""
    events, text = 0, False
    for line in stream.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")[:-1]:
        if line:
            text = True
        elif text:
            events, text = events + 1, False
    return events


def test_recorded_streams_pass_unchanged() -> None:
    for exchange in exchanges(stream=True):
        data = exchange.response
        blocks, rest = run([data])
        assert b"".join(blocks) + rest == data, exchange.id
        assert len(blocks) >= data.count(b"\n\ndata:"), exchange.id
        for pieces in random_chunkings(data, 50):
            assert run(pieces) == (blocks, rest), exchange.id


def test_recorded_streams_pass_a_byte_at_a_time() -> None:
    for exchange in exchanges(stream=True):
        if len(exchange.response) <= 40_000:
            assert run(single_bytes(exchange.response)) == run([exchange.response]), exchange.id


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", b": c\n"),
        (b"data: 1\n\n", b": c\ndata: 1\n\n"),
        (b"data: 1\n\ndata: 2\n\n", b"data: 1\n\n: c\ndata: 2\n\n"),
        (b"data: 1\r\n\r\nevent: e\r\ndata: 2\r\n\r\n", b"data: 1\r\n\r\n: c\nevent: e\r\ndata: 2\r\n\r\n"),
        (b"data: 1\r\rdata: 2\r\r", b"data: 1\r\r: c\ndata: 2\r\r"),
    ],
)
def test_lines_stand_before_the_last_event(data: bytes, expected: bytes) -> None:
    assert before_last_event(data, b": c\n") == expected
