"""Pages for operators: the admin token, the shapes, and whose providers an organisation sees."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from proxy.admin.routes.traffic import since_of
from proxy.auth.store import Store
from proxy.auth.values import OrgFields
from proxy.errors import InvalidRequest
from tests.exchange.samples import JSON_ANSWER, ask, question, serving
from tests.fakes import json_answer
from tests.serving import KEY, RunningGateway

TOKEN = "prom_admin_" + "x" * 40


def get(gateway: RunningGateway, path: str, headers: dict[str, str] | None = None) -> tuple[int, Any]:
    with gateway.client() as client:
        client.request("GET", path, headers={"x-api-key": TOKEN} if headers is None else headers)
        answer, body = client.read_answer()
        return answer.status, json.loads(body.payload)


@pytest.fixture(autouse=True)
def token(tmp_path: Path) -> None:
    (tmp_path / "admin.token").write_text(TOKEN + "\n")
    (tmp_path / "admin.token").chmod(0o600)


@pytest.mark.parametrize("path", ["/stats", "/-/health/providers", "/-/health/providers/acme"])
@pytest.mark.parametrize("headers", [{}, {"authorization": f"Bearer {KEY}"}, {"x-api-key": TOKEN[:-1]}])
def test_the_admin_token_is_needed(path: str, headers: dict[str, str], tmp_path: Path) -> None:
    with serving(tmp_path) as (gateway, _):
        status, body = get(gateway, path, headers)
        assert status in (401, 403)
        assert "error" in body
        assert get(gateway, "/-/health/providers", {"authorization": f"Bearer {TOKEN}"})[0] == 200
        assert gateway.rows() == []


def test_stats_have_the_providers_and_the_busiest_keys(tmp_path: Path) -> None:
    with serving(tmp_path) as (gateway, upstream):
        upstream.script(json_answer(JSON_ANSWER))
        ask(gateway, question(stream=False))
        ask(gateway, {**question(stream=False), "model": "no-such-model"})
        gateway.wait_for(gateway.gateway.ledger.flush())
        status, body = get(gateway, "/stats")
        key = gateway.rows()[0].key
        later = get(gateway, "/stats?since=2999-01-01")[1]
    assert (status, body["total_requests"]) == (200, 2)
    (provider,) = body["provider_stats"].values()
    usage: Any = JSON_ANSWER["usage"]
    assert (provider["requests"], provider["tokens"]) == (1, usage["prompt_tokens"] + usage["completion_tokens"])
    assert 0 <= provider["avg_latency"] < 10
    assert body["cache_stats"]["exact_cache"] == {"hits": 0, "misses": 0, "hit_rate": 0.0}
    limits = body["rate_limit_stats"]
    assert limits == {"requests_throttled": 0, "top_users": [{"api_key": "unknown", "key_id": key, "requests": 2}]}
    assert (later["total_requests"], later["provider_stats"]) == (0, {})


def test_a_wrong_time_is_refused_with_a_right_one(tmp_path: Path) -> None:
    with serving(tmp_path) as (gateway, _):
        status, body = get(gateway, "/stats?since=yesterday")
    assert (status, body["error"]["param"]) == (400, "since")
    assert "24h" in body["error"]["message"]


def test_times_are_spans_or_timestamps() -> None:
    now = datetime(2026, 11, 20, 12, tzinfo=UTC)
    assert since_of("7d", now) == now - timedelta(days=7)
    assert since_of("2026-11-20T13:00+01:00", now) == now
    assert since_of("2026-11-20", now) == now.replace(hour=0)
    with pytest.raises(InvalidRequest):
        since_of("999999w", now)


def test_each_upstream_has_a_line_and_an_organisation_sees_those_of_its_document(tmp_path: Path) -> None:
    documents: dict[str, dict[str, Any]] = {"acme": {"providers": {"other": {}}}, "open": {}}

    async def make() -> None:
        async with Store(tmp_path) as store:
            for name, document in documents.items():
                await store.orgs.create(OrgFields(name=name), actor="test")
                await store.orgs.put_config(name, document, actor="test")

    asyncio.run(make())
    with serving(tmp_path) as (gateway, _):
        status, body = get(gateway, "/-/health/providers")
        assert (status, [one["id"] for one in body["providers"]]) == (200, ["vendor1"])
        line = body["providers"][0]
        assert (line["healthy"], line["circuit_state"], line["success_rate"]) == (True, "closed", 0.0)
        assert get(gateway, "/-/health/providers/acme")[1] == {"org_id": "acme", "providers": []}
        assert [one["id"] for one in get(gateway, "/-/health/providers/open")[1]["providers"]] == ["vendor1"]
        status, body = get(gateway, "/-/health/providers/none")
        assert (status, body["error"]["message"]) == (404, "org config not found")
        assert get(gateway, "/health")[1]["services"]["providers"] == {"vendor1": "available"}
