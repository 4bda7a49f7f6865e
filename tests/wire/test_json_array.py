"""The parser of a JSON array that grows: whole elements, the same however they are cut."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.errors import UpstreamProtocolError
from proxy.wire.json_array import ArrayParser
from proxy.wire.json_rewrite import ArrayRewriter
from tests.wire.cuts import chunkings, cut, cut_places
from tests.wire.test_json_rewrite import ALIAS, PlainMeter

texts = st.text(alphabet='ab"\\{}[],:é\n', max_size=8)
values = st.recursive(
    st.none() | st.integers() | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
)
elements = st.dictionaries(texts, values, max_size=4)


def framed(pieces: list[bytes], limit: int = 1_000_000) -> tuple[list[bytes], bytes, bool]:
    parser = ArrayParser(limit)
    blocks = [block for piece in pieces for block in parser.feed(piece)]
    return blocks, parser.rest(), parser.closed


@given(st.lists(elements, max_size=4), cut_places(200), st.sampled_from([None, 1]), st.booleans())
def test_each_block_ends_with_an_element_and_nothing_is_lost(
    given_: list[dict[str, Any]], places: list[int], indent: Any, plain: bool
) -> None:
    array = json.dumps(given_, indent=indent, ensure_ascii=plain).encode()
    blocks, rest, closed = framed(cut(array, places))
    assert b"".join(blocks) + rest == array
    assert [json.loads(block.lstrip(b"[, \n")) for block in blocks] == given_
    assert closed


def test_an_element_is_given_as_soon_as_it_ends() -> None:
    parser = ArrayParser(100)
    assert parser.feed(b'[{"a":1') == []
    assert parser.feed(b"}") == [b'[{"a":1}']
    assert parser.feed(b"\n,{}") == [b"\n,{}"]
    assert not parser.closed


@pytest.mark.parametrize("filler", [b"x", b"\\\\", b"{", b'\\"'])
def test_no_more_than_the_limit_is_held(filler: bytes) -> None:
    with pytest.raises(UpstreamProtocolError) as caught:
        framed([b'[{"a":"'] + [filler] * 200, limit=100)
    assert "server.max_event_bytes" in caught.value.detail


@pytest.mark.parametrize(
    "array",
    [
        b"[1,2]",
        b"[1,{}]",
        b"[{},1]",
        b"[{}]x",
        b"[{}][{}]",
        b"[{}]]",
        b"[[{}]]",
        b"[[],{}]",
        b"[{}] {}",
        b'["a"]',
        b"[}",
    ],
)
def test_what_is_not_one_array_of_objects_does_not_pass(array: bytes) -> None:
    for pieces in chunkings(array):
        rewriter = ArrayRewriter(PlainMeter(), ALIAS, 1_000)
        with pytest.raises(UpstreamProtocolError):
            _ = b"".join([rewriter.feed(piece) for piece in pieces]) + rewriter.end()


@pytest.mark.parametrize("array", [b"[]", b" [\n] ", b'\xef\xbb\xbf[{"b":1},\r\n{"c":"]"}]\n'])
def test_what_stands_around_the_elements_passes(array: bytes) -> None:
    for pieces in chunkings(array):
        rewriter = ArrayRewriter(PlainMeter(), ALIAS, 1_000)
        assert b"".join([rewriter.feed(piece) for piece in pieces]) + rewriter.end() == array
        assert rewriter.closed


def test_the_good_elements_of_a_read_come_with_the_error_of_a_broken_one() -> None:
    rewriter = ArrayRewriter(PlainMeter(), ALIAS, 1_000)
    with pytest.raises(UpstreamProtocolError) as caught:
        rewriter.feed(b'[{"model":"a"},{"model":oops}')
    assert caught.value.before == b'[{"model":"%b"}' % ALIAS.encode()
