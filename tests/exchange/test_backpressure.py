"""A client that reads slowly, or not at all: nothing piles up in the gateway, and nobody else pays for it."""

import threading
import time
from collections.abc import Sequence
from pathlib import Path

from proxy.app import Gateway
from proxy.exchange.attempt import Attempt
from tests.exchange.samples import (
    COST,
    DONE,
    ROLE,
    STOP,
    USAGE,
    ask,
    begun,
    ended,
    question,
    rewritten,
    serving,
    wait_for_settled,
    wait_until,
    word,
)
from tests.fakes import LAST_CHUNK, Hang, ScriptedUpstream, Send, Step, WaitFor, chunk, json_answer
from tests.server.conftest import ANSWER
from tests.serving import ALIAS, RunningGateway, simple_config

PIECE = word("x" * 60_000)
PIECES = 400
#: More than all the sockets on the way can hold.
LONG = 16 * 2**20


def long_answer() -> Sequence[Step]:
    """An answer of 24 MB."""
    return [*begun(ROLE), *[chunk(PIECE)] * PIECES, chunk(STOP + DONE), Send(LAST_CHUNK)]


def is_paused(gateway: RunningGateway) -> bool:
    """Whether the one exchange that runs has stopped the reading of its upstream."""

    def look(running: Gateway) -> bool:
        (attempt,) = running.deadlines._members
        assert isinstance(attempt, Attempt)
        return attempt._owner.exchange.paused

    return gateway.call(look)


def resident_bytes() -> int:
    """The memory of this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def test_a_client_that_does_not_read_stops_the_upstream_s_writing(tmp_path: Path) -> None:
    with serving(tmp_path) as (gateway, upstream):
        upstream.script(long_answer())
        with gateway.client() as client:
            gateway.chat(client, question())
            upstream.wait_for_requests(1)
            wait_until(lambda: is_paused(gateway), "a stop to reading")
            assert not upstream.requests[0].answered.is_set()
            assert upstream.requests[0].bytes_sent < LONG


def test_an_answer_goes_on_unharmed_when_its_client_reads_on(tmp_path: Path) -> None:
    with serving(tmp_path) as (gateway, upstream):
        upstream.script(long_answer())
        with gateway.client() as client:
            gateway.chat(client, question())
            upstream.wait_for_requests(1)
            wait_until(lambda: is_paused(gateway), "a stop to reading")
            client.read_head()
            body = client.read_chunked()
        assert body.complete
        assert body.payload == rewritten(ROLE + PIECE * PIECES + STOP + DONE)
        (row,) = gateway.rows()
        assert (row.outcome, row.bytes_out) == ("complete", len(body.payload))


def test_the_time_that_a_client_does_not_read_is_not_the_upstream_s(tmp_path: Path) -> None:
    with serving(tmp_path, upstream={"idle_timeout": 0.1}) as (gateway, upstream):
        upstream.script(long_answer())
        with gateway.client() as client:
            gateway.chat(client, question())
            upstream.wait_for_requests(1)
            wait_until(lambda: is_paused(gateway), "a stop to reading")
            threading.Event().wait(0.5)  # several times the timeout
            assert client.read_answer()[1].complete


def test_a_client_that_never_reads_is_dropped(tmp_path: Path) -> None:
    # Even where a leaving client's answer would be drained: this one could hold it for ever.
    server = {"write_stall_timeout": 0.1, "on_disconnect": "drain"}
    with serving(tmp_path, server=server) as (gateway, upstream):
        upstream.script(long_answer())
        with gateway.client() as client:
            gateway.chat(client, question())
            (row,) = wait_for_settled(gateway)
            assert (row.outcome, row.status, row.usage_source) == ("client_stalled", 200, "estimated")
            assert row.output_tokens > 0
            # What the client's kernel, ours and one read of the upstream hold; left alone, ours would take megabytes.
            assert row.bytes_out < 2**20
            assert upstream.requests[0].closed.wait(5)
            client.read_head()
            assert not client.read_chunked().complete


def test_a_client_that_never_reads_is_not_read_on_for(tmp_path: Path) -> None:
    server = {
        "write_stall_timeout": 0.1,
        "on_disconnect": "drain",
        "drain_max_seconds": 600.0,
        "drain_max_tokens": 10**9,
    }
    with serving(tmp_path, server=server) as (gateway, upstream):
        upstream.script([*begun(ROLE), *[chunk(PIECE)] * PIECES, Hang()])
        with gateway.client() as client:
            gateway.chat(client, question())
            assert upstream.wait_for_requests(1)[0].closed.wait(10)
            (row,) = wait_for_settled(gateway)
            assert (row.outcome, row.usage_source) == ("client_stalled", "estimated")


def test_a_client_that_reads_nothing_of_a_whole_answer_pays_what_it_used(tmp_path: Path) -> None:
    gate = threading.Event()
    server = {"write_stall_timeout": 0.1}
    with serving(tmp_path, server=server) as (gateway, upstream):
        # Behind what the sockets hold comes the reason to finish, in the read that stops the reading.
        upstream.script([*begun(ROLE), *[chunk(PIECE + STOP)] * PIECES, WaitFor(gate), chunk(USAGE + DONE)])
        with gateway.client() as client:
            gateway.chat(client, question())
            listener = gateway._listener
            assert listener is not None
            upstream.wait_for_requests(1)
            wait_until(lambda: gateway.call(lambda _: not listener.server_state.connections), "the client's end", 20)
            gate.set()
            (row,) = wait_for_settled(gateway)
            assert (row.outcome, row.usage_source, row.cost) == ("client_stalled", "reported", COST)


def test_a_client_that_does_not_read_holds_nobody_else_up(tmp_path: Path) -> None:
    with serving(tmp_path) as (gateway, upstream):
        upstream.script(long_answer())
        with gateway.client() as client:
            gateway.chat(client, question())
            upstream.wait_for_requests(1)
            wait_until(lambda: is_paused(gateway), "a stop to reading")
            upstream.script(ended(ROLE, STOP, DONE))
            assert ask(gateway)[1].complete


def test_a_client_that_leaves_while_it_does_not_read_is_noticed(tmp_path: Path) -> None:
    with serving(tmp_path) as (gateway, upstream):
        upstream.script(long_answer())
        client = gateway.client()
        gateway.chat(client, question())
        upstream.wait_for_requests(1)
        wait_until(lambda: is_paused(gateway), "a stop to reading")
        client.close()
        assert upstream.requests[0].closed.wait(5)
        assert wait_for_settled(gateway)[0].outcome == "client_closed"


def test_a_long_stream_leaves_no_memory_behind(tmp_path: Path) -> None:
    event = word("y" * 4_000)

    def relay(times: int) -> None:
        upstream.script([*begun(ROLE), *[chunk(event)] * times, chunk(STOP + DONE), Send(LAST_CHUNK)])
        with gateway.client() as client:
            gateway.chat(client, question())
            client.read_head()
            count = 0
            while piece := client.read_chunk():
                count += len(piece)
        assert count == len(rewritten(ROLE + STOP + DONE)) + times * len(rewritten(event))

    with ScriptedUpstream() as upstream, RunningGateway(simple_config(tmp_path, upstream.base_url)) as gateway:
        relay(1_000)
        before = resident_bytes()
        relay(12_000)
        growth = resident_bytes() - before
    assert growth < 10 * 2**20, f"50 MB relayed left {growth} bytes"


def test_many_silent_streams_are_held_at_once(tmp_path: Path) -> None:
    with serving(tmp_path) as (gateway, upstream):
        upstream.script([*begun(ROLE), Hang()], times=100)
        clients = [gateway.client() for _ in range(100)]
        for client in clients:
            gateway.chat(client, question())
        for client in clients:
            client.read_until(b"assistant")
        assert upstream.open_connections == 100
        for client in clients:
            client.close()
        upstream.wait_for_open_connections(0)
        assert len(wait_for_settled(gateway, 100)) == 100


def test_a_request_behind_an_unread_response_is_not_read_ahead(tmp_path: Path) -> None:
    whole = json_answer({**ANSWER, "padding": "x" * 150_000})
    with (
        ScriptedUpstream(lambda request: long_answer() if b'"stream"' in request.body else whole) as upstream,
        RunningGateway(simple_config(tmp_path, upstream.base_url)) as gateway,
        gateway.client() as client,
    ):
        for _ in range(60):
            gateway.chat(client, {"model": ALIAS, "messages": []})
        for _ in range(20):
            gateway.chat(client, {"model": ALIAS, "messages": [], "stream": True})
        upstream.wait_for_requests(2)
        # Far longer than all that may be read takes, and than the sweep that counts takes to come.
        time.sleep(1.5)
        assert gateway.call(lambda running: running.pressure.held) < 1_000_000
        for _ in range(60):
            assert client.read_answer()[1].complete
        client.read_head()
        assert client.read_chunked().complete
