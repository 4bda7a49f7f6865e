"""Liveness and readiness under all their names."""

import json
from pathlib import Path
from unittest.mock import patch

from proxy.endpoints.health import LIVE_PATHS, READY_PATHS
from proxy.ledger.ledger import Ledger
from proxy.observability.readiness import SHUTTING_DOWN
from tests.fakes import RawClient
from tests.serving import RunningGateway, simple_config


def test_all_names_answer_without_a_key(tmp_path: Path) -> None:
    with RunningGateway(simple_config(tmp_path, "http://127.0.0.1:9")) as gateway, gateway.client() as client:
        for path in (*LIVE_PATHS, *READY_PATHS):
            client.request("GET", path)
            answer, body = client.read_answer()
            assert (answer.status, json.loads(body.payload)) == (200, {"status": "ok"})
        assert not gateway.rows()


def test_the_names_are_those_that_orchestrators_use() -> None:
    assert {"/livez", "/healthz", "/health"} <= set(LIVE_PATHS)
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
