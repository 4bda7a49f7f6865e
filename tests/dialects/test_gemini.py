"""Gemini's dialect: what generateContent answers are read for, as events and as an array, and what errors look like."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.dialects.gemini import GENERATE, error_body, error_event, upstream_error
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


def chunk(text: str = "", finish: str | None = None, model: str = SNAPSHOT, **fields: Any) -> dict[str, Any]:
    candidate: dict[str, Any] = {"content": {"parts": [{"text": text}], "role": "model"}, "index": 0}
    if finish is not None:
        candidate["finishReason"] = finish
    return {"candidates": [candidate], **fields, "modelVersion": model, "responseId": "r"}


def used(**counts: int) -> dict[str, Any]:
    """A chunk that says what was used so far."""
    return chunk(usageMetadata=counts)


def event(fields: Any) -> bytes:
    """As Google writes it: blanks after colons, CRLF."""
    return b"data: %b\r\n\r\n" % json.dumps(fields, ensure_ascii=False).encode()


def array(*chunks: Any) -> bytes:
    """The stream without alt=sse."""
    return b"[" + b",\r\n".join(json.dumps(one, indent=2, ensure_ascii=False).encode() for one in chunks) + b"\r\n]\r\n"


ERROR = {"error": {"code": 499, "message": f"models/{UPSTREAM} of proj_abcd1234 is gone", "status": "CANCELLED"}}
#: The error as it stands in a stream: no event.
BARE = json.dumps(ERROR, indent=2).encode()


# what is read


@pytest.mark.parametrize(
    ("payload", "model"),
    [
        (b'{"modelVersion":"a"}', b'"a"'),
        (b'{"modelVersion" : "models/a"}', b'"models/a"'),
        (b'{"candidates":[{"modelVersion":"b"}]}', b""),
        (b'{"model_version":"a"}', b""),
        (b"{}", b""),
        (b'[{"modelVersion":"a"},{"modelVersion":"b"},{}]', b'"b"'),
        (b' [{"modelVersion":"a"}]', b'"a"'),
        (b"[]", b""),
        (b'{"modelVersion":"a","candidates":null}', b'"a"'),
    ],
)
def test_the_model_is_given_raw(payload: bytes, model: bytes) -> None:
    assert bytes(event_meter(GENERATE).read(payload)) == model


@pytest.mark.parametrize(
    ("events", "usage"),
    [
        ([chunk("x")], None),
        ([used(promptTokenCount=9, candidatesTokenCount=3, totalTokenCount=12)], Usage(9, 0, 0, 3)),
        (
            [used(promptTokenCount=15, candidatesTokenCount=1), used(promptTokenCount=13, candidatesTokenCount=3)],
            Usage(13, 0, 0, 3),
        ),
        ([used(promptTokenCount=9, candidatesTokenCount=3, thoughtsTokenCount=20)], Usage(9, 0, 0, 23, 20)),
        ([used(promptTokenCount=9, thoughtsTokenCount=20)], Usage(9, 0, 0, 20, 20)),
        ([used(promptTokenCount=9, toolUsePromptTokenCount=50, candidatesTokenCount=3)], Usage(59, 0, 0, 3)),
        ([used(promptTokenCount=9, cachedContentTokenCount=5, candidatesTokenCount=3)], Usage(9, 5, 0, 3)),
        ([used(promptTokenCount=9, cachedContentTokenCount=99)], Usage(108, 99)),
        ([used(promptTokenCount=9)], Usage(9)),
        ([used(totalTokenCount=9)], Usage(9)),
        ([chunk(usageMetadata={"trafficType": "ON_DEMAND"})], None),
        (
            [used(promptTokenCount=9, candidatesTokenCount=3), chunk(usageMetadata={"trafficType": "ON_DEMAND"})],
            Usage(9, 0, 0, 3),
        ),
        ([used(promptTokenCount=9), chunk(usageMetadata=None), chunk("x")], Usage(9)),
        ([used(promptTokenCount=9), chunk(usageMetadata={}), chunk("x")], Usage(9)),
        ([chunk(usageMetadata={"promptTokenCount": "9", "candidatesTokenCount": True})], None),
        ([chunk(usageMetadata={"promptTokenCount": -9, "candidatesTokenCount": 2})], Usage(0, 0, 0, 2)),
        ([chunk(usageMetadata=["TokenCount"])], None),
        (
            [
                chunk(
                    usageMetadata={
                        "promptTokenCount": 9,
                        "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 9}],
                    }
                )
            ],
            Usage(9),
        ),
    ],
)
def test_the_last_usage_with_counts_is_the_bill(events: list[dict[str, Any]], usage: Usage | None) -> None:
    assert counts_of(read_events(GENERATE, *events).usage()) == usage


@pytest.mark.parametrize("text", ["", "four", "é"])
def test_the_content_of_candidates_is_counted(text: str) -> None:
    empty = read_events(GENERATE, chunk("")).text_out
    assert read_events(GENERATE, chunk(text)).text_out - empty == len(text.encode())


@pytest.mark.parametrize(
    ("fields", "finished"),
    [
        (chunk("x"), False),
        (chunk("x", "STOP"), True),
        (chunk("x", "MAX_TOKENS"), True),
        ({"candidates": [{"content": {}, "finishReason": None}]}, False),
        ({"candidates": [{"content": {"finishReason": "STOP"}}]}, False),
        ({"candidates": [{"finishReason": "SAFETY"}]}, True),
        ({"promptFeedback": {"blockReason": "SAFETY"}, "modelVersion": "a"}, True),
        (chunk("x", promptFeedback={"safetyRatings": [{"category": "HARM", "probability": "NEGLIGIBLE"}]}), False),
        ({"promptFeedback": None}, False),
        (used(promptTokenCount=1), False),
    ],
)
def test_a_finish_reason_or_a_blocked_prompt_finishes(fields: dict[str, Any], finished: bool) -> None:
    assert read_events(GENERATE, fields).finished is finished


def test_nothing_in_a_stream_ends_it_but_its_framing() -> None:
    assert not read_events(GENERATE, chunk("x", "STOP"), ERROR).ended


@pytest.mark.parametrize(
    ("fields", "failed"), [(ERROR, True), ({"error": None}, False), (chunk('{"error":{}}'), False)]
)
def test_an_error_fails_the_answer(fields: dict[str, Any], failed: bool) -> None:
    assert read_events(GENERATE, fields).failed is failed
    assert read_json(GENERATE, [chunk("x"), fields, chunk("x")]).failed is failed


def test_failed_is_not_taken_back() -> None:
    assert read_events(GENERATE, ERROR, chunk("x", "STOP")).failed


@pytest.mark.parametrize(
    "payload", [b"", b"garbage", b"{", b"[7]", b"7", b'"x"', b"\xff", b"{} x", b"[{},", b"[" * 5000]
)
def test_what_is_no_chunk_and_no_array_of_them_is_our_error(payload: bytes) -> None:
    with pytest.raises(UpstreamProtocolError):
        json_meter(GENERATE).read(payload)


# an answer that is no stream

ANSWER = chunk("I am a model", "STOP", usageMetadata={"promptTokenCount": 9, "candidatesTokenCount": 3})
#: Nested keys that are not the answer's model.
NESTED = chunk('says "modelVersion":"a"', x={"modelVersion": SNAPSHOT}, model_version=SNAPSHOT, model=SNAPSHOT) | {
    "candidates": [{"content": {"parts": [{"functionCall": {"args": {"modelVersion": SNAPSHOT}}}]}}]
}


@pytest.mark.parametrize("answer", [ANSWER, NESTED], ids=["plain", "nested"])
@pytest.mark.parametrize("indent", [None, 2])
def test_an_answer_is_rewritten_at_its_top_alone(answer: dict[str, Any], indent: int | None) -> None:
    data = json.dumps(answer, indent=indent).encode()
    wanted = json.dumps({**answer, "modelVersion": ALIAS}, indent=indent).encode()
    whole, read = relay_whole(GENERATE, data)
    assert whole == wanted
    for pieces in chunkings(data):
        out, meter = relay_pieces(GENERATE, pieces)
        assert out == wanted
        assert meter.usage() == read.usage()


def test_an_array_is_rewritten_in_all_its_chunks_and_billed_by_the_last() -> None:
    chunks = [chunk("a", model=UPSTREAM), used(promptTokenCount=9, candidatesTokenCount=1), NESTED, ANSWER]
    data = array(*chunks)
    wanted = array(*({**one, "modelVersion": ALIAS} for one in chunks))
    whole, read = relay_whole(GENERATE, data)
    assert whole == wanted
    assert read.usage() == Usage(9, 0, 0, 3)
    assert read.finished
    for pieces in chunkings(data):
        out, meter = relay_pieces(GENERATE, pieces)
        assert out == wanted
        assert meter.usage() == Usage(9, 0, 0, 3)


def test_counts_pass_without_a_bill() -> None:
    data = b'{\n  "totalTokens": 31,\n  "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 31}]\n}\n'
    out, meter = relay_whole(GENERATE, data)
    assert (out, meter.usage()) == (data, None)


def test_an_error_in_an_array_is_scrubbed() -> None:
    out, meter = relay_whole(GENERATE, array(chunk("x"), ERROR))
    assert meter.failed
    assert f"models/{ALIAS} of *** is gone".encode() in out
    assert UPSTREAM.encode() not in out


# streams


@pytest.mark.parametrize("nested", [NESTED, {"model": SNAPSHOT}, {"response": {"modelVersion": SNAPSHOT}}])
def test_a_model_of_something_else_stays(nested: dict[str, Any]) -> None:
    wanted = {**nested, "modelVersion": ALIAS} if "modelVersion" in nested else nested
    out, _ = relay_events(GENERATE, [event(chunk("x")), event(nested), event(ANSWER)])
    assert out == event(chunk("x", model=ALIAS)) + event(wanted) + event({**ANSWER, "modelVersion": ALIAS})


@pytest.mark.parametrize(
    ("end", "shown"), [(b"\n", b"\n\n"), (b"\r\n\r\n", b"\r\n\r\n"), (b"\n\n", b"\n\n"), (b"", b"\n\n")]
)
def test_an_error_that_stands_bare_in_a_stream_is_read_and_scrubbed(end: bytes, shown: bytes) -> None:
    for pieces in chunkings(event(chunk("x")) + BARE + end):
        out, meter = relay_events(GENERATE, pieces)
        clean = BARE.replace(UPSTREAM.encode(), ALIAS.encode()).replace(b"proj_abcd1234", b"***")
        assert out == event(chunk("x", model=ALIAS)) + clean + shown
        assert meter.failed


def test_a_bare_error_that_was_cut_is_not_given() -> None:
    out, _ = relay_events(GENERATE, [event(chunk("x")), BARE[:-10]])
    assert out == event(chunk("x", model=ALIAS))


@pytest.mark.parametrize("aside", [b": ping\r\n\r\n", b"\r\n\r\n", b"event: x\r\n\r\n"])
def test_what_is_no_event_and_no_error_passes(aside: bytes) -> None:
    out, meter = relay_events(GENERATE, [aside, event(chunk("x", "STOP")), aside])
    assert out == aside + event(chunk("x", "STOP", model=ALIAS)) + aside
    assert (meter.finished, meter.failed) == (True, False)


def chunks() -> st.SearchStrategy[list[dict[str, Any]]]:
    plain = st.builds(
        lambda text, finish, model: chunk(text, finish, model),
        strings(),
        st.sampled_from([None, None, "STOP"]),
        st.sampled_from([SNAPSHOT, SNAPSHOT, UPSTREAM, "models/x", 'q"uote', "é"]),
    )
    odd = st.sampled_from([NESTED, used(promptTokenCount=9, candidatesTokenCount=1), ANSWER])
    return st.lists(plain | plain | odd, min_size=1, max_size=8)


@given(chunks(), cut_places(3000))
def test_a_stream_gives_the_same_bytes_and_counters_however_it_is_cut(
    made: list[dict[str, Any]], places: list[int]
) -> None:
    wanted = b"".join(event({**one, "modelVersion": ALIAS}) for one in made)
    plainly = counters(read_events(GENERATE, *[json.loads(json.dumps(one)) for one in made]))
    stream = b"".join(event(one) for one in made)
    for pieces in ([stream], single_bytes(stream), cut(stream, places), [event(one) for one in made]):
        out, meter = relay_events(GENERATE, pieces)
        assert out == wanted
        assert counters(meter)[1:] == plainly[1:]


@given(chunks(), cut_places(3000))
def test_an_array_gives_the_same_bytes_and_bill_however_it_is_cut(
    made: list[dict[str, Any]], places: list[int]
) -> None:
    data = array(*made)
    wanted = array(*({**one, "modelVersion": ALIAS} for one in made))
    whole, read = relay_whole(GENERATE, data)
    assert whole == wanted
    for pieces in ([data], single_bytes(data), cut(data, places)):
        out, meter = relay_pieces(GENERATE, pieces)
        assert out == wanted
        assert meter.usage() == read.usage()


# errors


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (InvalidRequest("No."), "INVALID_ARGUMENT"),
        (AuthenticationFailed("No."), "UNAUTHENTICATED"),
        (InvalidRequest("No.", status=403), "PERMISSION_DENIED"),
        (ModelNotFound("No."), "NOT_FOUND"),
        (InvalidRequest("No.", status=405), "UNIMPLEMENTED"),
        (BodyTooLarge("No."), "INVALID_ARGUMENT"),
        (InvalidRequest("No.", status=429), "RESOURCE_EXHAUSTED"),
        (GatewayError("No."), "INTERNAL"),
        (UpstreamDropped("No."), "UNAVAILABLE"),
        (Overloaded("No."), "UNAVAILABLE"),
        (UpstreamTimeout("No."), "DEADLINE_EXCEEDED"),
    ],
)
def test_an_error_body_has_googles_status_and_says_which_request(error: GatewayError, status: str) -> None:
    assert json.loads(error_body(error, "req-1", "t")) == {
        "error": {
            "code": error.status,
            "message": "No.",
            "status": status,
            "details": [{"@type": "type.googleapis.com/google.rpc.RequestInfo", "requestId": "req-1"}],
        }
    }


def test_an_error_event_is_a_bare_object_on_a_line_of_its_own() -> None:
    error = GatewayError('line one\nline "two"')
    assert error_event(error, "r", "t") == error_body(error, "r", "t") + b"\r\n\r\n"
    assert error_event(error, "r", "t").count(b"\n") == 2


def test_our_own_error_event_is_read_as_an_error() -> None:
    _, meter = relay_events(GENERATE, [event(chunk("x")), error_event(GatewayError("No."), "r", "t")])
    assert meter.failed


@pytest.mark.parametrize(
    "body",
    [b"", b"<html>", b"null", b"[]", b"{}", b"7", b'"error"', b'{"message":"no"}', b'<b>{"error"', b"\xff"],
)
def test_an_upstreams_error_of_another_shape_is_not_passed_on(body: bytes) -> None:
    assert upstream_error(body, UPSTREAM, ALIAS) is None


@pytest.mark.parametrize(
    "body",
    [compact(ERROR), BARE, compact([ERROR]), b"[" + BARE + b"\n]\n", b"[\n" + BARE + b"]", b"\n [ \n" + BARE + b"]"],
)
def test_an_upstreams_error_is_passed_on_with_the_alias_and_without_ids(body: bytes) -> None:
    out = upstream_error(body, UPSTREAM, ALIAS)
    assert out is not None
    error = json.loads(out)
    assert (error[0] if isinstance(error, list) else error)["error"] == {
        "code": 499,
        "message": f"models/{ALIAS} of *** is gone",
        "status": "CANCELLED",
    }


@pytest.mark.parametrize(
    ("finishes", "finished"), [([(0, "STOP")], False), ([(0, "STOP"), (1, "STOP")], True), ([(1, "STOP")], False)]
)
def test_several_candidates_are_whole_when_each_has_finished(finishes: list[tuple[int, str]], finished: bool) -> None:
    def candidate(index: int, finish: str | None) -> dict[str, Any]:
        return {"candidates": [{"index": index, "content": {"parts": []}, "finishReason": finish}]}

    meter = read_events(GENERATE, candidate(0, None), candidate(1, None), *(candidate(*one) for one in finishes))
    assert meter.finished is finished
