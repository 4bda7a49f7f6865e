"""How a gateway ends: who is still served, who is told to go elsewhere, and what becomes of what still runs."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.exchange.samples import DONE, JSON_ANSWER, ROLE, STOP, begun, question, wait_until
from tests.fakes import LAST_CHUNK, RawClient, ScriptedUpstream, Send, WaitFor, chunk, json_answer
from tests.serving import KEY, RunningGateway, simple_config


@contextmanager
def ending(folder: Path, **server: Any) -> Iterator[tuple[RunningGateway, ScriptedUpstream, threading.Event]]:
    """A gateway with an upstream whose streams stop after their first words, until the event is set."""
    gate = threading.Event()
    with ScriptedUpstream(lambda _: json_answer(JSON_ANSWER)) as upstream:
        try:
            with RunningGateway(simple_config(folder, upstream.base_url, server=server)) as gateway:
                upstream.script([*begun(ROLE), WaitFor(gate, 30.0), chunk(STOP + DONE), Send(LAST_CHUNK)])
                yield gateway, upstream, gate
        finally:
            gate.set()


def look(gateway: RunningGateway) -> tuple[int, dict[str, Any]]:
    """What a load balancer sees."""
    with gateway.client() as client:
        client.request("GET", "/readyz")
        head, body = client.read_answer()
        return head.status, json.loads(body.payload)


def stream(gateway: RunningGateway) -> RawClient:
    """A client whose stream has begun."""
    client = gateway.client(30.0)
    gateway.chat(client, question())
    client.read_head()
    client.read_chunk()
    return client


def takes_connections(gateway: RunningGateway) -> bool:
    try:
        with gateway.client(1.0):
            return True
    except OSError:
        return False


def test_who_looks_at_the_readiness_sees_the_end_before_connections_are_refused(tmp_path: Path) -> None:
    with ending(tmp_path, drain_notice=600.0) as (gateway, _, _), gateway.client() as kept:
        assert look(gateway)[0] == 200
        kept.request("GET", "/livez")
        assert kept.read_answer()[0].status == 200
        gateway.begin_stop(notice=True)
        wait_until(lambda: look(gateway)[0] == 503, "the notice")
        assert look(gateway)[1]["reason"] == "the gateway is shutting down"
        with stream(gateway):
            # A kept connection is served once more, and is told that this was the last time.
            gateway.chat(kept, question(stream=False))
            head, _ = kept.read_answer()
            assert (head.status, head.header("connection")) == (200, "close")
            assert kept.read_all() == b""
            gateway.begin_stop()


def test_the_listener_closes_when_the_notice_is_over(tmp_path: Path) -> None:
    with ending(tmp_path, drain_notice=0.3) as (gateway, _, gate):
        look(gateway)
        with stream(gateway) as client:
            gateway.begin_stop(notice=True)
            assert takes_connections(gateway)
            wait_until(lambda: not takes_connections(gateway), "the end of the notice")
            gate.set()
            assert client.read_chunked().complete


def test_where_nobody_looks_there_is_nobody_to_give_notice_to(tmp_path: Path) -> None:
    with ending(tmp_path, drain_notice=600.0) as (gateway, _, _):
        gateway.begin_stop(notice=True)
        wait_until(lambda: not takes_connections(gateway), "the end")


def test_ctrl_c_gives_no_notice(tmp_path: Path) -> None:
    with ending(tmp_path, drain_notice=600.0) as (gateway, _, _):
        look(gateway)
        gateway.begin_stop()
        wait_until(lambda: not takes_connections(gateway), "the end")


def test_a_client_that_had_connected_is_served_after_the_listener_has_closed(tmp_path: Path) -> None:
    with ending(tmp_path) as (gateway, _, gate), stream(gateway), gateway.client() as silent, gateway.client() as slow:
        slow.send(b"GET /livez HTTP/1.1\r\nhost:")
        slow_is_seen(gateway)
        gateway.begin_stop()
        wait_until(lambda: not takes_connections(gateway), "the end")
        silent.request("GET", "/livez")
        slow.send(b" a\r\n\r\n")
        assert [client.read_answer()[0].status for client in (silent, slow)] == [200, 200]
        gate.set()


def slow_is_seen(gateway: RunningGateway) -> None:
    """The gateway has read what was sent before, as another request is answered behind it."""
    look(gateway)


def test_a_second_signal_ends_what_runs_at_once_and_bills_it(tmp_path: Path) -> None:
    with ending(tmp_path, shutdown_timeout=600.0) as (gateway, _, _), stream(gateway) as client:
        gateway.begin_stop()
        wait_until(lambda: not takes_connections(gateway), "the end")
        gateway.begin_stop()
        rest = client.read_chunked()
        assert not rest.complete
        assert b"gateway_shutdown" in rest.payload
        gateway.stop()
    assert [json.loads(line)["outcome"] for line in gateway.log.getvalue().splitlines() if "outcome" in line] == [
        "gateway_shutdown"
    ]


@pytest.mark.parametrize(
    ("path", "body"), [("/v1/chat/completions", question(stream=False)), ("/v1/vector_stores", {"name": "books"})]
)
def test_who_waits_for_an_answer_when_time_is_up_is_told_to_try_again(
    tmp_path: Path, path: str, body: dict[str, Any]
) -> None:
    gate = threading.Event()
    with ScriptedUpstream(lambda _: [WaitFor(gate, 30.0)]) as upstream:
        settings = {"shutdown_timeout": 0.2}
        with (
            RunningGateway(simple_config(tmp_path, upstream.base_url, server=settings)) as gateway,
            gateway.client() as client,
        ):
            headers = {"authorization": f"Bearer {KEY}", "content-type": "application/json"}
            client.request("POST", path, json.dumps(body).encode(), headers)
            wait_until(lambda: len(upstream.requests) == 1, "the request")
            gateway.begin_stop()
            head, answer = client.read_answer()
            assert (head.status, head.header("connection")) == (503, "close")
            assert json.loads(answer.payload)["error"]["code"] == "gateway_shutdown"
        gate.set()


def test_an_answer_that_is_cut_leaves_no_line_of_the_server_s_own_in_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with ending(tmp_path, shutdown_timeout=600.0) as (gateway, _, _), stream(gateway) as client:
        gateway.begin_stop()
        wait_until(lambda: not takes_connections(gateway), "the end")
        gateway.begin_stop()
        assert not client.read_chunked().complete
        gateway.stop()
    assert "without completing response" not in caplog.text
