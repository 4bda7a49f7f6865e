"""Every response, whoever made it, has the gateway's always-present headers; the client's timeout takes effect."""

import json
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.exchange.samples import JSON_ANSWER, MESSAGES, STREAM
from tests.fakes import Hang, Head, ScriptedUpstream, json_answer, sse_answer
from tests.serving import ALIAS, KEY, RunningGateway, simple_config

NAMES = ("request-id", "trace-id", "latency-ms", "model-used", "provider", "timeout-ms")
CHAT = {"model": ALIAS, "messages": MESSAGES}
TWINS = {"x-agentcc-sdk-version": "1"}


@pytest.fixture(scope="module")
def upstream() -> Iterator[ScriptedUpstream]:
    with ScriptedUpstream() as one:
        yield one


@pytest.fixture(scope="module")
def gateway(upstream: ScriptedUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    server = {"cors_origins": ["https://app.example.com"]}
    config = simple_config(tmp_path_factory.mktemp("gateway"), upstream.base_url, server=server)
    with RunningGateway(config) as one:
        yield one


def head_of(
    gateway: RunningGateway,
    method: str,
    path: str,
    body: Any = None,
    headers: Mapping[str, str] | None = None,
    key: str = KEY,
) -> Head:
    """The head of the response to one request."""
    data = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
    given = {"authorization": f"Bearer {key}", **({"content-type": "application/json"} if data else {})}
    with gateway.client() as client:
        client.request(method, path, data, {**given, **(headers or {})})
        return client.read_answer()[0]


CASES: dict[str, tuple[int, str, str, Any, str]] = {
    "a success": (200, "POST", "/v1/chat/completions", CHAT, ALIAS),
    "a stream": (200, "POST", "/v1/chat/completions", {**CHAT, "stream": True}, ALIAS),
    "an upstream's refusal": (400, "POST", "/v1/chat/completions", {**CHAT, "n": "refuse"}, ALIAS),
    "no JSON": (400, "POST", "/v1/chat/completions", b"{", "none"),
    "an unknown model": (404, "POST", "/v1/chat/completions", {**CHAT, "model": "x"}, "none"),
    "a model for something else": (400, "POST", "/v1/embeddings", {"model": ALIAS, "input": "x"}, "none"),
    "an unknown path": (404, "GET", "/v1/unknown", None, "none"),
    "another method": (405, "GET", "/v1/chat/completions", None, "none"),
    "models": (200, "GET", "/v1/models", None, "none"),
    "a model": (200, "GET", f"/v1/models/{ALIAS}", None, "none"),
    "a health check": (200, "GET", "/healthz", None, "none"),
    "the address alone": (200, "GET", "/", None, "none"),
    "a resource": (200, "POST", "/v1/threads", {}, "none"),
    "an unknown resource": (404, "GET", "/v1/files/file_1", None, "none"),
    "a list of resources": (200, "GET", "/v1/files", None, "none"),
}


@pytest.mark.parametrize("name", CASES)
def test_every_kind_of_response_has_them(gateway: RunningGateway, upstream: ScriptedUpstream, name: str) -> None:
    status, method, path, body, model = CASES[name]
    answers = {
        "a success": json_answer(JSON_ANSWER),
        "a stream": sse_answer(STREAM),
        "an upstream's refusal": json_answer({"error": {"message": "no", "type": "x", "code": "y"}}, 400),
        "a resource": json_answer({"id": "thread_1", "object": "thread"}),
        "a list of resources": json_answer({"object": "list", "data": [], "has_more": False}),
    }
    for headers in ({}, TWINS):
        if name in answers:
            upstream.script(answers[name])
        head = head_of(gateway, method, path, body, headers)
        assert head.status == status
        check(head, model, twins=bool(headers))


def check(head: Head, model: str, *, twins: bool) -> None:
    values = {name: head.header(f"x-prism-{name}") for name in NAMES}
    assert None not in values.values()
    assert values["request-id"] == head.header("x-request-id") == values["trace-id"]
    assert (values["model-used"], values["provider"]) == (model, "prometheus")
    assert (values["latency-ms"] or "").isdigit()
    assert (values["timeout-ms"] or "").isdigit()
    copies = {name: head.header(f"x-agentcc-{name}") for name in NAMES}
    assert copies == (values if twins else dict.fromkeys(NAMES))
    names = [name.lower() for name, _ in head.headers]
    assert len(names) == len(set(names)), "none of them stands there twice"


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/threads", "/v1/models"])
def test_a_wrong_key_has_them_too(gateway: RunningGateway, path: str) -> None:
    method = "GET" if "models" in path else "POST"
    head = head_of(gateway, method, path, None if method == "GET" else {}, TWINS, key="prom_sk_wrong")
    assert head.status == 401
    check(head, "none", twins=True)


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/threads"])
def test_a_header_out_of_bounds_is_a_400_that_names_it(gateway: RunningGateway, path: str) -> None:
    head = head_of(gateway, "POST", path, CHAT, {"x-agentcc-cache-ttl": "soon", "x-prism-trace-id": "mine"})
    assert head.status == 400
    assert head.header("x-agentcc-trace-id") == "mine"


def test_a_request_ends_within_the_time_that_its_client_gives_it(tmp_path: Path) -> None:
    with ScriptedUpstream() as upstream, RunningGateway(simple_config(tmp_path, upstream.base_url)) as gateway:
        upstream.script([Hang()])
        before = time.monotonic()
        head = head_of(gateway, "POST", "/v1/chat/completions", CHAT, {"x-prism-request-timeout": "800"})
    assert (head.status, head.header("x-prism-timeout-ms")) == (504, "800")
    assert time.monotonic() - before < 5
