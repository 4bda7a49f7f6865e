"""The rewriters: the alias at its path alone, events left out, ends, and the same bytes however they are cut."""

import json
import time
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.errors import UpstreamProtocolError
from proxy.wire.json_rewrite import JsonRewriter, SSERewriter
from proxy.wire.meter import UsageMeter
from tests.corpus import with_model
from tests.wire.cuts import chunkings, cut, cut_places, single_bytes, with_line_ends

ALIAS = "prometheus-core"


class PlainMeter(UsageMeter):
    """A meter without a dialect: notes what it reads, leaves out events with `drop`, and takes `error` for an error."""

    def __init__(self, path: tuple[str, ...] = ("model",)) -> None:
        self.path = path
        self.drop = False
        self.failed = False
        self.ended = False
        self.text_out = 0
        self.plain = b""
        self.seen: list[Any] = []

    def read(self, payload: bytes) -> msgspec.Raw:
        raw = payload
        try:
            for key in self.path:
                fields = msgspec.json.decode(raw, type=dict[str, msgspec.Raw]) if raw.lstrip()[:1] == b"{" else {}
                raw = bytes(fields.get(key, msgspec.Raw()))
            self.seen.append(json.loads(payload.decode(errors="replace")))
        except (ValueError, RecursionError) as error:
            raise UpstreamProtocolError("not JSON") from error
        last = self.seen[-1]
        self.drop = isinstance(last, dict) and "drop" in last
        self.failed = isinstance(last, dict) and "error" in last
        return msgspec.Raw(raw)

    def scrub(self, block: bytes) -> bytes:
        return block.replace(b"secret", b"***")


def rewrite(pieces: list[bytes], meter: PlainMeter | None = None, limit: int = 100_000) -> bytes:
    """What a client gets: reading ends where the answer does."""
    meter = meter or PlainMeter()
    rewriter = SSERewriter(meter, ALIAS, limit)
    out = b""
    for piece in pieces:
        out += rewriter.feed(piece)
        if meter.ended:
            return out
    return out + rewriter.end()


#: Events whose `a` must become the alias, and whose `b` must stay.
EVENTS: tuple[bytes, ...] = (
    b'data: {"model":"a"}\n\n',
    b'data:{"model":"a"}\n\n',
    b'data:   { "model" :  "a" , "x" : 1 }  \n\n',
    b'data: {"model":"a"}\r\n\r\n',
    b'data: {"model":"a"}\r\r',
    b'data: {"model":"a"}\n\r\n',
    b'data: {"model":"a"}\r\n\n',
    b'\xef\xbb\xbfdata: {"model":"a"}\n\n',
    b'event: chunk\ndata: {"model":"a"}\n\n',
    b'event: chunk\r\ndata: {"model":"a"}\r\n\r\n',
    b'event:chunk\rdata:{"model":"a"}\r\r',
    b'data: {"model":"a"}\nevent: chunk\n\n',
    b'id: 7\nevent: chunk\nretry: 10\ndata: {"model":"a"}\n\n',
    b': ping\ndata: {"model":"a"}\n\n',
    b': "model":"b"\nevent: "model":"b"\ndata: {"model":"a"}\n\n',
    b'event: {"model":"b"}\ndata: {"model":"a"}\n\n',
    b'data: {\ndata:   "choices": [\ndata:   ],\ndata:   "model": "a"\ndata: }\n\n',
    b'data: {"choices":[],\r\ndata:"model":\r\ndata:"a"}\r\n\r\n',
    b'data: {"choices":[],\rdata:"model":\rdata:"a"}\n\n',
    b'data: {"choices":[],\rdata:"model":"a"}\r\n\r\n',
    b'data: {"choices":[{"model":"b"}],"model":"a"}\n\n',
    b'data: {"model":"a","choices":[{"model":"b","text":"\\"model\\":\\"b\\""}]}\n\n',
    b'data: {"text":"model","model":"a"}\n\n',
    b'data: {"text":"\\"model","model":"a"}\n\n',
    b'data: {"x":{"model":"b"},"mod\\u0065l":"a"}\n\n',
    b'data: {"model":"a","model":"a"}\n\n',
    b'data: {"model":"a","model":"a2"}\n\n',
    b'data: {"model":"a","model":""}\n\n',
    b'data: {"model":"a","model":null}\n\n',
    b'data: {"model":"","model":"a"}\n\n',
    b'data: {"model":"a\\"\\u0062\\\\"}\n\n',
    b'data: {"model":"gpt-5-2025-08-07-a"}\n\n',
    'data: {"text":"é😀\u2028\u2029","model":"a"}\n\n'.encode(),
    b'data: {"text":"\xff\xfe","model":"a"}\n\n',
    b'data: {"unknown":{"deep":[1,{"x":null}]},"n":1E+2,"big":123456789012345678901,"model":"a"}\n\n',
    b'data: {"model":"a"}\n: trailing comment\n\n',
    b'\ndata: {"model":"a"}\n\n',
)

#: Events that pass as they are.
UNTOUCHED: tuple[bytes, ...] = (
    b"\n\n",
    b"\r\n\r\n",
    b"\r\r",
    b": OPENROUTER PROCESSING\n\n",
    b":\n\n",
    b': {"model":"b"}\n\n',
    b"data\n\n",
    b"data:\n\n",
    b"data: \n\n",
    b"data: \r\n\r\n",
    b"event: ping\n\n",
    b"retry: 3000\n\n",
    b"id: 1\n\n",
    b"no field\n\n",
    b'error: {"model":"b"}\n\n',
    b'datum: {"model":"b"}\n\n',
    b"data: {}\n\n",
    b'data: {"model":""}\n\n',
    b'data: {"model":null}\n\n',
    b'data: {"model":7}\n\n',
    b'data: {"model":["b"]}\n\n',
    b'data: {"model":{"model":"b"}}\n\n',
    b'data: {"choices":[],"cost":"0"}\n\n',
    b'data: {"response":{"model":"b"}}\n\n',
    b'event: ping\ndata: {"type": "ping"}\n\n',
)


def expected(event: bytes) -> bytes:
    """The event with the alias put in, worked out line by line."""
    if b"\\u0062" in event:
        return b'data: {"model":"%b"}\n\n' % ALIAS.encode()
    return _swap(event)


def _swap(event: bytes) -> bytes:
    for old in (b'"a"', b'"a2"', b'"gpt-5-2025-08-07-a"'):
        event = event.replace(old, b'"%b"' % ALIAS.encode())
    return event


@pytest.mark.parametrize("event", EVENTS)
def test_the_alias_stands_at_the_path_and_nothing_else_changes(event: bytes) -> None:
    for pieces in chunkings(event):
        assert rewrite(pieces) == expected(event)


@pytest.mark.parametrize("event", UNTOUCHED)
def test_an_event_without_a_model_name_passes_as_it_is(event: bytes) -> None:
    for pieces in chunkings(event):
        assert rewrite(pieces) == event


@pytest.mark.parametrize("event", [b'{"model":"b"}\n\n', b'[{"model":"b"}]\n\n', b'{"error":null,"model":"b"}\n\n'])
def test_json_in_place_of_events_is_refused_since_its_model_would_pass(event: bytes) -> None:
    for pieces in chunkings(event):
        with pytest.raises(UpstreamProtocolError):
            rewrite(pieces)


def test_all_kinds_of_events_follow_one_another_in_one_stream() -> None:
    # Twice, so that each event also comes after itself and after every other one's place of the model.
    # Left out: a key repeated with the same value, which is not looked for behind bytes that are known already.
    known = [event for event in EVENTS if event.count(b'"model":"a"') == 1]
    events = [event for pair in zip(known, known[::-1], strict=True) for event in (*pair, UNTOUCHED[4])]
    for pieces in chunkings(b"".join(events * 2), seeds=30):
        assert rewrite(pieces) == b"".join([_swapped(event) for event in events * 2])


def _swapped(event: bytes) -> bytes:
    return event if event in UNTOUCHED else expected(event)


def test_events_whose_key_order_changes_are_each_rewritten() -> None:
    stream = b"".join(
        [
            b'data: {"id":"1","model":"a","choices":[]}\n\n',
            b'data: {"id":"1","model":"a","choices":[{"model":"b"}]}\n\n',
            b'data: {"id":"1","model":"a","model":"a2"}\n\n',
            b'data: {"choices":[],"id":"1","model":"a"}\n\n',
            b'data: {"id":"1","model":"another","choices":[]}\n\n',
            b'data: {"id":"1","model":"a","x":"\\"model\\":\\"a\\""}\n\n',
            b'data: {"id":"1","model":"a"}\n\n',
            b'data: {"id":"1","model":"ab"}\n\n',
            b'data: {"id":"1","model":""}\n\n',
            b'data: {"id":"1"}\n\n',
            b'data: {"id":"1","model":"a","y":1}\n\n',
        ]
    )
    for pieces in chunkings(stream):
        assert rewrite(pieces) == _swap(stream).replace(b'"another"', b'"prometheus-core"').replace(
            b'"ab"', b'"prometheus-core"'
        )


def test_a_key_written_with_an_escape_is_not_mistaken_for_an_inner_one() -> None:
    stream = b'data: {"x":{"model":"b"},"mod\\u0065l":"b"}\n\n'
    assert rewrite([stream]) == b'data: {"x":{"model":"b"},"mod\\u0065l":"prometheus-core"}\n\n'


def test_a_model_in_an_inner_object_is_rewritten_there_alone() -> None:
    stream = (
        b'event: message_start\ndata: {"type":"message_start","message":{"model":"a","usage":{"model":"b"}}}\n\n'
        b'event: ping\ndata: {"type": "ping"}\n\n'
        b'event: x\ndata: {"model":"b","delta":{"model":"b"}}\n\n'
        b'event: message_start\ndata: {"message":{"content":[{"model":"b"}],"model":"a"}}\n\n'
    )
    for pieces in chunkings(stream):
        assert rewrite(pieces, PlainMeter(("message", "model"))) == _swap(stream)


def test_the_meter_reads_each_event_once_and_in_order() -> None:
    for pieces in chunkings(
        b'data: {"n":1}\n\n: ping\n\ndata: {"n":\ndata: 2}\r\n\r\ndata: {"n":3}\n\ndata: [DONE]\n\n'
    ):
        meter = PlainMeter()
        rewrite(pieces, meter)
        assert meter.seen == [{"n": 1}, {"n": 2}, {"n": 3}]


@pytest.mark.parametrize("end", [b"\n\n", b"\r\n\r\n", b"\r\r"])
def test_an_event_to_leave_out_goes_with_its_blank_line(end: bytes) -> None:
    events = [
        b'data: {"n":1}',
        b'data: {"drop":1,"model":"a"}',
        b'event: x%bdata: {"drop":2}' % end[: len(end) // 2],
        b'data: {"n":2}',
    ]
    for pieces in chunkings(b"".join(event + end for event in events)):
        meter = PlainMeter()
        rewriter = SSERewriter(meter, ALIAS)
        out = b"".join(rewriter.feed(piece) for piece in pieces) + rewriter.end()
        assert out == events[0] + end + events[3] + end
        assert len(meter.seen) == 4


def test_the_place_of_the_model_is_not_taken_from_an_event_left_out() -> None:
    stream = b'data: {"drop":1,"model":"a"}\n\ndata: {"drop0":1,"model":"a"}\n\n'
    assert rewrite([stream]) == b'data: {"drop0":1,"model":"prometheus-core"}\n\n'


@pytest.mark.parametrize(
    "event",
    [
        b'data: {"error":{"message":"secret is down"},"model":"a"}\n\n',
        b'event: error\ndata: {"model":"a","error":{"message":"secret"}}\r\n\r\n',
        b'data: {"error":"secret",\ndata: "model":"secret-a"}\n\n',
    ],
)
def test_an_error_is_scrubbed_and_has_the_alias(event: bytes) -> None:
    clean = event.replace(b'"secret-a"', b'"a"').replace(b"secret", b"***")
    for pieces in chunkings(event):
        assert rewrite(pieces) == _swap(clean)


DONE = (
    b"data: [DONE]\n\n",
    b"data:[DONE]\n\n",
    b"data: [DONE] \n\n",
    b"data: [DONE]\r\n\r\n",
    b"data: [DONE]\r\r",
    b"event: done\ndata: [DONE]\n\n",
    b": bye\ndata: [DONE]\n\n",
)


@pytest.mark.parametrize("done", DONE)
def test_the_done_mark_ends_the_answer(done: bytes) -> None:
    for pieces in chunkings(b'data: {"model":"a"}\n\n' + done):
        meter = PlainMeter()
        assert rewrite(pieces, meter) == b'data: {"model":"prometheus-core"}\n\n' + done
        assert meter.ended


@pytest.mark.parametrize(("end", "added"), [(b"", b"\n\n"), (b"\n", b"\n"), (b"\r\n", b"\n")])
def test_a_done_mark_without_its_blank_line_is_one_at_the_end_and_gets_it(end: bytes, added: bytes) -> None:
    for pieces in chunkings(b'data: {"model":"a"}\n\ndata: [DONE]' + end):
        meter = PlainMeter()
        assert rewrite(pieces, meter) == b'data: {"model":"prometheus-core"}\n\ndata: [DONE]' + end + added
        assert meter.ended


@pytest.mark.parametrize("after", [b"garbage\n\n", b"data: garbage\n\n", b'data: {"model":"a"}\n\n', b"\n", b"\xff"])
def test_nothing_after_the_end_is_read_or_passed(after: bytes) -> None:
    stream = b'data: {"n":1}\n\ndata: [DONE]\n\n'
    for pieces in chunkings(stream + after):
        assert rewrite(pieces) == stream


@pytest.mark.parametrize("text", [b"[DONE]", b"x[DONE]", b'{"x":"[DONE]"}'])
def test_done_elsewhere_is_no_end(text: bytes) -> None:
    meter = PlainMeter()
    rewrite([b': %b\n\nevent: [DONE]\n\ndata: {"x":"[DONE]"}\n\n' % text], meter)
    assert not meter.ended


@pytest.mark.parametrize(
    ("end", "added"), [(b"", b"\n\n"), (b"\n", b"\n"), (b"\r", b"\n\n"), (b"\r\n", b"\n"), (b"\r\n\r", b"\n")]
)
@pytest.mark.parametrize("begin", [b"", b"event: x\n", b"event: x\r\n", b": c\r", b"data: \r\n"])
def test_a_last_event_without_its_blank_line_is_given_and_gets_it(begin: bytes, end: bytes, added: bytes) -> None:
    for pieces in chunkings(b'data: {"n":1}\n\n%bdata: {"model":"a"}%b' % (begin, end)):
        out = b'data: {"n":1}\n\n%bdata: {"model":"prometheus-core"}%b%b' % (begin, end, added)
        assert rewrite(pieces) == out


@pytest.mark.parametrize(
    "piece", [b"d", b"data", b"data:", b"data: ", b"data: \n", b": comm", b"event: x", b"event: x\n"]
)
def test_half_a_line_at_the_end_is_not_given(piece: bytes) -> None:
    for pieces in chunkings(b'data: {"n":1}\n\n' + piece):
        assert rewrite(pieces) == b'data: {"n":1}\n\n'


@pytest.mark.parametrize(
    "cut_event", [b'data: {"model":"a"', b'data: {"mod', b"data: {", b'event: x\ndata: {"model":"a']
)
def test_a_cut_event_is_not_given(cut_event: bytes) -> None:
    for pieces in chunkings(b'data: {"n":1}\n\n' + cut_event):
        assert rewrite(pieces) == b'data: {"n":1}\n\n'


def test_an_event_is_given_at_once_with_its_last_byte() -> None:
    rewriter = SSERewriter(PlainMeter(), ALIAS)
    assert rewriter.feed(b'data: {"n":1}\n') == b""
    assert rewriter.feed(b"\n") == b'data: {"n":1}\n\n'
    assert rewriter.feed(b": comment\n\ndata: {") == b": comment\n\n"


@pytest.mark.parametrize("payload", [b"garbage", b"{", b'{"model":"a"', b'{"model":"a"}}', b"{'model':'a'}", b"\xff"])
def test_an_event_that_is_not_json_is_our_error(payload: bytes) -> None:
    for pieces in chunkings(b"data: %b\n\n" % payload):
        with pytest.raises(UpstreamProtocolError):
            rewrite(pieces)


def test_an_event_beyond_the_limit_is_our_error() -> None:
    event = b'data: {"model":"a","x":"%b"}\n\n' % (b"x" * 100)
    for pieces in chunkings(event):
        assert rewrite(pieces, limit=len(event)) == _swap(event)
        with pytest.raises(UpstreamProtocolError):
            rewrite(pieces, limit=len(event) - 1)


def test_a_large_event_passes() -> None:
    event = b'event: image\ndata: {"b64_json":"%b","model":"a"}\n\n' % (b"A" * 3_000_000)
    pieces = cut(event, range(65_536, len(event), 65_536))
    assert rewrite(pieces, limit=4_000_000) == _swap(event)


words = st.sampled_from(["model", "mod", "", "b", '"', "\\", '\\"model\\":', "é😀\u2028", "\n", "[DONE]", "data: {"])
values = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
    max_leaves=8,
)
objects = st.dictionaries(words, values, max_size=4)


@st.composite
def streams(draw: st.DrawFn) -> tuple[bytes, bytes]:
    """A stream of events and comments, and what the client must get of it."""
    given_on, wanted = b"", b""
    for fields in draw(st.lists(objects, max_size=5)):
        document = json.dumps(
            fields, ensure_ascii=draw(st.booleans()), indent=draw(st.sampled_from([None, 1]))
        ).encode()
        prefix = draw(st.sampled_from([b"data: ", b"data:"]))
        before = draw(st.sampled_from([b"", b"event: x\n", b": ping\n", b": ping\n\n", b'id: {"model":"b"}\n']))
        after = draw(st.sampled_from([b"", b"event: y\n", b":\n"]))
        ends = draw(st.sampled_from([[b"\n"], [b"\r\n"], [b"\r"], [b"\n", b"\r\n"]]))
        for text in (document, with_model(document, ALIAS)):
            lines = b"".join(prefix + line + b"\n" for line in text.split(b"\n"))
            event = with_line_ends(before + lines + after + b"\n", ends)
            if text is document:
                given_on += event
        wanted += event
    return given_on, wanted


@given(streams(), cut_places(500))
def test_any_stream_is_rewritten_the_same_however_it_is_cut(stream: tuple[bytes, bytes], places: list[int]) -> None:
    given_on, wanted = stream
    seen = []
    for pieces in ([given_on], cut(given_on, places), single_bytes(given_on)):
        meter = PlainMeter()
        assert rewrite(pieces, meter) == wanted
        seen.append(meter.seen)
    assert seen[0] == seen[1] == seen[2]


@given(
    st.lists(
        st.sampled_from(
            [
                b"data: ",
                b"data:",
                b"{",
                b"}",
                b'"model":"a"',
                b"\n",
                b"\r",
                b"\n\n",
                b"event: x",
                b":",
                b"[DONE]",
                b"\xff",
                b",",
            ]
        ),
        max_size=25,
    )
)
def test_garbage_gives_bytes_or_our_error_however_it_is_cut(parts: list[bytes]) -> None:
    stream = b"".join(parts)

    def outcome(pieces: list[bytes]) -> bytes | None:
        try:
            return rewrite(pieces)
        except UpstreamProtocolError:
            return None

    assert outcome([stream]) == outcome(single_bytes(stream))


#: JSON answers, and what a client gets.
ANSWERS: tuple[tuple[bytes, bytes], ...] = (
    (b'{"model":"a"}', b'{"model":"prometheus-core"}'),
    (
        b'{\n  "id": "1",\n  "model": "a",\n  "x": [ 1 ]\n}\n',
        b'{\n  "id": "1",\n  "model": "prometheus-core",\n  "x": [ 1 ]\n}\n',
    ),
    (b'\n\n\n{"model":"a"}', b'\n\n\n{"model":"prometheus-core"}'),
    (b'{"data":[{"model":"b"}],"model":"a"}', b'{"data":[{"model":"b"}],"model":"prometheus-core"}'),
    (b'{"x":"\\"model\\":\\"b\\"","model":"a"}', b'{"x":"\\"model\\":\\"b\\"","model":"prometheus-core"}'),
    (b'{"mod\\u0065l":"a"}', b'{"mod\\u0065l":"prometheus-core"}'),
    (b'{"model":"a","model":"c"}', b'{"model":"prometheus-core","model":"prometheus-core"}'),
    (b'{"model":"a","model":""}', b'{"model":"prometheus-core","model":""}'),
    (b'{"model":"a","model":null}', b'{"model":"prometheus-core","model":null}'),
    (b'{"model":null,"model":"a"}', b'{"model":null,"model":"prometheus-core"}'),
    (b'{"model":""}', b'{"model":""}'),
    (b'{"model":null}', b'{"model":null}'),
    (b'{"model":1.5}', b'{"model":1.5}'),
    (b'{"model":true}', b'{"model":true}'),
    (b'{"model":["a"]}', b'{"model":["a"]}'),
    (b'{"model":{"model":"b"}}', b'{"model":{"model":"b"}}'),
    (b'{"input_tokens":7}', b'{"input_tokens":7}'),
    (b'{"text":"\xff","model":"a"}', b'{"text":"\xff","model":"prometheus-core"}'),
)


@pytest.mark.parametrize(("answer", "wanted"), ANSWERS)
def test_a_json_answer_has_the_alias_at_once_or_piece_by_piece(answer: bytes, wanted: bytes) -> None:
    assert JsonRewriter(PlainMeter(), ALIAS).whole(answer) == wanted
    for pieces in chunkings(answer):
        rewriter = JsonRewriter(PlainMeter(), ALIAS)
        assert b"".join(rewriter.feed(piece) for piece in pieces) == wanted
        assert rewriter.closed


@given(objects, cut_places(300), st.sampled_from([None, 1]))
def test_any_json_answer_is_rewritten_the_same_both_ways(
    fields: dict[str, Any], places: list[int], indent: Any
) -> None:
    answer = json.dumps(fields, indent=indent).encode()
    whole = JsonRewriter(PlainMeter(), ALIAS).whole(answer)
    rewriter = JsonRewriter(PlainMeter(), ALIAS)
    assert whole == with_model(answer, ALIAS)
    assert b"".join(rewriter.feed(piece) for piece in cut(answer, places)) == whole


def test_a_json_answer_that_is_not_json_is_our_error() -> None:
    with pytest.raises(UpstreamProtocolError):
        JsonRewriter(PlainMeter(), ALIAS).whole(b'{"model":"a"')


def test_a_json_error_is_scrubbed_and_has_the_alias() -> None:
    answer = b'{"error":"secret","model":"a"}'
    assert JsonRewriter(PlainMeter(), ALIAS).whole(answer) == b'{"error":"***","model":"prometheus-core"}'


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (b'{"data":[{"usage":1}],"model":"a","usage": {"prompt_tokens": 3} }', b'{"usage":{"prompt_tokens": 3}}'),
        (b'{"usage":{"tps":NaN,"x":"\\ud83d"}}', b'{"usage":{"tps":0.0,"x":"\\u003f"}}'),
        (b'{"service_tier":"flex","x":{"service_tier":"y"},"type":"a"}', b'{"service_tier":"flex","type":"a"}'),
        (b'{"meta":{"billed_units":{"search_units":2}}}', b'{"meta":{"billed_units":{"search_units":2}}}'),
        (b'{"usage":null,"x_groq":{"usage":{"a":1}}}', b'{"x_groq":{"usage":{"a":1}}}'),
        (
            b'{"choices":[{"finish_reason":"error","message":{"type":"x"}},{"usage":{"a":1}}],"usage":{"a":0}}',
            b'{"usage":{"a":0},"choices":[{"finish_reason":"error"},{"usage":{"a":1}}]}',
        ),
        (
            b'{"output":[{"type":"a","error":"no","text":"x"},{"content":[{"type":"c"}]},{"type":"b"}]}',
            b'{"output":[{"type":"a"},{"type":"b"}]}',
        ),
    ],
)
def test_what_a_json_answer_in_pieces_says_beside_its_content_is_kept(answer: bytes, said: bytes) -> None:
    for pieces in chunkings(answer):
        rewriter = JsonRewriter(PlainMeter(), ALIAS)
        for piece in pieces:
            rewriter.feed(piece)
        assert rewriter.summary == said


def test_a_long_value_beside_the_content_is_not_kept_and_breaks_nothing() -> None:
    rewriter = JsonRewriter(PlainMeter(), ALIAS)
    long = b"x" * 100_000
    answer = b'{"meta":"' + long + b'","usage":{"prompt_tokens":3}}'
    assert b"".join([rewriter.feed(answer[at : at + 9_999]) for at in range(0, len(answer), 9_999)]) == answer
    assert rewriter.summary == b'{"usage":{"prompt_tokens":3}}'


def test_the_usage_may_have_another_key() -> None:
    rewriter = JsonRewriter(PlainMeter(("modelVersion",)), ALIAS, "usageMetadata")
    out = rewriter.feed(b'[{"modelVersion":"a","model":"b","usageMetadata":{"x":1}}]')
    assert out == b'[{"modelVersion":"prometheus-core","model":"b","usageMetadata":{"x":1}}]'
    assert rewriter.summary == b'{"usageMetadata":{"x":1}}'


def test_nothing_fed_is_not_closed_and_has_no_usage() -> None:
    rewriter = JsonRewriter(PlainMeter(), ALIAS)
    assert (rewriter.closed, rewriter.summary) == (False, b"{}")


@pytest.mark.parametrize("begin", [b'{"model":"', b'{"usage":["'])
def test_a_json_value_beyond_reason_is_our_error(begin: bytes) -> None:
    rewriter = JsonRewriter(PlainMeter(), ALIAS)
    rewriter.feed(begin)
    with pytest.raises(UpstreamProtocolError):
        rewriter.feed(b"x" * 65_536)


@pytest.mark.parametrize(
    "answer",
    [
        b"words",
        b"<html>",
        b"7",
        b'"a"',
        b'{"model":"a"}x',
        b'{"a":1}{"model":"b"}',
        b"[1]",
        b'[{"model":"a"}]7',
        b"}",
        b"[[{}]]",
    ],
)
def test_what_is_not_one_object_does_not_pass_in_pieces(answer: bytes) -> None:
    for pieces in chunkings(answer):
        rewriter = JsonRewriter(PlainMeter(), ALIAS)
        with pytest.raises(UpstreamProtocolError):
            b"".join(rewriter.feed(piece) for piece in pieces)


@pytest.mark.parametrize("answer", [b' \n{"a":[1,{}]}\r\n ', b'\n[{"a":1} ,\n{"b":2}]\n', b"[]\n"])
def test_blanks_around_an_answer_in_pieces_pass(answer: bytes) -> None:
    for pieces in chunkings(answer):
        rewriter = JsonRewriter(PlainMeter(), ALIAS)
        assert b"".join(rewriter.feed(piece) for piece in pieces) == answer
        assert rewriter.closed


class RawMeter(PlainMeter):
    """A meter that looks at no more than it needs."""

    def read(self, payload: bytes) -> msgspec.Raw:
        try:
            return msgspec.json.decode(payload, type=dict[str, dict[str, msgspec.Raw]])["response"]["model"]
        except msgspec.DecodeError as error:
            raise UpstreamProtocolError("no JSON") from error


@pytest.mark.parametrize(
    "event",
    [
        b'data: {"response":{"model":"a","x":[%b{}]}}\n\n' % (b"[]," * 1_000_000),
        b'data: {"response":{"model":"a","x":[%b""]}}\n\n' % (b'"",' * 1_000_000),
        b":\n" * 700_000 + b'data: {"response":{"model":"a"}}\n\n',
        b'data: {"response":{"model":"a","x":"%b"}}\n\n' % (b"\\n" * 1_000_001),
        b'data: {"response":{"model":"a","x":"%b"}}\n\n' % (b"\\ud83d" * 1_000_000),
    ],
    ids=["lists", "texts", "lines", "escapes", "halves"],
)
def test_a_large_event_of_very_many_parts_does_not_block_the_loop(event: bytes) -> None:
    rewriter = SSERewriter(RawMeter(("response", "model")), ALIAS, 33_554_432)
    began = time.process_time()
    with pytest.raises(UpstreamProtocolError):
        rewriter.feed(event)
    assert time.process_time() - began < 0.5


def test_a_large_event_of_few_parts_passes() -> None:
    event = b'data: {"response":{"x":"%b","model":"a"}}\n\n' % (b"x" * 8_000_000)
    out = SSERewriter(PlainMeter(("response", "model")), ALIAS, 33_554_432).feed(event)
    assert out == event.replace(b'"a"', b'"%b"' % ALIAS.encode())
