"""OpenAI's dialect: what a chat answer is read for, which event is left out, streams of chunks, and errors."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.dialects.openai_chat import ChatMeter, error_body, error_event, upstream_error
from proxy.dialects.scrub import scrub
from proxy.errors import AuthenticationFailed, GatewayError, InvalidRequest, UpstreamProtocolError
from proxy.wire.json_rewrite import SSERewriter
from proxy.wire.schemas import Usage
from proxy.wire.sse import SSEParser
from tests.corpus import with_model
from tests.dialects.chats import (
    ALIAS,
    UPSTREAM,
    USAGE,
    chunk,
    compact,
    counters,
    delta,
    event,
    meter,
    read,
    relay,
    said,
)
from tests.usage import counts_of
from tests.wire.cuts import chunkings, cut, cut_places, single_bytes

COUNTED = Usage(9, 0, 0, 3)


# what is read


@pytest.mark.parametrize(
    ("event", "model"),
    [
        (b'{"model":"a"}', b'"a"'),
        (b'{"choices":[],"model" : "a"}', b'"a"'),
        (b'{"model":""}', b'""'),
        (b'{"model":null}', b"null"),
        (b'{"model":7}', b"7"),
        (b'{"choices":[{"model":"b"}]}', b""),
        (b"{}", b""),
        (b'{"model":"a","choices":"odd"}', b'"a"'),
        (b'{"model":"a","choices":[7]}', b'"a"'),
        (b'{"model":"a","choices":[{"delta":"odd"}]}', b'"a"'),
        (b'{"model":"a","x_groq":"odd"}', b'"a"'),
        (b'{"model":"a","choices":null,"x_groq":null}', b'"a"'),
        (b'{"model":"a","choices":[{"delta":null,"message":null,"text":null}]}', b'"a"'),
    ],
)
def test_the_model_is_given_raw(event: bytes, model: bytes) -> None:
    assert bytes(meter().read(event)) == model


@pytest.mark.parametrize(
    ("choice", "length"),
    [
        ({"delta": {"content": "four"}}, 4),
        ({"delta": {"role": "assistant", "content": ""}}, 0),
        ({"delta": {"content": None}}, 0),
        ({"delta": {}}, 0),
        ({"delta": {"reasoning_content": "four", "content": None}}, 4),
        ({"delta": {"reasoning": "four"}}, 4),
        ({"delta": {"refusal": "four"}}, 4),
        ({"delta": {"content": "é"}}, 2),
        ({"delta": {"content": "\n"}}, 2),
        ({"delta": {"tool_calls": [{"index": 0, "function": {"arguments": "{}"}}]}}, 45),
        ({"delta": {"function_call": {"arguments": "{}"}}}, 17),
        ({"message": {"role": "assistant", "content": "four", "refusal": None}}, 4),
        ({"text": "four"}, 4),
        ({"text": None}, 0),
        ({"finish_reason": "stop"}, 0),
    ],
)
def test_text_is_counted_under_all_its_names(choice: dict[str, Any], length: int) -> None:
    assert read(chunk(choices=[choice])).text_out == length


def test_the_text_of_all_choices_is_counted() -> None:
    one = read(chunk(choices=[{"delta": {"content": "abc"}}, {"delta": {"content": "de"}}]), said("f"))
    assert one.text_out == 6


def test_text_in_a_chunk_of_unexpected_shape_is_counted_as_a_whole() -> None:
    odd = {"model": "a", "choices": [{"delta": "text"}]}
    assert read(odd).text_out == len(json.dumps(odd))


@pytest.mark.parametrize(
    ("choices", "finished"),
    [
        ([{"finish_reason": "stop"}], True),
        ([{"finish_reason": "length", "delta": {}}], True),
        ([{"finish_reason": None}, {"finish_reason": "stop"}], True),
        ([{"finish_reason": None}], False),
        ([{"delta": {"content": "stop"}}], False),
        ([], False),
        (None, False),
    ],
)
def test_a_finish_reason_makes_the_answer_finished(choices: Any, finished: bool) -> None:
    assert read(chunk(choices=choices)).finished is finished


def test_finished_is_not_taken_back() -> None:
    assert read(said("", "stop"), chunk(choices=[], usage=USAGE), said("")).finished


@pytest.mark.parametrize(
    ("events", "usage"),
    [
        ([said("x")], None),
        ([said("x", usage=None)], None),
        ([said("x", usage=USAGE)], COUNTED),
        ([chunk(choices=[], usage=USAGE)], COUNTED),
        ([said("x", usage=None), chunk(choices=[], usage=USAGE), chunk(choices=[], usage=None)], COUNTED),
        ([said("x", usage={"prompt_tokens": 9, "completion_tokens": 1}), said("y", usage=USAGE)], COUNTED),
        ([said("", x_groq={"id": "r", "usage": USAGE})], COUNTED),
        ([said("", x_groq={"id": "r"})], None),
        ([said("", x_groq={"usage": {"prompt_tokens": 1}}, usage=USAGE), chunk(choices=[], usage=USAGE)], COUNTED),
        ([chunk(choices=[{"delta": {}, "finish_reason": "stop", "usage": USAGE}])], COUNTED),
        ([chunk(choices=[{"delta": {}, "usage": {"prompt_tokens": 1}}], usage=USAGE)], COUNTED),
        ([chunk(choices=[{"delta": {}, "usage": None}])], None),
        ([chunk(choices="odd", usage=USAGE)], COUNTED),
        ([chunk(choices=[], usage=USAGE), chunk(choices=[], usage={}), said("x")], COUNTED),
        ([chunk(choices=[], usage=USAGE, moderation={})], COUNTED),
        ([{"error": {"message": "x"}, "usage": USAGE}], COUNTED),
        ([{"object": "chat.completion", "choices": [{"message": {"content": "x"}}], "usage": USAGE}], COUNTED),
        ([{"timings": {"prompt_n": 3}, "choices": []}], None),
    ],
)
def test_the_last_usage_that_is_not_null_counts(events: list[dict[str, Any]], usage: Usage | None) -> None:
    assert counts_of(read(*events).usage()) == usage


@pytest.mark.parametrize(
    ("fields", "failed"),
    [
        ({"error": {"message": "x"}}, True),
        ({"error": "x"}, True),
        ({"error": {"message": "x"}, "choices": [{"delta": {}}]}, True),
        ({"error": {"message": "x"}, "choices": "odd"}, True),
        ({"error": None, "choices": []}, False),
        ({"choices": [{"delta": {"content": '"error":{}'}, "error": None}]}, False),
        ({"choices": [{"delta": {}, "error": {"x": 1}}]}, True),
        ({"choices": [{"delta": {}, "finish_reason": "error"}]}, True),
        ({"error": "", "choices": []}, False),
        ({"error": False, "choices": []}, False),
    ],
)
def test_an_error_makes_the_answer_failed(fields: dict[str, Any], failed: bool) -> None:
    assert read(fields).failed is failed


def test_failed_is_not_taken_back() -> None:
    assert read({"error": {"message": "x"}}, said("x")).failed


@pytest.mark.parametrize(
    "payload", [b"", b"garbage", b"{", b"[]", b"7", b'"x"', b'{"model":"a"} x', b"\xff", b"[" * 5000]
)
def test_what_is_no_json_object_is_our_error(payload: bytes) -> None:
    with pytest.raises(UpstreamProtocolError):
        meter().read(payload)


@given(
    st.binary(max_size=30)
    | st.lists(
        st.sampled_from(
            ['{"model":', '"a"', ",", '"choices":', "[", "]", "{", "}", "null", '"usage":', '"delta":', "1"]
        )
    ).map(lambda parts: "".join(parts).encode())
)
def test_garbage_gives_a_model_or_our_error(payload: bytes) -> None:
    one = meter(True)
    try:
        one.read(payload)
    except UpstreamProtocolError:
        return
    one.usage()
    assert json.loads(payload) is not None


# the event that the gateway asked for


INJECTED = chunk(choices=[], usage=USAGE)


@pytest.mark.parametrize("extra", [{}, {"obfuscation": "x"}, {"error": None}, {"moderation": None}, {"timings": {}}])
def test_the_injected_event_is_left_out(extra: dict[str, Any]) -> None:
    one = read(INJECTED | extra, drop_usage=True)
    assert one.drop
    assert one.usage() == COUNTED


@pytest.mark.parametrize(
    "fields",
    [
        said("x", usage=USAGE),
        chunk(choices=[{"delta": {}, "finish_reason": "stop"}], usage=USAGE),
        chunk(choices=[], usage=None),
        chunk(choices=[]),
        chunk(choices=[], usage=7),
        chunk(usage=USAGE),
        chunk(choices=None, usage=USAGE),
        chunk(choices="odd", usage=USAGE),
        INJECTED | {"moderation": {"input": {"results": []}}},
        INJECTED | {"prompt_filter_results": [{"prompt_index": 0}]},
        INJECTED | {"error": {"message": "x"}},
        {"choices": [], "cost": "0"},
    ],
)
def test_any_other_event_stays_even_when_usage_was_injected(fields: dict[str, Any]) -> None:
    one = meter(True)
    one.read(event(fields)[6:])
    assert not one.drop
    one.read(event(INJECTED)[6:])
    assert one.drop


def test_nothing_is_left_out_for_a_client_that_asked() -> None:
    assert not read(INJECTED).drop


def test_one_event_is_left_out_and_no_second_one() -> None:
    one = read(INJECTED, drop_usage=True)
    one.read(event(INJECTED)[6:])
    assert not one.drop


def test_the_event_after_the_one_left_out_stays() -> None:
    assert not read(INJECTED, said("x"), drop_usage=True).drop
    assert not read(INJECTED, chunk(choices="odd"), drop_usage=True).drop


def test_a_client_that_did_not_ask_sees_the_stream_as_without_usage() -> None:
    # OpenAI with a moderation: the extra event, and one more behind it.
    before = event(said("Hel")) + event(said("lo")) + event(said("", "stop"))
    after = event(chunk(choices=[], usage=None, moderation={"input": {"model": "omni"}})) + b"data: [DONE]\n\n"
    for pieces in chunkings(before + event(INJECTED) + after):
        one = meter(True)
        out = relay(pieces, one)
        assert out == (before + after).replace(b'"gpt-5-2025-08-07"', b'"prometheus-core"')
        assert counters(one) == (5, True, False, True, COUNTED)


def test_a_client_that_asked_sees_all_of_it() -> None:
    stream = event(said("Hi", usage=None)) + event(INJECTED) + b"data: [DONE]\n\n"
    for pieces in chunkings(stream):
        one = meter()
        assert relay(pieces, one) == stream.replace(b'"gpt-5-2025-08-07"', b'"prometheus-core"')
        assert one.usage() == COUNTED


def test_groqs_usage_is_counted_once_and_its_extra_event_left_out() -> None:
    last = event(said("", "stop", x_groq={"id": "r", "usage": USAGE}, usage=USAGE))
    one = meter(True)
    assert relay([event(said("x")), last, event(INJECTED), b"data: [DONE]\n\n"], one).count(b"usage") == 2
    assert one.usage() == COUNTED


def test_azures_first_event_stays() -> None:
    first = event({"choices": [], "created": 0, "id": "", "model": "", "object": "", "prompt_filter_results": [{}]})
    one = meter(True)
    assert relay([first + event(said("x")) + event(INJECTED)], one) == first + event(
        said("x", model=ALIAS) | {"model": ALIAS}
    )


# streams

texts = st.sampled_from(
    [
        "",
        " word",
        "é😀",
        "\n",
        '"',
        "\\",
        '"},"model":"b","x":{"y":"',
        "[DONE]",
        "gpt-5",
        "\u2028",
        "{[",
        "\x7f",
        "a" * 40,
    ]
)


@st.composite
def chat_streams(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Chunks as servers make them: mostly alike but for the text, in one order of keys or another, and odd ones."""
    extras: list[dict[str, Any]] = [{}, {"usage": None}, {"obfuscation": "x"}, {"system_fingerprint": None}]
    extra = draw(st.sampled_from(extras))
    model_last = draw(st.booleans())
    chunks = []
    for text in draw(st.lists(texts, max_size=12)):
        fields = said(text, **extra)
        odd = draw(st.integers(0, 14))
        if odd == 0:
            fields["model"] = draw(st.sampled_from(["", "other", 'q"uote']))
        elif odd == 1:
            fields |= {"x": {"model": "b", "content": text}}
        elif odd == 2:
            fields["choices"][0]["delta"] = {"tool_calls": [{"function": {"arguments": text}}], "content": text}
        elif odd == 3:
            fields["choices"][0]["finish_reason"] = "stop"
        elif odd == 4:
            fields["choices"][0]["delta"] = {"role": "assistant", "content": text, "reasoning": text}
        elif odd == 5:
            fields["usage"] = USAGE
        elif odd == 6:
            fields = INJECTED
        elif odd == 7:
            fields["choices"].append({"delta": {"content": text}})
        if model_last:
            fields["model"] = fields.pop("model")
        chunks.append(fields)
    return chunks


@given(chat_streams(), st.booleans(), cut_places(3000))
def test_a_stream_gives_the_same_bytes_and_counters_however_it_is_cut(
    chunks: list[dict[str, Any]], drop_usage: bool, places: list[int]
) -> None:
    events = [event(fields) for fields in chunks] + [b"data: [DONE]\n\n"]
    # Each event by a rewriter of its own, which can know nothing of the ones before: the plain way.
    one = meter(drop_usage)
    wanted = b""
    dropped = False
    for data, fields in zip(events, [*chunks, {}], strict=True):
        if drop_usage and not dropped and fields is INJECTED:
            dropped = True
            one.read(data[6:])
            continue
        wanted += data if not fields else b"data: %b" % with_model(data[6:], ALIAS)
        if fields:
            one.read(data[6:])
    one.ended = True
    stream = b"".join(events)
    for pieces in ([stream], cut(stream, places), single_bytes(stream), events):
        other = meter(drop_usage)
        assert relay(pieces, other) == wanted
        assert counters(other) == counters(one)


def test_events_that_differ_in_their_text_alone_are_counted_and_rewritten_like_any_other() -> None:
    words = [
        "Hel",
        "lo",
        " wor",
        "ld",
        "",
        "x" * 500,
        'a "quote"',
        "é",
        "\\",
        "\n",
        "}",
        "plain",
        '"},"model":"b',
        "end",
    ]
    stream = b"".join(event(said(word)) for word in words * 3) + event(said("", "stop")) + event(said("late"))
    one = meter()
    read_plainly = read(*[said(word) for word in words * 3], said("", "stop"), said("late"))
    out = relay([stream], one)
    assert out == stream.replace(b'"gpt-5-2025-08-07"', b'"prometheus-core"')
    assert one.text_out == read_plainly.text_out
    assert one.finished


#: An event between others that is like none of them, and whose usage the next one's must take the place of.
BETWEEN = chunk(choices=[], usage={"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2})
#: Streams of events that are nearly alike, but not in their text alone.
NEARLY_ALIKE = {
    "the model comes last": [{"choices": said(text)["choices"], "model": "a"} for text in "aabab"],
    "usage in each": [*[said(text, usage=USAGE) for text in "abc"], BETWEEN, said("d", usage=USAGE)],
    "usage of Groq in each": [
        *[said(text, x_groq={"usage": USAGE}) for text in "abc"],
        BETWEEN,
        said("d", x_groq={"usage": USAGE}),
    ],
    "usage in each choice": [
        *[chunk(choices=[{"delta": {"content": text}, "usage": USAGE}]) for text in "abc"],
        BETWEEN,
        chunk(choices=[{"delta": {"content": "d"}, "usage": USAGE}]),
    ],
    "a reasoning that stays the same": [delta(reasoning="hm", content=text) for text in ("a", "b", "cd", "efg")],
    "tool calls that stay the same": [delta(content=text, tool_calls=[{}]) for text in ("a", "b", "cd", "efg")],
    "a function call that stays the same": [delta(content=text, function_call={}) for text in ("a", "b", "cd", "efg")],
    "the same text in another place": [
        chunk(x={"content": text}, choices=said("w")["choices"]) for text in ("w", "w", "long", "w", "longer")
    ],
    "two choices": [
        chunk(choices=[{"delta": {"content": "w"}}, {"delta": {"content": text}}]) for text in ("w", "a", "b", "long")
    ],
    "a content that is no text": [delta(content=content) for content in ([1], [2], [1, 2], 12, 13, 14, 1444, True)],
    "finished early": [said(text, "stop") for text in "abcd"],
    "an error among them": [said("a"), said("b"), said("c"), {"error": {"message": "x"}}, said("of gpt-5"), said("d")],
}


@pytest.mark.parametrize("chunks", NEARLY_ALIKE.values(), ids=NEARLY_ALIKE.keys())
def test_events_that_are_nearly_alike_are_read_each(chunks: list[dict[str, Any]]) -> None:
    one, plainly = meter(), read()
    out = relay([event(fields) for fields in chunks], one)
    wanted = []
    for fields in chunks:
        plainly.read(compact(fields))
        wanted.append(b"data: %b\n\n" % with_model(compact(fields), ALIAS))
    assert out == b"".join(wanted).replace(b"of gpt-5", b"of prometheus-core")
    assert counters(one) == counters(plainly)


def test_texts_that_share_a_read_with_a_broken_event_are_counted() -> None:
    one = meter()
    with pytest.raises(UpstreamProtocolError):
        relay([event(said("word")) * 5 + b"data: {\n\n"], one)
    assert one.text_out == len("word") * 5


@pytest.mark.parametrize("tail", [b'},"finish_reason":null}]}', b'"},"logprobs":null,"finish_reason":null}]},{}', b""])
def test_a_broken_event_after_many_alike_is_our_error(tail: bytes) -> None:
    whole = event(said("word"))
    begin = whole[: whole.index(b"word")]
    one = meter()
    rewriter = SSERewriter(one, ALIAS)
    rewriter.feed(whole * 9)
    with pytest.raises(UpstreamProtocolError):
        rewriter.feed(begin + tail + b"\n\n")
    with pytest.raises(UpstreamProtocolError):
        # The text takes the quote that stands behind it.
        rewriter.feed(begin + b"word\\" + whole[whole.index(b"word") + 4 :])
    with pytest.raises(UpstreamProtocolError):
        # One quote where two should be: the end of what stands before the text is the beginning of what stands behind.
        rewriter.feed(begin + whole[whole.index(b"word") + 5 :])


def test_a_choice_that_finishes_twice_has_finished_once() -> None:
    both = [choice_of(0, "a"), choice_of(1, "b")]
    twice = [choice_of(0, "", "stop"), choice_of(0, "", "stop")]
    assert not read(chunk(choices=both), *[chunk(choices=[one]) for one in twice]).finished
    assert read(
        chunk(choices=both), *[chunk(choices=[one]) for one in twice], chunk(choices=[choice_of(1, "", "stop")])
    ).finished


def choice_of(index: int, text: str, reason: str | None = None) -> dict[str, Any]:
    return {"index": index, "delta": {"content": text}, "finish_reason": reason}


@pytest.mark.parametrize("whole", [True, False])
def test_an_event_like_those_before_is_no_larger_than_the_limit_either(whole: bool) -> None:
    rewriter = SSERewriter(meter(), ALIAS, len(event(said("w" * 50))))
    for text in ("a", "b", "w" * 50):
        assert rewriter.feed(event(said(text)))
    large = event(said("w" * 51))
    with pytest.raises(UpstreamProtocolError):
        rewriter.feed(large if whole else event(said("a")) + large)


def test_events_alike_are_the_same_however_they_are_cut() -> None:
    stream = b"".join(event(said(text)) for text in ("a", "b", "cd", "", "efg")) + b"data: [DONE]\n\n"
    for pieces in chunkings(stream):
        one = meter()
        assert relay(pieces, one) == stream.replace(b'"gpt-5-2025-08-07"', b'"prometheus-core"')
        assert (one.text_out, one.ended) == (7, True)


def test_an_event_that_begins_inside_another_is_not_taken_for_one_alike() -> None:
    rewriter = SSERewriter(meter(), ALIAS)
    for text in ("a", "b"):
        rewriter.feed(event(said(text)))
    assert rewriter.feed(b": half a comment, ") == b""
    assert rewriter.feed(event(said("c"))) == b": half a comment, " + event(said("c"))


@pytest.mark.parametrize("last", [said("", "stop"), said("x", usage=USAGE), {"error": {"message": "x"}}])
def test_what_comes_after_many_events_alike_is_still_seen(last: dict[str, Any]) -> None:
    one = meter()
    relay([event(said("word"))] * 9 + [event(last)], one)
    alone = read(last)
    assert (one.finished, one.failed, one.usage()) == (alone.finished, alone.failed, alone.usage())


@pytest.mark.skipif(not hasattr(ChatMeter, "__slots__"), reason="compiled classes do not tell their parts")
def test_a_meter_keeps_counters_and_not_the_text() -> None:
    one = meter(True)
    rewriter = SSERewriter(one, ALIAS)
    for number in range(2_000):
        rewriter.feed(event(said("a text that must not be kept" * 40 + "\n" * (number % 3))))
    machines = ((one, ChatMeter.__slots__), (rewriter, SSERewriter.__slots__), (rewriter._parser, SSEParser.__slots__))
    values = [getattr(machine, name) for machine, names in machines for name in names]
    kept = sum(len(bytes(value)) for value in values if isinstance(value, bytes | bytearray | msgspec.Raw))
    # What stands before and behind the text, and the last event at most: not two thousand of them.
    assert kept < 10_000


# errors


def test_an_error_body_has_the_envelope_and_says_which_request_and_when() -> None:
    error = InvalidRequest("No.", param="model", code="bad")
    assert json.loads(error_body(error, "req-1", "2026-01-01T00:00:00Z")) == {
        "error": {"message": "No.", "type": "invalid_request_error", "param": "model", "code": "bad"},
        "request_id": "req-1",
        "timestamp": "2026-01-01T00:00:00Z",
    }


def test_a_refusal_without_a_code_of_its_own_is_an_invalid_request() -> None:
    detail = json.loads(error_body(InvalidRequest("No."), "r", "t"))["error"]
    assert (detail["param"], detail["code"]) == (None, "invalid_request")


def test_the_code_is_that_of_the_kind_of_error() -> None:
    assert json.loads(error_body(AuthenticationFailed("No."), "r", "t"))["error"]["code"] == "invalid_api_key"


def test_an_error_event_is_one_data_line_with_the_same_body() -> None:
    error = GatewayError('line one\nline "two"')
    assert error_event(error, "r", "t") == b"data: " + error_body(error, "r", "t") + b"\n\n"
    assert error_event(error, "r", "t").count(b"\n") == 2


@pytest.mark.parametrize(
    "body",
    [b"", b"<html>", b"null", b"[]", b"{}", b'{"error":null}', b'{"error":"text"}', b'{"detail":{}}', b"{", b"\xff"],
)
def test_an_upstreams_error_of_another_shape_is_not_passed_on(body: bytes) -> None:
    assert upstream_error(body, UPSTREAM, ALIAS) is None


def test_an_upstreams_error_is_passed_on_with_the_alias_and_without_ids() -> None:
    body = (
        b'{"error":{"message":"The model `gpt-5` does not exist for org-AbC123xyz, key sk-proj-abcd****wxyz.",'
        b'"type":"invalid_request_error","param":null,"code":"model_not_found"}}'
    )
    out = upstream_error(body, UPSTREAM, ALIAS)
    assert out is not None
    assert json.loads(out)["error"] == {
        "message": "The model `prometheus-core` does not exist for ***, key ***.",
        "type": "invalid_request_error",
        "param": None,
        "code": "model_not_found",
    }


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        (b"gpt-5 and gpt-5", b"prometheus-core and prometheus-core"),
        (b"org-abcd1234", b"***"),
        (b"proj_abcd1234", b"***"),
        (b"sk-abcd1234", b"***"),
        (b"user-abcd1234", b"***"),
        (b"acct_abcd1234", b"***"),
        (b"task-abcd1234", b"task-abcd1234"),
        (b"org-abc", b"org-abc"),
        (b"see https://vendor.example/a?b=c#d, and go", b"see *** and go"),
        (b'"http:\\/\\/inner\\/path"', b'"***"'),
        (b"https:// and http", b"https:// and http"),
        (b"nothing to hide", b"nothing to hide"),
    ],
)
def test_names_and_ids_are_scrubbed(text: bytes, clean: bytes) -> None:
    assert scrub(text, b"gpt-5", b"prometheus-core") == clean


def test_scrubbing_without_an_upstream_name_changes_no_letters() -> None:
    assert scrub(b"abc", b"", b"prometheus-core") == b"abc"


def test_an_error_in_a_stream_is_scrubbed() -> None:
    stream = event(said("x")) + event({"error": {"message": "gpt-5 of org-abcd1234 failed"}}) + b"data: [DONE]\n\n"
    for pieces in chunkings(stream):
        one = meter()
        out = relay(pieces, one)
        assert b"gpt-5" not in out
        assert b'"prometheus-core of *** failed"' in out
        assert one.failed


def _choice(index: int | None, finish: str | None = None) -> dict[str, Any]:
    return chunk(choices=[{"index": index, "delta": {"content": "x"}, "finish_reason": finish}])


@pytest.mark.parametrize(
    ("events", "finished"),
    [
        ([_choice(0), _choice(1), _choice(0, "stop")], False),
        ([_choice(0), _choice(1), _choice(0, "stop"), _choice(1, "stop")], True),
        ([_choice(0, "stop"), _choice(1)], False),
        ([_choice(1), _choice(1, "stop")], True),
        ([_choice(None), _choice(None, "stop")], True),
        ([_choice(0), _choice(0, "stop"), _choice(0)], True),
        ([*(_choice(index) for index in range(200)), *(_choice(index, "stop") for index in range(200))], True),
    ],
    ids=["one of two", "both", "one more begins", "another index", "no index", "text after the end", "too many"],
)
def test_several_choices_are_whole_when_each_has_finished(events: list[dict[str, Any]], finished: bool) -> None:
    assert read(*events).finished is finished


@pytest.mark.parametrize(
    ("tiers", "tier"),
    [
        (["priority", None], "priority"),
        (["auto", "priority", ""], "priority"),
        (["priority", "default"], ""),
        (["flex", "priority"], "priority"),
        ([None, 7], ""),
    ],
)
def test_the_last_service_tier_that_was_named_counts(tiers: list[Any], tier: str) -> None:
    usage = read({"usage": USAGE}, *[{"service_tier": one} for one in tiers]).usage()
    assert usage is not None
    assert (usage.parts.service_tier if usage.parts is not None else "") == tier
