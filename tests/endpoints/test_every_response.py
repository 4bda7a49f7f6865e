"""Every response, whoever made it, has the gateway's always-present headers; the client's timeout takes effect."""

import json
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.exchange.samples import JSON_ANSWER, MESSAGES, STREAM
from tests.exchange.test_internal_faults import break_a_head
from tests.fakes import Hang, Head, ScriptedUpstream, json_answer, sse_answer
from tests.serving import ALIAS, KEY, RunningGateway, needs_patching, simple_config

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


LINES = b"host: x\r\nx-agentcc-trace-id: mine\r\n"
GUARDED: dict[str, tuple[int, bytes]] = {
    "a target that is no path": (400, b"GET /#x HTTP/1.1\r\n" + LINES + b"\r\n"),
    "two hosts": (400, b"GET / HTTP/1.1\r\nhost: y\r\n" + LINES + b"\r\n"),
    "an unknown transfer coding": (501, b"POST / HTTP/1.1\r\n" + LINES + b"transfer-encoding: gzip, chunked\r\n\r\n"),
    "an expectation": (417, b"POST / HTTP/1.1\r\n" + LINES + b"expect: tea\r\n\r\n"),
    "too many headers": (431, b"GET / HTTP/1.1\r\n" + LINES + b"a: b\r\n" * 200 + b"\r\n"),
    "a body that is no chunk": (
        400,
        b"POST /v1/threads HTTP/1.1\r\n" + LINES + b"transfer-encoding: chunked\r\n\r\nx\r\n",
    ),
    "a header that is none": (400, b"GET / HTTP/1.1\r\n" + LINES + b"a: b\r\nno colon\r\n\r\n"),
}


@pytest.mark.parametrize("name", GUARDED)
@pytest.mark.parametrize("first", [True, False], ids=["at first", "behind another request"])
def test_a_refusal_of_malformed_http_has_them_too(gateway: RunningGateway, name: str, first: bool) -> None:
    status, data = GUARDED[name]
    with gateway.client() as client:
        if not first:
            client.request("GET", "/livez", b"", {"x-prism-trace-id": "of another request"})
            client.read_answer()
        client.send(data)
        head, body = client.read_answer()
    assert head.status == status
    assert head.header("x-agentcc-trace-id") == head.header("x-prism-trace-id") == "mine"
    assert head.header("x-request-id") == head.header("x-prism-request-id") == json.loads(body.payload)["request_id"]
    assert (head.header("x-prism-latency-ms") or "").isdigit()


def test_what_is_no_request_at_all_has_them_and_nothing_of_an_earlier_request(gateway: RunningGateway) -> None:
    with gateway.client() as client:
        client.request("GET", "/livez", b"", {"x-agentcc-trace-id": "earlier"})
        client.read_answer()
        client.send(b"\x16\x03\x01\x02\x00\r\n\r\n")
        head, _ = client.read_answer()
    assert head.status == 400
    check(head, "none", twins=False)


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "json"])
def test_a_fault_of_the_gateways_own_has_them_and_the_id_of_its_log_lines(
    gateway: RunningGateway, upstream: ScriptedUpstream, stream: bool
) -> None:
    break_a_head(gateway)
    upstream.script(sse_answer(STREAM) if stream else json_answer(JSON_ANSWER))
    rows = {row.id for row in gateway.rows()}
    head = head_of(gateway, "POST", "/v1/chat/completions", {**CHAT, "stream": stream}, TWINS)
    assert head.status == 500
    check(head, ALIAS, twins=True)
    if not stream:
        # Its bill was written already.
        assert {row.id for row in gateway.rows()} - rows == {head.header("x-request-id")}


@needs_patching
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/threads", "/v1/models"])
def test_a_fault_in_admission_has_them_and_the_id_of_its_row(gateway: RunningGateway, path: str) -> None:
    rows = {row.id for row in gateway.rows()}
    admission = gateway.gateway.admission
    method = "GET" if "models" in path else "POST"
    whole = type(admission).authenticate

    def broken(*_: object) -> None:
        raise KeyError("no such key")

    type(admission).authenticate = broken  # type: ignore[method-assign, assignment]
    try:
        head = head_of(gateway, method, path, None if method == "GET" else {}, TWINS)
    finally:
        type(admission).authenticate = whole  # type: ignore[method-assign]
    assert (head.status, head.header("content-type")) == (500, "application/json")
    check(head, "none", twins=True)
    assert {row.id for row in gateway.rows()} - rows <= {head.header("x-request-id")}


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/threads"])
def test_a_request_ends_within_the_time_that_its_client_gives_it(tmp_path: Path, path: str) -> None:
    with ScriptedUpstream() as upstream, RunningGateway(simple_config(tmp_path, upstream.base_url)) as gateway:
        upstream.script([Hang()])
        before = time.monotonic()
        body = CHAT if "chat" in path else {}
        head = head_of(gateway, "POST", path, body, {"x-prism-request-timeout": "800"})
    assert (head.status, head.header("x-prism-timeout-ms")) == (504, "800")
    assert time.monotonic() - before < 5
