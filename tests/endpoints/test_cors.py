"""Calls from web pages: what a browser asks before, and what every answer tells it; over real sockets."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from proxy.endpoints.cors import MAX_WANTED_BYTES
from proxy.endpoints.table import ROWS
from proxy.resources.table import RESOURCE_ROWS
from tests.exchange.samples import HELLO, JSON_ANSWER, STOP, begun
from tests.fakes import LAST_CHUNK, Head, ScriptedUpstream, Send, json_answer
from tests.serving import ALIAS, KEY, RunningGateway, simple_config

PAGE = "https://app.example.com"
OTHER_PAGE = "https://evil.example.com"
BODY = b'{"model":"%b","messages":[{"role":"user","content":"hi"}]}' % ALIAS.encode()
CHAT = "/v1/chat/completions"
MODELS = ["/v1/models", f"/v1/models/{ALIAS}"]
PATHS = sorted({row.path for row in (*ROWS, *RESOURCE_ROWS)} | {*MODELS})
#: What belongs to the operator, or to nobody.
OTHERS = ["/", "/livez", "/readyz", "/health", "/admin/keys", "/metrics", "/docs", "/-/reload"]


@pytest.fixture(scope="module")
def upstream() -> Iterator[ScriptedUpstream]:
    with ScriptedUpstream() as one:
        yield one


@pytest.fixture(scope="module")
def gateway(upstream: ScriptedUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    with RunningGateway(simple_config(tmp_path_factory.mktemp("any"), upstream.base_url)) as running:
        yield running


@pytest.fixture(scope="module")
def strict(upstream: ScriptedUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    """A gateway that allows two origins."""
    server = {"cors_origins": [PAGE, "http://localhost:3000"]}
    with RunningGateway(simple_config(tmp_path_factory.mktemp("two"), upstream.base_url, server=server)) as running:
        yield running


@pytest.fixture(scope="module")
def silent(upstream: ScriptedUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    """A gateway that allows none."""
    server: dict[str, object] = {"cors_origins": []}
    with RunningGateway(simple_config(tmp_path_factory.mktemp("none"), upstream.base_url, server=server)) as running:
        yield running


def preflight(gateway: RunningGateway, path: str = CHAT, origin: str = PAGE, **headers: str) -> tuple[Head, bytes]:
    asked = {"origin": origin, "access-control-request-method": "POST"}
    asked |= {name.replace("_", "-"): value for name, value in headers.items()}
    with gateway.client() as client:
        client.request("OPTIONS", path, headers=asked)
        answer, body = client.read_answer()
    return answer, body.payload


def ask(
    gateway: RunningGateway,
    method: str = "POST",
    path: str = CHAT,
    body: bytes = BODY,
    headers: Mapping[str, str] | None = None,
) -> Head:
    """Ask as a page; an empty header is left out."""
    given = {"authorization": f"Bearer {KEY}", "origin": PAGE, **(headers or {})}
    with gateway.client() as client:
        client.request(method, path, body, {name: value for name, value in given.items() if value})
        return client.read_answer()[0]


def cors_of(answer: Head) -> dict[str, str]:
    """The headers of CORS: also what says that a response is another one for another page."""
    return {
        name: value
        for name, value in answer.headers
        if name.startswith("access-control-") or (name == "vary" and "origin" in value.lower())
    }


@pytest.mark.parametrize("path", [*PATHS, "/chat/completions", "/v1/nothing", "//v1/chat/completions"])
def test_a_preflight_is_answered_without_a_key(gateway: RunningGateway, path: str) -> None:
    answer, body = preflight(gateway, path, access_control_request_headers="authorization,content-type,x-stainless-os")
    assert (answer.status, body) == (204, b"")
    assert answer.header("content-length") is None
    assert answer.header("access-control-allow-origin") == "*"
    assert {"POST", "GET", "DELETE"} <= set((answer.header("access-control-allow-methods") or "").split(", "))
    assert answer.header("access-control-allow-headers") == "authorization,content-type,x-stainless-os"
    assert int(answer.header("access-control-max-age") or "") > 0
    assert (answer.header("x-request-id") or "").startswith("req_")


@pytest.mark.parametrize("wanted", [None, "", "a b", "a,,b", "a\xe9", ",", "x" * (MAX_WANTED_BYTES + 1)])
def test_headers_that_no_browser_asks_for_are_not_repeated(gateway: RunningGateway, wanted: str | None) -> None:
    headers = {} if wanted is None else {"access_control_request_headers": wanted}
    allowed = preflight(gateway, **headers)[0].header("access-control-allow-headers")
    assert allowed == "authorization, content-type, x-api-key"


def test_neither_credentials_nor_private_networks_are_granted(gateway: RunningGateway) -> None:
    answer, _ = preflight(gateway, access_control_request_private_network="true")
    assert answer.status == 204
    assert not any("credentials" in name or "private-network" in name for name, _ in answer.headers)


@pytest.mark.parametrize("path", OTHERS)
def test_what_is_not_for_clients_is_not_for_pages(gateway: RunningGateway, path: str) -> None:
    answer, _ = preflight(gateway, path)
    assert (answer.status, cors_of(answer)) == (answer.status, {})
    assert answer.status in (401, 404, 405)
    assert cors_of(ask(gateway, "GET", path, b"")) == {}


def test_options_without_a_page_s_question_is_another_method(gateway: RunningGateway) -> None:
    with gateway.client() as client:
        client.request("OPTIONS", CHAT)
        answer, _ = client.read_answer()
        assert (answer.status, answer.header("allow")) == (405, "POST")
        client.request("OPTIONS", CHAT, headers={"origin": PAGE})
        answer, _ = client.read_answer()
        assert (answer.status, answer.header("allow")) == (405, "POST")


def exposed(answer: Head) -> set[str]:
    return set((answer.header("access-control-expose-headers") or "").split(", "))


def test_an_answer_may_be_read_by_any_page(gateway: RunningGateway, upstream: ScriptedUpstream) -> None:
    upstream.script(json_answer(JSON_ANSWER))
    answer = ask(gateway)
    assert (answer.status, answer.header("access-control-allow-origin")) == (200, "*")
    assert answer.header("vary") is None
    own = {name.lower() for name, _ in answer.headers if name.lower().startswith("x-")}
    assert own | {"retry-after", "x-ratelimit-remaining-requests", "*"} <= exposed(answer)


def test_a_stream_may_be_read_too(gateway: RunningGateway, upstream: ScriptedUpstream) -> None:
    upstream.script([*begun(HELLO, STOP), Send(LAST_CHUNK)])
    answer = ask(gateway, body=BODY[:-1] + b',"stream":true}')
    assert (answer.status, answer.header("access-control-allow-origin")) == (200, "*")
    assert "x-request-id" in exposed(answer)


@pytest.mark.parametrize(
    ("method", "path", "headers", "status"),
    [
        ("POST", CHAT, {"authorization": ""}, 401),
        ("POST", CHAT, {"content-type": "text/plain"}, 400),
        ("GET", CHAT, {}, 405),
        ("GET", "/v1/models", {}, 200),
        ("GET", "/v1/models", {"authorization": ""}, 401),
        ("GET", "/v1/models/nothing", {}, 404),
        ("GET", "/v1/files/file-nothing", {}, 404),
        ("GET", "/v1/files/file-nothing", {"authorization": ""}, 401),
        ("POST", "/v1/nothing", {}, 404),
        ("POST", "/chat/completions", {}, 404),
        ("POST", "/v1beta/models/nothing:generateContent", {}, 404),
        ("POST", "//v1/chat/completions", {"authorization": ""}, 401),
        ("POST", "/openai/deployments/nothing/chat/completions", {}, 404),
    ],
)
def test_errors_and_lists_may_be_read_too(
    gateway: RunningGateway, method: str, path: str, headers: dict[str, str], status: int
) -> None:
    answer = ask(gateway, method, path, headers=headers)
    assert (answer.status, answer.header("access-control-allow-origin")) == (status, "*")
    assert {"x-request-id", "retry-after"} <= exposed(answer)
    assert [name for name, _ in answer.headers].count("access-control-allow-origin") == 1


def test_without_an_origin_nothing_is_added(gateway: RunningGateway) -> None:
    for path in (CHAT, "/v1/models"):
        assert cors_of(ask(gateway, "GET", path, headers={"origin": ""})) == {}


@pytest.mark.parametrize("origin", [PAGE, "http://localhost:3000"])
def test_an_allowed_origin_is_repeated(strict: RunningGateway, origin: str) -> None:
    answer, _ = preflight(strict, origin=origin)
    assert (answer.status, answer.header("access-control-allow-origin"), answer.header("vary")) == (
        204,
        origin,
        "origin",
    )
    answer = ask(strict, "GET", "/v1/models", headers={"origin": origin})
    assert (answer.header("access-control-allow-origin"), answer.header("vary")) == (origin, "origin")


@pytest.mark.parametrize(
    "origin", [OTHER_PAGE, f"{PAGE}:444", f"{PAGE}.evil.com", "http://app.example.com", "null", "*", f"{PAGE}, {PAGE}"]
)
def test_another_origin_is_not(strict: RunningGateway, origin: str) -> None:
    answer, _ = preflight(strict, origin=origin)
    assert (answer.status, cors_of(answer)) == (403, {"vary": "origin"})
    answer = ask(strict, "GET", "/v1/models", headers={"origin": origin})
    assert (answer.status, cors_of(answer)) == (200, {"vary": "origin"})


def test_no_origins_turn_it_off(silent: RunningGateway) -> None:
    answer, _ = preflight(silent)
    assert (answer.status, answer.header("allow"), cors_of(answer)) == (405, "POST", {})
    assert cors_of(ask(silent, "GET", "/v1/models")) == {}
    assert cors_of(ask(silent, body=b"{}")) == {}


def test_a_reload_changes_it_for_connections_that_are_open_too(tmp_path: Path, upstream: ScriptedUpstream) -> None:
    sent = f"POST {CHAT} HTTP/1.1\r\nhost: h\r\norigin: {PAGE}\r\ncontent-length: 2\r\n\r\n{{}}".encode()
    with RunningGateway(simple_config(tmp_path, upstream.base_url)) as running, running.client() as client:

        def allowed() -> str | None:
            client.send(sent)
            return client.read_answer()[0].header("access-control-allow-origin")

        assert [allowed() for _ in range(4)] == ["*"] * 4
        running.reload(simple_config(tmp_path, upstream.base_url, server={"cors_origins": [PAGE]}))
        assert allowed() == PAGE
        running.reload(simple_config(tmp_path, upstream.base_url, server={"cors_origins": [OTHER_PAGE]}))
        assert allowed() is None
