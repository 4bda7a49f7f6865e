"""The grades of an overload as clients meet them, on real sockets, by readings that the test makes up."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest

from tests.exchange.samples import DONE, JSON_ANSWER, ROLE, STOP, begun, wait_until
from tests.fakes import LAST_CHUNK, RawClient, ScriptedUpstream, Send, WaitFor, chunk, json_answer
from tests.overload.forced import Forced
from tests.serving import ALIAS, KEY, RunningGateway, simple_config

ASK = {"model": ALIAS, "messages": [{"role": "user", "content": "hello"}]}


class Strained(RunningGateway):
    """A gateway whose descriptors are as many as the test says."""

    readings = Forced()

    @property
    def keeps_alive(self) -> bool:
        assert self._listener is not None
        return self._listener.context.keeps_alive

    def strain(self, share: float, grade: int) -> None:
        """So large a part of the descriptors is open; returns when the gateway acts on it."""
        self.readings.descriptor_share = share
        wait_until(lambda: self.call(lambda gateway: gateway.overload.grade) == grade, f"grade {grade}")


@contextmanager
def strained(folder: Path, upstream: ScriptedUpstream, **server: Any) -> Iterator[Strained]:
    gateway = Strained(simple_config(folder, upstream.base_url, server=server))
    gateway.readings = gateway.gateway.overload.readings = Forced()
    with gateway:
        yield gateway


def read_json(client: RawClient) -> tuple[int, str | None, dict[str, Any]]:
    """Status, retry-after and body of an answer."""
    answer, body = client.read_answer()
    return answer.status, answer.header("retry-after"), json.loads(body.payload)


def test_at_grade_1_answers_end_their_connections(tmp_path: Path) -> None:
    with ScriptedUpstream() as upstream, strained(tmp_path, upstream) as gateway:
        gateway.strain(0.85, 1)
        wait_until(lambda: not gateway.keeps_alive, "the listener follows")
        for path, status in (("/livez", 200), ("/v1/models", 401)):
            with gateway.client() as client:
                client.request("GET", path)
                answer, _ = client.read_answer()
                assert (answer.status, answer.header("connection")) == (status, "close")
                assert not client.read_all()
                assert not client.was_reset
        upstream.script(json_answer(JSON_ANSWER))
        with gateway.client() as client:
            gateway.chat(client, ASK)
            answer, _ = client.read_answer()
            assert (answer.status, answer.header("connection")) == (200, "close")


def test_at_grade_1_idle_connections_are_closed(tmp_path: Path) -> None:
    with ScriptedUpstream() as upstream, strained(tmp_path, upstream) as gateway, gateway.client() as client:
        client.request("GET", "/livez")
        assert client.read_answer()[0].header("connection") is None
        gateway.strain(0.85, 1)
        assert not client.read_all()
        assert not client.was_reset


def test_at_grade_1_idle_connections_to_upstreams_are_closed(tmp_path: Path) -> None:
    with ScriptedUpstream() as upstream, strained(tmp_path, upstream) as gateway, gateway.client() as client:
        upstream.script(json_answer(JSON_ANSWER))
        gateway.chat(client, ASK)
        assert client.read_answer()[0].status == 200
        (pool,) = gateway.call(lambda one: list(one.pools.values()))
        assert pool.idle == 1
        gateway.strain(0.85, 1)
        wait_until(lambda: not pool.size, "the connection is closed")


def test_at_grade_2_new_work_is_refused_and_health_is_answered(tmp_path: Path) -> None:
    with ScriptedUpstream() as upstream, strained(tmp_path, upstream) as gateway:
        gateway.strain(0.92, 2)
        with gateway.client() as client:
            gateway.chat(client, ASK)
            status, after, body = read_json(client)
        assert (status, after, body["error"]["code"]) == (503, "1", "server_is_overloaded")
        with gateway.client() as client:
            client.request("GET", "/v1/files", headers={"authorization": f"Bearer {KEY}"})
            assert read_json(client)[:2] == (503, "1")
        with gateway.client() as client:
            client.request("GET", "/livez")
            assert client.read_answer()[0].status == 200
        with gateway.client() as client:
            client.request("GET", "/readyz")
            status, _, body = read_json(client)
        assert status == 503
        assert body["reason"].startswith("overloaded: 920000 of 1000000 descriptors are open")
        assert [(row.outcome, row.status, row.error_code) for row in gateway.rows()] == [
            ("refused", 503, "server_is_overloaded")
        ] * 2
        assert not upstream.requests


def test_a_refusal_speaks_the_caller_s_dialect(tmp_path: Path) -> None:
    with ScriptedUpstream() as upstream, strained(tmp_path, upstream) as gateway, gateway.client() as client:
        gateway.strain(0.92, 2)
        headers = {"x-api-key": KEY, "content-type": "application/json"}
        client.request("POST", "/v1/messages", json.dumps(ASK | {"max_tokens": 5}).encode(), headers)
        status, after, body = read_json(client)
        assert (after, body["type"], body["error"]["type"]) == ("1", "error", "overloaded_error")
        assert status in (503, 529)


def test_a_wrong_key_is_told_so_even_then(tmp_path: Path) -> None:
    with ScriptedUpstream() as upstream, strained(tmp_path, upstream) as gateway, gateway.client() as client:
        gateway.strain(0.92, 2)
        gateway.chat(client, ASK, key="prom_sk_of_nobody_at_all_but_long_enough")
        assert read_json(client)[0] == 401


def test_a_refused_body_is_not_waited_for(tmp_path: Path) -> None:
    with ScriptedUpstream() as upstream, strained(tmp_path, upstream) as gateway, gateway.client() as client:
        gateway.strain(0.92, 2)
        client.send(
            b"POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\n"
            b"authorization: Bearer " + KEY.encode() + b"\r\ncontent-length: 1000000\r\n\r\n{"
        )
        assert read_json(client)[0] == 503


def test_at_grade_3_connections_wait_and_are_served_when_it_is_over(tmp_path: Path) -> None:
    with ScriptedUpstream() as upstream, strained(tmp_path, upstream) as gateway:
        gateway.strain(0.97, 3)
        with gateway.client(seconds=0.5) as client:
            client.request("GET", "/livez")
            with pytest.raises(AssertionError):
                client.read_head()
            gateway.strain(0.1, 0)
            client.socket.settimeout(10)
            assert client.read_answer()[0].status == 200


def test_a_stream_under_way_is_never_shed(tmp_path: Path) -> None:
    gate = threading.Event()
    with ScriptedUpstream() as upstream, strained(tmp_path, upstream) as gateway, gateway.client() as client:
        upstream.script([*begun(ROLE), WaitFor(gate), chunk(STOP + DONE), Send(LAST_CHUNK)])
        gateway.chat(client, ASK | {"stream": True})
        client.read_head()
        client.read_chunk()
        gateway.strain(0.97, 3)
        gate.set()
        assert b"[DONE]" in client.read_chunked().payload
        assert [row.outcome for row in gateway.rows()] == ["complete"]


def test_it_can_stop_while_nothing_is_accepted(tmp_path: Path) -> None:
    with ScriptedUpstream() as upstream, strained(tmp_path, upstream) as gateway:
        gateway.strain(0.97, 3)


def test_more_than_may_be_under_way_is_refused_until_one_has_ended(tmp_path: Path) -> None:
    gate = threading.Event()
    with ScriptedUpstream() as upstream, strained(tmp_path, upstream, max_in_flight=1) as gateway:
        upstream.script([*begun(ROLE), WaitFor(gate), chunk(STOP + DONE), Send(LAST_CHUNK)])
        upstream.script(json_answer(JSON_ANSWER))
        with gateway.client() as first, gateway.client() as second:
            gateway.chat(first, ASK | {"stream": True})
            first.read_head()
            gateway.chat(second, ASK)
            assert read_json(second)[:2] == (503, "1")
            gate.set()
            first.read_chunked()
            wait_until(lambda: not gateway.call(lambda one: one.overload.in_flight), "its end")
            gateway.chat(second, ASK)
            assert read_json(second)[0] == 200


def test_a_backlog_in_the_journal_refuses_new_work_before_it_is_full(tmp_path: Path) -> None:
    with ScriptedUpstream() as upstream, strained(tmp_path, upstream) as gateway, gateway.client() as client:
        gateway.gateway.overload.journal = Mock(failed=None, fullness=0.85)
        wait_until(lambda: gateway.call(lambda one: one.overload.grade) == 2, "grade 2")
        gateway.chat(client, ASK)
        status, after, body = read_json(client)
        assert (status, after, body["error"]["code"]) == (503, "1", "store_unavailable")
        assert not gateway.rows()
