"""Where values stand in JSON: spans by path, the scanner for texts in pieces, and the count of nesting."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.wire.json_scan import Section, TopLevelScanner, contains_rare, nesting_exceeds, spans
from tests.corpus import with_model
from tests.wire.cuts import chunkings, cut, cut_places, single_bytes

MODEL = ("model",)
NESTED = ("message", "model")

#: (text, path, the values found)
FOUND: tuple[tuple[bytes, tuple[str, ...], list[bytes]], ...] = (
    (b'{"model":"a"}', MODEL, [b'"a"']),
    (b'{ "model" :\n "a" }', MODEL, [b'"a"']),
    (b'{"model":""}', MODEL, [b'""']),
    (b'{"model":null}', MODEL, []),
    (b'{"model":7,"x":"a"}', MODEL, []),
    (b'{"model":["a"]}', MODEL, []),
    (b'{"model":{"model":"a"}}', MODEL, []),
    (b"{}", MODEL, []),
    (b'{"x":"model","y":"a"}', MODEL, []),
    (b'{"x":["model","a"]}', MODEL, []),
    (b'{"choices":[{"model":"b"}],"model":"a"}', MODEL, [b'"a"']),
    (b'{"x":{"model":"b"},"model":"a","y":{"model":"b"}}', MODEL, [b'"a"']),
    (b'{"x":[[{"model":"b"}],"model"],"model":"a"}', MODEL, [b'"a"']),
    (b'{"x":"\\"model\\":\\"b\\"","model":"a"}', MODEL, [b'"a"']),
    (b'{"x":"\\\\","model":"a"}', MODEL, [b'"a"']),
    (b'{"x":"}{][,","model":"a"}', MODEL, [b'"a"']),
    (b'{"model\\"":"b","model":"a"}', MODEL, [b'"a"']),
    (b'{"mod\\u0065l":"a"}', MODEL, [b'"a"']),
    (b'{"\\u006d\\u006f\\u0064\\u0065\\u006c":"a"}', MODEL, [b'"a"']),
    (b'{"models":"b","Model":"b","model ":"b"}', MODEL, []),
    (b'{"model":"a \\" b"}', MODEL, [b'"a \\" b"']),
    (b'{"model":"a\\\\"}', MODEL, [b'"a\\\\"']),
    (b'{"model":"a","model":"b"}', MODEL, [b'"a"', b'"b"']),
    (b'{"model":"a","model":null,"x":1,"model":"b"}', MODEL, [b'"a"', b'"b"']),
    ('{"größe":"b","model":"ä"}'.encode(), MODEL, ['"ä"'.encode()]),
    (b'{"\xff":1,"model":"a\xff"}', MODEL, [b'"a\xff"']),
    (b'{"message":{"model":"a"},"model":"b"}', NESTED, [b'"a"']),
    (b'{"message":{"content":[{"model":"b"}],"model":"a"}}', NESTED, [b'"a"']),
    (b'{"message":{"message":{"model":"b"}}}', NESTED, []),
    (b'{"message":[{"model":"b"}],"x":{"model":"b"}}', NESTED, []),
    (b'{"message":null,"x":{"model":"b"}}', NESTED, []),
    (b'{"message":"model","model":"b"}', NESTED, []),
    (b'{"x":{"message":{"model":"b"}},"message":{"x":{},"model":"a"}}', NESTED, [b'"a"']),
    (b'{"message":{"model":"a"},"y":[],"message":{"model":"b"}}', NESTED, [b'"a"', b'"b"']),
    (b'{"message":{"model":null},"x":"b"}', NESTED, []),
    (b'[{"model":"a"},{"x":{"model":"c"}},{"model":"b"}]', MODEL, [b'"a"', b'"b"']),
    (b" [ ]", MODEL, []),
)

#: Texts that a scanner with key `model`, value "N" and captured key `usage` gets, gives, and keeps of them.
SCANNED: tuple[tuple[bytes, bytes, bytes], ...] = (
    (b'{"model":"a","usage":{"x":1}}', b'{"model":"N","usage":{"x":1}}', b'{"x":1}'),
    (
        b'{"usage" : { "x" : [1, 2] } , "model" : "a" }',
        b'{"usage" : { "x" : [1, 2] } , "model" : "N" }',
        b'{ "x" : [1, 2] }',
    ),
    (b'\n\n\n{"model":"a"}\n', b'\n\n\n{"model":"N"}\n', b""),
    (b'{"model":""}', b'{"model":""}', b""),
    (b'{"model":null,"usage":null}', b'{"model":null,"usage":null}', b""),
    (b'{"usage":{"x":1},"usage":null}', b'{"usage":{"x":1},"usage":null}', b'{"x":1}'),
    (b'{"usage":{"x":1},"usage":{"x":2}}', b'{"usage":{"x":1},"usage":{"x":2}}', b'{"x":2}'),
    (b'{"usage":12}', b'{"usage":12}', b"12"),
    (b'{"usage":-1.5e3 ,"x":1}', b'{"usage":-1.5e3 ,"x":1}', b"-1.5e3"),
    (b'{"usage":"},{"}', b'{"usage":"},{"}', b'"},{"'),
    (b'{"x":{"usage":{"y":1},"model":"b"}}', b'{"x":{"usage":{"y":1},"model":"b"}}', b""),
    (b'{"data":[{"model":"b"}],"model":"a"}', b'{"data":[{"model":"b"}],"model":"N"}', b""),
    (b'{"x":"\\"model\\":\\"b\\"","model":"a"}', b'{"x":"\\"model\\":\\"b\\"","model":"N"}', b""),
    (b'{"x":"model","y":"usage"}', b'{"x":"model","y":"usage"}', b""),
    (b'{"x":["model","a"],"model":"a"}', b'{"x":["model","a"],"model":"N"}', b""),
    (b'{"model":{"model":"b"}}', b'{"model":{"model":"b"}}', b""),
    (b'{"model":7}', b'{"model":7}', b""),
    (b'{"mod\\u0065l":"a","us\\u0061ge":[]}', b'{"mod\\u0065l":"N","us\\u0061ge":[]}', b"[]"),
    (b'{"model":"a","model":"b"}', b'{"model":"N","model":"N"}', b""),
    (b'{"model":"a\\"b\\\\"}', b'{"model":"N"}', b""),
    (b'{"models":"b","Model":"b"}', b'{"models":"b","Model":"b"}', b""),
    (
        b'[{"model":"a"},{"x":{"model":"c"}},{"model":"b","usage":3}]',
        b'[{"model":"N"},{"x":{"model":"c"}},{"model":"N","usage":3}]',
        b"3",
    ),
    (b"plain text, with: signs", b"plain text, with: signs", b""),
    (b'"model":"a"', b'"model":"a"', b""),
    (b"\xff\x00\xfe", b"\xff\x00\xfe", b""),
    (b"}}]]", b"}}]]", b""),
    (b"", b"", b""),
)


def scanner(value_limit: int = 4_096, capture_limit: int = 65_536) -> TopLevelScanner:
    return TopLevelScanner(b"model", b'"N"', b"usage", value_limit=value_limit, capture_limit=capture_limit)


def scan(pieces: list[bytes]) -> tuple[bytes, bytes, bool, bool]:
    machine = scanner()
    out = b"".join(part for piece in pieces for part in machine.feed(piece))
    return out, machine.capture, machine.closed, machine.overflow


@pytest.mark.parametrize(("text", "path", "values"), FOUND)
def test_spans_are_those_of_the_strings_at_the_path(text: bytes, path: tuple[str, ...], values: list[bytes]) -> None:
    assert [text[begin:end] for begin, end in spans(text, path)] == values


@pytest.mark.parametrize("name", [rb"\ud83d", rb"a\u12", b"\xff\\n"])
def test_a_name_that_cannot_be_read_is_another_name(name: bytes) -> None:
    data = b'{"%b":"x","model":"m"}' % name
    assert [data[begin:end] for begin, end in spans(data, ("model",))] == [b'"m"']


def test_spans_are_counted_from_the_beginning_of_the_bytes() -> None:
    assert spans(b'data: {"model":"a"}\n\n', MODEL, 6) == [(15, 18)]


@pytest.mark.parametrize(("text", "given_on", "captured"), SCANNED)
def test_a_text_in_pieces_is_rewritten_and_read(text: bytes, given_on: bytes, captured: bytes) -> None:
    for pieces in chunkings(text):
        assert scan(pieces)[:2] == (given_on, captured)


@pytest.mark.parametrize(
    ("text", "closed"),
    [
        (b'{"x":{}}', True),
        (b'{"x":"}"', False),
        (b'{"x":{}', False),
        (b'{"x":{}} \n', True),
        (b"[{},{}]", True),
        (b"[{},{}", False),
        (b"[]", True),
        (b"", False),
        (b"text", False),
    ],
)
def test_the_end_of_the_value_is_seen(text: bytes, closed: bool) -> None:
    for pieces in chunkings(text):
        assert scan(pieces)[2] is closed


def test_the_value_that_was_replaced_is_known() -> None:
    machine = scanner()
    machine.feed(b'{"model":"gpt')
    machine.feed(b'-5"}')
    assert machine.found == b'"gpt-5"'


def test_a_value_that_may_be_replaced_is_held_back_and_nothing_else() -> None:
    machine = scanner()
    assert machine.feed(b'{"x":"begun and not en') == [b'{"x":"begun and not en']
    assert machine.feed(b'ded","model":"sec') == [b'ded","model":']
    assert machine.feed(b"ret") == []
    assert machine.feed(b'","y') == [b'"N"', b'","y'[1:]]


@pytest.mark.parametrize("text", [b'{"model":"%b"}' % (b"x" * 100), b'{"usage":[%b]}' % (b"1," * 100)])
def test_a_value_beyond_its_bound_is_reported_however_it_is_cut(text: bytes) -> None:
    for pieces in chunkings(text):
        machine = scanner(value_limit=50, capture_limit=50)
        out = b"".join(part for piece in pieces for part in machine.feed(piece))
        assert machine.overflow
        assert out == text


def test_values_of_just_the_bound_pass() -> None:
    text = b'{"model":"%b","usage":[%b1]}' % (b"x" * 48, b"1," * 23 + b" ")
    for pieces in chunkings(text):
        machine = scanner(value_limit=50, capture_limit=50)
        for piece in pieces:
            machine.feed(piece)
        assert (machine.overflow, len(machine.found), len(machine.capture)) == (False, 50, 50)


@pytest.mark.parametrize(
    "unit", [b"[", b'{"a":', b"1,", b'"', b'"x":"y",', b"\\", b'"model":', b'"usage":[', b'"usage":"']
)
def test_an_endless_text_is_not_kept(unit: bytes) -> None:
    machine = scanner(value_limit=64, capture_limit=64)
    for piece in [b"{", *([unit * 20] * 300)]:
        machine.feed(piece)
    running = machine._value.buffer if machine._value is not None else b""
    kept = [machine._name, running, machine.capture, machine.found]
    assert sum(map(len, kept)) < 1024


class Repeated(dict[str, Any]):
    """An object that json writes with its keys repeated."""

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        super().__init__(pairs)
        self._pairs = pairs

    def __bool__(self) -> bool:
        return bool(self._pairs)

    def items(self) -> Any:
        return self._pairs


#: Documents whose keys and texts look like what the scanners search for.
words = st.sampled_from(["model", "usage", "mod", "", "x", '"', "\\", '\\"model\\":', "é😀", "\n", "{[", "]},:"])
values = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | words,
    lambda inner: st.lists(inner, max_size=3) | st.lists(st.tuples(words, inner), max_size=4).map(Repeated),
    max_leaves=12,
)


documents = st.builds(
    lambda pairs, escaped, indent: json.dumps(Repeated(pairs), ensure_ascii=escaped, indent=indent).encode(),
    st.lists(st.tuples(words, values), max_size=5),
    st.booleans(),
    st.sampled_from([None, 1]),
)


@given(documents, cut_places(300))
def test_any_document_is_rewritten_as_a_whole_reader_would(document: bytes, places: list[int]) -> None:
    expected = with_model(document, "N")
    for pieces in ([document], cut(document, places), single_bytes(document)):
        out, _, closed, overflow = scan(pieces)
        assert out == expected
        assert closed
        assert not overflow


@given(st.lists(st.tuples(words, values), max_size=5), st.sampled_from([60, 127, 128, 129, 500]), cut_places(3000))
def test_brackets_that_stand_far_apart_are_found_too(
    pairs: list[tuple[str, Any]], distance: int, places: list[int]
) -> None:
    document = json.dumps(Repeated(pairs), indent=distance).encode()
    expected = with_model(document, "N")
    for pieces in ([document], cut(document, places)):
        out, _, closed, _ = scan(pieces)
        assert out == expected
        assert closed


@given(documents)
def test_any_document_has_the_spans_a_whole_reader_sees(document: bytes) -> None:
    out, position = b"", 0
    for begin, end in spans(document, MODEL):
        if end - begin > 2:
            out += document[position:begin] + b'"N"'
            position = end
    assert out + document[position:] == with_model(document, "N")


@given(documents)
def test_the_last_captured_value_that_is_not_null_counts(document: bytes) -> None:
    usages = [value for key, value in pairs_of(document) if key == "usage" and value is not None]
    capture = scan([document])[1]
    assert [json.loads(capture)] == usages[-1:] if capture else not usages


@given(
    st.lists(st.sampled_from([b'"', b"\\", b"{", b"}", b"[", b"]", b",", b":", b"model", b'"model":"a"', b"1", b" "]))
)
def test_garbage_gives_the_same_however_it_is_cut(parts: list[bytes]) -> None:
    text = b"".join(parts)
    whole = scan([text])
    assert scan(single_bytes(text)) == whole
    for begin in range(1, len(text)):
        assert scan(cut(text, [begin])) == whole


def pairs_of(document: bytes) -> list[tuple[str, Any]]:
    """The keys and values of an object, repeated ones too."""
    objects: list[list[tuple[str, Any]]] = []

    def note(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        objects.append(pairs)
        return dict(pairs)

    json.loads(document, object_pairs_hook=note)
    return objects[-1]


def deepest(document: str) -> int:
    """The depth of a JSON text, by a reader that goes sign by sign."""
    depth = most = 0
    inside = escaped = False
    for sign in document:
        if inside:
            inside = escaped or sign != '"'
            escaped = sign == "\\" and not escaped
        elif sign == '"':
            inside = True
        elif sign in "[{":
            depth += 1
            most = max(most, depth)
        elif sign in "]}":
            depth -= 1
    return most


#: (text, its depth, its brackets)
NESTING: tuple[tuple[bytes, int, int], ...] = (
    (b"7", 0, 0),
    (b"[]", 1, 1),
    (b"[[],[],[]]", 2, 4),
    (b'{"a":[{"b":[]}]}', 4, 4),
    (b'["[[[[", "]]]]"]', 1, 1),
    (b'["\\n",[["\\\\"],"\\""]]', 3, 3),
    (b'["\\n","[[[[[["]', 1, 1),
    (b'["\\\\",["[["]]', 2, 2),
    (b'["\\"[[","\\\\\\"[["]', 1, 1),
    (b'["\\u005b[["]', 1, 1),
)


@pytest.mark.parametrize(("text", "depth", "brackets"), NESTING)
def test_nesting_is_bounded_exactly(text: bytes, depth: int, brackets: int) -> None:
    assert not nesting_exceeds(text, depth, brackets)
    assert not depth or nesting_exceeds(text, depth - 1, brackets)


@pytest.mark.parametrize(("text", "depth", "brackets"), [case for case in NESTING if case[2] > case[1]])
def test_the_number_of_brackets_is_bounded(text: bytes, depth: int, brackets: int) -> None:
    assert nesting_exceeds(text, depth, brackets - 1)


@given(documents, st.integers(0, 6))
def test_nesting_is_what_a_reader_of_signs_counts(document: bytes, depth: int) -> None:
    assert nesting_exceeds(document, depth, 10_000) == (deepest(document.decode()) > depth)


@pytest.mark.parametrize("depth", [10, 127, 128, 129, 5000])
def test_an_unclosed_text_is_never_much_deeper_than_was_said(depth: int) -> None:
    # What is not closed may be read by the parser to see where it ends: up to twice the bound, never without one.
    for text in (b"[" * depth, b"[[]," * depth, b'{"a":"\\n","b":' * depth, b"[1," * depth + b"\\" + b"]" * depth):
        assert nesting_exceeds(text, 64, 100_000) == (depth > 64)


@pytest.mark.parametrize("text", [b"a" * 50_000, b"_id_" * 20_000, b"file_i" * 10_000, b"_" * 63 + b"a" * 50_000])
@pytest.mark.parametrize("place", [0, 1, 17, 30_000, -1])
def test_a_word_is_found_wherever_it_stands(text: bytes, place: int) -> None:
    place %= len(text) + 1
    for size in (100, len(text)):
        assert not contains_rare(text[:size], b"file_id", b"_")
    assert contains_rare(text[:place] + b"file_id" + text[place:], b"file_id", b"_")


def test_a_word_that_is_cut_is_none() -> None:
    assert not contains_rare(b"_id" + b"a" * 20_000 + b"file_i", b"file_id", b"_")
    assert not contains_rare(b"_id" + b"a_" * 20_000 + b"file_i", b"file_id", b"_")


@pytest.mark.parametrize("escape", [b"\\\\", b'\\"', b"\\n", b"\\/", b"\\u005b", b"\\\\\\n", b'\\\\\\"'])
def test_escapes_hide_no_bracket_and_show_none(escape: bytes) -> None:
    for inside in (b"", b"[", b"]", b"{" * 70):
        text = b'{"a%b%b":[%b]}' % (inside, escape, b",".join([b'["%b%b"]' % (escape, inside)] * 30))
        assert not nesting_exceeds(text, 3, 32)
        assert nesting_exceeds(text, 2, 32)
        assert nesting_exceeds(text, 3, 31)


def items_of(text: bytes, size: int = 10_000) -> tuple[list[bytes], int]:
    """The short values of `duration`, and how many items `data` has."""
    machine = TopLevelScanner(b"", b"", b"", further=(b"duration",), sections=(Section(b"data"),))
    for begin in range(0, len(text), size):
        machine.feed(text[begin : begin + size])
    return machine.values.get(b"duration", []), machine.sections[b"data"].items


@pytest.mark.parametrize("size", [1, 2, 7, 10_000])
@pytest.mark.parametrize(
    ("text", "values", "items"),
    [
        (b'{"duration": 2.5, "data": [{"a": 1}, {"b": [1, 2]}]}', [b"2.5"], 2),
        (b'{"data":[],"duration":3}', [b"3"], 0),
        (b'{"data": [ 1 , "two,]" , null, [3, [4]], {"data": [1, 2]} ]}', [], 5),
        (b'{"text": "\\"data\\": [1, 2]", "a": {"duration": 5, "data": [1]}}', [], 0),
        (b'{"segments": [{"duration": 9}], "duration": 1e1}', [b"1e1"], 0),
        (b'{"data": {"data": [1, 2]}, "x": [1]}', [], 0),
        (b'{"x": "duration", "y": 4, "data": "no list"}', [], 0),
        (b'{"duration": "4"}', [b'"4"'], 0),
        (b'{"data": [1, 2], "data": [3]}', [], 1),
        (b'{"data": [1, 2], "data": {"a": {}}}', [], 0),
        (b'{"d\\"ata": [1], "data": ["a\\\\", "b"]}', [], 2),
        (b'{"data": [{"b64_json": "AAAA"}, {"b64_json": "AA', [], 2),
        (b"[1, 2]", [], 0),
        (b"", [], 0),
    ],
)
def test_items_of_a_top_level_list_are_counted_however_it_is_cut(
    text: bytes, values: list[bytes], items: int, size: int
) -> None:
    assert items_of(text, size) == (values, items)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-99, 99) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["data", "a"]), inner, max_size=2),
    max_leaves=10,
)


@given(st.lists(VALUES, max_size=5), st.integers(0, 10**6), VALUES, st.booleans(), st.integers(1, 30))
def test_as_many_items_are_counted_as_a_parser_finds(
    data: list[object], duration: int, other: object, ascii_only: bool, size: int
) -> None:
    value = {"before": other, "data": data, "between": [other], "duration": duration, "after": other}
    text = json.dumps(value, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")
    assert items_of(text, size) == ([str(duration).encode()], len(data))
