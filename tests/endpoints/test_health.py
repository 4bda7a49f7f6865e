"""Liveness and readiness under all their names."""

import json
from pathlib import Path

from proxy.endpoints.health import LIVE_PATHS, READY_PATHS
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
        assert client.read_answer()[0].status == 404
