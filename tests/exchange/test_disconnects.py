"""The client leaves: upstream sees it at once, nothing is left behind, and the bill is right."""

import json
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from proxy.app import Gateway
from proxy.exchange.attempt import LAST_EVENTS_SECONDS, Attempt
from tests.exchange.samples import (
    COST,
    DONE,
    HELLO,
    JSON_ANSWER,
    ROLE,
    STOP,
    STREAM,
    USAGE,
    ask,
    begun,
    event,
    only_row,
    question,
    serving,
    wait_for_pool,
    wait_for_settled,
    wait_until,
    word,
)
from tests.fakes import LAST_CHUNK, Hang, RawClient, RecordedRequest, Send, Step, WaitFor, chunk, head, sse_answer
from tests.serving import KEY, RunningGateway, simple_config

DRAIN = {"on_disconnect": "drain"}
LEAVINGS: dict[str, Callable[[RawClient], None]] = {"closed": RawClient.close, "reset": RawClient.reset}


def leave(
    request: RecordedRequest, client: RawClient, how: Callable[[RawClient], None] = RawClient.close, seconds: float = 5
) -> float:
    """Leave, and give the seconds until the upstream saw it."""
    request.received.wait(5)
    left = time.monotonic()
    how(client)
    assert request.closed.wait(seconds), "the upstream was not told"
    assert request.closed_at is not None
    return request.closed_at - left


def has_begun(running: Gateway) -> bool:
    """Whether a part of an answer's body has come."""
    return any(isinstance(one, Attempt) and one.first_byte for one in running.deadlines._members)


def wait_for_draining(gateway: RunningGateway) -> None:
    """Wait until the gateway knows that its only client has left."""

    listener = gateway._listener
    assert listener is not None
    wait_until(lambda: gateway.call(lambda _: not listener.server_state.connections), "the client's leaving")
    assert not gateway.rows(), "there is nothing to drain"


@pytest.mark.parametrize("how", LEAVINGS.values(), ids=LEAVINGS.keys())
def test_leaving_inside_a_stream_reaches_the_upstream(tmp_path: Path, how: Callable[[RawClient], None]) -> None:
    with serving(tmp_path) as (gateway, upstream):
        upstream.script([*begun(ROLE, HELLO), Hang()])
        client = gateway.client()
        gateway.chat(client, question())
        client.read_until(b"Hello")
        leave(upstream.requests[0], client, how)
        wait_for_pool(gateway, size=0, idle=0)
        (row,) = wait_for_settled(gateway)
        assert (row.outcome, row.status, row.error_code) == ("client_closed", 200, "client_closed")
        assert (row.usage_source, row.bytes_out > 0, row.text_out) == ("estimated", True, len("Hello"))
        assert row.cost == row.input_tokens * 1100 + row.output_tokens * 4400


def test_leaving_behind_an_error_of_the_upstream_s_is_no_leaving(tmp_path: Path) -> None:
    with serving(tmp_path) as (gateway, upstream):
        read = threading.Event()
        upstream.script(
            [*begun(ROLE, HELLO), WaitFor(read), chunk(b'data: {"error":{"message":"broken"}}\n\n'), Hang()]
        )
        with gateway.client() as client:
            gateway.chat(client, question())
            client.read_until(b"Hello")
            read.set()
            client.read_until(b"broken")
        (row,) = wait_for_settled(gateway)
        assert (row.outcome, row.status, row.error_code) == ("upstream_error", 200, None)


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "json"])
def test_a_client_that_closes_its_sending_side_has_left(tmp_path: Path, stream: bool) -> None:
    """Its packet is the same as that of a client that closes both sides, which must cancel the upstream at once."""
    with serving(tmp_path) as (gateway, upstream):
        upstream.script([Hang()])
        with gateway.client() as client:
            gateway.chat(client, question(stream=stream))
            (request,) = upstream.wait_for_requests(1)
            leave(request, client, lambda client: client.socket.shutdown(socket.SHUT_WR))
            assert client.read_all() == b""
        (row,) = wait_for_settled(gateway)
        assert (row.outcome, row.error_code) == ("client_closed", "client_closed")


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "json"])
@pytest.mark.parametrize("how", LEAVINGS.values(), ids=LEAVINGS.keys())
def test_leaving_before_the_first_byte_reaches_the_upstream(
    tmp_path: Path, stream: bool, how: Callable[[RawClient], None]
) -> None:
    with serving(tmp_path) as (gateway, upstream):
        upstream.script([Hang()])
        client = gateway.client()
        gateway.chat(client, question(stream=stream))
        (request,) = upstream.wait_for_requests(1)
        leave(request, client, how)
        wait_for_pool(gateway, size=0, idle=0)
        (row,) = wait_for_settled(gateway)
        assert (row.outcome, row.status, row.ttft) == ("client_closed", 499, None)
        assert (row.usage_source, row.input_tokens > 0, row.output_tokens) == ("estimated", True, 0)


@pytest.mark.parametrize("size", [0, 400_000], ids=["small", "large"])
def test_leaving_inside_a_json_answer_costs_what_it_used(tmp_path: Path, size: int) -> None:
    gate = threading.Event()
    whole = json.dumps({"padding": "x" * size, **JSON_ANSWER}).encode()
    with serving(tmp_path) as (gateway, upstream):
        fields = {"content-length": str(len(whole))}
        upstream.script([head(200, fields), Send(whole[:-50]), WaitFor(gate), Send(whole[-50:])])
        client = gateway.client()
        gateway.chat(client, question(stream=False))
        upstream.wait_for_requests(1)
        wait_until(lambda: gateway.call(lambda running: has_begun(running)), "the answer's beginning")
        client.close()
        wait_for_draining(gateway)
        gate.set()
        (row,) = wait_for_settled(gateway)
        assert (row.outcome, row.usage_source, row.cost) == ("client_closed", "reported", COST)
        wait_for_pool(gateway, size=1, idle=1)


def test_leaving_inside_a_json_answer_that_never_ends_reaches_the_upstream_within_seconds(tmp_path: Path) -> None:
    whole = json.dumps(JSON_ANSWER).encode()
    with serving(tmp_path) as (gateway, upstream):
        upstream.script([head(200, {"content-length": str(len(whole))}), Send(whole[:200]), Hang()])
        client = gateway.client()
        gateway.chat(client, question(stream=False))
        upstream.wait_for_requests(1)
        wait_until(lambda: gateway.call(lambda running: has_begun(running)), "the answer's beginning")
        leave(upstream.requests[0], client, seconds=LAST_EVENTS_SECONDS + 5)
        (row,) = wait_for_settled(gateway)
        assert (row.outcome, row.usage_source, row.text_out) == ("client_closed", "estimated", 200)


@pytest.mark.parametrize("end", [STOP, HELLO + STOP], ids=["alone", "with text"])
@pytest.mark.parametrize("how", LEAVINGS.values(), ids=LEAVINGS.keys())
def test_leaving_behind_the_reason_to_finish_costs_what_was_used(
    tmp_path: Path, how: Callable[[RawClient], None], end: bytes
) -> None:
    gate = threading.Event()
    with serving(tmp_path) as (gateway, upstream):
        upstream.script([*begun(ROLE, HELLO, end), WaitFor(gate), chunk(USAGE + DONE), Send(LAST_CHUNK)])
        client = gateway.client()
        gateway.chat(client, question())
        client.read_until(b'"stop"')
        how(client)
        wait_for_draining(gateway)
        gate.set()
        (row,) = wait_for_settled(gateway)
        assert (row.outcome, row.usage_source, row.cost) == ("client_closed", "reported", COST)
        wait_for_pool(gateway, size=1, idle=1)


def test_leaving_behind_a_reason_that_was_none_reaches_the_upstream_when_more_comes(tmp_path: Path) -> None:
    gate = threading.Event()
    two = event(choices=[{"index": 1, "delta": {"content": "other"}, "finish_reason": None}])
    with serving(tmp_path) as (gateway, upstream):
        upstream.script([*begun(HELLO, STOP), WaitFor(gate), chunk(two), Hang()])
        client = gateway.client()
        gateway.chat(client, question())
        client.read_until(b'"stop"')
        client.close()
        wait_for_draining(gateway)
        began = time.monotonic()
        gate.set()
        assert upstream.requests[0].closed.wait(5)
        assert time.monotonic() - began < LAST_EVENTS_SECONDS
        (row,) = wait_for_settled(gateway)
        assert (row.outcome, row.usage_source) == ("client_closed", "estimated")


def test_the_upstream_sees_the_client_s_leaving_within_a_tenth_of_a_second(tmp_path: Path) -> None:
    with serving(tmp_path) as (gateway, upstream):
        upstream.script([*begun(ROLE), Hang()], times=3)
        waits = []
        for number in range(3):
            client = gateway.client()
            gateway.chat(client, question())
            client.read_until(b"assistant")
            waits.append(leave(upstream.requests[number], client))
    # The promise is about the gateway; a machine that was busy elsewhere at one time is not held against it.
    assert min(waits) < 0.1


def test_leaving_while_a_body_is_sent_asks_no_upstream(tmp_path: Path) -> None:
    with serving(tmp_path) as (gateway, upstream):
        client = gateway.client()
        headers = {"authorization": f"Bearer {KEY}", "content-length": "1000"}
        client.request("POST", "/v1/chat/completions", b'{"model":', headers)
        client.close()
        (row,) = wait_for_settled(gateway)
        assert (row.outcome, row.status, row.attempts, row.cost) == ("client_closed", 499, 0, 0)
        assert not upstream.requests


def test_leaving_while_a_connection_is_opened_leaves_the_pool_whole(tmp_path: Path) -> None:
    # A listener whose backlog is full takes no more connections: they are being opened for as long as that lasts.
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        port = full.getsockname()[1]
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", port))
        with RunningGateway(simple_config(tmp_path, f"http://127.0.0.1:{port}")) as gateway:
            client = gateway.client()
            gateway.chat(client, question())
            wait_until(
                lambda: gateway.call(lambda running: "1 opening, 1 waiting" in repr(running.pools["vendor1"])),
                "a connection being opened",
            )
            client.close()
            wait_until(
                lambda: gateway.call(lambda running: "0 waiting" in repr(running.pools["vendor1"])), "an empty queue"
            )
            (row,) = wait_for_settled(gateway)
            assert (row.outcome, row.attempts, row.usage_source, row.cost) == ("client_closed", 1, "none", 0)
        for filler in fillers:
            filler.close()


def test_leaving_while_waiting_for_a_place_in_the_pool_gives_the_place_up(tmp_path: Path) -> None:
    gate = threading.Event()
    with serving(tmp_path, upstream={"max_connections": 1}) as (gateway, upstream):
        upstream.script([*begun(ROLE), WaitFor(gate), chunk(STOP + DONE), Send(LAST_CHUNK)])
        upstream.script(sse_answer(STREAM))
        with gateway.client() as first:
            gateway.chat(first, question())
            first.read_until(b"assistant")
            second = gateway.client()
            gateway.chat(second, question())
            wait_until(
                lambda: gateway.call(lambda running: "1 waiting" in repr(running.pools["vendor1"])), "a request waiting"
            )
            second.close()
            (row,) = wait_for_settled(gateway)
            assert (row.outcome, row.usage_source) == ("client_closed", "none")
            gate.set()
            first.read_until(LAST_CHUNK)
        wait_for_pool(gateway, size=1, idle=1)
        ask(gateway)
        assert [request.connection for request in upstream.requests] == [1, 1]


def test_leaving_after_the_end_of_the_answer_is_no_leaving(tmp_path: Path) -> None:
    gate = threading.Event()
    with serving(tmp_path) as (gateway, upstream):
        upstream.script([*begun(STREAM), WaitFor(gate), Send(LAST_CHUNK)])
        client = gateway.client()
        gateway.chat(client, question())
        client.read_until(b"[DONE]")
        client.reset()
        assert only_row(gateway).outcome == "complete"
        gate.set()
        wait_for_pool(gateway, size=1, idle=1)


def test_many_leavings_leave_nothing_behind(tmp_path: Path) -> None:
    with serving(tmp_path, upstream={"max_connections": 4}) as (gateway, upstream):
        upstream.handler = lambda _: [*begun(ROLE), Hang()]
        for number in range(40):
            client = gateway.client()
            gateway.chat(client, question())
            if number % 2:
                client.read_until(b"assistant")
            client.close()
        rows = wait_for_settled(gateway, 40)
        assert {row.outcome for row in rows} == {"client_closed"}
        # A connection that came up when its request was gone is free.
        wait_until(lambda: gateway.call(lambda running: " 0 busy" in repr(running.pools["vendor1"])), "a free pool")
        upstream.handler = lambda _: sse_answer(STREAM)
        _, body = ask(gateway)
        assert body.complete
        assert gateway.call(lambda running: len(running.deadlines)) <= 1  # what came after [DONE] may still be awaited


def test_a_drain_reads_on_to_the_usage(tmp_path: Path) -> None:
    gate = threading.Event()
    with serving(tmp_path, server=DRAIN) as (gateway, upstream):
        upstream.script([*begun(ROLE, HELLO), WaitFor(gate), chunk(STOP), chunk(USAGE), chunk(DONE), Send(LAST_CHUNK)])
        client = gateway.client()
        gateway.chat(client, question())
        client.read_until(b"Hello")
        client.close()
        wait_for_draining(gateway)
        gate.set()
        (row,) = wait_for_settled(gateway)
        assert (row.outcome, row.usage_source, row.cost) == ("client_closed", "reported", COST)
        assert (row.status, row.error_code, row.bytes_out > 0) == (200, "client_closed", True)
        wait_for_pool(gateway, size=1, idle=1)
        assert not upstream.requests[0].closed.is_set()


def test_a_drain_may_be_asked_for_by_one_alias(tmp_path: Path) -> None:
    gate = threading.Event()
    with serving(tmp_path, model=DRAIN) as (gateway, upstream):
        upstream.script([WaitFor(gate), *sse_answer(STREAM)])
        client = gateway.client()
        gateway.chat(client, question())
        upstream.wait_for_requests(1)
        client.close()
        wait_for_draining(gateway)
        gate.set()
        (row,) = wait_for_settled(gateway)
        assert (row.outcome, row.usage_source, row.cost) == ("client_closed", "reported", COST)


def test_a_drain_reads_a_json_answer_to_its_usage(tmp_path: Path) -> None:
    gate = threading.Event()
    whole = json.dumps(JSON_ANSWER).encode()
    with serving(tmp_path, server=DRAIN) as (gateway, upstream):
        upstream.script([head(200, {"content-length": str(len(whole))}), WaitFor(gate), Send(whole)])
        client = gateway.client()
        gateway.chat(client, question(stream=False))
        upstream.wait_for_requests(1)
        client.close()
        wait_for_draining(gateway)
        gate.set()
        (row,) = wait_for_settled(gateway)
        assert (row.outcome, row.usage_source, row.cost) == ("client_closed", "reported", COST)


@pytest.mark.parametrize("status", [200, 400, 401, 429, 500])
def test_a_drain_that_meets_an_error_is_settled(tmp_path: Path, status: int) -> None:
    gate = threading.Event()
    body = b'{"error":{"message":"no"}}'
    with serving(tmp_path, server=DRAIN) as (gateway, upstream):
        fields = {"content-type": "application/json", "content-length": str(len(body))}
        upstream.script([WaitFor(gate), head(status, fields), Send(body)])
        client = gateway.client()
        gateway.chat(client, question())
        upstream.wait_for_requests(1)
        client.close()
        wait_for_draining(gateway)
        gate.set()
        (row,) = wait_for_settled(gateway)
        assert row.outcome == "client_closed"
        assert len(upstream.requests) == 1
        # What the upstream refused has cost nothing there, whatever its status.
        assert (row.usage_source, row.input_tokens, row.cost) == ("none", 0, 0)


def test_leaving_inside_a_json_answer_that_turns_out_to_be_an_error_costs_nothing(tmp_path: Path) -> None:
    gate = threading.Event()
    body = b'{"error":{"message":"no"}}'
    with serving(tmp_path) as (gateway, upstream):
        fields = {"content-type": "application/json", "content-length": str(len(body))}
        upstream.script([head(200, fields), Send(body[:9]), WaitFor(gate), Send(body[9:])])
        client = gateway.client()
        gateway.chat(client, question(stream=False))
        upstream.wait_for_requests(1)
        wait_until(lambda: gateway.call(lambda running: has_begun(running)), "the answer's beginning")
        client.close()
        wait_for_draining(gateway)
        gate.set()
        (row,) = wait_for_settled(gateway)
    assert (row.outcome, row.usage_source, row.cost) == ("client_closed", "none", 0)


def test_a_drain_that_is_cut_is_billed_an_estimate(tmp_path: Path) -> None:
    gate = threading.Event()
    with serving(tmp_path, server=DRAIN) as (gateway, upstream):
        upstream.script([*begun(ROLE, HELLO), WaitFor(gate), Send(b"oops\r\n")])
        client = gateway.client()
        gateway.chat(client, question())
        client.read_until(b"Hello")
        client.close()
        wait_for_draining(gateway)
        gate.set()
        (row,) = wait_for_settled(gateway)
        assert (row.outcome, row.usage_source, row.text_out) == ("client_closed", "estimated", len("Hello"))


def test_a_drain_ends_after_its_seconds(tmp_path: Path) -> None:
    with serving(tmp_path, server={**DRAIN, "drain_max_seconds": 0.1}) as (gateway, upstream):
        upstream.script([*begun(ROLE, HELLO), Hang()])
        client = gateway.client()
        gateway.chat(client, question())
        client.read_until(b"Hello")
        leave(upstream.requests[0], client)
        (row,) = wait_for_settled(gateway)
        assert (row.outcome, row.usage_source) == ("client_closed", "estimated")
        wait_for_pool(gateway, size=0, idle=0)


def test_a_drain_ends_after_its_tokens(tmp_path: Path) -> None:
    gate = threading.Event()
    with serving(tmp_path, server={**DRAIN, "drain_max_tokens": 20}) as (gateway, upstream):
        words: list[Step] = [chunk(word("x" * 40)) for _ in range(5)]
        upstream.script([*begun(ROLE, HELLO), WaitFor(gate), *words, Hang()])
        client = gateway.client()
        gateway.chat(client, question())
        client.read_until(b"Hello")
        client.close()
        wait_for_draining(gateway)
        gate.set()
        assert upstream.requests[0].closed.wait(5)
        (row,) = wait_for_settled(gateway)
        assert (row.outcome, row.usage_source) == ("client_closed", "estimated")


def test_a_client_that_leaves_frees_the_upstream_though_it_has_asked_again_already(tmp_path: Path) -> None:
    with serving(tmp_path) as (gateway, upstream):
        upstream.script([*begun(ROLE), Hang()])
        client = gateway.client()
        gateway.chat(client, question())
        client.read_until(b"assistant")
        gateway.chat(client, question())
        leave(upstream.requests[0], client)
        rows = wait_for_settled(gateway)
        assert [row.outcome for row in rows] == ["client_closed"]
        assert len(upstream.requests) == 1
