"""The site: what every page has, and what none serves."""

import asyncio
from collections.abc import Iterator

import pytest
from starlette.responses import Response
from starlette.types import Message

from proxy.errors import ClientGone
from proxy.pages.site import _unless_gone
from tests.fakes import ScriptedUpstream
from tests.pages.browser import Browser, overflow, serious_faults
from tests.pages.serving import reader
from tests.serving import RunningGateway, simple_config


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    with (
        ScriptedUpstream() as upstream,
        RunningGateway(simple_config(tmp_path_factory.mktemp("data"), upstream.base_url)) as running,
    ):
        yield running


@pytest.mark.parametrize("path", ["/", "/dashboard/sign-in", "/dashboard/nothing", "/static/nothing.css"])
def test_every_response_is_protected(gateway: RunningGateway, path: str) -> None:
    with reader(gateway) as client:
        headers = client.get(path).headers
    assert headers["content-security-policy"].startswith("default-src 'none'; base-uri 'none';")
    assert (headers["x-content-type-options"], headers["referrer-policy"]) == ("nosniff", "no-referrer")
    assert "access-control-allow-origin" not in headers


def test_a_page_that_is_not_there_is_an_error_page_for_a_browser(gateway: RunningGateway) -> None:
    with reader(gateway) as client:
        response = client.get("/dashboard/nothing")
    assert (response.status_code, response.headers["content-type"]) == (404, "text/html; charset=utf-8")


def test_it_is_the_error_envelope_for_everything_else(gateway: RunningGateway) -> None:
    with reader(gateway) as client:
        response = client.get("/dashboard/nothing", headers={"accept": "*/*"})
    assert (response.status_code, response.json()["error"]["code"]) == (404, "unknown_url")


def test_another_method_is_refused(gateway: RunningGateway) -> None:
    with reader(gateway) as client:
        response = client.post("/")
    assert (response.status_code, response.headers["allow"]) == (405, "GET")


@pytest.mark.parametrize("path", ["/", "/dashboard/sign-in"])
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_open_pages_are_usable_in_a_browser(gateway: RunningGateway, browser: Browser, path: str, dark: bool) -> None:
    page = browser.open(gateway, path, dark=dark, phone=dark)
    assert serious_faults(page) == []
    assert overflow(page) == 0


def test_a_client_that_leaves_has_its_queries_cancelled() -> None:
    async def leave() -> None:
        cancelled = asyncio.Event()

        async def query() -> Response:
            try:
                await asyncio.Event().wait()
            finally:
                cancelled.set()
            return Response()

        async def receive() -> Message:
            return {"type": "http.disconnect"}

        with pytest.raises(ClientGone):
            await _unless_gone(query(), receive)
        await cancelled.wait()

    asyncio.run(leave())
