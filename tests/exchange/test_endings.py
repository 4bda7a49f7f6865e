"""How answers end: a cut one never cleanly, a whole one at once."""

import json
import os
import select
import socket
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.exchange.samples import (
    ANSWERING_MODEL,
    COST,
    DONE,
    HELLO,
    JSON_ANSWER,
    REWRITTEN_STREAM,
    ROLE,
    STOP,
    STREAM,
    USAGE,
    ask,
    begun,
    only_row,
    question,
    rewritten,
    serving,
    wait_for_pool,
    wait_for_settled,
    wait_until,
    word,
)
from tests.fakes import (
    LAST_CHUNK,
    Body,
    Close,
    Hang,
    Reset,
    ScriptedUpstream,
    Send,
    Step,
    WaitFor,
    chunk,
    head,
    json_answer,
    sse_answer,
)
from tests.serving import ALIAS, RunningGateway

#: Ways in which a stream is cut after two events.
CUTS: dict[str, Sequence[Step]] = {
    "closed": [Close()],
    "reset": [Reset()],
    "inside a chunk": [Send(b"ff\r\ndata: {"), Close()],
    "inside an event": [chunk(b'data: {"id":"c1","mod'), Close()],
    "no reason to finish": [Send(LAST_CHUNK)],
    "not HTTP": [Send(b"oops\r\n")],
    "not JSON": [chunk(b"data: {oops\n\n"), Send(LAST_CHUNK)],
    "too large an event": [chunk(b"data: " + b"a" * 200_000)],
}
TOLD = ROLE + HELLO


def cut_after(gateway: RunningGateway, upstream: ScriptedUpstream, first: Sequence[Step], then: Sequence[Step]) -> Body:
    """Ask; the upstream goes on with `then` only when the client has the answer's beginning."""
    gate = threading.Event()
    upstream.script([*first, WaitFor(gate), *then])
    with gateway.client() as client:
        gateway.chat(client, question())
        client.read_head()
        seen = b""
        while len(seen) < len(rewritten(TOLD)):
            seen += client.read_chunk() or b""
        gate.set()
        rest = client.read_chunked()
    return Body(seen + rest.payload, rest.pieces, complete=rest.complete, reset=rest.reset)


def error_event(body: Body) -> Any:
    """The error that a cut stream ends with."""
    told, rest = body.payload[: len(rewritten(TOLD))], body.payload[len(rewritten(TOLD)) :]
    assert told == rewritten(TOLD)
    assert rest.startswith(b"data: {")
    assert rest.endswith(b"}\n\n")
    assert rest.count(b"\n\n") == 1
    return json.loads(rest[6:])


@pytest.mark.parametrize("then", CUTS.values(), ids=CUTS.keys())
def test_a_cut_stream_ends_with_an_error_event_and_without_the_last_chunk(tmp_path: Path, then: Sequence[Step]) -> None:
    with serving(tmp_path, server={"max_event_bytes": 100_000}) as (gateway, upstream):
        body = cut_after(gateway, upstream, begun(ROLE, HELLO), then)
        error = error_event(body)
        assert not body.complete
        assert set(error["error"]) == {"message", "type", "param", "code"}
        row = only_row(gateway)
        assert (row.outcome, row.status, row.attempts, row.error_code) == (
            "upstream_cut",
            200,
            1,
            error["error"]["code"],
        )
        assert row.id == error["request_id"]
        assert row.usage_source == "estimated"
        assert row.output_tokens > 0
        assert row.cost == row.input_tokens * 1100 + row.output_tokens * 4400


def test_a_stream_framed_by_the_connection_s_end_is_cut_without_a_reason_to_finish(tmp_path: Path) -> None:
    with serving(tmp_path) as (gateway, upstream):
        first = sse_answer(TOLD, chunked=False)[:-1]
        body = cut_after(gateway, upstream, first, [Close()])
        assert error_event(body)["error"]["code"] == "upstream_dropped"
        assert not body.complete
        assert only_row(gateway).outcome == "upstream_cut"


def test_a_stream_framed_by_the_connection_s_end_is_whole_with_a_reason_to_finish(tmp_path: Path) -> None:
    with serving(tmp_path) as (gateway, upstream):
        upstream.script(sse_answer(ROLE + HELLO + STOP, chunked=False))
        _, body = ask(gateway)
        assert body.complete
        assert body.payload == rewritten(ROLE + HELLO + STOP)
        assert only_row(gateway).outcome == "complete"


def test_an_estimate_counts_only_what_was_relayed(tmp_path: Path) -> None:
    text = "twelve bytes" * 20
    with serving(tmp_path) as (gateway, upstream):
        cut_after(gateway, upstream, begun(ROLE, HELLO), [chunk(word(text)), Reset()])
        cut_after(gateway, upstream, begun(ROLE, HELLO), [Reset()])
        long, short = gateway.rows()
        assert long.text_out - short.text_out == len(text)
        assert long.output_tokens - short.output_tokens == len(text) // 4


def test_usage_that_came_before_the_cut_is_billed_as_reported(tmp_path: Path) -> None:
    with serving(tmp_path) as (gateway, upstream):
        cut_after(gateway, upstream, begun(ROLE, HELLO), [chunk(STOP), chunk(USAGE), Reset()])
        row = only_row(gateway)
        assert (row.outcome, row.usage_source, row.cost) == ("upstream_cut", "reported", COST)


def test_silence_inside_a_stream_is_a_timeout(tmp_path: Path) -> None:
    with serving(tmp_path, upstream={"idle_timeout": 0.1}) as (gateway, upstream):
        body = cut_after(gateway, upstream, begun(ROLE, HELLO), [Hang()])
        assert error_event(body)["error"]["code"] == "upstream_timeout"
        assert not body.complete
        row = only_row(gateway)
        assert (row.outcome, row.error_code, row.usage_source) == ("timeout", "upstream_timeout", "estimated")
        assert upstream.requests[0].closed.wait(5)


def test_comments_keep_a_stream_from_being_silent(tmp_path: Path) -> None:
    gates = [threading.Event() for _ in range(8)]
    with serving(tmp_path, upstream={"idle_timeout": 0.4, "first_byte_timeout": 0.4}) as (gateway, upstream):
        steps: list[Step] = begun(ROLE)
        for gate in gates:
            steps += [WaitFor(gate), chunk(b": busy\n\n")]
        upstream.script([*steps, chunk(STOP + DONE), Send(LAST_CHUNK)])
        with gateway.client() as client:
            gateway.chat(client, question())
            client.read_head()
            timer = threading.Event()
            for gate in gates:
                client.read_chunk()
                timer.wait(0.1)  # together longer than the timeout
                gate.set()
            assert client.read_chunked().complete
        assert only_row(gateway).outcome == "complete"


def test_done_ends_the_answer_though_the_upstream_does_not(tmp_path: Path) -> None:
    gate = threading.Event()
    with serving(tmp_path) as (gateway, upstream):
        upstream.script([*begun(STREAM), WaitFor(gate), Send(LAST_CHUNK)])
        upstream.script(sse_answer(STREAM))
        _, body = ask(gateway)
        assert (body.payload, body.complete) == (REWRITTEN_STREAM, True)
        assert only_row(gateway).outcome == "complete"
        wait_for_pool(gateway, size=1, idle=0)
        gate.set()
        wait_for_pool(gateway, size=1, idle=1)
        ask(gateway)
        assert [request.connection for request in upstream.requests] == [1, 1]


@pytest.mark.parametrize("at_once", [True, False], ids=["in the same read", "later"])
def test_what_an_upstream_says_after_done_reaches_nobody(tmp_path: Path, at_once: bool) -> None:
    gate = threading.Event()
    surplus = b"data: secret of another\n\n"
    with serving(tmp_path) as (gateway, upstream):
        later: list[Step] = [] if at_once else [WaitFor(gate), chunk(surplus)]
        upstream.script([*begun(STREAM + (surplus if at_once else b"")), *later, Send(LAST_CHUNK)])
        upstream.script(sse_answer(STREAM))
        with gateway.client() as client:
            gateway.chat(client, question())
            assert client.read_answer()[1].payload == REWRITTEN_STREAM
            gate.set()
            wait_for_pool(gateway, size=1, idle=1)
            gateway.chat(client, question())
            assert client.read_answer()[1].payload == REWRITTEN_STREAM
        assert [row.outcome for row in gateway.rows()] == ["complete", "complete"]


def test_a_stream_without_done_is_whole_when_it_gave_its_reason_to_finish(tmp_path: Path) -> None:
    with serving(tmp_path) as (gateway, upstream):
        upstream.script(sse_answer(ROLE + HELLO + STOP + USAGE, 100))
        _, body = ask(gateway)
        assert (body.payload, body.complete) == (rewritten(ROLE + HELLO + STOP), True)
        row = only_row(gateway)
        assert (row.outcome, row.usage_source, row.cost) == ("complete", "reported", COST)


def test_the_bill_is_written_before_the_last_byte_leaves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    unread: list[bytes] = []
    with serving(tmp_path) as (gateway, upstream), gateway.client() as client:
        write = os.write

        def looking(descriptor: int, data: bytes) -> int:
            if data.startswith(b'{"event":"final"'):
                with client.socket.dup() as same:
                    same.setblocking(False)
                    unread.append(same.recv(65_536, socket.MSG_PEEK))
            return write(descriptor, data)

        monkeypatch.setattr(os, "write", looking)
        gate = threading.Event()
        upstream.script([*begun(ROLE), WaitFor(gate), chunk(STOP + DONE), Send(LAST_CHUNK)])
        gateway.chat(client, question())
        # The beginning lies unread in the kernel, so that what is there at the time of the bill can be seen.
        client.socket.recv(1, socket.MSG_PEEK)
        gate.set()
        wait_for_settled(gateway)
        assert client.read_answer()[1].payload == rewritten(ROLE + STOP + DONE)
    assert [(b'"role"' in data, b"[DONE]" in data) for data in unread] == [(True, False)]


def test_in_power_mode_the_last_byte_waits_for_the_sync_of_the_bill(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    may_sync, sync = threading.Event(), os.fdatasync

    def held(descriptor: int) -> None:
        may_sync.wait(5)
        sync(descriptor)

    with serving(tmp_path, server={"durability": "power"}) as (gateway, upstream), gateway.client() as client:
        monkeypatch.setattr(os, "fdatasync", held)
        try:
            upstream.script(json_answer(JSON_ANSWER))
            gateway.chat(client, question(stream=False))
            wait_until(lambda: bool(upstream.requests), "the request")
            wait_until(lambda: not gateway.call(lambda running: len(running.deadlines)), "the end")
            assert not select.select([client.socket], [], [], 0.05)[0]
        finally:
            may_sync.set()
        answer, body = client.read_answer()
        assert (answer.status, body.complete, len(gateway.rows())) == (200, True, 1)


@pytest.mark.parametrize("then", [[Close()], [Reset()]], ids=["closed", "reset"])
def test_a_cut_json_answer_never_ends_cleanly(tmp_path: Path, then: Sequence[Step]) -> None:
    gate = threading.Event()
    whole = json.dumps({**JSON_ANSWER, "padding": "x" * 400_000}).encode()
    with serving(tmp_path) as (gateway, upstream):
        fields = {"content-type": "application/json", "content-length": str(len(whole))}
        upstream.script([head(200, fields), Send(whole[:-20]), WaitFor(gate), *then])
        with gateway.client() as client:
            gateway.chat(client, question(stream=False))
            answer = client.read_head()
            gate.set()
            body = client.read_chunked()
        assert answer.header("content-length") is None
        assert not body.complete
        assert rewritten(whole[:-20]).startswith(body.payload)
        assert only_row(gateway).outcome == "upstream_cut"


def test_a_json_answer_that_stops_short_of_its_own_end_is_cut(tmp_path: Path) -> None:
    gate = threading.Event()
    whole = json.dumps({**JSON_ANSWER, "padding": "x" * 400_000}).encode()
    with serving(tmp_path) as (gateway, upstream):
        begin = [head(200, {"transfer-encoding": "chunked"}), chunk(whole[:300_000])]
        upstream.script([*begin, WaitFor(gate), chunk(whole[300_000:-1]), Send(LAST_CHUNK)])
        with gateway.client() as client:
            gateway.chat(client, question(stream=False))
            client.read_head()
            gate.set()
            assert not client.read_chunked().complete
        assert only_row(gateway).outcome == "upstream_cut"


def test_a_large_json_answer_is_not_held_back_until_its_end(tmp_path: Path) -> None:
    gate = threading.Event()
    message = {"role": "assistant", "content": "x" * 4_000_000}
    value = {"choices": [{"message": message}], "usage": JSON_ANSWER["usage"], "model": ANSWERING_MODEL}
    whole = json.dumps(value, separators=(",", ":")).encode()
    with serving(tmp_path) as (gateway, upstream):
        fields = {"content-type": "application/json", "content-length": str(len(whole))}
        upstream.script([head(200, fields), Send(whole[:3_000_000]), WaitFor(gate), Send(whole[3_000_000:])])
        with gateway.client() as client:
            gateway.chat(client, question(stream=False))
            client.read_head()
            seen = b""
            while len(seen) < 3_000_000 - 65_536:
                piece = client.read_chunk()
                assert piece
                seen += piece
            gate.set()
            rest = client.read_chunked()
        assert rest.complete
        assert seen + rest.payload == rewritten(whole)
        assert json.loads(seen + rest.payload)["model"] == ALIAS
        row = only_row(gateway)
        assert (row.outcome, row.usage_source, row.cost) == ("complete", "reported", COST)


def test_a_json_answer_without_usage_is_estimated(tmp_path: Path) -> None:
    with serving(tmp_path) as (gateway, upstream):
        upstream.script(json_answer({**JSON_ANSWER, "usage": None}))
        ask(gateway, question(stream=False))
        row = only_row(gateway)
        assert (row.outcome, row.usage_source) == ("complete", "estimated")
        assert row.input_tokens > 0
        assert row.output_tokens > 0
