"""Configuration, reload, nodes and caches over HTTP; with workers, what one is told holds for all."""

import json
from pathlib import Path

import httpx
import pytest

from proxy.config.tree import Upstream
from tests.admin.conftest import TOKEN, admin_config, administered
from tests.cli.test_serve import Running, running
from tests.exchange.samples import JSON_ANSWER
from tests.fakes import RecordedRequest, ScriptedUpstream, Step, json_answer
from tests.process.test_kill import make_key

CONFIG = """
[server]
port = 0
workers = {workers}
data_dir = "{data_dir}"

[admin]
token = "{token}"

[upstreams.vendor]
base_url = "{base_url}"
api_key = "sk-of-the-file-1"
warm_connections = 0

[models.{alias}]
capability = "chat"
targets = ["vendor/inner"]
"""
HEADERS = {"authorization": f"Bearer {TOKEN}"}


class Place:
    """A folder with a configuration, and what is sent to the gateway that runs by it."""

    def __init__(self, folder: Path, base_url: str, workers: int) -> None:
        self.file = folder / "prometheus.toml"
        self._values = {"data_dir": str(folder / "data"), "base_url": base_url, "workers": workers, "token": TOKEN}
        self.write("first")
        self.key = make_key(folder)

    def write(self, alias: str, more: str = "") -> None:
        self.file.write_text(CONFIG.format(alias=alias, **self._values) + more)

    def models(self, serve: Running, times: int = 8) -> set[str]:
        """What the workers list, each asked over connections of its own."""
        headers = {"authorization": f"Bearer {self.key}"}
        lists = [httpx.get(f"{serve.url}/v1/models", headers=headers).json()["data"] for _ in range(times)]
        return {model["id"] for models in lists for model in models}

    def chat(self, serve: Running, times: int = 8) -> set[int]:
        body = {"model": "first", "messages": [{"role": "user", "content": "hello"}]}
        headers = {"authorization": f"Bearer {self.key}"}
        url = f"{serve.url}/v1/chat/completions"
        return {httpx.post(url, json=body, headers=headers).status_code for _ in range(times)}


def respond(request: RecordedRequest) -> list[Step]:
    return json_answer({"data": []} if request.method == "GET" else JSON_ANSWER)


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("path", ["/-/reload", "/admin/reload-config"])
def test_a_reload_reaches_all_workers_and_a_faulty_file_none(folder: Path, workers: int, path: str) -> None:
    with ScriptedUpstream(respond) as upstream:
        place = Place(folder, upstream.base_url, workers)
        with running(folder) as serve:
            assert place.models(serve) == {"first"}
            place.write("second")
            done = httpx.post(serve.url + path, headers=HEADERS, timeout=30)
            assert done.status_code == 200, done.text
            assert done.json()["status"] == "success"
            assert done.json()["changes"]["added"] == ["models.second"]
            assert place.models(serve) == {"second"}
            place.write("third", "\n[serve]\n")
            refused = httpx.post(serve.url + path, headers=HEADERS, timeout=30)
            assert (refused.status_code, refused.json()["error"]["code"]) == (400, "invalid_config")
            assert "serve" in refused.json()["error"]["message"]
            assert place.models(serve) == {"second"}


def test_a_promoted_key_is_in_force_in_all_workers_and_after_a_restart(folder: Path) -> None:
    with ScriptedUpstream(respond) as upstream:
        place = Place(folder, upstream.base_url, 2)
        rotate = "/-/admin/providers/vendor/rotate"
        with running(folder) as serve:
            assert httpx.post(serve.url + rotate, headers=HEADERS, json={"new_key": "sk-rotated-2"}).status_code == 200
            promoted = httpx.post(f"{serve.url}{rotate}/promote", headers=HEADERS, timeout=30)
            assert promoted.status_code == 200, promoted.text
            before = len(upstream.requests)
            assert place.chat(serve) == {200}
            sent = {request.header("authorization") for request in upstream.requests[before:]}
            assert sent == {"Bearer sk-rotated-2"}
            # A reload keeps it, as the file has the value that it had.
            place.write("first", "# a comment\n")
            assert httpx.post(f"{serve.url}/-/reload", headers=HEADERS, timeout=30).status_code == 200
        with running(folder) as serve:
            before = len(upstream.requests)
            assert place.chat(serve) == {200}
            assert {one.header("authorization") for one in upstream.requests[before:]} == {"Bearer sk-rotated-2"}


def test_the_nodes_are_the_workers_that_run(folder: Path) -> None:
    with ScriptedUpstream(respond) as upstream:
        Place(folder, upstream.base_url, 2)
        with running(folder) as serve:
            found = httpx.get(f"{serve.url}/-/cluster/nodes", headers=HEADERS).json()
            assert found["node_count"] == 2
            assert len({node["id"] for node in found["nodes"]}) == len({node["pid"] for node in found["nodes"]}) == 2
            assert {(node["addr"], node["status"]) for node in found["nodes"]} == {(serve.url, "active")}
            assert found["node_id"] in {node["id"] for node in found["nodes"]}


def test_an_admin_address_is_shared_by_all_workers(folder: Path) -> None:
    with ScriptedUpstream(respond) as upstream:
        place = Place(folder, upstream.base_url, 2)
        text = place.file.read_text()
        place.file.write_text(text.replace("[admin]", f'[admin]\nlisten = "unix:{folder}/admin.sock"'))
        with running(folder) as serve:
            assert httpx.get(f"{serve.url}/-/config", headers=HEADERS).status_code == 404
            for _ in range(4):
                with httpx.Client(transport=httpx.HTTPTransport(uds=f"{folder}/admin.sock")) as client:
                    assert client.get("http://admin/-/cluster/nodes", headers=HEADERS).json()["node_count"] == 2
            assert serve.stop()[0] == 0


def test_the_summary_has_no_secrets(tmp_path: Path) -> None:
    config = admin_config(tmp_path, "http://127.0.0.1:9")
    config.upstreams["other"] = Upstream(
        base_url="https://h.test/resource-secret/v1", headers={"x-k": "header-secret"}, query={"k": "query-secret"}
    )
    with administered(config) as (_, client):
        text = client.get("/-/config").text
    for secret in ("resource-secret", "header-secret", "query-secret", "sk-upstream-secret", TOKEN):
        assert secret not in text
    assert json.loads(text)["admin"] == {"listen": "", "networks": [], "open_metrics": False, "token": "configuration"}


def test_the_caches_say_that_there_are_none(tmp_path: Path) -> None:
    with administered(admin_config(tmp_path)) as (_, client):
        stats = client.get("/admin/cache/stats").json()
        assert (stats["redis"]["connected"], stats["redis"]["hits"]) == (False, 0)
        assert stats["semantic_cache"]["collection_size"] == 0
        cleared = client.post("/admin/cache/clear", json={"cache_type": "all"}).json()
        assert cleared["cleared"] == {"exact_cache": 0, "semantic_cache": 0}
        assert client.post("/admin/cache/clear").status_code == 200
