"""Where a path leads, over real sockets: other spellings are served, mistakes told, other methods refused."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from proxy.endpoints.table import ROWS, Row
from proxy.resources.table import RESOURCE_ROWS
from tests.endpoints.test_conformance import ALIASES, AnyRow, config_over, in_dialect, path_of, served
from tests.fakes import Head, ScriptedUpstream, json_answer
from tests.resources.samples import record_owner
from tests.serving import ALIAS, KEY, RunningGateway

MINE = "obj_mine"


@pytest.fixture(scope="module")
def upstream() -> Iterator[ScriptedUpstream]:
    with ScriptedUpstream() as one:
        yield one


@pytest.fixture(scope="module")
def gateway(upstream: ScriptedUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    with RunningGateway(config_over(tmp_path_factory.mktemp("gateway"), upstream.base_url)) as running:
        record_owner(running, MINE, alias=ALIAS)
        yield running


def ask(
    gateway: RunningGateway, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None
) -> tuple[Head, Any]:
    with gateway.client() as client:
        client.request(method, path, body, {"authorization": f"Bearer {KEY}", **(headers or {})})
        answer, got = client.read_answer()
    return answer, json.loads(got.payload)


def spellings(path: str) -> list[str]:
    """What base URLs with too much in them make of a path that is served."""
    version = path.split("/")[1]
    return [f"/{path}", f"{path}/", f"///{path}//", f"/{version}{path}", path.replace(f"/{version}/", f"/{version}//")]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.path)
def test_other_spellings_of_a_row_s_path_are_served(
    gateway: RunningGateway, upstream: ScriptedUpstream, row: Row
) -> None:
    body, headers = served(row)
    azure = [f"/openai{path_of(row)}", f"/openai{path_of(row)[3:]}"] if row.path.startswith("/v1/") else []
    for path in [*spellings(path_of(row)), *azure]:
        upstream.script(json_answer({}))
        answer, _ = ask(gateway, row.method, path, body, headers)
        assert answer.status == 200, path
        (bill,) = [one for one in gateway.rows() if one.id == answer.header("x-request-id")]
        assert bill.endpoint == row.path


@pytest.mark.parametrize("path", ["/v1/models", f"/v1/models/{ALIASES['chat']}", f"/v1/files/{MINE}"])
def test_other_spellings_of_other_paths_are_served(
    gateway: RunningGateway, upstream: ScriptedUpstream, path: str
) -> None:
    for spelled in [path, *spellings(path), f"/openai{path}", f"/openai{path[3:]}"]:
        if "files/" in path:
            upstream.script(json_answer({"id": MINE, "object": "file"}))
        assert ask(gateway, "GET", spelled)[0].status == 200, spelled


@pytest.mark.parametrize("row", [*ROWS, *RESOURCE_ROWS], ids=lambda row: f"{row.method} {row.path}")
def test_another_method_on_another_spelling_is_told_those_to_use(gateway: RunningGateway, row: AnyRow) -> None:
    for path in spellings(path_of(row)):
        answer, error = ask(gateway, "PUT", path)
        assert (answer.status, row.method in (answer.header("allow") or "")) == (405, True), path
        assert error["error"]["message"].startswith(f"PUT {path} is not allowed. Use ")


@pytest.mark.parametrize(
    ("path", "meant", "dialect"),
    [
        ("/chat/completions", "/v1/chat/completions", "openai"),
        ("/v1/chat/completions/chat/completions", "/v1/chat/completions", "openai"),
        ("/v1/messages/v1/messages", "/v1/messages", "anthropic"),
        ("/messages", "/v1/messages", "anthropic"),
        ("/v1/v1beta/models/a:generateContent", "/v1beta/models/a:generateContent", "gemini"),
        ("/files", "/v1/files", "openai"),
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_wrong_base_url_is_told_the_right_one(
    gateway: RunningGateway, path: str, meant: str, dialect: str, method: str
) -> None:
    answer, error = ask(gateway, method, path)
    assert answer.status == 404
    message = in_dialect(dialect, answer, error)
    assert message.startswith(f"Unknown request URL: {method} {path}. Did you mean {meant}? Set the SDK's base URL to ")


def test_an_unknown_path_is_only_repeated(gateway: RunningGateway) -> None:
    answer, error = ask(gateway, "POST", "/v1/nothing%2f%41")
    assert (answer.status, error["error"]["code"]) == (404, "unknown_url")
    assert error["error"]["message"] == "Unknown request URL: POST /v1/nothing%2f%41."


def test_the_address_alone_says_what_is_there(gateway: RunningGateway) -> None:
    with gateway.client() as client:
        client.request("GET", "/")
        answer, body = client.read_answer()
        assert (answer.status, b"/v1" in body.payload) == (200, True)
        client.request("HEAD", "/")
        assert client.read_head().status == 200
        client.request("POST", "/")
        assert client.read_answer()[0].status == 405
