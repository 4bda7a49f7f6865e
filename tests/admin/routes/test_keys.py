"""Keys and credits over HTTP: what a client may use afterwards, and what is kept of it."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.admin.conftest import admin_config, administered
from tests.exchange.samples import wait_until
from tests.serving import ALIAS, RunningGateway


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[RunningGateway, httpx.Client]]:
    with administered(admin_config(tmp_path)) as both:
        yield both


def status(gateway: RunningGateway, secret: str) -> int:
    headers = {"authorization": f"Bearer {secret}"}
    return httpx.get(f"{gateway.base_url}/models", headers=headers).status_code


Served = tuple[RunningGateway, httpx.Client]


def test_a_key_can_be_used_at_once_and_not_after_it_was_revoked(served: Served) -> None:
    gateway, client = served
    made = client.post("/-/keys", json={"name": "web", "models": [ALIAS], "tags": ["b", "a"]})
    assert (made.status_code, made.headers["etag"]) == (201, '"1"')
    key = made.json()
    assert (key["name"], key["models"], key["tags"], key["object"]) == ("web", [ALIAS], ["a", "b"], "key")
    assert key["key"].endswith(key["hint"])
    assert status(gateway, key["key"]) == 200
    assert client.delete(f"/-/keys/{key['id']}").json()["revoked"] is not None
    wait_until(lambda: status(gateway, key["key"]) == 401, "the revoked key is refused")
    assert client.delete("/-/keys/web").status_code == 404
    # By its id it can still be read.
    assert client.get(f"/-/keys/{key['id']}").json()["revoked"] is not None


def test_a_secret_is_in_one_response_alone(served: Served) -> None:
    _, client = served
    secret = client.post("/-/keys", json={"name": "web"}).json()["key"]
    for path in ("/-/keys", "/-/keys/web", "/-/audit", "/-/config"):
        assert secret not in client.get(path).text
    assert "key" not in client.put("/-/keys/web", json={}).json()


def test_a_put_by_name_is_idempotent(served: Served) -> None:
    _, client = served
    body = {"models": [ALIAS], "limits": {"requests": "10/min"}, "budgets": [{"limit": "5.00"}]}
    first, second = client.put("/-/keys/web", json=body), client.put("/-/keys/web", json=body)
    assert (first.status_code, second.status_code) == (201, 200)
    assert second.json() == {name: value for name, value in first.json().items() if name != "key"}
    # What is left out gets its default again.
    assert client.put("/-/keys/web", json={}).json()["limits"] is None


def test_a_change_for_another_version_is_refused(served: Served) -> None:
    _, client = served
    client.put("/-/keys/web", json={})
    one = client.patch("/-/keys/web", json={"tags": ["a"]}, headers={"if-match": '"1"'})
    assert (one.status_code, one.headers["etag"]) == (200, '"2"')
    for method in ("PUT", "PATCH", "DELETE"):
        content = b"{}" if method != "DELETE" else None
        late = client.request(method, "/-/keys/web", content=content, headers={"if-match": '"1"'})
        assert (late.status_code, late.json()["error"]["code"]) == (412, "version_mismatch")
    new = client.put("/-/keys/web", json={}, headers={"if-none-match": "*"})
    assert new.status_code == 412
    assert client.put("/-/keys/other", json={}, headers={"if-none-match": "*"}).status_code == 201
    assert client.put("/-/keys/web", json={}, headers={"if-match": "W/nonsense"}).status_code == 400


def test_keys_are_listed_by_pages_and_filters(served: Served) -> None:
    _, client = served
    client.put("/-/teams/red", json={})
    for number in range(5):
        client.put(f"/-/keys/key-{number}", json={"team": "red" if number % 2 else None, "tags": [f"t{number}"]})
    names: list[str] = []
    after: dict[str, str] = {}
    while True:
        page = client.get("/-/keys", params={"limit": "2", **after}).json()
        names += [key["name"] for key in page["data"]]
        if not page["has_more"]:
            break
        after = {"after": page["last_id"]}
    assert names == [f"key-{number}" for number in range(5)]
    assert [key["name"] for key in client.get("/-/keys?team=red").json()["data"]] == ["key-1", "key-3"]
    assert [key["name"] for key in client.get("/-/keys?tag=t4").json()["data"]] == ["key-4"]
    assert client.get("/-/keys?limit=0").status_code == 400
    assert client.get("/-/keys?limit=501").status_code == 400


def test_a_rotated_secret_takes_the_place_of_the_one_before(served: Served) -> None:
    gateway, client = served
    before = client.put("/-/keys/web", json={}).json()["key"]
    rotated = client.post("/-/keys/web/rotate", json={"grace_seconds": 0}).json()
    assert status(gateway, rotated["key"]) == 200
    wait_until(lambda: status(gateway, before) == 401, "the old secret is refused")


def test_credits_are_added_once_for_one_idempotency_key(served: Served) -> None:
    _, client = served
    client.put("/-/keys/web", json={})
    once = {"idempotency-key": "payment-1"}
    first = client.post("/-/keys/web/credits", json={"amount": "25.000000001", "note": "card"}, headers=once)
    again = client.post("/-/keys/web/credits", json={"amount": "25.000000001", "note": "card"}, headers=once)
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json() == again.json()
    assert first.json()["total_usd"] == "25.000000001"
    other = client.post("/-/keys/web/credits", json={"amount": "26"}, headers=once)
    assert (other.status_code, other.json()["error"]["code"]) == (409, "idempotency_key_reused")
    client.post("/-/keys/web/credits", json={"amount": -5})
    history = client.get("/-/keys/web/credits").json()
    assert [one["amount_usd"] for one in history["data"]] == ["-5.00", "25.000000001"]
    assert history["total_usd"] == "20.000000001"
    assert client.get("/-/keys/web").json()["credits_usd"] == "20.000000001"


@pytest.mark.parametrize("amount", [0, "1e-10", "nan", "1e30", "abc", None])
def test_what_is_no_amount_is_refused(served: Served, amount: object) -> None:
    _, client = served
    client.put("/-/keys/web", json={})
    assert client.post("/-/keys/web/credits", json={"amount": amount}).status_code == 400
    assert client.get("/-/keys/web").json()["credits_usd"] is None


@pytest.mark.parametrize(
    "body",
    [
        {"name": ""},
        {"name": "key_0123456789ab"},
        {"name": "web", "models": []},
        {"name": "web", "team": "none"},
        {"name": "web", "limits": {"requests": "many"}},
        {"name": "web", "budgets": [{"limit": "1", "zone": "Mars"}]},
        {"name": "web", "expires": "2001-01-01T00:00:00Z"},
        {"name": 7},
    ],
)
def test_a_faulty_key_is_not_made(served: Served, body: dict[str, object]) -> None:
    _, client = served
    assert client.post("/-/keys", json=body).status_code in (400, 404)
    assert client.get("/-/keys").json()["data"] == []


def test_a_put_by_name_that_gives_another_name_is_refused(served: Served) -> None:
    _, client = served
    assert client.put("/-/keys/web", json={"name": "other"}).status_code == 400
    made = client.put("/-/keys/web", json={"name": "web"})
    assert made.status_code == 201
    # By its id it is the same each time.
    for _ in range(2):
        assert client.put(f"/-/keys/{made.json()['id']}", json={"name": "other"}).json()["name"] == "other"


def test_hostile_values_are_refused_and_the_list_stays_readable(served: Served) -> None:
    _, client = served
    client.post("/-/keys", json={"name": "web"})
    late = "9999-12-31T23:59:59-23:59"
    deep = '{"a":' * 600 + "1" + "}" * 600
    assert client.post("/-/keys", json={"name": "late", "expires": late}).status_code == 400
    assert client.post("/-/keys", content=f'{{"name": "deep", "metadata": {deep}}}').status_code == 400
    assert client.post("/-/keys/web/credits", json={"amount": "1", "expires": late}).status_code == 400
    assert client.put("/-/teams/t", json={"budgets": [{"limit": "0e-99999999"}]}).status_code == 400
    assert [key["name"] for key in client.get("/-/keys").json()["data"]] == ["web"]
    assert client.get("/-/keys/web/credits").json()["data"] == []
