"""OpenAI's typed events: what the Responses API and answers of audio and images are read for, in any pieces."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.dialects.openai_chat import CHAT, error_body, error_event
from proxy.dialects.openai_media import MEDIA
from proxy.dialects.openai_responses import RESPONSES
from proxy.errors import InvalidRequest, UpstreamProtocolError
from proxy.wire.schemas import Usage
from tests.dialects.answers import (
    ALIAS,
    COUNTED,
    SNAPSHOT,
    UPSTREAM,
    USAGE,
    compact,
    counters,
    event_meter,
    json_meter,
    read_events,
    relay_events,
    relay_pieces,
    relay_whole,
    strings,
)
from tests.wire.cuts import chunkings, cut, cut_places, single_bytes

#: A user's own schema and tools, which Responses repeats in every answer.
TOOLS: list[dict[str, Any]] = [
    {"type": "image_generation", "model": SNAPSHOT},
    {"type": "function", "parameters": {"properties": {"model": {"type": "string"}, "response": {"model": SNAPSHOT}}}},
]


def at(state: str, usage: Any = None, model: str = SNAPSHOT, **fields: Any) -> dict[str, Any]:
    """An event that carries the response."""
    response = {"id": "resp_1", "object": "response", "error": None, "model": model, "tools": TOOLS, "usage": usage}
    return {"type": f"response.{state}", "sequence_number": 1, "response": {**response, **fields}}


def says(text: str, kind: str = "response.output_text.delta") -> dict[str, Any]:
    return {"type": kind, "sequence_number": 2, "item_id": "msg_1", "delta": text, "obfuscation": "xyz"}


def event(fields: dict[str, Any]) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (fields["type"].encode(), compact(fields))


ERROR = {
    "type": "error",
    "sequence_number": 2,
    "error": {"type": "server_error", "code": None, "message": f"{UPSTREAM} of org-abcd1234 failed", "param": None},
}
FLAT_ERROR = {"type": "error", "code": "x", "message": f"{UPSTREAM} of org-abcd1234 failed", "param": None}


# the Responses API: what is read


@pytest.mark.parametrize(
    ("fields", "model"),
    [
        (at("created", model="a"), b'"a"'),
        (at("completed", model="a"), b'"a"'),
        ({"response": {"model": "a"}}, b'"a"'),
        ({"type": "response.created", "model": "a"}, b""),
        ({"type": "response.created", "response": None}, b""),
        ({"type": "response.created", "response": {"tools": [{"model": "a"}]}}, b""),
        ({"type": "x", "item": {"response": {"model": "a"}}}, b""),
        ({"type": "keepalive", "sequence_number": 3}, b""),
        ({"type": 7, "response": {"model": "a"}}, b'"a"'),
        ({"type": None, "response": {"model": "a", "usage": 7}}, b'"a"'),
        ({"type": "x", "response": "odd"}, b""),
    ],
)
def test_the_model_of_an_event_stands_in_its_response(fields: dict[str, Any], model: bytes) -> None:
    assert bytes(event_meter(RESPONSES).read(compact(fields))) == model


@pytest.mark.parametrize(
    ("fields", "length"),
    [
        (says("four"), 4),
        (says("é"), 2),
        (says("four", "response.refusal.delta"), 4),
        (says("four", "response.reasoning_summary_text.delta"), 4),
        (says('{"a', "response.function_call_arguments.delta"), 4),
        ({"type": "response.output_text.done", "text": "four"}, 0),
        (at("in_progress"), 0),
    ],
)
def test_deltas_are_counted_and_what_repeats_them_is_not(fields: dict[str, Any], length: int) -> None:
    assert read_events(RESPONSES, fields).text_out == length


@pytest.mark.parametrize(
    ("events", "usage"),
    [
        ([at("created"), says("x")], None),
        ([at("created"), at("completed", USAGE)], COUNTED),
        ([at("incomplete", USAGE)], COUNTED),
        ([at("failed", {"input_tokens": 0, "output_tokens": 0})], Usage()),
        ([at("failed", None)], None),
        ([at("in_progress", {"input_tokens": 1, "output_tokens": 1}), at("completed", USAGE)], COUNTED),
        ([at("in_progress", USAGE), at("failed", None)], COUNTED),
        ([{"type": 7, "usage": USAGE}], COUNTED),
    ],
)
def test_the_last_usage_that_is_not_null_counts(events: list[dict[str, Any]], usage: Usage | None) -> None:
    assert read_events(RESPONSES, *events).usage() == usage


@pytest.mark.parametrize(
    ("fields", "ended", "failed"),
    [
        (at("created"), False, False),
        (at("queued"), False, False),
        (at("in_progress"), False, False),
        (at("completed"), True, False),
        (at("incomplete"), True, False),
        (at("failed"), True, True),
        (ERROR, False, True),
        (FLAT_ERROR, False, True),
        (says("response.completed"), False, False),
        ({"type": "response.output_text.done"}, False, False),
        ({"type": "response.output_item.done", "item": {"status": "completed"}}, False, False),
        ({"type": "response.image_generation_call.completed"}, False, False),
        ({"type": "keepalive"}, False, False),
        ({"type": 7, "error": {"message": "x"}}, False, True),
        ({"type": "x", "error": None}, False, False),
    ],
)
def test_only_the_responses_own_last_events_end_the_stream(fields: dict[str, Any], ended: bool, failed: bool) -> None:
    meter = read_events(RESPONSES, fields)
    assert (meter.finished, meter.terminal, meter.failed) == (ended, ended, failed)


@pytest.mark.parametrize("last", ["completed", "incomplete", "failed"])
def test_failed_is_not_taken_back(last: str) -> None:
    assert read_events(RESPONSES, ERROR, at(last)).failed


@pytest.mark.parametrize("payload", [b"", b"garbage", b"{", b"[]", b"7", b"\xff", b'{"type":"x"} x', b"[" * 5000])
def test_what_is_no_json_object_is_our_error(payload: bytes) -> None:
    for meter in (event_meter(RESPONSES), json_meter(RESPONSES), event_meter(MEDIA), json_meter(MEDIA)):
        with pytest.raises(UpstreamProtocolError):
            meter.read(payload)


# the Responses API: streams

STREAM = [at("created"), says("Hel"), says("lo"), {"type": "keepalive", "sequence_number": 9}, at("completed", USAGE)]


def test_a_stream_shows_the_alias_and_leaves_every_other_model() -> None:
    wanted = [at("created", model=ALIAS), *STREAM[1:4], at("completed", USAGE, model=ALIAS)]
    for pieces in chunkings(b"".join(map(event, STREAM))):
        out, meter = relay_events(RESPONSES, pieces)
        assert out == b"".join(map(event, wanted))
        assert counters(meter) == (5, True, False, False, COUNTED)


def test_the_mark_that_some_servers_send_behind_the_last_event_is_relayed() -> None:
    stream = b"".join(b"data: %b\n\n" % compact(fields) for fields in STREAM)
    wanted = stream.replace(compact(at("created")), compact(at("created", model=ALIAS))).replace(
        compact(STREAM[-1]), compact(at("completed", USAGE, model=ALIAS))
    )
    for pieces in chunkings(stream + b"data: [DONE]\n\n"):
        out, meter = relay_events(RESPONSES, pieces)
        assert out == wanted + b"data: [DONE]\n\n"
        assert meter.ended


@pytest.mark.parametrize("behind", [event(says("more")), event(at("created")), b"data: {oops\n\n"])
def test_no_event_behind_the_last_one_is_relayed(behind: bytes) -> None:
    stream = event(at("created", model=ALIAS)) + event(at("completed", USAGE, model=ALIAS))
    for pieces in chunkings(stream + behind + b"data: [DONE]\n\n"):
        out, meter = relay_events(RESPONSES, pieces)
        assert out == stream + b"data: [DONE]\n\n"
        assert counters(meter) == (0, True, False, True, COUNTED)


@pytest.mark.parametrize("error", [ERROR, FLAT_ERROR], ids=["nested", "flat"])
def test_an_error_and_the_failed_response_behind_it_are_scrubbed(error: dict[str, Any]) -> None:
    failed = at("failed", error={"code": "server_error", "message": f"no {UPSTREAM} left"})
    stream = event(at("created")) + event(says(f"I am {UPSTREAM}")) + event(error) + event(failed)
    for pieces in chunkings(stream):
        out, meter = relay_events(RESPONSES, pieces)
        assert f"I am {UPSTREAM}".encode() in out
        assert f'"{ALIAS} of *** failed"'.encode() in out
        assert f'"no {ALIAS} left"'.encode() in out
        assert f'"{SNAPSHOT}","tools"'.encode() not in out
        assert (meter.failed, meter.terminal) == (True, True)


def response_streams() -> st.SearchStrategy[list[dict[str, Any]]]:
    models = st.sampled_from([SNAPSHOT, UPSTREAM, 'q"uote', "é"])
    kinds = ["response.output_text.delta", "response.reasoning_text.delta", "response.mcp_call_arguments.delta"]
    deltas = st.builds(says, strings(), st.sampled_from(kinds))
    states = st.builds(lambda state, model: at(state, model=model), st.sampled_from(["queued", "in_progress"]), models)
    odd = st.sampled_from(
        [
            {"type": "keepalive"},
            {"type": "x", "model": SNAPSHOT},
            {"type": "response.output_item.done", "item": {"response": {"model": SNAPSHOT}}},
        ]
    )
    end = st.sampled_from([[], [at("completed", USAGE)], [at("incomplete", USAGE)]])
    return st.builds(
        lambda middle, end: [at("created"), *middle, *end], st.lists(deltas | states | odd, max_size=8), end
    )


def with_alias(fields: dict[str, Any]) -> dict[str, Any]:
    if "response" not in fields:
        return fields
    return {**fields, "response": {**fields["response"], "model": ALIAS}}


@given(response_streams(), cut_places(3000))
def test_a_stream_gives_the_same_bytes_and_counters_however_it_is_cut(
    events: list[dict[str, Any]], places: list[int]
) -> None:
    wanted = b"".join(event(with_alias(one)) for one in events)
    plainly = counters(read_events(RESPONSES, *events))
    stream = b"".join(map(event, events))
    for pieces in ([stream], single_bytes(stream), cut(stream, places), list(map(event, events))):
        out, meter = relay_events(RESPONSES, pieces)
        assert out == wanted
        assert counters(meter) == plainly


# the Responses API: answers that are no stream

RESPONSE = at("completed", USAGE)["response"]


@pytest.mark.parametrize("indent", [None, 2])
def test_a_response_is_rewritten_at_its_top_alone_and_billed(indent: int | None) -> None:
    data = json.dumps(RESPONSE, indent=indent).encode()
    wanted = json.dumps({**RESPONSE, "model": ALIAS}, indent=indent).encode()
    out, meter = relay_whole(RESPONSES, data)
    assert (out, meter.usage(), meter.failed) == (wanted, COUNTED, False)
    for pieces in chunkings(data):
        out, meter = relay_pieces(RESPONSES, pieces)
        assert (out, meter.usage()) == (wanted, COUNTED)


@pytest.mark.parametrize(
    ("answer", "usage"),
    [
        ({"object": "response.input_tokens", "input_tokens": 31}, None),
        ({"object": "response.compaction", "output": [{"model": "kept"}], "usage": USAGE}, COUNTED),
        ({"id": "resp_1", "object": "response", "deleted": True}, None),
    ],
)
def test_answers_without_a_model_pass_as_they_are(answer: dict[str, Any], usage: Usage | None) -> None:
    out, meter = relay_whole(RESPONSES, compact(answer))
    assert (out, meter.usage()) == (compact(answer), usage)


def test_a_response_that_failed_is_scrubbed() -> None:
    out, meter = relay_whole(RESPONSES, compact({**RESPONSE, "error": {"code": "x", "message": f"no {UPSTREAM} left"}}))
    assert meter.failed
    assert json.loads(out)["error"]["message"] == f"no {ALIAS} left"


# audio and images


@pytest.mark.parametrize("dialect", [RESPONSES, MEDIA], ids=["responses", "media"])
def test_errors_look_as_in_the_rest_of_openais_formats(dialect: Any) -> None:
    error = InvalidRequest("No.", param="model", code="bad")
    assert dialect.error_body(error, "r", "t") == error_body(error, "r", "t")
    assert dialect.error_event(error, "r", "t") == error_event(error, "r", "t")
    assert dialect.upstream_error(compact(ERROR), UPSTREAM, ALIAS) == CHAT.upstream_error(
        compact(ERROR), UPSTREAM, ALIAS
    )
    assert dialect.upstream_error(b"<html>", UPSTREAM, ALIAS) is None


@pytest.mark.parametrize("dialect", [RESPONSES, MEDIA], ids=["responses", "media"])
def test_our_own_error_event_is_read_as_an_error(dialect: Any) -> None:
    _, meter = relay_events(dialect, [error_event(InvalidRequest("No."), "r", "t")])
    assert meter.failed


def test_only_the_responses_api_answers_400_for_an_unknown_model() -> None:
    assert (RESPONSES.unknown_model_status, MEDIA.unknown_model_status, CHAT.unknown_model_status) == (400, 404, 404)


@pytest.mark.parametrize(
    ("kinds", "closing"),
    [
        (["response.output_text.delta"], False),
        (["response.output_text.delta", "response.output_item.done"], True),
        (["response.output_item.done", "keepalive"], True),
        (["response.output_item.done", "keepalive", "response.output_item.added"], False),
    ],
)
def test_its_end_may_come_behind_an_item_that_is_whole_whatever_keeps_the_line_open(
    kinds: list[str], closing: bool
) -> None:
    meter = event_meter(RESPONSES)
    for kind in kinds:
        meter.read(json.dumps({"type": kind}).encode())
    assert meter.closing is closing
