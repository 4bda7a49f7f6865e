"""Signing in and out, as a browser does it and as others try to."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from proxy.cli.dashboard import sign_in_link
from proxy.config.tree import Admin, Config
from proxy.pages.cookies import COOKIE
from proxy.pages.session_store import MAX_ATTEMPTS_PER_CLIENT
from proxy.server.listener import bind_text
from tests.fakes import ScriptedUpstream
from tests.pages.browser import Browser
from tests.pages.serving import csrf_of, reader, session_of
from tests.serving import KEY, RunningGateway, simple_config

SIGN_IN = "/dashboard/sign-in"


def config_of(tmp_path: Path, **admin: Any) -> Config:
    config = simple_config(tmp_path, "http://127.0.0.1:9")
    return Config(server=config.server, upstreams=config.upstreams, models=config.models, admin=Admin(**admin))


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[RunningGateway]:
    with ScriptedUpstream() as upstream, RunningGateway(simple_config(tmp_path, upstream.base_url)) as running:
        yield running


def post(
    client: httpx.Client, path: str = SIGN_IN, headers: dict[str, str] | None = None, **form: str
) -> httpx.Response:
    return client.post(path, data=form, headers=headers)


def test_a_key_signs_in_and_goes_where_it_was_going(gateway: RunningGateway) -> None:
    with reader(gateway) as client:
        response = post(client, secret=f" {KEY} ", next="/dashboard/keys?since=7d")
    cookie = response.headers["set-cookie"]
    assert (response.status_code, response.headers["location"]) == (303, "/dashboard/keys?since=7d")
    assert "HttpOnly; SameSite=Lax" in cookie
    assert KEY not in cookie


def test_a_wrong_secret_is_refused_and_not_repeated(gateway: RunningGateway) -> None:
    with reader(gateway) as client:
        response = post(client, secret="wrong<secret>")
    assert (response.status_code, "set-cookie" in response.headers) == (401, False)
    assert "This is not a valid key or admin token." in response.text
    assert "wrong" not in response.text


def test_guessing_is_stopped(gateway: RunningGateway) -> None:
    with reader(gateway) as client:
        for _ in range(MAX_ATTEMPTS_PER_CLIENT):
            post(client, secret="wrong")
        response = post(client, secret="wrong")
    assert (response.status_code, response.headers["retry-after"]) == (429, "60")


def test_no_other_place_is_gone_to(gateway: RunningGateway) -> None:
    with reader(gateway) as client:
        assert post(client, secret=KEY, next="//evil.example").headers["location"] == "/dashboard"
        assert 'name="next" value="/dashboard"' in client.get(SIGN_IN, params={"next": "//evil.example"}).text


@pytest.mark.parametrize("site", ["cross-site", "same-site", "none"])
def test_another_site_signs_no_one_in(gateway: RunningGateway, site: str) -> None:
    with reader(gateway) as client:
        response = post(client, headers={"sec-fetch-site": site}, secret=KEY)
    assert (response.status_code, "set-cookie" in response.headers) == (403, False)


def test_a_session_is_never_taken_over_by_the_next_one(gateway: RunningGateway) -> None:
    before = session_of(gateway)
    with reader(gateway, before) as client:
        csrf = csrf_of(gateway, before)
        response = post(client, secret=KEY, csrf=csrf)
    assert before not in response.headers["set-cookie"]
    with reader(gateway, before) as client:
        assert client.post("/dashboard/sign-out", data={"csrf": csrf}).status_code == 401


def test_signing_out_ends_the_session(gateway: RunningGateway) -> None:
    session = session_of(gateway)
    with reader(gateway, session) as client:
        response = client.post("/dashboard/sign-out", data={"csrf": csrf_of(gateway, session)})
        assert (response.status_code, "Max-Age=0" in response.headers["set-cookie"]) == (303, True)
    with reader(gateway, session) as client:
        assert client.post("/dashboard/sign-out").status_code == 401


def test_a_form_without_the_token_of_the_session_does_nothing(gateway: RunningGateway) -> None:
    session = session_of(gateway)
    with reader(gateway, session) as client:
        for csrf in ("", "x", csrf_of(gateway, session_of(gateway)), "é"):
            assert client.post("/dashboard/sign-out", data={"csrf": csrf}).status_code == 403
    assert csrf_of(gateway, session)


def test_a_link_is_not_used_up_by_looking_at_it(gateway: RunningGateway, tmp_path: Path) -> None:
    link = gateway.wait_for(sign_in_link(tmp_path, gateway.url))
    with reader(gateway) as client:
        assert client.get(link).status_code == 200
        assert client.head(link).status_code == 200
        assert client.post(link).status_code == 303
        assert client.cookies.get(COOKIE)
        client.cookies.clear()
        assert client.post(link).status_code == 401


def test_no_admin_signs_in_where_the_admin_api_has_an_address_of_its_own(tmp_path: Path) -> None:
    config = config_of(tmp_path, listen="127.0.0.1:0")
    with bind_text("127.0.0.1:0") as sock, RunningGateway(config, admin_socket=sock) as gateway:
        token = gateway.gateway.admin.services.token.file.load_or_create()
        link = gateway.wait_for(sign_in_link(tmp_path, gateway.url))
        with reader(gateway) as client:
            assert post(client, secret=token).status_code == 401
            assert client.post(link).status_code == 401
        # What was begun at the other address is nothing here.
        with reader(gateway, session_of(gateway)) as client:
            assert client.post("/dashboard/sign-out").status_code == 401
        own = f"http://127.0.0.1:{sock.getsockname()[1]}"
        with reader(gateway) as client:
            assert client.get(f"{own}/", headers={"authorization": f"Bearer {token}"}).status_code == 404
            assert post(client, f"{own}{SIGN_IN}", secret=token).status_code == 303


def test_no_admin_signs_in_from_another_network(tmp_path: Path) -> None:
    with RunningGateway(config_of(tmp_path, networks=["10.0.0.0/8"])) as gateway, reader(gateway) as client:
        token = gateway.gateway.admin.services.token.file.load_or_create()
        assert post(client, secret=token).status_code == 401
        assert post(client, secret=KEY).status_code == 303


def test_a_browser_signs_in_with_a_link_and_out_again(
    gateway: RunningGateway, browser: Browser, tmp_path: Path
) -> None:
    link = gateway.wait_for(sign_in_link(tmp_path, gateway.url))
    page = browser.open(gateway, link.removeprefix(gateway.url))
    browser.expect("404")
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url("**/dashboard")
    assert [cookie["name"] for cookie in page.context.cookies()] == [COOKIE]


def test_a_browser_is_told_that_a_secret_is_wrong(gateway: RunningGateway, browser: Browser) -> None:
    page = browser.open(gateway, SIGN_IN)
    browser.expect("401")
    page.get_by_label("Key or admin token").fill("wrong")
    page.get_by_role("button", name="Sign in").click()
    assert page.get_by_role("alert").inner_text() == "This is not a valid key or admin token."
