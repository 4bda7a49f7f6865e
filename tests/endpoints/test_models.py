"""The list of models: what a key may use, by its alias, and nothing of who serves it."""

import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any
from urllib.parse import quote

import pytest

from proxy.config.tree import Config, Kind, Model, Server, Upstream
from tests.endpoints.test_conformance import in_dialect
from tests.exchange.samples import wait_until
from tests.fakes import Head
from tests.serving import KEY, RunningGateway

ALIASES = ["prometheus-core", "prometheus-lite", "team/special model"]
ABILITIES = [
    ("chat", ["openai"]),
    ("vision", ["openai", "anthropic", "gemini"]),
    ("embeddings", ["gemini"]),
]
ANTHROPIC = {"anthropic-version": "2023-06-01"}
FEW = "prom_sk_a_key_with_a_right_to_one_alias_only"


def upstream(kind: Kind) -> Upstream:
    return Upstream(kind=kind, base_url="http://127.0.0.1:9", api_key="sk-secret", warm_connections=0)


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    config = Config(
        server=Server(data_dir=str(tmp_path_factory.mktemp("gateway")), port=0, log_format="json"),
        upstreams={kind: upstream(kind) for kind in ("compatible", "anthropic", "gemini")},
        models={
            ALIASES[0]: Model(capability="chat", targets=["compatible/inner-model"]),
            ALIASES[1]: Model(
                capability="vision", targets=["gemini/inner-model", "anthropic/inner-model", "compatible/inner-model"]
            ),
            ALIASES[2]: Model(capability="embeddings", targets=["gemini/inner-model"]),
        },
    )
    with RunningGateway(config) as running:
        running.add_key("few", FEW, ["prometheus-lite"])
        yield running


def get(
    gateway: RunningGateway, path: str, key: str | None = KEY, headers: Mapping[str, str] | None = None
) -> tuple[Head, Any]:
    with gateway.client() as client:
        credential = {"authorization": f"Bearer {key}"} if key else {}
        client.request("GET", path, headers={**credential, **(headers or {})})
        answer, body = client.read_answer()
    assert b"inner-model" not in body.payload
    return answer, json.loads(body.payload)


def test_all_aliases_are_listed_in_the_order_of_the_configuration(gateway: RunningGateway) -> None:
    answer, listed = get(gateway, "/v1/models")
    assert answer.status == 200
    assert listed["object"] == "list"
    assert [model["id"] for model in listed["data"]] == ALIASES
    assert list(listed["data"][0]) == ["id", "object", "created", "owned_by", "capability", "formats"]
    assert listed["data"][0]["owned_by"] == "prometheus"
    assert [(model["capability"], model["formats"]) for model in listed["data"]] == ABILITIES


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
    # It is found, and is for something else.
    assert (answer.status, "`team/special model`" in json.loads(body.payload)["error"]["message"]) == (400, True)


# in the caller's shape


@pytest.mark.parametrize("path", ["/v1/models", "/v1/models/"])
def test_anthropic_s_clients_are_shown_anthropic_s_shape(gateway: RunningGateway, path: str) -> None:
    _, listed = get(gateway, path, headers=ANTHROPIC)
    assert [model["id"] for model in listed["data"]] == ALIASES
    assert (listed["has_more"], listed["first_id"], listed["last_id"]) == (False, ALIASES[0], ALIASES[-1])
    model = listed["data"][0]
    assert list(model)[:4] == ["type", "id", "display_name", "created_at"]
    assert (model["type"], model["display_name"], model["capability"]) == ("model", ALIASES[0], "chat")
    assert datetime.fromisoformat(model["created_at"]).tzinfo is not None
    assert get(gateway, f"/v1/models/{ALIASES[0]}", headers=ANTHROPIC)[1] == model


@pytest.mark.parametrize(
    ("query", "shown", "has_more"),
    [
        ("", [0, 1, 2], False),
        ("limit=1000", [0, 1, 2], False),
        ("limit=2", [0, 1], True),
        ("limit=2&after_id=prometheus-core", [1, 2], False),
        ("limit=1&after_id=prometheus-core", [1], True),
        ("after_id=team%2Fspecial%20model", [], False),
        ("limit=1&before_id=team/special+model", [1], True),
        ("limit=2&before_id=team/special%20model", [0, 1], False),
        ("before_id=prometheus-core", [], False),
        ("after_id=prometheus-core&before_id=team/special%20model", [1], False),
    ],
)
def test_anthropic_s_pages(gateway: RunningGateway, query: str, shown: list[int], has_more: bool) -> None:
    _, listed = get(gateway, f"/v1/models?{query}", headers=ANTHROPIC)
    assert [model["id"] for model in listed["data"]] == [ALIASES[at] for at in shown]
    assert listed["has_more"] is has_more
    ends = (ALIASES[shown[0]], ALIASES[shown[-1]]) if shown else (None, None)
    assert (listed["first_id"], listed["last_id"]) == ends


GOOGLE: list[tuple[str, dict[str, str]]] = [
    ("/v1beta/models", {}),
    ("/v1beta/models", ANTHROPIC),
    ("/v1/models", {"x-goog-api-client": "google-genai-sdk/1.0 gl-python/3.11"}),
    ("/v1/models", {"x-goog-api-key": KEY}),
]


@pytest.mark.parametrize(("path", "headers"), GOOGLE)
def test_google_s_clients_are_shown_google_s_shape(gateway: RunningGateway, path: str, headers: dict[str, str]) -> None:
    _, listed = get(gateway, path, headers=headers)
    assert set(listed) == {"models"}
    assert [model["name"] for model in listed["models"]] == [f"models/{name}" for name in ALIASES]
    assert [model["displayName"] for model in listed["models"]] == ALIASES
    # The first one's provider does not speak Google's format.
    assert [model["supportedGenerationMethods"] for model in listed["models"]] == [
        [],
        ["generateContent", "streamGenerateContent", "countTokens"],
        ["embedContent", "batchEmbedContents"],
    ]
    for name, model in zip(
        ("prometheus-core", "prometheus-lite", "team%2Fspecial%20model"), listed["models"], strict=True
    ):
        assert get(gateway, f"{path}/{name}", headers=headers)[1] == model


def test_google_s_pages(gateway: RunningGateway) -> None:
    shown: list[str] = []
    token = ""
    for _ in ALIASES:
        _, page = get(gateway, f"/v1beta/models?pageSize=1&pageToken={token}")
        shown += [model["displayName"] for model in page["models"]]
        token = quote(page.get("nextPageToken", ""))
    assert (shown, token) == (ALIASES, "")
    assert "nextPageToken" not in get(gateway, "/v1beta/models?pageSize=0")[1]


@pytest.mark.parametrize("path", ["/v1beta/models", "/v1/models"])
def test_a_key_sees_only_what_it_may_use_in_every_shape(gateway: RunningGateway, path: str) -> None:
    headers = ANTHROPIC if path == "/v1/models" else {}
    _, listed = get(gateway, path, FEW, headers)
    assert len(listed.get("data") or listed["models"]) == 1
    answer, _ = get(gateway, f"{path}/prometheus-core", FEW, headers)
    assert answer.status == 404
    # Nor is a page begun at one that it may not see.
    query = "after_id=prometheus-core" if path == "/v1/models" else "pageToken=prometheus-core"
    assert get(gateway, f"{path}?{query}", FEW, headers)[0].status == 400


@pytest.mark.parametrize(
    ("path", "headers", "dialect"),
    [
        ("/v1/models", {}, "openai"),
        ("/v1/models", ANTHROPIC, "anthropic"),
        ("/v1/models", {"x-goog-api-client": "a"}, "gemini"),
        ("/v1beta/models", {}, "gemini"),
    ],
)
def test_errors_are_in_the_caller_s_dialect(
    gateway: RunningGateway, path: str, headers: dict[str, str], dialect: str
) -> None:
    for key, below, status in ((None, "", 401), ("wrong", "", 401), (KEY, "/nothing", 404)):
        answer, error = get(gateway, path + below, key, headers)
        assert answer.status == status
        in_dialect(dialect, answer, error)


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("/v1/models?limit=x", ANTHROPIC),
        ("/v1/models?limit=-1", ANTHROPIC),
        ("/v1/models?after_id=nothing", ANTHROPIC),
        ("/v1/models?before_id=nothing", ANTHROPIC),
        ("/v1beta/models?pageSize=x", {}),
        ("/v1beta/models?pageToken=nothing", {}),
    ],
)
def test_pages_that_are_not_there_are_refused(gateway: RunningGateway, path: str, headers: dict[str, str]) -> None:
    assert get(gateway, path, headers=headers)[0].status == 400


@pytest.mark.parametrize(
    "path", ["/v1beta/models/prometheus-lite", "/v1/models/prometheus-lite", "/v1beta/models/nothing"]
)
@pytest.mark.parametrize("method", ["generateContent", "countTokens"])
def test_what_is_asked_for_by_post_is_not_shown(gateway: RunningGateway, path: str, method: str) -> None:
    answer, _ = get(gateway, f"{path}:{method}")
    assert (answer.status, answer.header("allow")) == (405, "POST")


def test_the_access_line_of_a_list_names_its_key(gateway: RunningGateway) -> None:
    answer, _ = get(gateway, "/v1/models", FEW)
    wait_until(lambda: (answer.header("x-request-id") or "-") in gateway.log.getvalue(), "the line")
    (line,) = [one for one in gateway.log.getvalue().splitlines() if (answer.header("x-request-id") or "-") in one]
    assert json.loads(line)["key"] == "few"
