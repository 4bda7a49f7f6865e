"""A large body in pieces: the bytes of `render_body`, without a copy of what does not change."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.wire.pieces import pieces
from proxy.wire.request_body import parse_body, parse_body_without_model, render_body

USAGE = b',"stream_options":{"include_usage":true}}'


def shared(parts: list[bytes | memoryview], data: bytes) -> int:
    """How many bytes of the pieces are the body's own memory."""
    return sum(len(part) for part in parts if isinstance(part, memoryview) and part.obj is data)


@pytest.mark.parametrize(
    "data",
    [
        b'{"model":"alias"}',
        b'{"model":"alias","stream":true,"messages":[{"model":"alias","content":"x"}]}',
        b'{"messages":[ 1 , {"model":"inner"} ],"model":"alias"}',
        b'{"n":1.0e2,"model":"al\\u0069as","messages":["\\u00e9","\xc3\xa9"],"user":null}',
    ],
)
@pytest.mark.parametrize("include_usage", [True, False])
def test_only_the_model_is_new(data: bytes, include_usage: bool) -> None:
    body = parse_body(data)
    parts = pieces(body, 'b"\\', include_usage)
    assert b"".join(parts) == render_body(body, 'b"\\', include_usage)
    was = bytes(body.fields["model"])
    assert shared(parts, data) == len(data) - len(was) - include_usage
    assert (USAGE in parts) == include_usage


@pytest.mark.parametrize(
    "data",
    [
        # A second model must never leave, whichever of the two is that of the key's rights.
        b'{"model":"alias","model":"alias"}',
        b'{"model":"secret","x":1,"model":"alias"}',
        b'{"model":"alias","x":1,"x":2}',
        b'{"mod\\u0065l":"secret","model":"alias"}',
        b'{"mod\\u0065l":"alias"}',
        b'{"model":"alias","\\u0078":1}',
        b'{"model":"alias","\xc3\xa9":1}',
        b'{"model":"alias","a b":1}',
        b'{"model":"alias","a\\"b":1}',
        b'{"model":"alias","\\n":1,"\\n":1}',
        b'{"model":"alias","":1}',
        b'{"model": "alias"}',
        b' {"model":"alias"}',
        b'{"model":"alias"}\n',
        b'{"model":"alias" ,"x":1}',
        b'{"model":"alias","x":1 }',
    ],
)
def test_what_is_written_in_any_other_way_is_put_together(data: bytes) -> None:
    body = parse_body(data)
    assert pieces(body, "b", False) == [render_body(body, "b", False)]
    assert pieces(body, "b", True) == [render_body(body, "b", True)]


@pytest.mark.parametrize("options", [b"null", b"{}", b'{"include_usage":false,"x":1}'])
def test_options_of_the_stream_that_are_there_are_kept(options: bytes) -> None:
    body = parse_body(b'{"model":"alias","stream":true,"stream_options":%b}' % options)
    assert pieces(body, "b", True) == [render_body(body, "b", True)]
    assert b"".join(pieces(body, "b", False)) == render_body(body, "b", False)


def test_a_body_whose_path_names_the_model_is_put_together() -> None:
    body = parse_body_without_model(b'{"model":"models/a","requests":[]}', "a", True)
    assert pieces(body, "b", False) == [render_body(body, "b", False)]


names = st.sampled_from(["model", "messages", "x", "é", "a b"])
values = st.sampled_from(["a", "\n", "é", 1, 1.5, None, [], [{"model": "inner"}], {"x": ["]", "}"]}, "{" * 70])


@given(
    st.lists(st.tuples(names, values), max_size=6),
    st.sampled_from([(",", ":"), (", ", ":"), (",", ": "), (",", ":\n")]),
    st.booleans(),
    st.booleans(),
)
def test_pieces_are_what_splice_makes(
    members: list[tuple[str, Any]], separators: tuple[str, str], escaped: bool, include_usage: bool
) -> None:
    comma, colon = separators
    texts = [
        json.dumps(name, ensure_ascii=escaped) + colon + json.dumps(value)
        for name, value in [*members, ("model", "alias")]
    ]
    body = parse_body(("{" + comma.join(texts) + "}").encode())
    assert b"".join(pieces(body, "other", include_usage)) == render_body(body, "other", include_usage)
