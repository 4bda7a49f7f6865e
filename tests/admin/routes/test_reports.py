"""Usage and audit over HTTP."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest

from proxy.admin.routes.reports import moment
from proxy.errors import InvalidRequest
from tests.admin.conftest import admin_config, administered
from tests.exchange.samples import JSON_ANSWER
from tests.fakes import RecordedRequest, ScriptedUpstream, Step, json_answer
from tests.serving import ALIAS


def respond(_: RecordedRequest) -> list[Step]:
    return json_answer(JSON_ANSWER)


def test_usage_is_that_of_the_ledger(tmp_path: Path) -> None:
    with (
        ScriptedUpstream(respond) as upstream,
        administered(admin_config(tmp_path, upstream.base_url)) as (one, client),
    ):
        secret = client.put("/-/keys/web", json={}).json()["key"]
        body = {"model": ALIAS, "messages": [{"role": "user", "content": "hello"}]}
        for _ in range(3):
            headers = {"authorization": f"Bearer {secret}"}
            assert httpx.post(f"{one.base_url}/chat/completions", json=body, headers=headers).status_code == 200
        rows = one.rows()
        report = client.get("/-/usage?by=key&since=1h").json()
        assert report["lines"][0]["name"] == "web"
        assert report["lines"][0]["requests"] == report["totals"]["requests"] == 3
        assert report["totals"]["cost_nano_usd"] == sum(row.cost or 0 for row in rows)
        assert client.get("/-/usage?key=web").json()["totals"]["requests"] == 3
        assert client.get("/-/usage?key=key_0123456789ab").json()["totals"]["requests"] == 0
        assert client.get("/-/usage?key=nobody").status_code == 404
        assert client.get("/-/usage?alias=a&alias=b").json()["totals"]["requests"] == 0
        client.patch("/-/keys/web", json={"tags": ["eu"]})
        assert client.get("/-/usage?tag=eu&by=tag").json()["lines"][0]["group"] == "eu"
        assert client.get("/-/usage?tag=none").json()["totals"]["requests"] == 0
        assert client.get("/-/usage?by=metadata:project&metadata=project=x").json()["totals"]["requests"] == 0
        week = client.get("/-/usage?by=week&zone=Europe/Berlin&status=2xx&trend=5").json()
        assert (week["zone"], week["totals"]["requests"]) == ("Europe/Berlin", 3)
        for path in ("team=none", "org=none"):
            assert client.get(f"/-/usage?{path}").status_code == 404
        for query in (
            "by=metadata",
            "status=9xx",
            "metadata=x",
            "zone=Mars",
            "trend=101",
            "by=secret",
            "since=tomorrow",
            "since=1h&until=2h",
            "limit=0",
            "cursor=x&by=day",
        ):
            assert client.get(f"/-/usage?{query}").status_code == 400, query


def test_every_change_has_its_row_with_who_made_it(tmp_path: Path) -> None:
    with ScriptedUpstream(respond) as upstream, administered(admin_config(tmp_path, upstream.base_url)) as (_, client):
        key = client.put("/-/keys/web", json={}).json()
        client.patch("/-/keys/web", json={"tags": ["a"]})
        client.post("/-/keys/web/credits", json={"amount": 5})
        client.put("/-/teams/red", json={})
        client.put("/-/orgs/acme/config", json={"cache": {}})
        client.post("/-/admin/providers/vendor1/rotate", json={"new_key": "sk-a-new-key-77"})
        client.post("/-/admin/providers/vendor1/rotate/rollback")
        client.delete("/-/keys/web")
        found = client.get("/-/audit").json()["data"]
        assert {row["actor"] for row in found} == {client.get("/-/audit?limit=1").json()["data"][0]["actor"]}
        assert found[0]["actor"].startswith("admin:")
        actions = [row["action"] for row in reversed(found)]
        assert [one for one in actions if not one.startswith("org.")] == [
            "key.create",
            "key.update",
            "credit.add",
            "team.create",
            "provider.rotate",
            "provider.rollback",
            "key.revoke",
        ]
        update = client.get("/-/audit?action=key.update").json()["data"][0]
        assert (update["before"]["tags"], update["after"]["tags"]) == ([], ["a"])
        assert {row["object"] for row in client.get("/-/audit?object=web").json()["data"]} == {key["id"]}
        page = client.get("/-/audit?limit=3").json()
        rest = client.get(f"/-/audit?before={page['last_id']}").json()
        assert [*page["data"], *rest["data"]] == found
        assert client.get(f"/-/audit?before={2**63}").status_code == 400
        assert "sk-a-new-key-77" not in str(found)


def test_times_are_dates_timestamps_or_so_long_ago() -> None:
    assert moment(None, "since") is None
    assert moment("2026-11-01", "since") == datetime(2026, 11, 1, tzinfo=UTC)
    assert moment("2026-11-01T12:00:00+02:00", "since") == datetime(2026, 11, 1, 10, tzinfo=UTC)
    ago = moment("2h", "since")
    assert ago is not None
    assert timedelta(hours=1) < datetime.now(UTC) - ago < timedelta(hours=3)


@pytest.mark.parametrize(
    "text", ["", "h", "-1h", "soon", "2026-13-01", "2026-11-01T12:00:00", "9" * 30 + "d", "999999w"]
)
def test_other_times_are_refused(text: str) -> None:
    with pytest.raises(InvalidRequest):
        moment(text, "since")
