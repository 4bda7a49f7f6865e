"""Statuses that are none of HTTP's, and faults of the gateway's own: the client always has an end, an honest one."""

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from proxy.ledger.record import Record, UsageRecord
from tests.exchange.samples import (
    HELLO,
    JSON_ANSWER,
    REWRITTEN_STREAM,
    STREAM,
    ask,
    begun,
    only_row,
    question,
    serving,
    serving_two,
)
from tests.fakes import LAST_CHUNK, Send, WaitFor, chunk, json_answer, sse_answer
from tests.resources import samples as objects
from tests.serving import COMPILED, RunningGateway

STATUSES = [0, 99, 101, 600, 999]


def strange(status: int) -> list[Any]:
    """An error with a status of no HTTP."""
    body = b'{"error":{"message":"boo"}}'
    head = b"HTTP/1.1 %03d X\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % (status, len(body))
    return [Send(head + body)]


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "json"])
@pytest.mark.parametrize("status", STATUSES)
def test_a_strange_status_is_a_broken_answer(tmp_path: Path, status: int, stream: bool) -> None:
    with serving(tmp_path) as (gateway, upstream):
        upstream.script(strange(status))
        answer, body = ask(gateway, question(stream=stream))
        assert (answer.status, json.loads(body.payload)["error"]["code"]) == (502, "upstream_protocol_error")
        assert (only_row(gateway).status, only_row(gateway).error_code) == (502, "upstream_protocol_error")


@pytest.mark.parametrize("status", STATUSES)
def test_a_strange_status_is_mended_by_the_next_target(tmp_path: Path, status: int) -> None:
    with serving_two(tmp_path) as (gateway, first, second):
        first.script(strange(status))
        second.script(sse_answer(STREAM))
        answer, body = ask(gateway)
        assert (answer.status, body.payload) == (200, REWRITTEN_STREAM)


@pytest.mark.parametrize("status", STATUSES)
@pytest.mark.parametrize("path", ["/v1/files/file-1", "/v1/files/file-1/content", "/v1/files"])
def test_a_strange_status_for_an_object_is_a_broken_answer(tmp_path: Path, status: int, path: str) -> None:
    with serving(tmp_path) as (gateway, upstream):
        objects.record_owner(gateway, "file-1")
        upstream.script(strange(status))
        assert objects.ask_json(gateway, "GET", path)[0] == 502
        (row,) = gateway.rows()
        assert (row.status, row.outcome) == (502, "upstream_error")


def break_bills(gateway: RunningGateway) -> None:
    """Let no final record be written, by a fault that nobody expects."""

    def change(running: Any) -> None:
        encode = running.ledger.journal._encode

        def broken(record: Record) -> bytes:
            if isinstance(record, UsageRecord):
                raise KeyError("no such table")
            return bytes(encode(record))

        running.ledger.journal._encode = broken

    gateway.call(change)


class BreaksOnce(list[Any]):
    """The default headers of every answer; read first when an answer's head is made, where they fail once."""

    failed = False

    def __iter__(self) -> Iterator[Any]:
        if not self.failed:
            self.failed = True
            raise KeyError(600)
        return super().__iter__()


def break_a_head(gateway: RunningGateway) -> None:
    """Let the next head that is made fail."""
    if COMPILED:
        pytest.skip("compiled code cannot be patched")

    def change(_: Any) -> None:
        assert gateway._listener is not None
        gateway._listener.server_state.default_headers = BreaksOnce()

    gateway.call(change)


@pytest.mark.parametrize("breaks", [break_bills, break_a_head])
@pytest.mark.parametrize(
    "steps",
    [json_answer(JSON_ANSWER), json_answer({"error": {"message": "no"}}, 400), json_answer(b"oops")],
    ids=["answer", "refusal", "garbage"],
)
def test_a_fault_at_the_end_of_an_answer_that_has_not_begun_is_a_500(tmp_path: Path, steps: Any, breaks: Any) -> None:
    with serving(tmp_path) as (gateway, upstream):
        breaks(gateway)
        upstream.script(steps)
        answer, body = ask(gateway, question(stream=False))
        assert (answer.status, json.loads(body.payload)["error"]["code"]) == (500, "internal_error")
        assert body.complete


def test_a_fault_at_the_end_of_a_stream_that_has_begun_is_a_cut(tmp_path: Path) -> None:
    with serving(tmp_path) as (gateway, upstream):
        break_bills(gateway)
        gate = threading.Event()
        upstream.script([*begun(HELLO), WaitFor(gate), chunk(STREAM), Send(LAST_CHUNK)])
        with gateway.client() as client:
            gateway.chat(client, question())
            assert client.read_head().status == 200
            gate.set()
            assert not client.read_chunked().complete


def test_a_fault_in_the_head_of_a_stream_is_a_500(tmp_path: Path) -> None:
    with serving(tmp_path) as (gateway, upstream):
        break_a_head(gateway)
        upstream.script(sse_answer(STREAM, 50))
        upstream.script(sse_answer(STREAM, 50))
        answer, _ = ask(gateway)
        assert answer.status == 500


def test_a_fault_in_the_head_of_an_objects_answer_is_a_500(tmp_path: Path) -> None:
    with serving(tmp_path) as (gateway, upstream):
        objects.record_owner(gateway, "file-1")
        break_a_head(gateway)
        upstream.script(json_answer({"id": "file-1", "object": "file"}))
        status, answer = objects.ask_json(gateway, "GET", "/v1/files/file-1")
        assert (status, answer["error"]["code"]) == (500, "internal_error")
