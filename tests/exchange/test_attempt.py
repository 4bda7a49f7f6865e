"""When an answer is whole: by a reason to finish that is one, of each choice that was asked for; by its last mark."""

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.exchange.samples import (
    DONE,
    EVENTS,
    HELLO,
    REWRITTEN_STREAM,
    ROLE,
    STOP,
    STREAM,
    USAGE,
    ask,
    begun,
    ended,
    event,
    only_row,
    question,
    rewritten,
    serving,
    serving_two,
    wait_for_pool,
    wait_until,
    word,
)
from tests.fakes import (
    LAST_CHUNK,
    Body,
    Close,
    Hang,
    Head,
    ScriptedUpstream,
    Send,
    Step,
    WaitFor,
    chunk,
    head,
    sse_answer,
)
from tests.serving import ALIAS, KEY, UPSTREAM_MODEL, RunningGateway

#: Seconds that an answer with its reason to finish may take to end, in these tests.
SOON = 0.3
GENERATE = f"/v1beta/models/{ALIAS}:streamGenerateContent?alt=sse"
RESPONSES = "/v1/responses"


def said(text: str, reason: object, index: int = 0) -> bytes:
    """A chunk of a choice, with some reason to finish."""
    return event(choices=[{"index": index, "delta": {"content": text} if text else {}, "finish_reason": reason}])


def candidate(text: str | None, **fields: object) -> bytes:
    """A chunk of Gemini's."""
    content = {} if text is None else {"content": {"parts": [{"text": text}], "role": "model"}}
    value = {"candidates": [{"index": 0, **content, **fields}], "modelVersion": UPSTREAM_MODEL}
    return b"data: " + msgspec.json.encode(value) + b"\r\n\r\n"


def post(gateway: RunningGateway, path: str, body: dict[str, Any]) -> tuple[Head, Body]:
    with gateway.client() as client:
        headers = {"authorization": f"Bearer {KEY}", "content-type": "application/json"}
        client.request("POST", path, msgspec.json.encode(body), headers)
        return client.read_answer()


class Sweeps:
    """Sets a gate when the gateway has looked at its deadlines for longer than an answer may take to end."""

    def __init__(self, gateway: RunningGateway, upstream: ScriptedUpstream, gate: threading.Event) -> None:
        self._left = int(SOON * 10) + 6
        self._gate = gate
        self._upstream = upstream
        gateway.call(lambda running: running.deadlines.every_sweep(self._sweep))

    def _sweep(self) -> None:
        if self._upstream.requests:
            self._left -= 1
            if not self._left:
                self._gate.set()


def after_a_while(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    before: Sequence[bytes],
    after: Sequence[bytes],
    path: str = "",
    **fields: Any,
) -> tuple[bytes, str]:
    """What a client gets of an answer that pauses for longer than a whole one may, and the outcome."""
    monkeypatch.setattr("proxy.exchange.attempt.LAST_EVENTS_SECONDS", SOON)
    gate = threading.Event()
    kind = {"kind": "gemini"} if path == GENERATE else {}
    with serving(tmp_path, upstream=kind) as (gateway, upstream):
        upstream.script([head(200, EVENTS), *map(chunk, before), WaitFor(gate), *map(chunk, after), Send(LAST_CHUNK)])
        Sweeps(gateway, upstream, gate)
        _, body = post(gateway, path, {"contents": [], **fields}) if path else ask(gateway, {**question(), **fields})
        return body.payload, only_row(gateway).outcome


@pytest.mark.parametrize("none", ["", " ", None, "null", "none", "NONE", False, 0, {}, []], ids=repr)
def test_what_gives_no_reason_does_not_end_a_stream(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, none: object
) -> None:
    before, after = [said("Hello", none)], [said(" world", none), said("", "stop"), DONE]
    told, outcome = after_a_while(tmp_path, monkeypatch, before, after)
    assert (told, outcome) == (rewritten(b"".join(before + after)), "complete")


def test_a_body_that_ends_behind_an_empty_reason_is_cut(tmp_path: Path) -> None:
    with serving(tmp_path) as (gateway, upstream):
        upstream.script(ended(said("Hello", "")))
        _, body = ask(gateway)
        assert not body.complete
        assert body.payload.startswith(rewritten(said("Hello", "")) + b'data: {"error"')
        assert only_row(gateway).outcome == "upstream_cut"


def test_another_target_answers_where_an_empty_reason_is_all_that_came(tmp_path: Path) -> None:
    role = event(choices=[{"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": ""}])
    with serving_two(tmp_path) as (gateway, first, second):
        first.script(ended(role))
        second.script(sse_answer(STREAM))
        _, body = ask(gateway)
        assert body.payload == REWRITTEN_STREAM
        assert only_row(gateway).attempts == 2


@pytest.mark.parametrize("last", [said("Hello", "stop"), said("", "stop") + word("Hello")], ids=["with", "behind"])
def test_text_may_go_on_when_some_came_with_a_reason_or_behind_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, last: bytes
) -> None:
    after = [said(" world", "stop"), DONE]
    told, outcome = after_a_while(tmp_path, monkeypatch, [ROLE, last], after)
    assert (told, outcome) == (rewritten(b"".join([ROLE, last, *after])), "complete")


@pytest.mark.parametrize(
    "before",
    [
        [candidate("Hello", finishReason="STOP")],
        [candidate("Hello"), candidate(None, finishReason="STOP")],
        [candidate("Hello", finishReason="FINISH_REASON_UNSPECIFIED")],
    ],
    ids=["with text", "without a part", "unspecified"],
)
def test_a_reason_of_gemini_s_is_not_the_last_word(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: list[bytes]
) -> None:
    after = [candidate(" world", finishReason="STOP")]
    told, outcome = after_a_while(tmp_path, monkeypatch, before, after, GENERATE)
    assert (told, outcome) == (b"".join(before + after).replace(UPSTREAM_MODEL.encode(), ALIAS.encode()), "complete")


def test_each_of_the_choices_that_were_asked_for_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = [said("one", None), said("", "stop")]
    after = [said("two", None, 1), said("", "stop", 1), DONE]
    told, outcome = after_a_while(tmp_path, monkeypatch, before, after, n=2)
    assert (told, outcome) == (rewritten(b"".join(before + after)), "complete")


@pytest.mark.parametrize("n", [1, 2, 3])
def test_a_body_that_ends_before_all_choices_have_their_reasons_is_cut(tmp_path: Path, n: int) -> None:
    with serving(tmp_path) as (gateway, upstream):
        upstream.script(ended(said("one", None), said("", "stop"), said("two", "stop", 1)))
        _, body = ask(gateway, question(n=n))
        assert body.complete == (n < 3)


@pytest.mark.parametrize("name", ["generationConfig", "generation_config"])
@pytest.mark.parametrize("count", ["candidateCount", "candidate_count"])
def test_the_candidates_that_were_asked_for_are_waited_for(tmp_path: Path, name: str, count: str) -> None:
    with serving(tmp_path, upstream={"kind": "gemini"}) as (gateway, upstream):
        upstream.script(ended(candidate("a", finishReason="STOP")))
        _, body = post(gateway, GENERATE, {"contents": [], name: {"temperature": 1, count: 2}})
        assert not body.complete


def test_a_silent_stream_with_its_reason_to_finish_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("proxy.exchange.attempt.LAST_EVENTS_SECONDS", SOON)
    with serving(tmp_path) as (gateway, upstream):
        upstream.script([*begun(ROLE, HELLO, STOP, USAGE), Hang()])
        _, body = ask(gateway)
        assert (body.payload, body.complete) == (rewritten(ROLE + HELLO + STOP), True)
        assert only_row(gateway).outcome == "complete"


def test_an_error_inside_a_choice_of_a_stream_is_one(tmp_path: Path) -> None:
    failed = event(choices=[{"index": 0, "delta": {}, "finish_reason": "error", "error": {"message": "sk-abcd1234"}}])
    with serving(tmp_path) as (gateway, upstream):
        gate = threading.Event()
        upstream.script([*begun(ROLE, HELLO), WaitFor(gate), chunk(failed), chunk(DONE), Send(LAST_CHUNK)])
        with gateway.client() as client:
            gateway.chat(client, question())
            client.read_head()
            seen = b""
            while seen != rewritten(ROLE + HELLO):
                seen += client.read_chunk() or b""
            gate.set()
            rest = client.read_chunked()
        assert b"sk-abcd" not in rest.payload
        assert b'"message":"***"' in rest.payload
        assert only_row(gateway).outcome == "upstream_error"


def test_good_events_of_a_read_come_before_the_error_for_a_broken_one(tmp_path: Path) -> None:
    for broken in (b'data: {"broken":\n\n', b"data: " + b"x" * 40_000 + b"\n\n"):
        gate = threading.Event()
        folder = tmp_path / str(len(broken))
        with serving(folder, server={"max_event_bytes": 20_000}) as (gateway, upstream):
            upstream.script([*begun(ROLE, HELLO), WaitFor(gate), chunk(word("good") + broken), Hang()])
            with gateway.client() as client:
                gateway.chat(client, question())
                client.read_head()
                seen = b""
                while seen != rewritten(ROLE + HELLO):
                    seen += client.read_chunk() or b""
                gate.set()
                rest = client.read_chunked().payload
            assert b'"good"' in rest
            assert rest.index(b'"good"') < rest.index(b'"error"')
            assert only_row(gateway).text_out == len("Hellogood")


# the mark behind the Responses API's last event

COMPLETED = (
    b'event: response.completed\ndata: {"type":"response.completed","response":{"model":"%b","usage":%b}}\n\n'
    % (
        UPSTREAM_MODEL.encode(),
        b'{"input_tokens":9,"output_tokens":2,"total_tokens":11}',
    )
)
DELTA = b'event: response.output_text.delta\ndata: {"type":"response.output_text.delta","delta":"Hello"}\n\n'


def alias_in(data: bytes) -> bytes:
    return data.replace(UPSTREAM_MODEL.encode(), ALIAS.encode())


@pytest.mark.parametrize(
    ("steps", "mark"),
    [
        ([chunk(DELTA), chunk(COMPLETED + DONE), Send(LAST_CHUNK)], DONE),
        ([chunk(DELTA), chunk(COMPLETED), chunk(DONE), Send(LAST_CHUNK)], DONE),
        ([chunk(DELTA), chunk(COMPLETED), chunk(DONE), Hang()], DONE),
        ([chunk(DELTA), chunk(COMPLETED), Send(LAST_CHUNK)], b""),
        ([chunk(DELTA), chunk(COMPLETED), Close()], b""),
        ([chunk(DELTA), chunk(COMPLETED), Hang()], b""),
        ([chunk(DELTA), chunk(COMPLETED + DELTA), chunk(b": bye\n\n"), Hang()], b": bye\n\n"),
    ],
    ids=["one read", "two reads", "open behind it", "none", "closed", "open", "comment"],
)
def test_a_mark_behind_the_last_event_is_relayed_and_none_is_made_up(
    tmp_path: Path, steps: list[Step], mark: bytes
) -> None:
    with serving(tmp_path) as (gateway, upstream):
        upstream.script([head(200, EVENTS), *steps])
        _, body = post(gateway, RESPONSES, {"model": ALIAS, "input": "x", "stream": True})
        assert (body.payload, body.complete) == (alias_in(DELTA + COMPLETED) + mark, True)
        row = only_row(gateway)
        assert (row.outcome, row.usage_source, row.output_tokens) == ("complete", "reported", 2)


def test_the_connection_of_a_response_is_used_again_though_its_body_ends_late(tmp_path: Path) -> None:
    gate = threading.Event()
    with serving(tmp_path) as (gateway, upstream):
        upstream.script([head(200, EVENTS), chunk(DELTA), chunk(COMPLETED), WaitFor(gate), Send(LAST_CHUNK)])
        _, body = post(gateway, RESPONSES, {"model": ALIAS, "input": "x", "stream": True})
        assert body.complete
        gate.set()
        wait_for_pool(gateway, size=1, idle=1)


@pytest.mark.parametrize(
    "made",
    [
        b'data: {"type":"response.output_text.done","text":"Hello"}\n\n',
        b'data: {"type":"response.output_item.done","item":{}}\n\n',
    ],
)
def test_who_leaves_a_response_before_its_last_event_pays_what_it_used(tmp_path: Path, made: bytes) -> None:
    gate = threading.Event()
    with serving(tmp_path) as (gateway, upstream):
        upstream.script([head(200, EVENTS), chunk(DELTA), chunk(made), WaitFor(gate), chunk(COMPLETED), Hang()])
        left_behind(gateway, RESPONSES, {"model": ALIAS, "input": "x", "stream": True}, b".done")
        gate.set()
        wait_until(lambda: bool(gateway.rows()), "the row")
        row = only_row(gateway)
        assert (row.outcome, row.usage_source, row.output_tokens) == ("client_closed", "reported", 2)


MESSAGE = (
    b'event: message_start\ndata: {"type":"message_start","message":{"model":"m","usage":{"input_tokens":9}}}\n\n',
    b'event: content_block_start\ndata: {"type":"content_block_start","index":0}\n\n',
    b'event: content_block_delta\ndata: {"type":"content_block_delta","delta":{"text":"Hello"}}\n\n',
    b'event: content_block_stop\ndata: {"type":"content_block_stop","index":0}\n\n',
)
MESSAGE_END = (
    b'event: message_delta\ndata: {"type":"message_delta","delta":{"stop_reason":"end_turn"},'
    b'"usage":{"output_tokens":2}}\n\nevent: message_stop\ndata: {"type":"message_stop"}\n\n'
)


def left_behind(gateway: RunningGateway, path: str, body: dict[str, Any], mark: bytes) -> None:
    """Ask, leave when the mark has come, and wait until the gateway knows."""
    with gateway.client() as client:
        headers = {"authorization": f"Bearer {KEY}", "content-type": "application/json"}
        client.request("POST", path, msgspec.json.encode(body), headers)
        client.read_until(mark)
    listener = gateway._listener
    assert listener is not None
    wait_until(lambda: gateway.call(lambda _: not listener.server_state.connections), "the client's leaving")
    assert not gateway.rows()


def test_who_leaves_a_message_behind_its_last_block_pays_what_it_used(tmp_path: Path) -> None:
    gate = threading.Event()
    with serving(tmp_path, upstream={"kind": "anthropic"}) as (gateway, upstream):
        upstream.script([head(200, EVENTS), *map(chunk, MESSAGE), WaitFor(gate), chunk(MESSAGE_END), Send(LAST_CHUNK)])
        left_behind(gateway, "/v1/messages", {"model": ALIAS, "max_tokens": 9, "stream": True}, b"block_stop")
        gate.set()
        wait_until(lambda: bool(gateway.rows()), "the row")
        row = only_row(gateway)
        assert (row.outcome, row.usage_source, row.output_tokens) == ("client_closed", "reported", 2)


def test_who_leaves_a_message_between_two_blocks_stops_the_second(tmp_path: Path) -> None:
    gate = threading.Event()
    with serving(tmp_path, upstream={"kind": "anthropic"}) as (gateway, upstream):
        upstream.script([head(200, EVENTS), *map(chunk, MESSAGE), WaitFor(gate), chunk(MESSAGE[1]), Hang()])
        left_behind(gateway, "/v1/messages", {"model": ALIAS, "max_tokens": 9, "stream": True}, b"block_stop")
        gate.set()
        assert upstream.requests[0].closed.wait(4)
