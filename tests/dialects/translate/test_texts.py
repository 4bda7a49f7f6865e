"""Helpers of translations: JSON strings as they came, ids, and where a JSON object in pieces is complete."""

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.dialects.translate.texts import JsonDepth, arguments_text, call_id, derived_id, joined, text_of

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


def depth_of(pieces: list[str]) -> list[bool]:
    depth = JsonDepth()
    found = []
    for piece in pieces:
        depth.feed(json.dumps(piece).encode())
        found.append(depth.complete)
    return found


@given(st.dictionaries(st.text(), values), st.booleans(), st.data())
def test_an_object_in_pieces_is_complete_with_its_last_piece_and_not_before(
    value: dict[str, object], ascii: bool, data: st.DataObject
) -> None:
    text = json.dumps(value, ensure_ascii=ascii)
    cuts = sorted(data.draw(st.sets(st.integers(1, len(text) - 1))))
    pieces = [text[begin:end] for begin, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    assert depth_of(pieces) == [False] * (len(pieces) - 1) + [True]


def test_a_brace_or_a_quote_inside_a_text_does_not_count() -> None:
    assert depth_of(['{"a":"}', '\\"}', '\\\\"', "}"]) == [False, False, False, True]


def test_half_of_a_pair_of_surrogates_is_a_character_like_any_other() -> None:
    depth = JsonDepth()
    for raw in (b'"{\\"a\\":\\"\\ud83d"', b'"\\ude00\\"}"'):
        depth.feed(raw)
    assert depth.complete


def test_texts_are_joined_without_being_decoded() -> None:
    assert joined([b'"a\\u00e4"', b'"\\n"'], b"-") == b'"a\\u00e4-\\n"'


@pytest.mark.parametrize(
    ("raw", "text"), [(b"", b""), (b"null", b""), (b'""', b""), (b'"a"', b'"a"'), (b"1", b""), (b"[]", b"")]
)
def test_a_text_is_a_string_that_is_not_empty(raw: bytes, text: bytes) -> None:
    assert text_of(msgspec.Raw(raw)) == text


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b'"{\\"a\\":1.00}"', b'{"a":1.00}'),
        (b'{"a":1.00}', b'{"a":1.00}'),
        (b'""', b"{}"),
        (b"null", b"{}"),
        (b'"[1]"', None),
        (b'"{"', None),
    ],
)
def test_arguments_are_an_object_or_the_text_of_one(raw: bytes, text: bytes | None) -> None:
    assert arguments_text(msgspec.Raw(raw)) == text


def test_the_id_of_a_call_stays_where_every_dialect_takes_it() -> None:
    assert call_id("toolu_01-x", "r", 0) == "toolu_01-x"


@pytest.mark.parametrize("id", ["", "a b", "x" * 65, "functions.f:0"])
def test_another_id_of_a_call_is_replaced_by_the_same_one_each_time(id: str) -> None:
    assert call_id(id, "r", 0) == call_id(id, "r", 0)
    assert call_id(id, "r", 0) != call_id(id, "r", 1)
    assert call_id(id, "r", 0).startswith("call_")


def test_a_derived_id_shows_nothing_of_what_it_is_made_from() -> None:
    assert derived_id("msg_", "chatcmpl-1") == derived_id("msg_", "chatcmpl-1")
    assert "chatcmpl" not in derived_id("msg_", "chatcmpl-1")
