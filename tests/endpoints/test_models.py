"""The list of models: what a key may use, by its alias, and nothing of who serves it."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from proxy.config.tree import Config, Model, Server, Upstream
from tests.fakes import Head
from tests.serving import KEY, RunningGateway

ALIASES = ["prometheus-core", "prometheus-lite", "team/special model"]
FEW = "prom_sk_a_key_with_a_right_to_one_alias_only"


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    config = Config(
        server=Server(data_dir=str(tmp_path_factory.mktemp("gateway")), port=0, log_format="json"),
        upstreams={"vendor": Upstream(base_url="http://127.0.0.1:9", api_key="sk-secret", warm_connections=0)},
        models={name: Model(capability="chat", targets=["vendor/inner-model"]) for name in ALIASES},
    )
    with RunningGateway(config) as running:
        running.add_key("few", FEW, ["prometheus-lite"])
        yield running


def get(gateway: RunningGateway, path: str, key: str | None = KEY) -> tuple[Head, Any]:
    with gateway.client() as client:
        client.request("GET", path, headers={"authorization": f"Bearer {key}"} if key else {})
        answer, body = client.read_answer()
    assert b"inner-model" not in body.payload
    return answer, json.loads(body.payload)


def test_all_aliases_are_listed_in_the_order_of_the_configuration(gateway: RunningGateway) -> None:
    answer, listed = get(gateway, "/v1/models")
    assert answer.status == 200
    assert listed["object"] == "list"
    assert [model["id"] for model in listed["data"]] == ALIASES
    assert set(listed["data"][0]) == {"id", "object", "created", "owned_by"}
    assert listed["data"][0]["owned_by"] == "prometheus"


def test_a_key_sees_only_what_it_may_use(gateway: RunningGateway) -> None:
    _, listed = get(gateway, "/v1/models", FEW)
    assert [model["id"] for model in listed["data"]] == ["prometheus-lite"]


@pytest.mark.parametrize(
    "path",
    ["team/special%20model", "team%2Fspecial%20model", "team%2fspecial%20model"],
)
def test_a_model_is_found_by_a_name_with_slashes_in_any_encoding(gateway: RunningGateway, path: str) -> None:
    answer, model = get(gateway, f"/v1/models/{path}")
    assert (answer.status, model["id"]) == (200, "team/special model")


def test_a_name_is_decoded_once_only(gateway: RunningGateway) -> None:
    assert get(gateway, "/v1/models/team%252Fspecial%2520model")[0].status == 404


def test_an_unknown_model_is_not_found_and_the_nearest_is_told(gateway: RunningGateway) -> None:
    answer, error = get(gateway, "/v1/models/prometheus-cor")
    assert (answer.status, error["error"]["code"]) == (404, "model_not_found")
    assert error["error"]["message"].endswith("Did you mean `prometheus-core`?")


def test_a_model_without_the_right_to_it_looks_unknown_and_is_not_suggested(gateway: RunningGateway) -> None:
    _, forbidden = get(gateway, "/v1/models/prometheus-core", FEW)
    _, unknown = get(gateway, "/v1/models/prometheus-cora", FEW)
    assert forbidden["error"]["code"] == unknown["error"]["code"] == "model_not_found"
    assert "prometheus-core" not in unknown["error"]["message"].replace("prometheus-cora", "")
    assert forbidden["error"]["message"] == unknown["error"]["message"].replace("prometheus-cora", "prometheus-core")


@pytest.mark.parametrize("path", ["/v1/models", "/v1/models/prometheus-core"])
@pytest.mark.parametrize("key", [None, "prom_sk_wrong"])
def test_without_a_key_nothing_is_told(gateway: RunningGateway, path: str, key: str | None) -> None:
    answer, error = get(gateway, path, key)
    assert (answer.status, error["error"]["code"]) == (401, "invalid_api_key")


def test_another_method_is_refused(gateway: RunningGateway) -> None:
    with gateway.client() as client:
        client.request("POST", "/v1/models", b"{}", {"authorization": f"Bearer {KEY}"})
        answer, _ = client.read_answer()
    assert answer.status == 405
    assert "GET" in (answer.header("allow") or "")


def test_a_head_request_has_no_body(gateway: RunningGateway) -> None:
    with gateway.client() as client:
        client.request("HEAD", "/v1/models", headers={"authorization": f"Bearer {KEY}"})
        assert client.read_head().status == 200
        client.request("GET", "/livez")
        assert client.read_answer()[0].status == 200


@pytest.mark.parametrize("path", ["/v1/models", "/v1/models/prometheus-core", "/livez", "/readyz", "/nothing"])
def test_every_answer_names_its_request(gateway: RunningGateway, path: str) -> None:
    answer, _ = get(gateway, path)
    assert (answer.header("x-request-id") or "").startswith("req_")


@pytest.mark.parametrize("version", ["v1beta", "v1"])
@pytest.mark.parametrize("name", ["team/special%20model", "team%2Fspecial%20model", "team%2fspecial%20model"])
@pytest.mark.parametrize("colon", [":", "%3A", "%3a"])
def test_a_name_with_slashes_may_stand_before_a_method_of_gemini_s(
    gateway: RunningGateway, version: str, name: str, colon: str
) -> None:
    with gateway.client() as client:
        path = f"/{version}/models/{name}{colon}countTokens"
        client.request("POST", path, b"{}", {"authorization": f"Bearer {KEY}"})
        answer, body = client.read_answer()
    # It is found, and its upstream speaks another format.
    assert (answer.status, "`team/special model`" in json.loads(body.payload)["error"]["message"]) == (400, True)
