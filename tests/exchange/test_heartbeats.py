"""Comments for a client that waits for events: when they are sent, where they may stand, and what they change."""

import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.exchange.samples import (
    DONE,
    HELLO,
    JSON_ANSWER,
    REWRITTEN_STREAM,
    ROLE,
    STOP,
    STREAM,
    ask,
    begun,
    ended,
    only_row,
    question,
    rewritten,
    serving,
    serving_two,
    wait_for_settled,
)
from tests.exchange.test_upstream_origin import error
from tests.fakes import (
    LAST_CHUNK,
    Body,
    Hang,
    Head,
    Reset,
    ScriptedUpstream,
    Send,
    Step,
    WaitFor,
    chunk,
    head,
    json_answer,
)
from tests.serving import RunningGateway

PING = b": ping\n"
OFTEN = {"heartbeat_interval": 0.05}


@contextmanager
def beating(tmp_path: Path, **settings: Any) -> Iterator[tuple[RunningGateway, ScriptedUpstream]]:
    """A gateway with heartbeats over one upstream."""
    with serving(tmp_path, server=OFTEN, **settings) as pair:
        yield pair


def ask_until_beat(gateway: RunningGateway, gate: threading.Event) -> tuple[Head, Body]:
    """Ask; the upstream goes on when the client has had a heartbeat."""
    with gateway.client() as client:
        gateway.chat(client, question())
        head = client.read_head()
        seen: list[bytes] = []
        while PING not in seen:
            seen.append(client.read_chunk() or b"")
        gate.set()
        rest = client.read_chunked()
        return head, Body(b"".join(seen) + rest.payload, rest.pieces, complete=rest.complete, reset=rest.reset)


def test_a_stream_whose_answer_has_not_begun_gets_heartbeats_and_then_its_events(tmp_path: Path) -> None:
    gate = threading.Event()
    with beating(tmp_path) as (gateway, upstream):
        upstream.script([WaitFor(gate), *ended(STREAM)])
        head, body = ask_until_beat(gateway, gate)
        assert (head.status, head.header("content-type")) == (200, "text/event-stream; charset=utf-8")
        assert head.header("x-request-id") == head.header("x-prism-request-id") == only_row(gateway).id
        assert body.complete
        assert body.payload.startswith(PING)
        assert body.payload.replace(PING, b"") == REWRITTEN_STREAM
        assert (only_row(gateway).outcome, only_row(gateway).status) == ("complete", 200)


def test_they_stand_between_two_events_though_the_upstream_stops_inside_one(tmp_path: Path) -> None:
    gate = threading.Event()
    with beating(tmp_path) as (gateway, upstream):
        upstream.script([*begun(ROLE, HELLO[:40]), WaitFor(gate), chunk(HELLO[40:] + STOP + DONE), Send(LAST_CHUNK)])
        _, body = ask_until_beat(gateway, gate)
    assert body.payload.replace(PING, b"") == rewritten(ROLE + HELLO + STOP + DONE)
    assert body.payload.startswith(rewritten(ROLE) + PING)


def test_there_are_none_by_default(tmp_path: Path) -> None:
    with serving(tmp_path) as (gateway, _):
        assert gateway.config.server.heartbeat_interval == 0


@pytest.mark.parametrize(
    ("settings", "stream"),
    [({"server": OFTEN}, False), ({"server": OFTEN, "model": {"heartbeat_interval": 0.0}}, True)],
    ids=["no stream", "off for the alias"],
)
def test_nothing_is_sent_before_an_answer_without_heartbeats(
    tmp_path: Path, settings: dict[str, Any], stream: bool
) -> None:
    gate = threading.Event()
    with serving(tmp_path, **settings) as (gateway, upstream), gateway.client() as client:
        upstream.script([WaitFor(gate), *error(400)])
        gateway.chat(client, question(stream=stream))
        upstream.wait_for_requests(1)
        sweeps: list[int] = []
        gateway.call(lambda running: running.deadlines.every_sweep(lambda: sweep(sweeps, gate)))
        assert client.read_head().status == 400


def sweep(sweeps: list[int], gate: threading.Event) -> None:
    """Count the sweeps, and open the gate when there would have been a heartbeat in one of them."""
    sweeps.append(1)
    if len(sweeps) == 3:
        gate.set()


def test_another_target_may_still_answer(tmp_path: Path) -> None:
    gate = threading.Event()
    with serving_two(tmp_path, server=OFTEN) as (gateway, first, second):
        first.script([WaitFor(gate), *error(503)])
        second.script(ended(STREAM))
        head, body = ask_until_beat(gateway, gate)
        assert (head.status, body.complete) == (200, True)
        assert body.payload.replace(PING, b"") == REWRITTEN_STREAM
        assert (only_row(gateway).attempts, only_row(gateway).upstream) == (2, "vendor2")


@pytest.mark.parametrize(
    ("steps", "message", "outcome"),
    [
        ([Reset()], "closed the connection", "upstream_error"),
        (error(400), "no", "upstream_error"),
        (json_answer(JSON_ANSWER), "could not be read", "upstream_error"),
    ],
    ids=["reset", "an error of the upstream", "no stream"],
)
def test_a_failure_is_then_told_in_the_stream_and_the_stream_is_cut(
    tmp_path: Path, steps: Sequence[Step], message: str, outcome: str
) -> None:
    gate = threading.Event()
    with beating(tmp_path) as (gateway, upstream):
        upstream.script([WaitFor(gate), *steps])
        head, body = ask_until_beat(gateway, gate)
        assert (head.status, body.complete) == (200, False)
        told = json.loads(body.payload.replace(PING, b"").removeprefix(b"data: "))
        assert message in told["error"]["message"]
        row = only_row(gateway)
        assert (row.outcome, row.status, row.usage_source, row.cost) == (outcome, 200, "none", 0)


def test_silence_after_heartbeats_ends_in_a_timeout_all_the_same(tmp_path: Path) -> None:
    with beating(tmp_path, upstream={"first_byte_timeout": 0.4}) as (gateway, upstream):
        upstream.script([Hang()])
        _, body = ask(gateway)
        assert (body.complete, body.payload.startswith(PING)) == (False, True)
        assert b"upstream_timeout" in body.payload
        assert (only_row(gateway).outcome, only_row(gateway).status) == ("timeout", 200)


def test_a_client_that_leaves_after_heartbeats_is_settled(tmp_path: Path) -> None:
    with beating(tmp_path) as (gateway, upstream):
        upstream.script([Hang()])
        with gateway.client() as client:
            gateway.chat(client, question())
            client.read_head()
        (row,) = wait_for_settled(gateway)
        assert (row.outcome, row.status) == ("client_closed", 200)
        assert upstream.requests[0].closed.wait(5)


def test_an_answer_that_is_no_stream_gets_none_inside(tmp_path: Path) -> None:
    gate = threading.Event()
    data = json.dumps({**JSON_ANSWER, "padding": "x" * 400_000}).encode()
    with beating(tmp_path) as (gateway, upstream), gateway.client() as client:
        upstream.script(
            [head(200, {"content-length": str(len(data))}), Send(data[:300_000]), WaitFor(gate), Send(data[300_000:])]
        )
        gateway.chat(client, question())
        client.read_head()
        sweeps: list[int] = []
        gateway.call(lambda running: running.deadlines.every_sweep(lambda: sweep(sweeps, gate)))
        body = client.read_chunked()
    assert body.payload == rewritten(data)
