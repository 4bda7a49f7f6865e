"""The docs page and its twins over HTTP: who gets what, and what a cache may keep."""

import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import msgspec
import pytest

from proxy.auth.accounts import Account
from proxy.config.tree import Limits, Model
from tests.fakes import ScriptedUpstream
from tests.pages.serving import reader, session_of
from tests.policies.budgeting import budget, config_of, give_accounts
from tests.serving import ALIAS, KEY, UPSTREAM_MODEL, RunningGateway

OTHER = "prom_sk_other_key_that_is_long_enough_for_everybody"
PATHS = ("/", "/index.md", "/agent-spec.md", "/llms.txt", "/errors", "/errors.md")
SECRET_ALIAS = "for-nobody-else"


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    with ScriptedUpstream() as upstream:
        config = config_of(
            tmp_path_factory.mktemp("data"), upstream.base_url, {"hers": budget("77.77", keys=["other"])}
        )
        models = {**config.models, SECRET_ALIAS: Model(capability="chat", targets=[f"vendor1/{UPSTREAM_MODEL}"])}
        default = Limits(requests="432/h")
        with RunningGateway(msgspec.structs.replace(config, models=models, limits={"default": default})) as running:
            running.add_key("other", OTHER)
            running.call(lambda one: one.keys.remember("test", KEY, [ALIAS]))
            money = Account("key", "key_1", "test", budgets=(budget("5.25"),))
            give_accounts(running, money, id="key_1")
            yield running


def get(gateway: RunningGateway, path: str, key: str | None = None, **headers: str) -> httpx.Response:
    sent = {"accept": "*/*", **headers, **({"authorization": f"Bearer {key}"} if key else {})}
    return httpx.get(f"{gateway.url}{path}", headers=sent, trust_env=False)


def test_a_browser_gets_html_and_a_terminal_text(gateway: RunningGateway) -> None:
    with reader(gateway) as client:
        assert client.get("/").headers["content-type"] == "text/html; charset=utf-8"
    response = get(gateway, "/")
    assert response.headers["content-type"] == "text/plain; charset=utf-8"
    assert f"Base URL: {gateway.url}/v1\n" in response.text
    assert "curl -sS" in response.text
    assert len(response.text.splitlines()) < 40


def test_every_page_names_the_address_that_it_was_asked_at(gateway: RunningGateway) -> None:
    for path in PATHS:
        text = get(gateway, path, host="ai.example.com").text
        assert "127.0.0.1" not in text
        assert path.startswith("/errors") or "http://ai.example.com/v1" in text


@pytest.mark.parametrize("path", PATHS)
def test_without_a_key_all_aliases_are_there_and_caches_may_keep_it(gateway: RunningGateway, path: str) -> None:
    response = get(gateway, path)
    assert response.status_code == 200
    assert response.headers["cache-control"] == "public, max-age=60"
    assert {"Accept", "Authorization", "X-Api-Key", "Cookie"} <= set(re.split(", ", response.headers["vary"]))
    assert UPSTREAM_MODEL not in response.text
    assert "vendor1" not in response.text
    assert (SECRET_ALIAS in response.text) == (path in ("/", "/index.md", "/agent-spec.md"))


@pytest.mark.parametrize("path", PATHS)
def test_with_a_key_there_is_what_it_may_use_and_nothing_is_kept(gateway: RunningGateway, path: str) -> None:
    response = get(gateway, path, KEY)
    assert response.headers["cache-control"] == "private, no-store"
    assert SECRET_ALIAS not in response.text
    assert "77.77" not in response.text
    assert "`hers`" not in response.text
    if path in ("/", "/index.md", "/agent-spec.md"):
        assert "432 requests per hour of this key; 432 left now" in response.text
        assert "The budget of this key: $5.25 left of $5.25 per month" in response.text


@pytest.mark.parametrize("path", PATHS)
def test_another_key_sees_its_own(gateway: RunningGateway, path: str) -> None:
    text = get(gateway, path, OTHER).text
    assert "5.25" not in text
    if path in ("/", "/index.md", "/agent-spec.md"):
        assert "$77.77 left of $77.77 per month" in text
        assert SECRET_ALIAS in text


@pytest.mark.parametrize("header", ["x-api-key", "api-key", "x-goog-api-key"])
def test_a_key_is_taken_from_each_header(gateway: RunningGateway, header: str) -> None:
    assert "$5.25 left" in get(gateway, "/agent-spec.md", **{header: KEY}).text


@pytest.mark.parametrize("path", PATHS)
def test_a_key_that_is_not_valid_is_refused_in_words(gateway: RunningGateway, path: str) -> None:
    response = get(gateway, path, "prom_sk_wrong")
    assert (response.status_code, response.json()["error"]["code"]) == (401, "invalid_api_key")
    assert "Check the key" in response.json()["error"]["message"]
    assert response.headers["cache-control"] == "no-store"


def test_what_a_proxy_in_front_sends_is_no_key(gateway: RunningGateway) -> None:
    assert get(gateway, "/index.md", authorization="Basic dXNlcjpwYXNz").status_code == 200


def test_an_owner_who_has_signed_in_sees_the_same_as_with_the_key(gateway: RunningGateway) -> None:
    with reader(gateway, session_of(gateway, KEY)) as client:
        response = client.get("/")
        assert response.headers["cache-control"] == "private, no-store"
        assert "$5.25 left of $5.25 per month" in response.text
        assert SECRET_ALIAS not in response.text
        # A key that is sent wins.
        other = client.get("/", headers={"authorization": f"Bearer {OTHER}"})
        assert "77.77" in other.text
        assert "5.25" not in other.text


def test_an_admin_who_has_signed_in_sees_all_aliases_and_no_key(gateway: RunningGateway) -> None:
    with reader(gateway, session_of(gateway)) as client:
        text = client.get("/").text
    assert SECRET_ALIAS in text
    assert "Your key" not in text


def test_the_list_of_pages_is_in_the_form_of_llmstxt(gateway: RunningGateway) -> None:
    lines = get(gateway, "/llms.txt").text.splitlines()
    assert lines[0].startswith("# ")
    assert lines[2].startswith("> ")
    links = re.findall(r"^- \[[^\]]+\]\(([^)]+)\): .+$", "\n".join(lines), re.MULTILINE)
    assert [link.removeprefix(gateway.url) for link in links] == [
        "/agent-spec.md",
        "/index.md",
        "/errors.md",
        "/v1/models",
    ]


@pytest.mark.parametrize("path", ["/", "/errors"])
def test_every_link_within_the_site_leads_somewhere(gateway: RunningGateway, path: str) -> None:
    with reader(gateway) as client:
        text = client.get(path).text
        ids = set(re.findall(r'id="([^"]+)"', text))
        for link in {link.removeprefix(gateway.url) for link in re.findall(r'(?:href|src)="([^"]+)"', text)}:
            if link.startswith("#"):
                assert link[1:] in ids, link
            else:
                assert client.get(link).status_code == 200, link
        assert len(ids) == len(re.findall(r'id="([^"]+)"', text))


def test_the_page_s_first_paint_is_small(gateway: RunningGateway) -> None:
    with reader(gateway) as client:
        page = client.get("/")
        files = set(re.findall(r'(?:href|src)="(/static/[^"]+)"', page.text))
        assert len(files) == 4
        assert len(page.content) + sum(len(client.get(file).content) for file in files) < 150_000


def test_no_models_are_no_fault(tmp_path: Path) -> None:
    with ScriptedUpstream() as upstream:
        config = msgspec.structs.replace(config_of(tmp_path, upstream.base_url, {}), models={})
        with RunningGateway(config) as running, reader(running) as client:
            assert "No models are configured yet" in client.get("/").text
            assert get(running, "/agent-spec.md").status_code == 200
            assert get(running, "/").status_code == 200
