"""The documents of organisations over HTTP: masked secrets, bulk, and what of them is in force."""

from pathlib import Path

import msgspec

from tests.admin.conftest import admin_config, administered

SECRET = "sk-of-the-organisation-0123"
DOCUMENT = {
    "providers": {"openai": {"api_key": SECRET, "models": ["gpt-5"]}},
    "rate_limiting": {"enabled": True, "global_rpm": 60, "per_key_rpm": 5},
    "budgets": {"enabled": True, "org_limit": "100.00", "org_period": "monthly", "warn_threshold": 0.8},
    "cache": {"ttl": 5},
}


def test_get_then_put_keeps_the_secret_that_is_masked(tmp_path: Path) -> None:
    with administered(admin_config(tmp_path)) as (_, client):
        stored = client.put("/-/orgs/acme/config", json=DOCUMENT)
        assert stored.status_code == 200, stored.text
        assert stored.json() == {
            "status": "ok",
            "org_id": "acme",
            "inert": ["cache", "providers", "rate_limiting.per_key_rpm"],
        }
        read = client.get("/-/orgs/acme/config")
        assert SECRET not in read.text
        assert read.json()["providers"]["openai"]["api_key"] == f"{SECRET[:8]}****{SECRET[-4:]}"
        assert client.put("/-/orgs/acme/config", json=read.json()).status_code == 200
        assert client.get("/-/orgs/acme/config").json() == read.json()
        assert SECRET not in client.get("/-/audit").text
    assert SECRET.encode() in (tmp_path / "keys.db").read_bytes()


def test_a_mask_without_a_secret_behind_it_is_refused(tmp_path: Path) -> None:
    with administered(admin_config(tmp_path)) as (_, client):
        for key in ("****", "sk-other****9999"):
            refused = client.put("/-/orgs/acme/config", json={"providers": {"p": {"api_key": key}}})
            assert (refused.status_code, refused.json()["error"]["param"]) == (400, "api_key")
        # Not even the organisation was made.
        assert client.get("/-/orgs/acme").status_code == 404


def test_unknown_fields_are_refused(tmp_path: Path) -> None:
    with administered(admin_config(tmp_path)) as (_, client):
        documents: list[dict[str, object]] = [
            {"budget": {}},
            {"budgets": {"limit": 5}},
            {"rate_limiting": {"rpm": 5}},
            {"cache": []},
        ]
        for document in documents:
            refused = client.put("/-/orgs/acme/config", json=document)
            assert (refused.status_code, refused.json()["error"]["code"]) == (400, "invalid_json")


def test_limits_and_the_budget_are_in_force_and_end_with_the_document(tmp_path: Path) -> None:
    with administered(admin_config(tmp_path)) as (_, client):
        client.put("/-/orgs/acme/config", json=DOCUMENT)
        org = client.get("/-/orgs/acme").json()
        assert org["limits"] == {"requests": "60/min"}
        assert [(one["limit"], one["warn"]) for one in org["budgets"]] == [("100.00", [80, 100])]
        client.put("/-/orgs/acme/config", json={**DOCUMENT, "budgets": {"enabled": False, "org_limit": "100.00"}})
        assert client.get("/-/orgs/acme").json()["budgets"] == []
        assert client.delete("/-/orgs/acme/config").json() == {"status": "ok", "org_id": "acme", "deleted": True}
        assert client.get("/-/orgs/acme").json()["limits"] is None
        missing = client.get("/-/orgs/acme/config")
        assert (missing.status_code, missing.json()["error"]["message"]) == (404, "org config not found")
        assert client.delete("/-/orgs/acme/config").status_code == 200


def test_limits_that_were_set_otherwise_stay(tmp_path: Path) -> None:
    with administered(admin_config(tmp_path)) as (_, client):
        client.put("/-/orgs/acme", json={"limits": {"requests": "7/min"}})
        client.put("/-/orgs/acme/config", json={"cache": {}})
        assert client.get("/-/orgs/acme").json()["limits"] == {"requests": "7/min"}


def test_bulk_replaces_all_and_a_faulty_one_changes_none(tmp_path: Path) -> None:
    with administered(admin_config(tmp_path)) as (_, client):
        client.put("/-/orgs/gone/config", json={"cache": {}})
        loaded = client.post("/-/orgs/configs/bulk", json={"acme": DOCUMENT, "beta": {}})
        assert (loaded.json()["status"], loaded.json()["loaded"]) == ("ok", 2)
        listed = client.get("/-/orgs/configs").json()
        assert (listed["object"], listed["count"], sorted(listed["data"])) == ("list", 2, ["acme", "beta"])
        assert SECRET not in msgspec.json.encode(listed).decode()
        bad = client.post("/-/orgs/configs/bulk", json={"acme": {}, "beta": {"providers": {"p": {"api_key": "****"}}}})
        assert bad.status_code == 400
        assert client.get("/-/orgs/configs").json() == listed


def test_no_organisation_is_called_as_a_path_is(tmp_path: Path) -> None:
    with administered(admin_config(tmp_path)) as (_, client):
        assert client.put("/-/orgs/configs", json={}).status_code == 405
