"""What `doctor` finds out about upstreams by asking them, on loopback servers that misbehave as real ones do."""

import asyncio
import json
import socket
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from proxy.cli import checks, probe, verdicts
from proxy.cli.checks import Check
from proxy.config.tree import Kind, Model, Upstream
from tests.cli.conftest import Run
from tests.fakes import Handler, Hang, RecordedRequest, ScriptedUpstream, Step, json_answer
from tests.upstream.proxies import forward_proxy

SECRET = "sk-a-long-secret-7890"
LIST = {"object": "list", "data": [{"id": "real-model", "object": "model"}, {"id": "other-1"}]}


def answering(body: object, status: int = 200, headers: dict[str, str] | None = None) -> Handler:
    return lambda _: json_answer(body, status, headers)


def at(paths: dict[str, int]) -> Handler:
    """Answers these paths with a list of models, and all others as a server does that knows no such path."""

    def handler(request: RecordedRequest) -> Iterable[Step]:
        path = request.target.partition("?")[0]
        status = paths.get(path, 404)
        return json_answer(LIST if status == 200 else {"error": {"message": f"Invalid URL (GET {path})"}}, status)

    return handler


async def found(upstream: Upstream, *models: str) -> list[Check]:
    wanted = {f"alias-{model}": Model(capability="chat", targets=[f"up/{model}"]) for model in models}
    return await checks.upstreams({"up": upstream}, wanted)


def ask(handler: Handler, path: str = "/v1", *models: str, **fields: Any) -> list[Check]:
    with ScriptedUpstream(handler) as server:
        upstream = Upstream(base_url=f"http://127.0.0.1:{server.port}{path}", **{"api_key": SECRET, **fields})
        return asyncio.run(found(upstream, *models))


def one(handler: Handler, path: str = "/v1", *models: str, **fields: Any) -> Check:
    (check,) = ask(handler, path, *models, **fields)
    return check


def test_an_upstream_that_answers_is_ok() -> None:
    check = one(answering(LIST), "/v1", "real-model")
    assert (check.name, check.state) == ("upstream up", "ok")
    assert "/v1/models" in check.message


@pytest.mark.parametrize("status", [401, 403])
@pytest.mark.parametrize("kind", ["compatible", "anthropic", "gemini"])
def test_a_wrong_key_fails_with_its_mend(status: int, kind: Kind) -> None:
    check = one(answering({"error": {"message": f"Incorrect API key provided: {SECRET}"}}, status), kind=kind)
    assert check.state == "fail"
    assert f"refuses the credential (status {status})" in check.message
    assert "api_key" in check.hint
    assert SECRET not in str(check)


def test_a_wrong_key_may_be_a_400() -> None:
    answer = {"error": {"code": 400, "message": "API key not valid. Please pass a valid API key."}}
    assert "refuses the credential" in one(answering(answer, 400), kind="gemini").message


def test_no_key_at_all_is_told_as_such() -> None:
    check = one(answering({}, 401), kind="openai", api_key="")
    assert "there is none" in check.message
    assert check.hint == 'api_key = "${OPENAI_API_KEY}"'


def test_a_key_that_may_only_not_list_models_is_a_warning() -> None:
    answer = {"error": {"message": "You have insufficient permissions. Missing scopes: api.model.read."}}
    assert one(answering(answer, 403)).state == "warn"


@pytest.mark.parametrize("there", [200, 401])
@pytest.mark.parametrize(
    ("path", "real", "kind"),
    [
        ("", "/v1", "compatible"),
        ("", "/v1", "openai"),
        ("", "/v1beta", "gemini"),
        ("/v1/chat/completions", "/v1", "compatible"),
        ("/v1/messages", "/v1", "anthropic"),
        ("/v1/v1", "/v1", "compatible"),
        ("/api", "/api/v1", "compatible"),
        ("/wrong", "/v1", "compatible"),
    ],
)
def test_a_wrong_address_fails_with_the_one_that_answers(path: str, real: str, kind: Kind, there: int) -> None:
    check = one(at({f"{real}/models": there}), path, kind=kind)
    assert check.state == "fail"
    assert "404" in check.message
    assert check.hint.startswith('base_url = "http://127.0.0.1:')
    assert check.hint.split('"')[1].endswith(real)
    assert not check.hint.split('"')[1].endswith(f"{real}{real}")


def test_a_web_page_is_no_api() -> None:
    def handler(request: RecordedRequest) -> Iterable[Step]:
        if request.target == "/v1/models":
            return json_answer(LIST)
        return json_answer(b"\n<!doctype html>", headers={"content-type": "text/html"})

    check = one(handler, "")
    assert (check.state, "a web page" in check.message, "/v1" in check.hint) == ("fail", True, True)


def test_an_address_that_is_odd_fails_where_nothing_else_answers() -> None:
    check = one(at({}), "/v1/chat/completions")
    assert (check.state, check.hint.endswith('/v1"')) == ("fail", True)


def test_a_provider_without_a_list_of_models_is_no_failure() -> None:
    assert one(at({})).state == "warn"
    assert one(at({}), kind="perplexity").state == "ok"


@pytest.mark.parametrize(("status", "state"), [(429, "warn"), (500, "fail"), (503, "fail"), (302, "fail")])
def test_other_statuses_are_told(status: int, state: str) -> None:
    check = one(answering({}, status, {"location": "https://elsewhere.example/v1"}))
    assert (check.state, str(status) in check.message) == (state, True)
    assert check.hint


# models


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (LIST, "compatible"),
        ({"models": [{"name": "models/real-model"}]}, "gemini"),
        ({"data": [{"type": "model", "id": "real-model"}], "has_more": False}, "anthropic"),
        ([{"id": "real-model"}], "together"),
    ],
)
def test_a_model_that_is_not_listed_is_a_warning(body: object, kind: Kind) -> None:
    ok, warning = ask(answering(body), "/v1", "real-model", "real-modle", kind=kind)
    assert (ok.state, warning.state) == ("ok", "warn")
    assert 'no model "real-modle", which alias-real-modle asks for' in warning.message
    assert warning.hint == 'did you mean "real-model"?'


@pytest.mark.parametrize(
    "body",
    [
        {"data": [{"id": "a"}], "has_more": True},
        {"models": [{"name": "models/a"}], "nextPageToken": "x"},
        {"data": []},
        {"data": "none"},
        {},
        b"not json",
        [1, None],
    ],
)
def test_a_list_that_is_not_whole_tells_nothing(body: object) -> None:
    assert one(answering(body), "/v1", "real-model").state == "ok"


@pytest.mark.parametrize(
    ("listed", "model"),
    [
        ("claude-sonnet-4-5-20250929", "claude-sonnet-4-5"),
        ("gpt-4o-2024-08-06", "gpt-4o"),
        ("gpt-4o", "gpt-4o-2024-08-06"),
        ("qwen3:latest", "qwen3"),
    ],
)
def test_a_date_makes_no_other_model(listed: str, model: str) -> None:
    assert one(answering({"data": [{"id": listed}]}), "/v1", model).state == "ok"


# no answer


def serving(talk: Callable[[socket.socket], None], scheme: str = "http") -> Check:
    """What is found about a server that speaks as `talk` does."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def run() -> None:
            for _ in range(2):
                connection, _ = server.accept()
                with connection:
                    talk(connection)

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        upstream = Upstream(base_url=f"{scheme}://127.0.0.1:{server.getsockname()[1]}/v1", api_key=SECRET)
        (check,) = asyncio.run(found(upstream))
        thread.join(5)
    return check


def other_words(connection: socket.socket) -> None:
    if connection.recv(4096):
        connection.sendall(b"SSH-2.0-OpenSSH_9.2\r\n")


def no_words(connection: socket.socket) -> None:
    connection.recv(4096)


def test_what_is_no_http_is_told() -> None:
    check = serving(other_words)
    assert (check.state, "does not answer in HTTP" in check.message) == ("fail", True)


def test_a_server_that_hangs_up_may_want_tls() -> None:
    check = serving(no_words)
    assert (check.state, "https://" in check.hint) == ("fail", True)


def test_a_server_without_tls_is_told() -> None:
    check = serving(other_words, "https")
    assert (check.state, "does not speak TLS" in check.message) == ("fail", True)
    assert "http://" in check.hint


def test_a_certificate_that_is_not_trusted_is_told_with_its_mend() -> None:
    with ScriptedUpstream(answering(LIST), tls=True) as server:
        upstream = Upstream(base_url=f"https://127.0.0.1:{server.port}/v1", api_key=SECRET)
        (check,) = asyncio.run(found(upstream))
    assert (check.state, "certificate that is not trusted" in check.message) == ("fail", True)
    assert "ca_file" in check.hint
    assert "_ssl" not in check.message


def test_many_upstreams_are_asked_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "RESPONSE_SECONDS", 1.0)
    with ScriptedUpstream(lambda _: [Hang()]) as server:
        upstream = Upstream(base_url=f"http://127.0.0.1:{server.port}/v1")
        started = time.monotonic()
        found = asyncio.run(checks.upstreams({f"u{number}": upstream for number in range(10)}))
        assert time.monotonic() - started < 8
    assert [check.name for check in found] == [f"upstream u{number}" for number in range(10)]


def test_doctor_asks_and_fails(run: Run, folder: Path) -> None:
    with ScriptedUpstream(answering({}, 401)) as server:
        text = f'[upstreams.u]\nbase_url = "http://127.0.0.1:{server.port}/v1"\napi_key = "{SECRET}"\n'
        (folder / "prometheus.toml").write_text(text + '[models.m]\ncapability = "chat"\ntargets = ["u/x"]\n')
        result = run("doctor")
        document = json.loads(run("doctor", "--json").stdout)
    assert result.exit_code == 1
    assert "fail  upstream u: refuses the credential (status 401)" in result.stdout
    assert SECRET not in result.output
    assert document["ok"] is False
    assert msgspec.convert(document["checks"][-1], Check).state == "fail"


def test_an_upstream_s_words_move_nothing_on_the_terminal(run: Run, folder: Path) -> None:
    with ScriptedUpstream(answering({"data": [{"id": "model-\x1b[2J\x9b2J"}]})) as server:
        text = f'[upstreams.u]\nbase_url = "http://127.0.0.1:{server.port}/v1"\n'
        (folder / "prometheus.toml").write_text(text + '[models.m]\ncapability = "chat"\ntargets = ["u/model-1"]\n')
        result = run("doctor")
    assert 'lists no model "model-1"' in result.stdout
    assert result.stdout.replace("\n", "").isprintable()


def test_a_proxy_that_lets_nothing_through_is_what_is_to_be_checked() -> None:
    async def main() -> Check:
        async with forward_proxy(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n") as proxy:
            address = f"http://user:{SECRET}@127.0.0.1:{proxy.port}"
            (check,) = await found(Upstream(base_url="https://vendor.test/v1", proxy=address, api_key=SECRET))
            return check

    check = asyncio.run(main())
    assert (check.state, check.hint.startswith("check proxy")) == ("fail", True)
    assert "status 407" in check.message
    assert SECRET not in check.message


def test_a_slow_upstream_is_a_warning_with_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verdicts, "SLOW_SECONDS", 0.0)
    with ScriptedUpstream() as upstream:
        upstream.script(json_answer({"object": "list", "data": []}))
        (found,) = asyncio.run(verdicts.check_models("u", Upstream(base_url=upstream.base_url), {}))
    assert found.state == "warn"
    assert " ms" in found.message
    assert "network" in found.hint


def test_each_key_of_an_upstream_is_tried() -> None:
    def handler(request: RecordedRequest) -> Iterable[Step]:
        is_good = dict(request.headers)["authorization"] == f"Bearer {SECRET}"
        return json_answer(LIST if is_good else {"error": {"message": "no"}}, 200 if is_good else 401)

    with ScriptedUpstream(handler) as upstream:
        keys = [SECRET, "sk-another-secret-1234"]
        checked = asyncio.run(found(Upstream(base_url=upstream.base_url, api_keys=keys), "real-model"))
    assert [(check.name, check.state) for check in checked] == [("upstream up#1", "ok"), ("upstream up#2", "fail")]
    assert "its api_key is wrong" in checked[1].hint
