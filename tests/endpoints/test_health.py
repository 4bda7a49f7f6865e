"""Liveness and readiness under all their names."""

import asyncio
import json
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from unittest.mock import patch

from starlette.requests import Request

from proxy import __version__
from proxy.config.tree import Upstream
from proxy.endpoints.health import LIVE_PATHS, MAX_STREAMS, READY_PATHS, STREAM_EVENTS, STREAM_PATH, Health
from proxy.ledger.ledger import Ledger
from proxy.observability.providers import Providers
from proxy.observability.readiness import SHUTTING_DOWN, Readiness
from proxy.upstream.pool import Pool
from tests.exchange.samples import JSON_ANSWER, question
from tests.exchange.samples import ask as ask_chat
from tests.fakes import RawClient, ScriptedUpstream, json_answer
from tests.serving import RunningGateway, simple_config


def test_all_names_answer_without_a_key(tmp_path: Path) -> None:
    with RunningGateway(simple_config(tmp_path, "http://127.0.0.1:9")) as gateway, gateway.client() as client:
        for path in (*LIVE_PATHS, *READY_PATHS):
            client.request("GET", path)
            answer, body = client.read_answer()
            assert (answer.status, json.loads(body.payload)) == (200, {"status": "ok"})
        assert not gateway.rows()


def test_the_names_are_those_that_orchestrators_use() -> None:
    assert {"/livez", "/healthz", "/health/live"} <= set(LIVE_PATHS)
    assert "/readyz" in READY_PATHS


def test_somebody_is_here_for_a_head_request_at_the_root(tmp_path: Path) -> None:
    with RunningGateway(simple_config(tmp_path, "http://127.0.0.1:9")) as gateway, gateway.client() as client:
        client.request("HEAD", "/")
        answer = client.read_head()
        assert answer.status == 200
        assert (answer.header("x-request-id") or "").startswith("req_")
        # Nothing of a body came: the next answer begins where this one's head ended.
        client.request("GET", "/")
        assert client.read_answer()[0].status == 200


def ask(client: RawClient, path: str) -> tuple[int, object]:
    client.request("GET", path)
    answer, body = client.read_answer()
    return answer.status, json.loads(body.payload)


def test_a_gateway_that_shuts_down_is_alive_and_not_ready(tmp_path: Path) -> None:
    with RunningGateway(simple_config(tmp_path, "http://127.0.0.1:9")) as gateway, gateway.client() as client:
        gateway.gateway.readiness.draining = True
        unavailable = {"status": "unavailable", "reason": SHUTTING_DOWN, "reasons": [SHUTTING_DOWN]}
        for path in READY_PATHS:
            assert ask(client, path) == (503, unavailable)
        for path in LIVE_PATHS:
            assert ask(client, path) == (200, {"status": "ok"})


def test_a_journal_that_fails_is_the_reason_until_it_is_mended(tmp_path: Path) -> None:
    with RunningGateway(simple_config(tmp_path, "http://127.0.0.1:9")) as gateway, gateway.client() as client:
        journal = gateway.gateway.ledger.journal
        with patch.object(type(journal), "failed", "the disk is full"):
            status, answer = ask(client, "/readyz")
        assert (status, answer) == (
            503,
            {"status": "unavailable", "reason": "the disk is full", "reasons": ["the disk is full"]},
        )
        assert ask(client, "/readyz") == (200, {"status": "ok"})


def test_a_database_that_takes_no_rows_is_a_warning_and_work_goes_on(tmp_path: Path) -> None:
    config = simple_config(tmp_path, "http://127.0.0.1:9")
    locked = patch.object(Ledger, "warning", "the database is locked")
    with RunningGateway(config) as gateway, gateway.client() as client, locked:
        assert ask(client, "/readyz") == (200, {"status": "ok", "warnings": ["the database is locked"]})


def test_health_counts_services_and_names_no_upstream(tmp_path: Path) -> None:
    with RunningGateway(simple_config(tmp_path, "http://127.0.0.1:9")) as gateway, gateway.client() as client:
        status, body = ask(client, "/health")
        assert isinstance(body, dict)
        assert (status, body["status"], body["version"]) == (200, "healthy", __version__)
        assert body["timestamp"].endswith("Z")
        assert body["services"] == {
            "database": "connected",
            "redis": "not configured",
            "providers": {"available": 1, "recovering": 0, "unavailable": 0},
        }
        assert "vendor1" not in json.dumps(body)


def test_health_says_what_is_wrong_and_stays_200(tmp_path: Path) -> None:
    config = simple_config(tmp_path, "http://127.0.0.1:9", upstream={"consecutive_gateway_failures": 1})
    with RunningGateway(config) as gateway, gateway.client() as client:
        gateway.call(lambda running: running.pools["vendor1"].health.failed(time.monotonic(), gateway=True))
        status, body = ask(client, "/health")
        assert isinstance(body, dict)
        assert (status, body["status"]) == (200, "degraded")
        assert body["services"]["providers"]["unavailable"] == 1
        gateway.gateway.readiness.draining = True
        status, body = ask(client, "/health")
        assert isinstance(body, dict)
        assert (status, body["status"]) == (200, "unhealthy")


def test_names_of_upstreams_are_for_the_admin_token(tmp_path: Path) -> None:
    async def run() -> dict[str, Any]:
        pool = Pool("vendor1", Upstream(base_url="http://vendor.test"))
        providers = Providers(tmp_path, lambda: {"vendor1": pool})
        health = Health(Readiness(), providers, lambda headers: (b"x-api-key", b"admin") in headers)
        request = Request({"type": "http", "headers": [(b"x-api-key", b"admin")]})
        body: dict[str, Any] = json.loads(bytes((await health.health(request)).body))
        await pool.close()
        return body

    assert asyncio.run(run())["services"]["providers"] == {"vendor1": "available"}


def test_a_test_stream_comes_in_pieces_with_the_lines_of_a_stream(tmp_path: Path) -> None:
    with RunningGateway(simple_config(tmp_path, "http://127.0.0.1:9")) as gateway, gateway.client() as client:
        client.request("GET", STREAM_PATH)
        answer, body = client.read_answer()
        assert (answer.status, answer.header("x-accel-buffering")) == (200, "no")
        assert (answer.header("content-type") or "").startswith("text/event-stream")
        assert body.payload.count(b"data: ") == STREAM_EVENTS


def test_more_test_streams_than_there_is_room_for_are_refused(tmp_path: Path) -> None:
    with RunningGateway(simple_config(tmp_path, "http://127.0.0.1:9")) as gateway, ExitStack() as stack:
        clients = [stack.enter_context(gateway.client()) for _ in range(MAX_STREAMS + 1)]
        for client in clients[:-1]:
            client.request("GET", STREAM_PATH)
            assert client.read_head().status == 200
        clients[-1].request("GET", STREAM_PATH)
        assert clients[-1].read_head().status == 503


def test_requests_are_counted_for_their_upstream(tmp_path: Path) -> None:
    with ScriptedUpstream() as upstream:
        config = simple_config(tmp_path, upstream.base_url)
        with RunningGateway(config) as gateway:
            upstream.script(json_answer(JSON_ANSWER))
            upstream.script(json_answer({"error": {"message": "bad field"}}, status=400))
            for _ in range(2):
                ask_chat(gateway, question(stream=False))
            (report,) = gateway.wait_for(gateway.gateway.providers.reports())
    assert (report.id, report.request_count, report.error_count, report.success_rate) == ("vendor1", 1, 0, 1.0)
    assert report.latency_ewma_ms > 0
    assert report.last_success_time is not None
