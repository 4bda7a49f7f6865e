"""Anthropic's dialect: what Messages answers are read for, their streams in any pieces, and what errors look like."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.dialects.anthropic import MESSAGES, error_body, error_event, upstream_error
from proxy.errors import (
    AuthenticationFailed,
    BodyTooLarge,
    GatewayError,
    InvalidRequest,
    ModelNotFound,
    Overloaded,
    UpstreamDropped,
    UpstreamProtocolError,
    UpstreamTimeout,
)
from proxy.wire.schemas import Usage
from tests.dialects.answers import (
    ALIAS,
    SNAPSHOT,
    UPSTREAM,
    compact,
    counters,
    event_meter,
    json_meter,
    read_events,
    read_json,
    relay_events,
    relay_pieces,
    relay_whole,
    strings,
)
from tests.usage import counts_of
from tests.wire.cuts import chunkings, cut, cut_places, single_bytes


def start(model: str = SNAPSHOT, **usage: Any) -> dict[str, Any]:
    message: dict[str, Any] = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "content": [],
        "stop_reason": None,
    }
    return {"type": "message_start", "message": {**message, "model": model, "usage": usage}}


def says(kind: str, field: str, text: str) -> dict[str, Any]:
    return {"type": "content_block_delta", "index": 0, "delta": {"type": kind, field: text}}


def text(value: str) -> dict[str, Any]:
    return says("text_delta", "text", value)


def stops(reason: str | None = "end_turn", **usage: Any) -> dict[str, Any]:
    return {"type": "message_delta", "delta": {"stop_reason": reason, "stop_sequence": None}, "usage": usage}


STOP = {"type": "message_stop"}
ERROR = {"type": "error", "error": {"type": "overloaded_error", "message": f"{UPSTREAM} of org-abcd1234 is busy"}}


def event(fields: dict[str, Any]) -> bytes:
    """As Anthropic writes it, with blanks before the closing brace of some."""
    padding = b"   " if fields["type"].startswith("message") else b""
    return b"event: %b\ndata: %b%b}\n\n" % (fields["type"].encode(), compact(fields)[:-1], padding)


# what is read


@pytest.mark.parametrize(
    ("fields", "model"),
    [
        (start("a"), b'"a"'),
        ({"message": {"model": "a"}}, b'"a"'),
        ({"type": "ping"}, b""),
        ({"type": "x", "model": "a"}, b""),
        ({"type": "message_start", "message": None}, b""),
        ({"type": "content_block_start", "content_block": {"model": "a", "message": {"model": "b"}}}, b""),
        ({"type": "message_start", "message": {"content": [{"model": "a"}]}}, b""),
    ],
)
def test_the_model_of_a_stream_stands_in_the_message_of_its_start(fields: dict[str, Any], model: bytes) -> None:
    assert bytes(event_meter(MESSAGES).read(compact(fields))) == model


@pytest.mark.parametrize(
    ("fields", "length"),
    [
        (text("four"), 4),
        (text("é"), 2),
        (text(""), 0),
        (says("thinking_delta", "thinking", "four"), 4),
        (says("input_json_delta", "partial_json", '{"a'), 4),
        (says("signature_delta", "signature", "four"), 0),
        (says("citations_delta", "citation", "four"), 0),
        ({"type": "content_block_start", "content_block": {"type": "text", "text": ""}}, 0),
        ({"type": "ping"}, 0),
        (stops(), 0),
    ],
)
def test_text_thoughts_and_arguments_are_counted(fields: dict[str, Any], length: int) -> None:
    assert read_events(MESSAGES, fields).text_out == length


@pytest.mark.parametrize(
    ("events", "usage"),
    [
        ([start()], None),
        ([start(input_tokens=9, output_tokens=1)], Usage(9, 0, 0, 1)),
        ([start(input_tokens=9, output_tokens=1), stops(output_tokens=5)], Usage(9, 0, 0, 5)),
        (
            [start(input_tokens=9, output_tokens=1), stops(None, output_tokens=3), stops(output_tokens=5)],
            Usage(9, 0, 0, 5),
        ),
        (
            [start(input_tokens=2068, output_tokens=1), stops(input_tokens=22397, output_tokens=5)],
            Usage(22397, 0, 0, 5),
        ),
        (
            [
                start(input_tokens=3, cache_read_input_tokens=100, cache_creation_input_tokens=20),
                stops(output_tokens=5),
            ],
            Usage(123, 100, 20, 5),
        ),
        (
            [start(input_tokens=3, cache_read_input_tokens=1), stops(cache_read_input_tokens=100, output_tokens=5)],
            Usage(103, 100, 0, 5),
        ),
        ([start(input_tokens=3, cache_read_input_tokens=7), stops(cache_read_input_tokens=None)], Usage(10, 7, 0, 0)),
        ([start(input_tokens=9), {"type": "message_delta", "delta": {}, "usage": None}], Usage(9)),
        ([start(input_tokens=9), stops(output_tokens=5), {"type": "message_delta", "usage": None}], Usage(9, 0, 0, 5)),
        ([stops(output_tokens=5)], Usage(0, 0, 0, 5)),
        (
            [stops(input_tokens=1, output_tokens=5, output_tokens_details={"thinking_tokens": 4})],
            Usage(1, 0, 0, 5, 4),
        ),
        (
            [
                stops(
                    input_tokens=1, output_tokens=5, iterations=[{"input_tokens": 1, "output_tokens": 5, "model": "a"}]
                )
            ],
            Usage(1, 0, 0, 5),
        ),
        ([{"type": "message_start", "message": {"usage": 7}}, {"type": "message_delta", "usage": "odd"}], None),
        ([{"type": "message_start", "message": {"usage": 7}}, stops(output_tokens=5)], Usage(0, 0, 0, 5)),
    ],
)
def test_the_usage_is_the_starts_with_the_last_deltas_laid_over_it(
    events: list[dict[str, Any]], usage: Usage | None
) -> None:
    assert counts_of(read_events(MESSAGES, *events).usage()) == usage


@pytest.mark.parametrize(
    ("events", "finished", "ended"),
    [
        ([start(), text("x")], False, False),
        ([stops(None)], False, False),
        ([stops("end_turn")], True, False),
        ([stops("refusal")], True, False),
        ([stops(), STOP], True, True),
        ([STOP], True, True),
        ([{"type": "content_block_stop"}], False, False),
        ([text("message_stop")], False, False),
    ],
)
def test_a_stop_reason_finishes_and_message_stop_ends(
    events: list[dict[str, Any]], finished: bool, ended: bool
) -> None:
    meter = read_events(MESSAGES, *events)
    assert (meter.finished, meter.ended) == (finished, ended)


def test_an_error_event_fails_the_stream_and_what_follows_does_not_take_it_back() -> None:
    meter = read_events(MESSAGES, start(), ERROR, STOP)
    assert meter.failed


def test_a_text_that_speaks_of_errors_fails_nothing() -> None:
    assert not read_events(MESSAGES, text('{"type":"error","error":{}}')).failed


@pytest.mark.parametrize("payload", [b"", b"garbage", b"{", b"[]", b"7", b"\xff", b'{"type":"ping"} x', b"[" * 5000])
def test_what_is_no_json_object_is_our_error(payload: bytes) -> None:
    for meter in (event_meter(MESSAGES), json_meter(MESSAGES)):
        with pytest.raises(UpstreamProtocolError):
            meter.read(payload)


# an answer that is no stream

MESSAGE: dict[str, Any] = {
    "id": "msg_1",
    "type": "message",
    "content": [
        {"type": "text", "text": 'says "model":"a"'},
        {"type": "tool_use", "input": {"model": "theirs"}},
        {"type": "fallback", "from": {"model": SNAPSHOT}, "to": {"model": "other"}},
    ],
    "usage": {"input_tokens": 3, "cache_read_input_tokens": 7, "output_tokens": 5, "iterations": [{"model": "kept"}]},
    "model": SNAPSHOT,
    "stop_reason": "end_turn",
}


def test_a_message_is_rewritten_at_its_top_alone_and_billed() -> None:
    for data in (compact(MESSAGE), json.dumps(MESSAGE, indent=2).encode()):
        out, meter = relay_whole(MESSAGES, data)
        assert json.loads(out) == {**MESSAGE, "model": ALIAS}
        assert len(data) - len(out) == len(SNAPSHOT) - len(ALIAS)
        assert meter.usage() == Usage(10, 7, 0, 5)
        assert meter.text_out >= len(compact(MESSAGE["content"]))


def test_a_message_in_pieces_is_rewritten_and_billed_alike() -> None:
    data = json.dumps(MESSAGE, indent=2).encode()
    whole, read = relay_whole(MESSAGES, data)
    for pieces in chunkings(data):
        out, meter = relay_pieces(MESSAGES, pieces)
        assert out == whole
        assert meter.usage() == read.usage()


def test_a_token_count_passes_and_is_not_billed() -> None:
    out, meter = relay_whole(MESSAGES, b'{"input_tokens": 12}')
    assert out == b'{"input_tokens": 12}'
    assert meter.usage() is None
    assert not meter.failed


def test_an_error_that_came_with_status_200_fails_and_is_scrubbed() -> None:
    out, meter = relay_whole(MESSAGES, compact(ERROR))
    assert meter.failed
    assert json.loads(out)["error"]["message"] == f"{ALIAS} of *** is busy"


def test_a_message_without_usage_has_none() -> None:
    assert read_json(MESSAGES, {"type": "message", "content": [], "usage": None}).usage() is None


# streams

#: Nested keys that are not the message's model.
NESTED: list[dict[str, Any]] = [
    {
        "type": "content_block_start",
        "content_block": {"type": "fallback", "from": {"model": SNAPSHOT}, "to": {"model": "b"}},
    },
    says("input_json_delta", "partial_json", '{"message":{"model":"c"}}'),
    stops(None, output_tokens=1, iterations=[{"type": "message", "model": SNAPSHOT}]),
    {"type": "x", "model": SNAPSHOT, "body": {"message": {"model": SNAPSHOT}}},
]


@pytest.mark.parametrize("nested", NESTED, ids=["fallback", "arguments", "iterations", "elsewhere"])
def test_a_model_of_something_else_stays(nested: dict[str, Any]) -> None:
    out, _ = relay_events(MESSAGES, [event(start()), event(nested), event(STOP)])
    assert out == event(start(ALIAS)) + event(nested) + event(STOP)


def test_nothing_behind_message_stop_is_waited_for() -> None:
    out, meter = relay_events(MESSAGES, [event(start()) + event(STOP) + b": late\n\n"])
    assert out == event(start(ALIAS)) + event(STOP)
    assert meter.ended


def test_an_error_in_a_stream_is_scrubbed_in_any_pieces() -> None:
    stream = event(start()) + event(text(f"I am {UPSTREAM}")) + event(ERROR)
    for pieces in chunkings(stream):
        out, meter = relay_events(MESSAGES, pieces)
        assert out.startswith(event(start(ALIAS)) + event(text(f"I am {UPSTREAM}")))
        assert out.endswith(b'"%b of *** is busy"}}\n\n' % ALIAS.encode())
        assert meter.failed


def message_streams() -> st.SearchStrategy[list[dict[str, Any]]]:
    kinds = [("text_delta", "text"), ("thinking_delta", "thinking"), ("input_json_delta", "partial_json")]
    deltas = st.builds(lambda kind, said: says(kind[0], kind[1], said), st.sampled_from(kinds), strings())
    middle = st.lists(deltas | st.sampled_from([{"type": "ping"}, *NESTED]), max_size=10)
    end = st.sampled_from([[], [stops(output_tokens=5)], [stops(output_tokens=5), STOP]])
    return st.builds(
        lambda model, middle, end: [start(model, input_tokens=9, output_tokens=1), *middle, *end],
        st.sampled_from([SNAPSHOT, UPSTREAM, 'q"uote', "é"]),
        middle,
        end,
    )


@given(message_streams(), cut_places(2000), st.sampled_from([b"\n", b"\r\n"]))
def test_a_stream_gives_the_same_bytes_and_counters_however_it_is_cut(
    events: list[dict[str, Any]], places: list[int], line_end: bytes
) -> None:
    def written(these: list[dict[str, Any]]) -> bytes:
        return b"".join(event(one) for one in these).replace(b"\n", line_end)

    wanted = written([start(ALIAS, **events[0]["message"]["usage"]), *events[1:]])
    plainly = counters(read_events(MESSAGES, *events))
    stream = written(events)
    for pieces in ([stream], single_bytes(stream), cut(stream, places), [written([one]) for one in events]):
        out, meter = relay_events(MESSAGES, pieces)
        assert out == wanted
        assert counters(meter) == plainly


# errors


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (InvalidRequest("No."), "invalid_request_error"),
        (InvalidRequest("No.", status=405), "invalid_request_error"),
        (InvalidRequest("No.", status=415), "invalid_request_error"),
        (AuthenticationFailed("No."), "authentication_error"),
        (InvalidRequest("No.", status=403), "permission_error"),
        (ModelNotFound("No."), "not_found_error"),
        (BodyTooLarge("No."), "request_too_large"),
        (InvalidRequest("No.", status=429), "rate_limit_error"),
        (GatewayError("No."), "api_error"),
        (UpstreamDropped("No."), "api_error"),
        (Overloaded("No."), "overloaded_error"),
        (UpstreamTimeout("No."), "timeout_error"),
        (GatewayError("No.", status=529), "overloaded_error"),
    ],
)
def test_an_error_body_has_anthropics_type_for_its_status(error: GatewayError, kind: str) -> None:
    assert json.loads(error_body(error, "req-1", "t")) == {
        "type": "error",
        "error": {"type": kind, "message": "No."},
        "request_id": "req-1",
    }


def test_an_error_event_is_named_and_has_the_same_body() -> None:
    error = GatewayError('line one\nline "two"')
    assert error_event(error, "r", "t") == b"event: error\ndata: " + error_body(error, "r", "t") + b"\n\n"
    assert error_event(error, "r", "t").count(b"\n") == 3


def test_our_own_error_event_is_read_as_an_error() -> None:
    _, meter = relay_events(MESSAGES, [event(start()), error_event(GatewayError("No."), "r", "t")])
    assert meter.failed


@pytest.mark.parametrize(
    "body",
    [b"", b"<html>", b"null", b"[]", b"{}", b'{"error":null}', b'{"error":"text"}', b'{"type":"error"}', b"\xff"],
)
def test_an_upstreams_error_of_another_shape_is_not_passed_on(body: bytes) -> None:
    assert upstream_error(body, UPSTREAM, ALIAS) is None


def test_an_upstreams_error_is_passed_on_with_the_alias_and_without_ids() -> None:
    body = upstream_error(compact({**ERROR, "request_id": "req_011"}), UPSTREAM, ALIAS)
    assert body is not None
    assert json.loads(body) == {
        "type": "error",
        "error": {"type": "overloaded_error", "message": f"{ALIAS} of *** is busy"},
        "request_id": "req_011",
    }


@pytest.mark.parametrize(
    ("events", "so_far"),
    [([], False), ([start(), text("x")], True), ([start(), text("x"), stops(output_tokens=5)], False)],
)
def test_the_counts_of_the_start_are_kept_apart_from_those_of_the_end(
    events: list[dict[str, Any]], so_far: bool
) -> None:
    assert read_events(MESSAGES, *events).counts_so_far is so_far


@pytest.mark.parametrize(
    ("kinds", "closing"),
    [
        (["content_block_start"], False),
        (["content_block_delta", "content_block_stop"], True),
        (["content_block_stop", "ping", "ping"], True),
        (["content_block_stop", "ping", "content_block_start"], False),
        (["ping"], False),
    ],
)
def test_its_end_may_come_behind_a_block_that_is_whole_whatever_keeps_the_line_open(
    kinds: list[str], closing: bool
) -> None:
    meter = event_meter(MESSAGES)
    for kind in kinds:
        meter.read(json.dumps({"type": kind}).encode())
    assert meter.closing is closing
