"""The number and the list that are noted of a JSON object while it passes in pieces."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.wire.json_summary import JsonSummary


def glance(text: bytes, size: int = 10_000) -> JsonSummary:
    found = JsonSummary(b"duration", b"data")
    for begin in range(0, len(text), size):
        found.feed(text[begin : begin + size])
    return found


@pytest.mark.parametrize("size", [1, 2, 7, 10_000])
@pytest.mark.parametrize(
    ("text", "number", "items"),
    [
        (b'{"duration": 2.5, "data": [{"a": 1}, {"b": [1, 2]}]}', 2.5, 2),
        (b'{"data":[],"duration":3}', 3.0, 0),
        (b'{"data": [ 1 , "two,]" , null, [3], {"data": [1, 2]} ]}', None, 5),
        (b'{"text": "\\"data\\": [1, 2]", "a": {"duration": 5, "data": [1]}}', None, 0),
        (b'{"segments": [{"duration": 9}], "duration": 1e1}', 10.0, 0),
        (b'{"data": {"data": [1, 2]}, "x": [1]}', None, 0),
        (b'{"x": "duration", "y": 4, "data": "no list"}', None, 0),
        (b'{"duration": "4"}', None, 0),
        (b'{"duration": null}', None, 0),
        (b'{"data": [1, 2], "data": [3]}', None, 1),
        (b'{"d\\"ata": [1], "data": ["a\\\\", "b"]}', None, 2),
        (b"[1, 2]", None, 0),
        (b"", None, 0),
    ],
)
def test_only_the_top_level_counts_however_it_is_cut(text: bytes, number: float | None, items: int, size: int) -> None:
    found = glance(text, size)
    assert (found.number, found.items) == (number, items)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-99, 99) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["data", "a"]), inner, max_size=2),
    max_leaves=10,
)


@given(st.lists(VALUES, max_size=5), st.integers(0, 10**6), VALUES, st.booleans(), st.integers(1, 30))
def test_it_finds_what_a_parser_finds(
    data: list[object], duration: int, other: object, ascii_only: bool, size: int
) -> None:
    value = {"before": other, "data": data, "between": [other], "duration": duration, "after": other}
    found = glance(json.dumps(value, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass"), size)
    assert (found.number, found.items) == (duration, len(data))


@given(st.binary(max_size=200))
def test_garbage_finds_nothing_worse_than_a_number(data: bytes) -> None:
    found = glance(data, 3)
    assert found.items >= 0
    assert found.number is None or isinstance(found.number, float)


def test_keys_and_numbers_are_not_kept_beyond_a_bound() -> None:
    found = JsonSummary(b"duration", b"data")
    found.feed(b'{"duration": ')
    for _ in range(1000):
        found.feed(b"1" * 1000)
    found.feed(b', "' + b"k" * 1_000_000 + b'": 1')
    assert sum(len(value) for value in (found._number, found._key)) < 300
