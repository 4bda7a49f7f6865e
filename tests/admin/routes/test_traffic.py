"""Statistics and the health of upstreams: the shapes, and whose providers an organisation sees."""

import asyncio
from pathlib import Path
from typing import Any

from proxy.auth.store import Store
from proxy.auth.values import OrgFields
from tests.admin.conftest import admin_config, administered
from tests.exchange.samples import JSON_ANSWER, ask, question
from tests.fakes import ScriptedUpstream, json_answer


def test_stats_have_the_providers_and_the_busiest_keys(tmp_path: Path) -> None:
    with ScriptedUpstream() as upstream, administered(admin_config(tmp_path, upstream.base_url)) as (gateway, client):
        upstream.script(json_answer(JSON_ANSWER))
        ask(gateway, question(stream=False))
        ask(gateway, {**question(stream=False), "model": "no-such-model"})
        gateway.wait_for(gateway.gateway.ledger.flush())
        body = client.get("/stats").json()
        key = gateway.rows()[0].key
        later = client.get("/stats?since=2999-01-01").json()
        assert len(gateway.rows()) == 2
    assert body["total_requests"] == 2
    (provider,) = body["provider_stats"].values()
    usage: Any = JSON_ANSWER["usage"]
    assert (provider["requests"], provider["tokens"]) == (1, usage["prompt_tokens"] + usage["completion_tokens"])
    assert 0 <= provider["avg_latency"] < 10
    assert body["cache_stats"]["exact_cache"] == {"hits": 0, "misses": 0, "hit_rate": 0.0}
    limits = body["rate_limit_stats"]
    assert limits == {"requests_throttled": 0, "top_users": [{"api_key": "unknown", "key_id": key, "requests": 2}]}
    assert (later["total_requests"], later["provider_stats"]) == (0, {})


def test_a_wrong_time_is_refused(tmp_path: Path) -> None:
    with administered(admin_config(tmp_path)) as (_, client):
        response = client.get("/stats?since=yesterday")
    assert (response.status_code, response.json()["error"]["param"]) == (400, "since")


def test_each_upstream_has_a_line_and_an_organisation_sees_those_of_its_document(tmp_path: Path) -> None:
    documents: dict[str, dict[str, Any]] = {"acme": {"providers": {"other": {}}}, "open": {}}

    async def make() -> None:
        async with Store(tmp_path) as store:
            for name, document in documents.items():
                await store.orgs.create(OrgFields(name=name), actor="test")
                await store.orgs.put_config(name, document, actor="test")

    asyncio.run(make())
    with administered(admin_config(tmp_path)) as (_, client):
        (line,) = client.get("/-/health/providers").json()["providers"]
        assert (line["id"], line["healthy"], line["circuit_state"]) == ("vendor1", True, "closed")
        assert client.get("/-/health/providers/acme").json() == {"org_id": "acme", "providers": []}
        assert [one["id"] for one in client.get("/-/health/providers/open").json()["providers"]] == ["vendor1"]
        missing = client.get("/-/health/providers/none")
        assert (missing.status_code, missing.json()["error"]["message"]) == (404, "org config not found")
        assert client.get("/health").json()["services"]["providers"] == {"vendor1": "available"}
        counts = client.get("/health", headers={"authorization": "Bearer wrong"}).json()["services"]["providers"]
        assert counts == {"available": 1, "recovering": 0, "unavailable": 0}
