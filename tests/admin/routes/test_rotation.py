"""Rotation of an upstream's key over HTTP: what the upstream is sent before and after, and what is shown."""

import threading
from pathlib import Path

import httpx
import pytest

from tests.admin.conftest import TOKEN, admin_config, administered
from tests.exchange.samples import JSON_ANSWER, wait_until
from tests.fakes import Hang, RecordedRequest, ScriptedUpstream, Step, WaitFor, head, json_answer
from tests.serving import ALIAS, KEY, RunningGateway

OLD, NEW = "sk-upstream-secret", "sk-rotated-secret-9"
ROTATE = "/-/admin/providers/vendor1/rotate"
STATUS = "/-/admin/providers/vendor1/rotation"


def respond(request: RecordedRequest) -> list[Step]:
    if request.header("authorization") == "Bearer sk-refused-key":
        return json_answer({"error": {"message": "no"}}, 401)
    return json_answer({"data": []} if request.method == "GET" else JSON_ANSWER)


def chat(gateway: RunningGateway) -> int:
    body = {"model": ALIAS, "messages": [{"role": "user", "content": "hello"}]}
    url = f"{gateway.base_url}/chat/completions"
    return httpx.post(url, json=body, headers={"authorization": f"Bearer {KEY}"}).status_code


def test_a_promoted_key_is_sent_and_a_rollback_brings_the_old_one_back(tmp_path: Path) -> None:
    with (
        ScriptedUpstream(respond) as upstream,
        administered(admin_config(tmp_path, upstream.base_url)) as (one, client),
    ):

        def sent() -> str | None:
            assert chat(one) == 200
            return upstream.requests[-1].header("authorization")

        assert sent() == f"Bearer {OLD}"
        begun = client.post(ROTATE, json={"new_key": NEW})
        assert begun.status_code == 200
        assert begun.json() | {"updated_at": 0} == {
            "provider_id": "vendor1",
            "primary": "sk-u...cret",
            "status": "pending",
            "pending_key": "sk-r...et-9",
            "updated_at": 0,
        }
        assert sent() == f"Bearer {OLD}"
        promoted = client.post(f"{ROTATE}/promote").json()
        assert (promoted["status"], promoted["primary"], promoted["old_key"]) == (
            "draining",
            "sk-r...et-9",
            "sk-u...cret",
        )
        assert sent() == f"Bearer {NEW}"
        assert client.get(STATUS).json() == promoted
        config = client.get("/-/config").json()["upstreams"]["vendor1"]
        assert (config["rotated"], config["api_key"]) == (True, "****et-9")
        assert client.post(f"{ROTATE}/rollback").json()["status"] == "idle"
        assert sent() == f"Bearer {OLD}"
        assert client.post(f"{ROTATE}/rollback").status_code == 409
    assert NEW not in one.log.getvalue()


def test_a_promoted_key_outlives_a_restart(tmp_path: Path) -> None:
    with ScriptedUpstream(respond) as upstream:
        config = admin_config(tmp_path, upstream.base_url)
        with administered(config) as (_, client):
            client.post(ROTATE, json={"new_key": NEW})
            client.post(f"{ROTATE}/promote")
        with administered(config) as (gateway, client):
            assert chat(gateway) == 200
            assert upstream.requests[-1].header("authorization") == f"Bearer {NEW}"
            assert client.get(STATUS).json()["primary"] == "sk-r...et-9"


def test_a_key_that_the_provider_refuses_is_not_kept(tmp_path: Path) -> None:
    with ScriptedUpstream(respond) as upstream, administered(admin_config(tmp_path, upstream.base_url)) as (_, client):
        refused = client.post(ROTATE, json={"new_key": "sk-refused-key"})
        assert (refused.status_code, refused.json()["error"]["code"]) == (400, "new_key_refused")
        assert "sk-refused-key" not in refused.text
        assert client.get(STATUS).json()["status"] == "idle"


def test_a_key_that_would_write_headers_is_never_sent(tmp_path: Path) -> None:
    with ScriptedUpstream(respond) as upstream, administered(admin_config(tmp_path, upstream.base_url)) as (_, client):
        assert client.post(ROTATE, json={"new_key": "sk\r\nx-evil: 1"}).status_code == 400
        assert upstream.requests == []


def test_running_streams_end_with_the_key_they_began_with(tmp_path: Path) -> None:
    def hang(request: RecordedRequest) -> list[Step]:
        if request.method == "GET":
            return json_answer({"data": []})
        return [head(200, {"content-type": "text/event-stream"}), Hang()]

    with (
        ScriptedUpstream(hang) as upstream,
        administered(admin_config(tmp_path, upstream.base_url)) as (one, client),
        one.client() as streaming,
    ):
        one.chat(streaming, {"model": ALIAS, "stream": True, "messages": [{"role": "user", "content": "hello"}]})
        upstream.wait_for_requests(1)
        client.post(ROTATE, json={"new_key": NEW})
        assert client.post(f"{ROTATE}/promote").status_code == 200
        # No second attempt was made, and its connection is still there.
        assert [one.method for one in upstream.requests].count("POST") == 1
        assert upstream.open_connections == 1


@pytest.mark.parametrize("key", [OLD, ""])
def test_the_key_in_force_and_none_are_no_new_keys(tmp_path: Path, key: str) -> None:
    with administered(admin_config(tmp_path)) as (_, client):
        assert client.post(ROTATE, json={"new_key": key}).status_code in (400, 409)


def test_no_secret_is_in_any_file_but_the_one_for_the_owner(tmp_path: Path) -> None:
    with ScriptedUpstream(respond) as upstream, administered(admin_config(tmp_path, upstream.base_url)) as (_, client):
        client.post(ROTATE, json={"new_key": NEW})
        client.post(f"{ROTATE}/promote")
    for path in tmp_path.rglob("*"):
        if path.is_file() and NEW.encode() in path.read_bytes():
            assert path.name == "provider-keys.json"
            assert path.stat().st_mode & 0o777 == 0o600
        assert not path.is_file() or TOKEN.encode() not in path.read_bytes()


def test_a_promoted_key_that_the_provider_refuses_is_rolled_back_by_itself(tmp_path: Path) -> None:
    def refuse(request: RecordedRequest) -> list[Step]:
        if request.method == "GET":
            return json_answer({"data": []})
        if request.header("authorization") == f"Bearer {NEW}":
            return json_answer({"error": {"message": "unknown key"}}, 401)
        return json_answer(JSON_ANSWER)

    with ScriptedUpstream(refuse) as upstream, administered(admin_config(tmp_path, upstream.base_url)) as (one, client):
        client.post(ROTATE, json={"new_key": NEW})
        client.post(f"{ROTATE}/promote")
        assert chat(one) == 502
        wait_until(lambda: client.get(STATUS).json()["status"] == "idle", "the old key is in force again")
        assert "refused" in client.get(STATUS).json()["note"]
        assert chat(one) == 200
        row = client.get("/-/audit?action=provider.fallback").json()["data"][0]
        assert (row["actor"], row["object"]) == ("gateway", "vendor1")


def test_a_request_that_still_has_the_old_key_says_nothing_of_the_new_one(tmp_path: Path) -> None:
    released = threading.Event()

    def refuse(request: RecordedRequest) -> list[Step]:
        if request.method == "GET":
            return json_answer({"data": []})
        return [WaitFor(released), *json_answer({"error": {"message": "revoked"}}, 401)]

    with (
        ScriptedUpstream(refuse) as upstream,
        administered(admin_config(tmp_path, upstream.base_url)) as (one, client),
        one.client() as old,
    ):
        one.chat(old, {"model": ALIAS, "messages": [{"role": "user", "content": "hello"}]})
        upstream.wait_for_requests(1)
        client.post(ROTATE, json={"new_key": NEW})
        client.post(f"{ROTATE}/promote")
        released.set()
        assert old.read_answer()[0].status == 502
        # Nothing was begun that would end it.
        assert one.call(lambda gateway: set(gateway.admin.services.provider_keys.draining)) == {"vendor1"}
        assert client.get(STATUS).json()["status"] == "draining"
