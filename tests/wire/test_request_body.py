"""The request body: what is read of it, what is refused and where, and that nothing but the model changes."""

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.errors import GatewayError, InvalidRequest
from proxy.wire.request_body import (
    MAX_BRACKETS,
    MAX_DEPTH,
    decode_object,
    parse_body,
    parse_body_without_model,
    render_body,
    render_chunks,
    text_bytes,
)
from tests.corpus import exchanges

MEBIBYTE = 1_048_576

#: (body, model, stream, the client asked for usage)
READ: tuple[tuple[bytes, str, bool, bool], ...] = (
    (b'{"model":"a"}', "a", False, False),
    (b'{"stream":true,"model":"a"}', "a", True, False),
    (b'{"model":"a","stream":false}', "a", False, False),
    (b'{"model":"a","stream":null}', "a", False, False),
    (b'{"model":"a","stream":true,"stream_options":{"include_usage":true}}', "a", True, True),
    (b'{"stream_options":{"include_usage":true},"model":"a","stream":true}', "a", True, True),
    (b'{"model":"a","stream":true,"stream_options":{"include_usage":false}}', "a", True, False),
    (b'{"model":"a","stream":true,"stream_options":{"include_usage":null}}', "a", True, False),
    (b'{"model":"a","stream":true,"stream_options":{"include_obfuscation":false}}', "a", True, False),
    (b'{"model":"a","stream":true,"stream_options":{}}', "a", True, False),
    (b'{"model":"a","stream":true,"stream_options":null}', "a", True, False),
    (b'{"model":"a","stream":false,"stream_options":{"include_usage":true}}', "a", False, False),
    (b'{"model":"a","stream_options":7}', "a", False, False),
    (b'\r\n\t {\n  "model" : "a" ,\n  "stream" : true\n}\n', "a", True, False),
    (b'{"mod\\u0065l":"a"}', "a", False, False),
    (b'{"model":"\\u0061\\/b"}', "a/b", False, False),
    ('{"model":"größe-日本-😀"}'.encode(), "größe-日本-😀", False, False),
    (b'{"model":"\\ud83d\\ude00"}', "😀", False, False),
    (b'{"model":"a","messages":[{"model":"b","content":"\\"model\\":\\"c\\""}]}', "a", False, False),
    (b'{"tools":[{"model":"b"}],"metadata":{"model":"c","stream":true},"model":"a"}', "a", False, False),
    (b'{"model":"a","x":1e400,"y":123456789012345678901234567890}', "a", False, False),
    (b'{"model":"first","model":"last"}', "last", False, False),
    (b'{"model":7,"model":"last"}', "last", False, False),
    (b'{"model":"a","mod\\u0065l":"last"}', "last", False, False),
    (b'{"model":"a","stream":true,"stream":false}', "a", False, False),
)

#: (body, the parameter to blame, what the message says)
REFUSED: tuple[tuple[bytes, str | None, str], ...] = (
    (b"", None, "is empty"),
    (b"  ", None, "ends too early, at byte 2"),
    (b"[]", None, "must be a JSON object"),
    (b"null", None, "must be a JSON object"),
    (b'"model"', None, "must be a JSON object"),
    (b"7", None, "must be a JSON object"),
    (b"model=a&stream=true", None, "at byte 0"),
    (b"{", None, "ends too early, at byte 1"),
    (b'{"model":"a"', None, "ends too early, at byte 12"),
    (b'{"model":"a","x":"abc', None, "ends too early, at byte 21"),
    (b'{"model":"a","x":"abc\\', None, "ends too early, at byte 22"),
    (b'{"model":"a"} {"model":"b"}', None, "trailing characters at byte"),
    (b'{"model":"a"}\x00', None, "trailing characters at byte"),
    (b'{"model":"a",}', None, "trailing comma in object at byte 13"),
    (b'{"model":"a" "b":1}', None, "expected ',' or '}' at byte 13"),
    (b"{'model':'a'}", None, "object keys must be strings at byte 1"),
    (b"{1:2}", None, "object keys must be strings at byte 1"),
    (b'{"model":"a","x":nan}', None, "invalid character at byte"),
    (b'{"model":"a","x":1NaN}', None, "at byte 18"),
    (b'{"model":"a","x":-NaN}', None, "at byte 18"),
    (b'{"model":"a","x":NaN0}', None, "at byte 17"),
    (b'{"model":"a","x":+Infinity}', None, "at byte 17"),
    (b'{"model":"a","x":--Infinity}', None, "at byte 18"),
    (b'{"model":"a","x":"NaN","y":d}', None, "at byte 27"),
    (b'{"model":"a","x":"NaN","y":fdlse}', None, "invalid character"),
    (b'{"model":"a","x":"\\ud83d","y":"\\d"}', None, "invalid escaped character"),
    (b'{"model":NaN}', "model", "must be a string"),
    (b'{"model":"a","stream":NaN}', "stream", "must be true or false"),
    (b'{"model":"a","x":01}', None, "invalid number at byte 18"),
    (b'{"model":"a","x":"a\nb"}', None, "invalid character at byte 19"),
    (b'{"model":"a","x":"\\q"}', None, "invalid escaped character at byte 19"),
    (b'{"model":"a","x":"\xff"}', None, "not valid UTF-8 (byte 18)"),
    (b'{"model":"a","x":"\xed\xa0\x80"}', None, "not valid UTF-8 (byte 18)"),
    (b'\xef\xbb\xbf{"model":"a"}', None, "at byte 0"),
    ('{"model":"a"}'.encode("utf-16"), None, "not valid UTF-8 (byte 0)"),
    (b'{"model":"\\ud83d"}', "model", "must be a string"),
    (b'{"model":"a","half \\ud83d":1}', None, "A name in the request body cannot be read"),
    (b'{"model":"a","x":"\\ud83d"', None, "ends too early, at byte 25"),
    (b'{"model":"a","x":"\\\\ud83d', None, "ends too early, at byte 25"),
    (b"{}", "model", "must provide a model"),
    (b'{"Model":"a"}', "model", "'Model' can be read as 'model'"),
    (b'{"mo\\u0000del":"a"}', "model", "must provide a model"),
    (b'{"metadata":{"model":"a"}}', "model", "must provide a model"),
    (b'{"model":""}', "model", "it is empty"),
    (b'{"model":"a","model":""}', "model", "it is empty"),
    (b'{"model":null}', "model", "must be a string"),
    (b'{"model":1}', "model", "must be a string"),
    (b'{"model":["a"]}', "model", "must be a string"),
    (b'{"model":{"model":"a"}}', "model", "must be a string"),
    (b'{"model":"a","stream":"true"}', "stream", "must be true or false"),
    (b'{"model":"a","stream":1}', "stream", "must be true or false"),
    (b'{"model":"a","stream":[]}', "stream", "must be true or false"),
    (b'{"model":"a","stream":true,"stream_options":true}', "stream_options", "must be an object"),
    (b'{"model":"a","stream":true,"stream_options":[]}', "stream_options", "must be an object"),
    (
        b'{"model":"a","stream":true,"stream_options":{"include_usage":1}}',
        "stream_options.include_usage",
        "must be true or false",
    ),
)

#: Values that must come through byte for byte, however oddly they are written.
VALUES = (
    b"1.0",
    b"1E+2",
    b"-0",
    b"1e400",
    b"123456789012345678901234567890",
    b'"\\u00e9\\/\\ud83d\\ude00"',
    '"é 😀 \u2028"'.encode(),
    b'{ "model" : "nested",\n\t"model":"again" }',
    b'[ 1 , 2,{"model":"b"} ]',
    b'"\\"model\\":\\"c\\""',
    b'{"b":1,"a":2,"b":3}',
    b"null",
    b'""',
    b'"\\\\"',
    b"NaN",
    b"[-Infinity,Infinity , NaN]",
    b'"cut \\ud83d"',
    b'{"half \\udcaf":"NaN","x":["\\uDCAF\\uD83D",1e5]}',
    b'"\\\\ud83d and \\ud83d"',
)


def refusal(body: bytes) -> InvalidRequest:
    with pytest.raises(InvalidRequest) as caught:
        parse_body(body)
    return caught.value


@pytest.mark.parametrize(("data", "model", "stream", "wants_usage"), READ)
def test_a_body_says_which_model_and_how(data: bytes, model: str, stream: bool, wants_usage: bool) -> None:
    body = parse_body(data)
    assert (body.model, body.stream, body.wants_usage, body.holds_model) == (model, stream, wants_usage, True)


@pytest.mark.parametrize(("data", "param", "message"), REFUSED)
def test_a_body_that_cannot_be_used_is_refused_with_its_place(data: bytes, param: str | None, message: str) -> None:
    error = refusal(data)
    assert message in error.message
    assert (error.status, error.type, error.param) == (400, "invalid_request_error", param)


@pytest.mark.parametrize("value", VALUES)
def test_a_value_survives_byte_for_byte(value: bytes) -> None:
    data = b'{"before":%b,"model":"a","after":%b}' % (value, value)
    assert render_body(parse_body(data), "b", False) == b'{"before":%b,"model":"b","after":%b}' % (value, value)


def test_keys_keep_their_order() -> None:
    assert render_body(parse_body(b'{"z":1,"model":"a","a":2,"m":3}'), "b", False) == b'{"z":1,"model":"b","a":2,"m":3}'


def test_blanks_between_top_level_keys_are_not_kept() -> None:
    assert render_body(parse_body(b'{\n  "model" : "a",\n  "x" : [ 1 ]\n}'), "b", False) == b'{"model":"b","x":[ 1 ]}'


@pytest.mark.parametrize(
    "data",
    [
        b'{"model":"secret","x":1,"model":"a"}',
        b'{"mod\\u0065l":"secret","x":1,"model":"a"}',
        b'{"model":"secret","x":1,"\\u006dodel":"a"}',
    ],
)
def test_a_repeated_model_leaves_no_second_one(data: bytes) -> None:
    assert render_body(parse_body(data), "b", False) == b'{"model":"b","x":1}'


def test_a_new_model_name_is_written_as_json() -> None:
    assert render_body(parse_body(b'{"model":"a"}'), 'b"\\\n', False) == b'{"model":"b\\"\\\\\\n"}'


def test_a_body_can_be_put_together_for_several_targets() -> None:
    body = parse_body(b'{"model":"a","stream":true}')
    assert render_body(body, "b", True) == b'{"model":"b","stream":true,"stream_options":{"include_usage":true}}'
    assert render_body(body, "c", False) == b'{"model":"c","stream":true}'


@pytest.mark.parametrize(
    ("options", "merged"),
    [
        (b"null", b'{"include_usage":true}'),
        (b"{}", b'{"include_usage":true}'),
        (b'{"include_usage":false}', b'{"include_usage":true}'),
        (b'{"include_obfuscation":false}', b'{"include_obfuscation":false,"include_usage":true}'),
        (b'{"include_usage":null,"x":{ "y" : 1e2 }}', b'{"include_usage":true,"x":{ "y" : 1e2 }}'),
        (b'{"include_usage":false,"include\\u005fusage":false}', b'{"include_usage":true}'),
    ],
)
def test_asking_for_usage_keeps_the_other_options(options: bytes, merged: bytes) -> None:
    body = parse_body(b'{"model":"a","stream":true,"stream_options":%b,"n":1}' % options)
    assert render_body(body, "b", True) == b'{"model":"b","stream":true,"stream_options":%b,"n":1}' % merged


def test_a_body_whose_path_names_the_model_gets_none() -> None:
    body = parse_body_without_model(b'{"contents":[{"model":"x"}]}', "gemini", True)
    assert (body.model, body.stream, body.wants_usage) == ("gemini", True, True)
    assert render_body(body, "other", False) == b'{"contents":[{"model":"x"}]}'


def test_a_body_whose_path_names_the_model_may_hold_one_of_its_own() -> None:
    body = parse_body_without_model(b'{"model":7}', "gemini", False)
    assert render_body(body, "other", False) == b'{"model":7}'


def nested(depth: int) -> bytes:
    """A body whose deepest list is at this depth, the object counted."""
    return b'{"model":"a","x":%b%b}' % (b"[" * (depth - 1), b"]" * (depth - 1))


def test_nesting_up_to_the_bound_passes() -> None:
    assert parse_body(nested(MAX_DEPTH)).model == "a"


def test_nesting_beyond_the_bound_is_refused() -> None:
    assert f"deeper than {MAX_DEPTH} levels" in refusal(nested(MAX_DEPTH + 1)).message


def test_as_many_brackets_as_the_bound_pass() -> None:
    assert parse_body(b'{"model":"a","x":[%b[]]}' % (b"[]," * (MAX_BRACKETS - 3))).model == "a"


def test_more_brackets_than_the_bound_are_refused() -> None:
    assert "too many objects" in refusal(b'{"model":"a","x":[%b[]]}' % (b"{}," * (MAX_BRACKETS - 2))).message


def test_a_large_body_may_hold_brackets_in_proportion() -> None:
    text = b'{"role":"user","content":"hello"}'
    assert parse_body(b'{"model":"a","messages":[%b]}' % b",".join([text] * (2 * MAX_BRACKETS))).model == "a"


#: Texts of 12 MiB that cost a parser or a naive check much time or memory.
HOSTILE = {
    "many empty lists": b"[],",
    "open lists": b"[",
    "open objects": b'{"a":',
    "lists behind brackets in strings": b'"[",[],',
    "lists behind line feeds in strings": b'["\\n",',
    "lists behind escaped quotes": b'["\\"",',
    "lists behind backslashes": b'["\\\\",',
    "lists and objects in turn": b'[{"a":',
    "towers just within the depth": b"[" * 62 + b"]" * 62 + b",",
}


@pytest.mark.parametrize("unit", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_nesting_never_reaches_the_parser(unit: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("proxy.wire.request_body._decoder", None)
    body = b'{"model":"a","x":[' + unit * (12 * MEBIBYTE // len(unit))
    with pytest.raises(InvalidRequest, match="nests deeper"):
        decode_object(body)


@pytest.mark.parametrize("unit", [b"]", b"}", b'"', b"\\", b" ", b"\x00", b'"a":"b",', b"7"])
def test_twelve_mebibytes_of_anything_else_are_refused_too(unit: bytes) -> None:
    with pytest.raises(InvalidRequest):
        parse_body(unit * (12 * MEBIBYTE // len(unit)))


def test_brackets_in_texts_are_no_nesting() -> None:
    content = json.dumps("[" * 5000 + "\n" + '{"' * 5000 + "\\")
    data = b'{"model":"a","messages":[%b,{"content":%b}]}' % (b",".join([b"{}"] * 99), content.encode())
    assert render_body(parse_body(data), "a", False) == data


def test_a_cut_body_with_many_lists_is_said_to_end_too_early() -> None:
    body = b'{"model":"a","x":[[%b[' % (b"[]," * 100)
    assert f"ends too early, at byte {len(body)}" in refusal(body).message


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


def encodable(value: Any) -> bool:
    """Whether UTF-8 can write it: hypothesis also makes lone surrogates."""
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True


@given(
    st.dictionaries(st.text() | st.sampled_from(["model", "stream_options", "n"]), json_values).filter(encodable),
    st.text(min_size=1).filter(encodable),
    st.booleans(),
    st.sampled_from([None, 1, "\t"]),
)
def test_fields_that_are_not_known_survive(fields: dict[str, Any], model: str, escaped: bool, indent: Any) -> None:
    fields |= {"model": "a"}
    fields.pop("stream", None)
    data = json.dumps(fields, ensure_ascii=escaped, indent=indent).encode()
    assert json.loads(render_body(parse_body(data), model, False)) == fields | {"model": model}


@given(
    st.binary(max_size=60)
    | st.lists(st.sampled_from([b'{"model":"a"', b"}", b",", b'"x":', b'"\\', b"[", b"]", b"1"])).map(b"".join)
)
def test_garbage_gives_a_body_or_our_error(data: bytes) -> None:
    try:
        body = parse_body(data)
    except GatewayError:
        return
    assert json.loads(render_body(body, body.model, False))["model"] == body.model


def test_recorded_requests_change_nowhere_but_in_their_model() -> None:
    seen = 0
    for exchange in exchanges(dialect="openai-chat"):
        if "model" not in exchange.request_json:
            continue
        seen += 1
        body = parse_body(exchange.request)
        assert body.model == exchange.request_json["model"]
        assert body.stream == bool(exchange.request_json.get("stream"))
        assert body.wants_usage == (body.stream and exchange.asks_for_usage)
        assert json.loads(render_body(body, "b", False)) == exchange.request_json | {"model": "b"}
    assert seen > 50


@pytest.mark.parametrize(
    ("body", "sent"),
    [
        (b'{"model":"models/a","x":{"model":"a"}}', b'{"model":"models/b","x":{"model":"a"}}'),
        (
            b'{"requests":[{"model":"models/a","content": {"model":"a"}},{"content":1},7]}',
            b'{"requests":[{"model":"models/b","content":{"model":"a"}},{"content":1},7]}',
        ),
        (
            b'{"generateContentRequest":{"contents":[],"model":"models/a"}}',
            b'{"generateContentRequest":{"contents":[],"model":"models/b"}}',
        ),
        (b'{"requests":{"model":"a"},"generateContentRequest":null}', None),
        (b'{"contents":[{"model":"a"}]}', None),
    ],
)
def test_a_model_of_the_path_is_changed_where_a_body_repeats_it(body: bytes, sent: bytes | None) -> None:
    spliced = render_body(parse_body_without_model(body, "a", False), "b", False)
    assert json.loads(spliced) == json.loads(sent if sent is not None else body)


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
    parts = render_chunks(body, 'b"\\', include_usage)
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
    assert render_chunks(body, "b", False) == [render_body(body, "b", False)]
    assert render_chunks(body, "b", True) == [render_body(body, "b", True)]


@pytest.mark.parametrize("options", [b"null", b"{}", b'{"include_usage":false,"x":1}'])
def test_options_of_the_stream_that_are_there_are_kept(options: bytes) -> None:
    body = parse_body(b'{"model":"alias","stream":true,"stream_options":%b}' % options)
    assert render_chunks(body, "b", True) == [render_body(body, "b", True)]
    assert b"".join(render_chunks(body, "b", False)) == render_body(body, "b", False)


def test_a_body_whose_path_names_the_model_is_put_together() -> None:
    body = parse_body_without_model(b'{"model":"models/a","requests":[]}', "a", True)
    assert render_chunks(body, "b", False) == [render_body(body, "b", False)]


names = st.sampled_from(["model", "messages", "x", "é", "a b"])
values = st.sampled_from(["a", "\n", "é", 1, 1.5, None, [], [{"model": "inner"}], {"x": ["]", "}"]}, "{" * 70])


@given(
    st.lists(st.tuples(names, values), max_size=6),
    st.sampled_from([(",", ":"), (", ", ":"), (",", ": "), (",", ":\n")]),
    st.booleans(),
    st.booleans(),
)
def test_chunks_are_what_rendering_at_once_makes(
    members: list[tuple[str, Any]], separators: tuple[str, str], escaped: bool, include_usage: bool
) -> None:
    comma, colon = separators
    texts = [
        json.dumps(name, ensure_ascii=escaped) + colon + json.dumps(value)
        for name, value in [*members, ("model", "alias")]
    ]
    body = parse_body(("{" + comma.join(texts) + "}").encode())
    assert b"".join(render_chunks(body, "other", include_usage)) == render_body(body, "other", include_usage)


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"plain", 5),
        (b"", 0),
        (b'{"url":"data:image/png;base64,' + b"A" * 1000 + b'"}', len(b'{"url":"data:image/png"}')),
        (b'["a;base64,AA==","b;base64,BBBB"]', len(b'["a","b"]')),
        # A promise of base64 makes no text disappear.
        (b'["a;base64,"]', len(b'["a;base64,"]')),
        (b'["a;base64,AAAA and more"]', len(b'["a and more"]')),
        (b"a;base64,;base64,AAAA", len(b"a;base64,")),
        (b";base64,AAAA", 0),
        (b'x";base64,AAAA', 2),
    ],
)
def test_base64_of_data_urls_is_no_text(data: bytes, text: int) -> None:
    assert text_bytes(data) == text


@given(st.lists(st.sampled_from([b";base64,", b"AB+/9=", b'"', b"\\", b" ", b";", b",", b"base64"])).map(b"".join))
def test_it_is_what_a_pattern_finds(data: bytes) -> None:
    assert text_bytes(data) == len(re.sub(rb";base64,[A-Za-z0-9+/=]+", b"", data))
