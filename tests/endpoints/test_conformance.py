"""Every row of both tables refuses alike what it cannot serve: in the caller's dialect, before any upstream is asked.

A new row is tested by being in its table. What only JSON rows refuse is in test_inference.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, get_args

import pytest

from proxy.config.tree import Capability, Config, Kind, Model, Upstream
from proxy.endpoints.table import ROWS, Row, dialect_at, endpoint_of
from proxy.resources.spec import ResourceRow
from proxy.resources.table import RESOURCE_ROWS
from tests.fakes import Head, RawClient, ScriptedUpstream, json_answer
from tests.resources.samples import record_owner
from tests.serving import ALIAS, KEY, UPSTREAM_MODEL, RunningGateway, simple_config

AnyRow = Row | ResourceRow

EVERY_ROW: tuple[AnyRow, ...] = (*ROWS, *RESOURCE_ROWS)
FORM_ROWS = [row for row in ROWS if row.body != "json"]
LIMIT = 20_000
MINE = "obj_mine"
SECOND_KEY = "prom_sk_another_key_of_the_same_gateway"
BOUNDARY = b"b0undary"
FORM = f"multipart/form-data; boundary={BOUNDARY.decode()}"
END = b"--" + BOUNDARY + b"--\r\n"
#: One alias for each capability.
ALIASES: dict[Capability, str] = {capability: f"only-{capability}" for capability in get_args(Capability)}


def name_of(row: object) -> str:
    assert isinstance(row, Row | ResourceRow)
    return f"{row.method} {row.path}"


def rows(*which: AnyRow) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("row", which, ids=name_of)


def config_over(folder: Path, base_url: str) -> Config:
    """Aliases of every capability that speak every dialect: nothing is refused for want of an upstream."""
    config = simple_config(folder, base_url, server={"max_body_bytes": LIMIT})
    kinds: tuple[Kind, ...] = ("anthropic", "gemini")
    spoken: dict[str, Upstream] = {kind: Upstream(kind=kind, base_url=base_url, warm_connections=0) for kind in kinds}
    targets = [f"{name}/{UPSTREAM_MODEL}" for name in ("vendor1", *kinds)]
    models = {alias: Model(capability=capability, targets=targets) for capability, alias in ALIASES.items()}
    return Config(server=config.server, upstreams={**config.upstreams, **spoken}, models={**config.models, **models})


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[RunningGateway, ScriptedUpstream]]:
    folder = tmp_path_factory.mktemp("gateway")
    with ScriptedUpstream() as upstream, RunningGateway(config_over(folder, upstream.base_url)) as running:
        record_owner(running, MINE, alias=ALIAS)
        running.add_key("second", SECOND_KEY)
        yield running, upstream


@pytest.fixture
def gateway(asked: tuple[RunningGateway, ScriptedUpstream]) -> Iterator[RunningGateway]:
    """A gateway that only refuses: nothing reaches its upstream."""
    running, upstream = asked
    before = len(upstream.requests)
    yield running
    assert [request.target for request in upstream.requests[before:]] == []


# a request that would be served


def alias_for(row: AnyRow) -> str:
    """An alias that the row takes."""
    return ALIASES[min(row.capabilities)] if isinstance(row, Row) else ALIAS


def path_of(row: AnyRow, model: str | None = None, id_: str = MINE) -> str:
    path = row.path.replace("{model}", alias_for(row) if model is None else model)
    if isinstance(row, ResourceRow):
        for name in row.ids:
            path = path.replace(f"{{{name}}}", id_)
    return path


def part(name: str, value: str) -> bytes:
    lines = f'--{BOUNDARY.decode()}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
    return lines.encode()


def takes_form(row: AnyRow) -> bool:
    return row.body in ("form", "file", "form or json")


#: Forms of objects in which a field decides where they go: the others go on from their first byte.
DECIDED_FORMS = [row for row in RESOURCE_ROWS if takes_form(row) and (row.body == "file" or row.model != "none")]


def names_model(row: AnyRow) -> bool:
    """Whether a body of the row may have a `model`."""
    return row.model in ("body", "may", "must")


def body_of(row: AnyRow, model: str | None) -> tuple[bytes, str]:
    """A body with this model, where the row has one; and its content type."""
    if takes_form(row):
        fields = part("purpose", "assistants") + part("prompt", "a cat")
        return (part("model", model) if model is not None and names_model(row) else b"") + fields + END, FORM
    fields_ = {"model": model} if model is not None and names_model(row) else {}
    return json.dumps(fields_).encode(), "application/json"


def served(row: AnyRow) -> tuple[bytes, dict[str, str]]:
    """Body and headers of a request that is right but for what the test changes."""
    body, kind = body_of(row, alias_for(row))
    return (body, {"content-type": kind}) if row.body != "none" else (b"", {})


# what an answer must be


def in_dialect(name: str, answer: Head, error: Any) -> str:
    """Check that an error has the shape of a dialect; return its message."""
    request_id = answer.header("x-request-id")
    assert request_id is not None
    assert request_id.startswith("req_")
    assert answer.header("content-type") == "application/json"
    if name == "anthropic":
        assert set(error) == {"type", "error", "request_id"}
        assert (error["type"], error["request_id"]) == ("error", request_id)
        assert set(error["error"]) == {"type", "message"}
        assert error["error"]["type"].endswith(("_error", "request_too_large"))
    elif name == "gemini":
        assert set(error) == {"error"}
        assert set(error["error"]) == {"code", "message", "status", "details"}
        assert error["error"]["code"] == answer.status
        assert error["error"]["status"].isupper()
        assert error["error"]["details"][0]["requestId"] == request_id
    else:
        assert set(error) == {"error", "request_id", "timestamp"}
        assert error["request_id"] == request_id
        assert set(error["error"]) == {"message", "type", "param", "code"}
        assert error["error"]["type"] == "invalid_request_error"
    message = error["error"]["message"]
    assert message
    assert "vendor" not in message
    return str(message)


def goes_on(client: RawClient, answer: Head) -> None:
    """The connection serves the next request, or says that it closes and does."""
    if (answer.header("connection") or "").lower() == "close":
        assert client.read_all() == b""
        return
    client.request("GET", "/livez")
    assert client.read_answer()[0].status == 200


def dialect_of(row: AnyRow) -> str:
    return row.dialect.name if isinstance(row, Row) else "openai"


def refusal(
    gateway: RunningGateway,
    row: AnyRow,
    body: bytes = b"",
    headers: Mapping[str, str] | None = None,
    *,
    method: str = "",
    path: str = "",
) -> tuple[Head, str]:
    """Ask, and check everything that holds for each refusal; the answer's head and the error's message."""
    target = path or path_of(row)
    given = {"authorization": f"Bearer {KEY}"} if headers is None or "authorization" not in headers else {}
    with gateway.client() as client:
        client.request(method or row.method, target, body, {**given, **(headers or {})})
        answer, got = client.read_answer()
        assert got.complete
        assert 400 <= answer.status < 500, got.payload
        # What is no row's path any more may be nearer to another one's.
        name = dialect_at(target).name if path else dialect_of(row)
        message = in_dialect(name, answer, json.loads(got.payload))
        goes_on(client, answer)
    return answer, message


def test_every_row_would_be_served_but_for_what_these_tests_change(
    asked: tuple[RunningGateway, ScriptedUpstream],
) -> None:
    """Else the rest of this file would prove little."""
    running, upstream = asked
    for row in ROWS:
        before = len(upstream.requests)
        upstream.script(json_answer({}))
        body, headers = served(row)
        with running.client() as client:
            client.request(row.method, path_of(row), body, {"authorization": f"Bearer {KEY}", **headers})
            assert client.read_answer()[0].status == 200, row.path
        assert len(upstream.requests) == before + 1


# keys


@rows(*EVERY_ROW)
@pytest.mark.parametrize(
    ("credential", "status"),
    [
        ({"authorization": ""}, 401),
        ({"authorization": "Bearer prom_sk_wrong"}, 401),
        ({"authorization": f"Basic {KEY}"}, 401),
        ({"authorization": f"Bearer {KEY}", "x-api-key": SECOND_KEY}, 400),
        ({"authorization": "Bearer prom_sk_wrong", "x-api-key": "sk-ant-stale"}, 401),
        ({"authorization": "Bearer \xff\xfe"}, 401),
    ],
    ids=["empty", "wrong", "basic", "two", "two wrong", "8-bit"],
)
def test_a_request_without_the_right_key_is_refused(
    gateway: RunningGateway, row: AnyRow, credential: dict[str, str], status: int
) -> None:
    body, kind = body_of(row, alias_for(row))
    answer, message = refusal(gateway, row, body, {**credential, "content-type": kind})
    assert answer.status == status
    assert "API key" in message


# models


@rows(*ROWS)
def test_an_alias_of_another_capability_is_refused_with_the_endpoint_to_use(gateway: RunningGateway, row: Row) -> None:
    belongs = endpoint_of()
    for capability, alias in ALIASES.items():
        if capability in row.capabilities:
            continue
        body, kind = body_of(row, alias)
        answer, message = refusal(gateway, row, body, {"content-type": kind}, path=path_of(row, alias))
        assert answer.status == 400
        assert message.endswith(f"Use it with {belongs[capability]}.")


@rows(*(row for row in EVERY_ROW if row.model != "none"))
@pytest.mark.parametrize("model", ["only-chatt", "gpt-5", UPSTREAM_MODEL, f"vendor1/{UPSTREAM_MODEL}", "..", "é" * 50])
def test_an_unknown_model_does_not_exist(gateway: RunningGateway, row: AnyRow, model: str) -> None:
    if row.model == "path" and ("/" in model or not model.isascii()):
        return
    body, kind = body_of(row, model)
    with gateway.client() as client:
        headers = {"authorization": f"Bearer {KEY}", "content-type": kind}
        client.request(row.method, path_of(row, model), body, headers)
        answer, got = client.read_answer()
        error = json.loads(got.payload)["error"]
        assert answer.status == (400 if row.path.startswith("/v1/responses") else 404)
        assert error["message"].startswith(f"The model `{model}` does not exist or you do not have access to it.")
        if dialect_of(row) == "openai":
            assert (error["param"], error["code"]) == ("model", "model_not_found")
        goes_on(client, answer)


@rows(*(row for row in EVERY_ROW if row.model in ("body", "must")))
def test_a_request_without_a_model_is_refused(gateway: RunningGateway, row: AnyRow) -> None:
    body, kind = body_of(row, None)
    answer, message = refusal(gateway, row, body, {"content-type": kind})
    assert answer.status == 400
    assert "model" in message


# bodies


@rows(*(row for row in EVERY_ROW if row.body != "none"))
@pytest.mark.parametrize("kind", ["text/plain", "application/xml", "application/x-www-form-urlencoded", "json", ""])
def test_a_body_of_another_type_is_refused(gateway: RunningGateway, row: AnyRow, kind: str) -> None:
    body, _ = body_of(row, alias_for(row))
    answer, message = refusal(gateway, row, body, {"content-type": kind})
    assert answer.status == 400
    assert "content type" in message


@rows(*ROWS, *DECIDED_FORMS, *(row for row in RESOURCE_ROWS if row.body == "json" and row.model == "must"))
def test_an_empty_body_is_refused(gateway: RunningGateway, row: AnyRow) -> None:
    _, kind = body_of(row, None)
    answer, _ = refusal(gateway, row, b"", {"content-type": kind})
    assert answer.status == 400


@rows(*FORM_ROWS, *DECIDED_FORMS)
def test_a_form_that_is_cut_before_what_decides_is_refused(gateway: RunningGateway, row: AnyRow) -> None:
    body, _ = body_of(row, alias_for(row))
    decided = body.index(b"\r\n\r\n") + 6
    for size in (1, 10, len(BOUNDARY) + 4, body.index(b"\r\n\r\n"), decided):
        answer, _ = refusal(gateway, row, body[:size], {"content-type": FORM})
        assert answer.status == 400


@rows(*(row for row in EVERY_ROW if takes_form(row)))
@pytest.mark.parametrize("kind", ["multipart/form-data", "multipart/form-data; boundary=", "multipart/form-data; x=y"])
def test_a_form_without_a_boundary_is_refused(gateway: RunningGateway, row: AnyRow, kind: str) -> None:
    body, _ = body_of(row, alias_for(row))
    answer, message = refusal(gateway, row, body, {"content-type": kind})
    assert answer.status == 400
    assert "boundary" in message or "content type" in message


@rows(*(row for row in EVERY_ROW if takes_form(row) and names_model(row)))
def test_two_models_in_a_form_are_refused(gateway: RunningGateway, row: AnyRow) -> None:
    alias = alias_for(row)
    body = part("model", alias) + part("model", alias) + END
    answer, message = refusal(gateway, row, body, {"content-type": FORM})
    assert answer.status == 400
    assert "model" in message


@rows(*FORM_ROWS, *RESOURCE_ROWS)
def test_a_body_that_is_too_large_is_refused_by_its_announcement(gateway: RunningGateway, row: AnyRow) -> None:
    _, kind = body_of(row, None)
    size = 2**40 if isinstance(row, ResourceRow) else LIMIT + 1
    answer, message = refusal(gateway, row, b"", {"content-type": kind, "content-length": str(size)})
    assert answer.status == 413
    assert "larger than" in message


@rows(*FORM_ROWS)
def test_a_file_without_an_announced_size_is_refused_once_it_is_too_large(gateway: RunningGateway, row: AnyRow) -> None:
    """The file comes before the model, as clients send it: so far nobody knows where it would go."""
    head = f"{row.method} {path_of(row)} HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {KEY}\r\ncontent-type: {FORM}\r\n"
    name = b'Content-Disposition: form-data; name="file"; filename="a"'
    begin = b"--%b\r\n%b\r\n\r\n" % (BOUNDARY, name)
    with gateway.client() as client:
        client.send(f"{head}transfer-encoding: chunked\r\n\r\n".encode())
        for piece in (begin, b"a" * LIMIT):
            client.send(b"%x\r\n%b\r\n" % (len(piece), piece))
        answer, got = client.read_answer()
        assert answer.status == 413
        assert str(LIMIT) in in_dialect(dialect_of(row), answer, json.loads(got.payload))
        assert answer.header("connection") == "close"


# methods and paths


@rows(*EVERY_ROW)
def test_another_method_is_refused_with_those_to_use(gateway: RunningGateway, row: AnyRow) -> None:
    allowed = {one.method for one in EVERY_ROW if one.path == row.path}
    for method in ("PUT", "PATCH", "OPTIONS", "TRACE"):
        answer, message = refusal(gateway, row, method=method)
        assert answer.status == 405
        assert {one.strip() for one in (answer.header("allow") or "").split(",")} == allowed
        assert message.startswith(f"{method} ")


@rows(*EVERY_ROW)
def test_a_head_request_is_refused_without_a_body(gateway: RunningGateway, row: AnyRow) -> None:
    with gateway.client() as client:
        client.request("HEAD", path_of(row), headers={"authorization": f"Bearer {KEY}"})
        answer = client.read_head()
        assert answer.status == 405
        goes_on(client, answer)


TRICKS = ["..", "%2e%2e", "%2e%2e%2fmodels", "a%2fb", "%00", "a%00", "%0d%0aa:b", "%ff", "%c3%a9", "%5c", "a%20b", "%"]


@rows(*(row for row in EVERY_ROW if "{" in row.path))
def test_what_is_no_id_and_no_model_is_not_found(gateway: RunningGateway, row: AnyRow) -> None:
    for trick in TRICKS:
        answer, _ = refusal(gateway, row, *served(row), path=path_of(row, trick, trick))
        assert answer.status in (404, 405), trick


ENDS = ["/.", "/..", "/../models", "/%2e%2e", "%2f", "%00", "%20", ";a=b", "/%ff", "%23"]
BEGINNINGS = ["/.", "/..", "/v1/..", "/%2e", "/v2", "/x"]


@rows(*EVERY_ROW)
def test_what_is_hung_on_a_path_or_put_before_it_leads_nowhere(gateway: RunningGateway, row: AnyRow) -> None:
    for path in (*(path_of(row) + end for end in ENDS), *(begin + path_of(row) for begin in BEGINNINGS)):
        answer, _ = refusal(gateway, row, *served(row), path=path)
        assert answer.status in (404, 405), path


@rows(*EVERY_ROW)
@pytest.mark.parametrize("encoded", ["%2f", "%2F", "letter"])
def test_a_path_with_an_encoded_slash_or_letter_is_no_other_path(
    gateway: RunningGateway, row: AnyRow, encoded: str
) -> None:
    """A proxy in front may have rules for paths that it does not decode."""
    words = path_of(row).split("/")[1:]
    for at in range(1, len(words)):
        if encoded == "letter":
            path = "/".join(["", *words[:at], f"%{ord(words[at][0]):02x}{words[at][1:]}", *words[at + 1 :]])
            if "{" in row.path.split("/")[at + 1]:
                continue
        else:
            path = f"/{'/'.join(words[:at])}{encoded}{'/'.join(words[at:])}"
        answer, _ = refusal(gateway, row, *served(row), path=path)
        assert answer.status in (404, 405), path


@rows(*EVERY_ROW)
def test_eight_bit_bytes_in_a_path_are_refused(gateway: RunningGateway, row: AnyRow) -> None:
    with gateway.client() as client:
        client.request(row.method, path_of(row) + "\xe9", headers={"authorization": f"Bearer {KEY}"})
        answer, got = client.read_answer()
        assert got.complete
        assert 400 <= answer.status < 500
        goes_on(client, answer)
