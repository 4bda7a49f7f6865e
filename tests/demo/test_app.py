"""The demo provider's routes, key and error shape, over a real socket."""

import asyncio
import json
import logging
from pathlib import Path

import openai
import pytest
from starlette.types import ASGIApp, Message

from proxy.demo.app import ROUTES, demo_app
from proxy.demo.settings import DEMO_MODELS, DemoSettings
from tests.demo.conftest import Provider

DOCUMENT = Path(__file__).parents[2] / "docs" / "demo.md"


def answer_to(scope: Message, received: Message, api_key: str = "k") -> list[Message]:
    """What a new app sends when its client sends this one message."""
    return sent_by(demo_app(DemoSettings(api_key=api_key)), scope, received)


def asked(app: ASGIApp, method: str, path: str) -> list[Message]:
    """What an app sends to a request without a body."""
    return sent_by(app, http(method, path), {"type": "http.request"})


def sent_by(app: ASGIApp, scope: Message, received: Message) -> list[Message]:
    sent: list[Message] = []

    async def receive() -> Message:
        return received

    async def send(message: Message) -> None:
        sent.append(message)

    async def run() -> None:
        await app(scope, receive, send)

    asyncio.run(run())
    return sent


def http(method: str, path: str) -> Message:
    """An HTTP scope with the key `k`."""
    return {"type": "http", "method": method, "path": path, "headers": [(b"authorization", b"Bearer k")]}


def test_models_are_listed_by_their_dated_names(provider: Provider) -> None:
    answer = provider.http.get("/models").json()
    assert answer["object"] == "list"
    assert [model["id"] for model in answer["data"]] == [model.name for model in DEMO_MODELS]


def test_one_model_is_described(provider: Provider) -> None:
    answer = provider.http.get("/models/demo-core-2026-09-02").json()
    assert (answer["id"], answer["object"]) == ("demo-core-2026-09-02", "model")


def test_an_unknown_model_is_a_404(provider: Provider) -> None:
    answer = provider.http.get("/models/some%2Fother")
    assert answer.status_code == 404
    assert answer.json()["error"]["code"] == "model_not_found"


@pytest.mark.parametrize("value", ["", "Bearer wrong", "Basic abc", "Bearer"])
def test_without_the_key_the_answer_is_401_in_openais_shape(provider: Provider, value: str) -> None:
    answer = provider.http.get("/models", headers={"authorization": value})
    assert answer.status_code == 401
    assert answer.json()["error"].keys() == {"message", "type", "param", "code"}
    assert answer.json()["error"]["code"] == "invalid_api_key"


def test_the_key_counts_as_a_bearer_only(provider: Provider) -> None:
    value = f"Basic {provider.settings.api_key}"
    assert provider.http.get("/models", headers={"authorization": value}).status_code == 401


def test_the_answer_to_a_wrong_key_does_not_repeat_it(provider: Provider) -> None:
    assert "sesame" not in provider.http.get("/models", headers={"authorization": "Bearer sesame"}).text


def test_an_unknown_path_is_a_404_in_openais_shape(provider: Provider) -> None:
    answer = provider.http.get("/nothing")
    assert answer.status_code == 404
    assert answer.json()["error"]["message"] == "Invalid URL (GET /v1/nothing)"


def test_a_wrong_method_is_a_405_that_names_the_right_one(provider: Provider) -> None:
    answer = provider.http.get("/chat/completions")
    assert answer.status_code == 405
    assert answer.headers["allow"] == "POST"


def test_every_answer_has_a_request_id_of_its_own(provider: Provider) -> None:
    first, second = (provider.http.get("/models").headers["x-request-id"] for _ in range(2))
    assert first.startswith("req_")
    assert first != second


def test_the_sdk_lists_models(provider: Provider) -> None:
    with openai.OpenAI(base_url=provider.base_url, api_key=provider.settings.api_key) as client:
        assert "demo-atlas-2026-05-20" in [model.id for model in client.models.list()]


def test_a_websocket_is_refused() -> None:
    scope: Message = {"type": "websocket", "path": "/v1/realtime", "headers": []}
    assert answer_to(scope, {"type": "websocket.connect"}) == [{"type": "websocket.close"}]


def test_a_client_that_leaves_before_its_request_arrived_gets_no_answer() -> None:
    assert answer_to(http("POST", "/v1/chat/completions"), {"type": "http.disconnect"}) == []


@pytest.mark.parametrize(("api_key", "status"), [("k", 200), ("other", 401)])
def test_two_providers_in_one_process_have_a_key_each(api_key: str, status: int) -> None:
    assert answer_to(http("GET", "/v1/models"), {"type": "http.request"}, api_key)[0]["status"] == status


@pytest.mark.parametrize("path", sorted({path.split("/{")[0].split("/threads/")[0] for _, path, _ in ROUTES}))
def test_the_documents_name_every_endpoint(path: str) -> None:
    text = DOCUMENT.read_text()
    short = "/" + path.rpartition("/")[2]
    assert any(f"{before}{name}`" in text for before in ("`", " ") for name in (path, short)) or f"{path}/" in text


@pytest.mark.parametrize(
    ("path", "keys"),
    [("/v1/messages", {"type", "error"}), ("/v1beta/models", {"error"}), ("/v1/nothing", {"error"})],
)
def test_each_format_has_errors_of_its_own_shape(provider: Provider, path: str, keys: set[str]) -> None:
    answer = provider.http.delete(f"{provider.base_url.removesuffix('/v1')}{path}")
    assert answer.status_code in (404, 405)
    assert answer.json().keys() == keys


def test_a_path_with_two_methods_names_both(provider: Provider) -> None:
    assert provider.http.put("/files").headers["allow"] == "GET, POST"


def test_of_two_keys_both_must_be_right(provider: Provider) -> None:
    assert provider.http.get("/models", headers={"x-api-key": "wrong"}).status_code == 401


def test_two_providers_keep_their_things_apart() -> None:
    first, second = (demo_app(DemoSettings(api_key="k")) for _ in range(2))
    made = json.loads(asked(first, "POST", "/v1/threads")[1]["body"])
    assert asked(first, "GET", f"/v1/threads/{made['id']}")[0]["status"] == 200
    assert asked(second, "GET", f"/v1/threads/{made['id']}")[0]["status"] == 404


def test_without_the_work_of_the_tests_resources_are_stored_all_the_same() -> None:
    app = demo_app(DemoSettings(api_key="k"))
    thread, upload = (json.loads(asked(app, "POST", path)[1]["body"])["id"] for path in ("/v1/threads", "/v1/uploads"))
    run = json.loads(asked(app, "POST", f"/v1/threads/{thread}/runs")[1]["body"])
    assert (run["object"], run["status"], run["model"]) == ("thread.run", "completed", "demo-spark-2026-08-07")
    assert asked(app, "POST", f"/v1/uploads/{upload}/parts")[0]["status"] == 200
    assert asked(app, "POST", "/v1/threads/none/messages")[0]["status"] == 404
    assert json.loads(asked(app, "POST", f"/v1/uploads/{upload}/complete")[1]["body"])["status"] == "completed"


def test_an_answer_that_is_cut_on_order_is_no_error_of_the_server_s(caplog: pytest.LogCaptureFixture) -> None:
    demo_app(DemoSettings())
    log = logging.getLogger("uvicorn.error")
    log.error("ASGI callable returned without completing response.")
    log.error("another error")
    assert [record.message for record in caplog.records] == ["another error"]
