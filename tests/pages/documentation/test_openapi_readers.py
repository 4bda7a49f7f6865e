"""Swagger UI and ReDoc in Chromium: every operation is there, and a request is sent to this gateway with a key.

What Chromium reports fails a test by itself: errors, requests to another host, violations of the policy.
"""

import re
from collections.abc import Sequence
from importlib import resources

import pytest
from playwright.sync_api import Page, Route, expect

from proxy.endpoints.table import ROWS
from proxy.pages.static import StaticFiles
from proxy.pages.table import PAGES
from tests.pages.browser import Browser, overflow, serious_faults
from tests.pages.serving import reader
from tests.serving import KEY, RunningGateway

#: Milliseconds, on a machine that is busy.
PATIENCE = 120_000
#: Paths of which most tests draw the operations; none is all.
FEW = ("/v1/chat/completions", "/v1/audio/transcriptions", "/v1/models")
ALL = ()
READERS = ("/docs", "/redoc")
CHAT = "createChatCompletion"
#: Of vendored scripts and styles: what no other page may load.
BUNDLES = ("vendor/swagger-ui-bundle.js", "vendor/swagger-ui.css", "vendor/redoc.standalone.js")


def rendered(
    browser: Browser,
    gateway: RunningGateway,
    path: str,
    *,
    only: Sequence[str] = FEW,
    dark: bool = False,
    phone: bool = False,
) -> Page:
    """The page, once its operations are there: of these paths `only`, for drawing all of them takes seconds."""

    def shorten(route: Route) -> None:
        response = route.fetch()
        document = response.json()
        document["paths"] = {name: document["paths"][name] for name in only or document["paths"]}
        route.fulfill(response=response, json=document)

    page = browser.open(gateway, None, dark=dark, phone=phone)
    page.route("**/openapi.json", shorten)
    page.goto(path)
    first = page.locator("#openapi .opblock" if path == "/docs" else "#openapi [id^='operation/']").first
    first.wait_for(state="attached", timeout=PATIENCE)
    return page


def test_swagger_has_every_endpoint(browser: Browser, gateway: RunningGateway) -> None:
    page = rendered(browser, gateway, "/docs", only=ALL)
    shown = {text.replace("\u200b", "") for text in page.locator(".opblock-summary-path").all_text_contents()}
    assert {row.path for row in ROWS} <= shown


def test_redoc_has_every_endpoint(browser: Browser, gateway: RunningGateway) -> None:
    page = rendered(browser, gateway, "/redoc", only=ALL)
    text = page.locator("#openapi").text_content() or ""
    assert [row.path for row in ROWS if row.path not in text] == []


def test_swagger_sends_a_request_with_the_key_and_shows_the_response(browser: Browser, gateway: RunningGateway) -> None:
    page = rendered(browser, gateway, "/docs")
    page.get_by_role("button", name="Authorize").first.click()
    page.locator("#auth-bearer-value").fill(KEY)
    page.locator(".auth-container").first.get_by_role("button", name="Apply credentials").click()
    page.get_by_role("button", name="Close").first.click()
    chat = page.locator(f"[id$='-{CHAT}']")
    chat.locator(".opblock-summary-control").click()
    chat.get_by_role("button", name="Try it out").click()
    chat.get_by_role("button", name="Execute").click()
    response = chat.locator(".live-responses-table")
    expect(response.locator(".response-col_status").last).to_have_text(re.compile("200"), timeout=PATIENCE)
    expect(response).to_contain_text('"object": "chat.completion"')


def test_swagger_sends_to_where_the_page_is_and_not_to_the_public_url(
    browser: Browser, public_gateway: RunningGateway
) -> None:
    page = rendered(browser, public_gateway, "/docs")
    models = page.locator("[id$='-listModels']")
    models.locator(".opblock-summary-control").click()
    models.get_by_role("button", name="Try it out").click()
    browser.expect("401 ")
    models.get_by_role("button", name="Execute").click()
    expect(models.locator(".live-responses-table .response-col_status").last).to_have_text(
        re.compile("401"), timeout=PATIENCE
    )


def test_a_key_is_gone_when_the_page_is_left(browser: Browser, gateway: RunningGateway) -> None:
    page = rendered(browser, gateway, "/docs")
    page.get_by_role("button", name="Authorize").first.click()
    page.locator("#auth-bearer-value").fill(KEY)
    page.locator(".auth-container").first.get_by_role("button", name="Apply credentials").click()
    stored = page.evaluate("JSON.stringify([{...localStorage}, {...sessionStorage}, document.cookie, location.href])")
    assert KEY not in stored
    page.reload()
    page.get_by_role("button", name="Authorize").first.click()
    expect(page.locator("#auth-bearer-value")).to_have_value("")


def test_redoc_finds_what_is_searched(browser: Browser, gateway: RunningGateway) -> None:
    page = rendered(browser, gateway, "/redoc")
    page.get_by_role("textbox").first.fill("transcription")
    expect(page.locator("[data-role='search:results']")).to_contain_text("audio", timeout=PATIENCE)


@pytest.mark.parametrize(("path", "dark"), [("/docs", False), ("/docs", True), ("/redoc", True)])
def test_no_serious_fault_of_accessibility_outside_of_the_vendored_code(
    browser: Browser, gateway: RunningGateway, path: str, dark: bool
) -> None:
    page = rendered(browser, gateway, path, dark=dark)
    # Contrasts and nested buttons in it are Swagger UI's and ReDoc's own.
    page.locator("#openapi").evaluate("part => part.replaceChildren()")
    assert serious_faults(page) == []


@pytest.mark.parametrize("path", READERS)
def test_a_phone_scrolls_in_one_direction(browser: Browser, gateway: RunningGateway, path: str) -> None:
    assert overflow(rendered(browser, gateway, path, phone=True)) == 0


@pytest.mark.parametrize("path", READERS)
def test_the_text_is_readable_in_the_dark(browser: Browser, gateway: RunningGateway, path: str) -> None:
    page = rendered(browser, gateway, path, dark=True)
    heading = page.locator("#openapi").get_by_role("heading", name="Prometheus Gateway").first
    colour = heading.evaluate("part => getComputedStyle(part).color")
    assert min(int(part) for part in re.findall(r"\d+", colour)[:3]) > 180


@pytest.mark.parametrize("path", READERS)
def test_without_scripts_it_says_where_the_document_is(browser: Browser, gateway: RunningGateway, path: str) -> None:
    page = browser.open(gateway, path, javascript=False)
    expect(page.get_by_role("link", name="the document")).to_have_attribute("href", "/openapi.json")


def test_the_docs_page_leads_to_both(browser: Browser, gateway: RunningGateway) -> None:
    page = browser.open(gateway)
    for path, name in zip(READERS, ("Swagger UI", "ReDoc"), strict=True):
        expect(page.locator("header").get_by_role("link", name=name)).to_have_attribute("href", path)
        expect(page.locator("#endpoints").get_by_role("link", name=path)).to_be_visible()


def test_no_other_page_is_allowed_what_they_need(gateway: RunningGateway) -> None:
    with reader(gateway) as client:
        policies = {path: client.get(path).headers["content-security-policy"] for path in ("/", *READERS)}
    assert {path for path, policy in policies.items() if "data:" in policy} == set(READERS)
    assert {path for path, policy in policies.items() if "unsafe" in policy or "worker" in policy} == {"/redoc"}
    assert {page.path for page in PAGES if page.sources and "style-src" in page.sources} == {"/redoc"}


def test_no_other_page_loads_their_scripts(gateway: RunningGateway) -> None:
    urls = [StaticFiles().url(name) for name in BUNDLES]
    templates = resources.files("proxy.pages") / "templates"
    naming = [entry.name for entry in templates.iterdir() if entry.is_file() and "vendor/" in entry.read_text("utf-8")]
    with reader(gateway) as client:
        assert [url for url in urls for path in ("/", "/errors") if url in client.get(path).text] == []
    assert naming == []


def test_redoc_does_not_load_the_logo_of_its_maker() -> None:
    bundle = (resources.files("proxy.pages") / "static" / "vendor" / "redoc.standalone.js").read_text("utf-8")
    assert "cdn.redoc" not in bundle


@pytest.mark.parametrize("name", ["swagger-ui.LICENSE", "swagger-ui.NOTICE", "redoc.LICENSE"])
def test_the_licence_is_beside_the_files(name: str) -> None:
    assert (resources.files("proxy.pages") / "static" / "vendor" / name).is_file()
