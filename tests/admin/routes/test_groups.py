"""Teams and organisations over HTTP."""

from pathlib import Path

import msgspec
import pytest

from proxy.config.tree import Budget
from tests.admin.conftest import admin_config, administered


@pytest.mark.parametrize("kind", ["teams", "orgs"])
def test_one_is_made_read_changed_and_deleted(tmp_path: Path, kind: str) -> None:
    with administered(admin_config(tmp_path)) as (_, client):
        made = client.post(f"/-/{kind}", json={"name": "red", "limits": {"requests": "5/min"}})
        assert (made.status_code, made.headers["etag"]) == (201, '"1"')
        id_ = made.json()["id"]
        assert client.post(f"/-/{kind}", json={"name": "red"}).status_code == 409
        assert client.get(f"/-/{kind}/{id_}").json() == client.get(f"/-/{kind}/red").json() == made.json()
        changed = client.patch(f"/-/{kind}/red", json={"budgets": [{"limit": "7.50"}]})
        assert changed.json()["budgets"] == [{"limit": "7.50"}]
        assert changed.json()["limits"] == {"requests": "5/min"}
        assert client.put(f"/-/{kind}/red", json={}).json()["limits"] is None
        assert client.put(f"/-/{kind}/blue", json={}).status_code == 201
        assert [one["name"] for one in client.get(f"/-/{kind}").json()["data"]] == ["blue", "red"]
        page = client.get(f"/-/{kind}?limit=1").json()
        assert (page["has_more"], page["last_id"]) == (True, page["data"][0]["id"])
        stale = client.delete(f"/-/{kind}/red", headers={"if-match": '"1"'})
        assert stale.status_code == 412
        assert client.delete(f"/-/{kind}/red").json() == {
            "object": kind[:-1],
            "id": id_,
            "name": "red",
            "deleted": True,
        }
        assert client.get(f"/-/{kind}/red").status_code == 404


def test_what_has_members_is_not_deleted(tmp_path: Path) -> None:
    with administered(admin_config(tmp_path)) as (_, client):
        client.put("/-/orgs/acme", json={})
        team = client.put("/-/teams/red", json={"org": "acme"}).json()
        assert team["org"] == "acme"
        client.put("/-/keys/web", json={"team": "red"})
        assert client.get("/-/teams?org=acme").json()["data"][0]["keys"] == 1
        assert client.get("/-/orgs/acme").json()["teams"] == 1
        for path in ("/-/teams/red", "/-/orgs/acme"):
            refused = client.delete(path)
            assert (refused.status_code, refused.json()["error"]["code"][-6:]) == (409, "in_use")
        client.delete("/-/keys/web")
        assert client.delete("/-/teams/red").status_code == 200
        assert client.delete("/-/orgs/acme").status_code == 200


def test_what_the_file_names_wins(tmp_path: Path) -> None:
    budget = msgspec.convert({"limit": "5", "teams": ["red"]}, Budget)
    config = msgspec.structs.replace(admin_config(tmp_path), budgets={"of-red": budget})
    with administered(config) as (_, client):
        client.put("/-/teams/blue", json={"budgets": [{"limit": "1"}]})
        client.put("/-/teams/red", json={})
        refused = client.patch("/-/teams/red", json={"budgets": [{"limit": "1"}]})
        assert (refused.status_code, refused.json()["error"]["code"]) == (409, "owned_by_file")
        assert "[budgets.of-red]" in refused.json()["error"]["message"]
