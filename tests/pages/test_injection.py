"""Texts from outside are texts in a real browser, in a spreadsheet and in a header, whoever sent them.

Every row of the table of pages is read, of a gateway whose names, labels and errors are all hostile
(`tests/pages/hostile.py`). The fixture of the browser fails a test for what runs, and for what the policy blocks.
"""

import csv
import io
import json
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, urlencode

import httpx
import pytest
from playwright.sync_api import Page as BrowserPage
from playwright.sync_api import expect

from proxy.pages.cookies import COOKIE
from proxy.pages.dashboard.scope import FILTERS
from proxy.pages.request import Access, Page
from proxy.pages.table import PAGES
from tests.fakes import RecordedRequest, ScriptedUpstream, Step, json_answer, sse_answer
from tests.pages.browser import Browser
from tests.pages.hostile import FORMULAS, OTHERS, PRINTABLE, TEXTS, Hostile, hostile, markup, request_of
from tests.pages.serving import csrf_of, reader
from tests.serving import ALIAS, KEY, RunningGateway

READ = [page for page in PAGES if page.method == "GET"]
ENDINGS = (".json", ".csv", ".sse", ".md", ".txt")
HTML = [page for page in READ if not page.path.endswith(ENDINGS)]
TWINS = [page for page in READ if page.path.endswith(ENDINGS)]
FILES = [page for page in READ if page.path.endswith(".csv")]
#: What the pages may be by, and a chart may show.
ASKED = ("", "by=key", "by=team", "by=tag", "metric=requests", "period=30d&step=hour&by=key")


def failing(request: RecordedRequest) -> list[Step]:
    """A provider's error with a hostile text in each field."""
    text = TEXTS[len(request.body) % len(TEXTS)]
    error = {"message": text, "type": text, "code": text, "param": text}
    return json_answer({"error": error}, 400)


@pytest.fixture(scope="module")
def upstream() -> Iterator[ScriptedUpstream]:
    with ScriptedUpstream(failing) as one:
        yield one


@pytest.fixture(scope="module")
def attacked(upstream: ScriptedUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hostile]:
    with hostile(tmp_path_factory.mktemp("hostile"), upstream.base_url, PRINTABLE, TEXTS) as one:
        yield one


@pytest.fixture(scope="module")
def calculated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hostile]:
    """The same for a spreadsheet."""
    names = tuple(text for text in FORMULAS if text.isprintable() and text == text.strip())
    with hostile(tmp_path_factory.mktemp("formulas"), "http://127.0.0.1:9", names, FORMULAS) as one:
        yield one


def by_row(pages: list[Page]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("page", pages, ids=[page.path for page in pages])


def path_of(page: Page, attacked: Hostile, text: str = TEXTS[0]) -> str:
    ids = {"key_id": attacked.keys[0], "request_id": request_of(TEXTS, text), "code": "x" * 43}
    return re.sub(r"\{(\w+)\}", lambda match: ids[match[1]], page.path)


# pages


@by_row(HTML)
@pytest.mark.parametrize("asked", ASKED)
def test_no_name_is_markup(page: Page, asked: str, attacked: Hostile, browser: Browser) -> None:
    if asked and not page.path.startswith("/dashboard"):
        pytest.skip("takes no parameters")
    found = browser.open(attacked.gateway, f"{path_of(page, attacked)}?{asked}", session=attacked.admin)
    assert markup(found) == []


@pytest.mark.parametrize("path", ["/dashboard?by=key", "/dashboard?by=tag", "/dashboard/keys"])
def test_all_names_are_there_as_texts(path: str, attacked: Hostile, browser: Browser) -> None:
    page = browser.open(attacked.gateway, path, session=attacked.admin)
    shown = page.locator("tbody th").all_text_contents()
    assert [name for name in PRINTABLE if not any(name == text.strip() for text in shown)] == []


@pytest.mark.parametrize("text", TEXTS, ids=ascii)
def test_no_label_of_a_request_is_markup(text: str, attacked: Hostile, browser: Browser) -> None:
    row = next(page for page in PAGES if page.path == "/dashboard/requests/{request_id}")
    page = browser.open(attacked.gateway, path_of(row, attacked, text), session=attacked.admin)
    assert markup(page) == []
    shown = page.locator("dl.facts dd").all_text_contents()
    assert shown.count(visible(text)) >= 5, shown


def visible(text: str) -> str:
    """A text whose characters can all be seen."""
    return "".join(one if one.isprintable() else ascii(one)[1:-1] for one in text)


#: Pages without filters of requests.
UNFILTERED = ("/dashboard/budgets",)


@by_row(
    [page for page in HTML if page.access is Access.VIEWER and "{" not in page.path and page.path not in UNFILTERED]
)
def test_no_filter_is_markup(page: Page, attacked: Hostile, browser: Browser) -> None:
    texts = PRINTABLE[:4]
    # Others are refused: a test below has them.
    pairs = [(name, text) for name in FILTERS if name not in ("status", "outcome", "metadata") for text in texts]
    pairs += [("metadata", f"x={text}") for text in texts]
    found = browser.open(attacked.gateway, f"{page.path}?{urlencode(pairs)}", session=attacked.admin)
    assert markup(found) == []
    assert found.locator(".chips li span").all_text_contents()[:4] == [f"alias: {text}" for text in texts]


@pytest.mark.parametrize("name", ["by", "metric", "period", "step", "zone", "from", "before", "after", "theme"])
@pytest.mark.parametrize("path", ["/dashboard", "/dashboard/requests", "/dashboard/keys"])
def test_what_is_wrong_with_an_address_is_no_markup(name: str, path: str, attacked: Hostile, browser: Browser) -> None:
    query = urlencode([("period", "custom"), ("to", "2026-01-02"), (name, PRINTABLE[2])])
    browser.expect("Failed to load resource")
    assert markup(browser.open(attacked.gateway, f"{path}?{query}", session=attacked.admin)) == []


def test_what_is_wrong_with_a_form_is_no_markup(attacked: Hostile, browser: Browser) -> None:
    page = browser.open(attacked.gateway, "/dashboard/keys", session=attacked.admin)
    browser.expect("Failed to load resource")
    fields = ("name", "models", "team", "tags", "requests", "tokens", "concurrent", "budget")
    for name, text in zip(fields, PRINTABLE, strict=False):
        page.locator(f"form.forms input[name={name}]").fill(text)
    page.get_by_role("button", name="Create").click()
    page.get_by_role("alert").wait_for()
    assert markup(page) == []
    assert page.locator("form.forms input[name=tags]").input_value() == PRINTABLE[3]


def test_the_legend_of_a_chart_is_text_under_the_pointer_too(attacked: Hostile, browser: Browser) -> None:
    page = browser.open(attacked.gateway, "/dashboard?by=key&metric=requests", session=attacked.admin)
    plot = page.locator(".u-over")
    box = plot.bounding_box()
    assert box is not None
    seen: set[str] = set()
    for place in range(24):
        page.mouse.move(box["x"] + (place + 0.5) * box["width"] / 24, box["y"] + 40)
        seen.update(page.locator(".tip").all_text_contents())
    assert markup(page) == []
    assert any(PRINTABLE[1] in text for text in seen)
    assert any(PRINTABLE[4] in text for text in seen)


@pytest.mark.parametrize("text", [PRINTABLE[1], PRINTABLE[4], OTHERS[3]], ids=ascii)
def test_a_request_in_the_drawer_is_text(text: str, attacked: Hostile, browser: Browser) -> None:
    page = browser.open(attacked.gateway, "/dashboard/requests", session=attacked.admin)
    page.locator(f"#rows tr[id={request_of(TEXTS, text)}] a").click()
    drawer = page.get_by_role("dialog")
    drawer.get_by_text("Gateway overhead").wait_for()
    assert markup(page) == []
    assert drawer.locator("dd").all_text_contents().count(visible(text)) >= 5


# what clients and providers send


def hostile_request(gateway: RunningGateway, text: str) -> str:
    """A request with a text wherever a client has a say; its id."""
    line = text.replace("\r", " ").replace("\n", " ").replace("\0", " ").strip()
    labels = {"user": text, "session_id": text, "user_id": text}
    headers = {
        "authorization": f"Bearer {KEY}",
        "user-agent": line,
        "x-prism-session-id": line,
        "x-prism-user-id": line,
        "x-prism-metadata": json.dumps({"a": text, text[:60]: "b"}, ensure_ascii=False),
        "x-request-id": line,
    }
    sent = [(name.encode(), value.encode()) for name, value in headers.items()]
    body = {"model": ALIAS, "messages": [{"role": text, "content": text}], "user": text, "metadata": labels}
    response = httpx.post(f"{gateway.url}/v1/chat/completions", json=body, headers=sent)
    httpx.post(f"{gateway.url}/v1/chat/completions", json={**body, "model": text}, headers=sent)
    httpx.get(f"{gateway.url}/v1/models/{quote(text, safe='')}", headers=sent)
    return response.headers["x-request-id"]


def test_what_a_client_sends_is_text_as_it_comes_in(attacked: Hostile, browser: Browser) -> None:
    page = browser.open(attacked.gateway, "/dashboard/requests", session=attacked.admin)
    page.get_by_text("Live", exact=True).wait_for()
    sent = [hostile_request(attacked.gateway, text) for text in TEXTS]
    attacked.gateway.rows()
    page.locator(f"#rows tr[id={sent[-1]}]").wait_for()
    assert markup(page) == []
    shown = page.locator("#rows tr.new td").all_text_contents()
    assert {text for text in PRINTABLE if text not in shown} == set()
    for id_ in sent:
        page.goto(f"/dashboard/requests/{id_}")
        assert markup(page) == []


def test_what_a_provider_says_is_text(attacked: Hostile, browser: Browser) -> None:
    for text in TEXTS:
        hostile_request(attacked.gateway, text)
    page = browser.open(attacked.gateway, "/dashboard/models", session=attacked.admin)
    assert markup(page) == []


def try_it(page: BrowserPage, alias: str) -> None:
    """Send what the form of the docs page has."""
    page.locator("#try-key").fill(KEY)
    page.locator("#try-model").select_option(alias)
    page.locator("#try-input").fill(PRINTABLE[0])
    page.get_by_role("button", name="Send").click()


@pytest.mark.parametrize("text", TEXTS, ids=ascii)
def test_what_a_model_says_to_who_tries_it_is_text(
    text: str, attacked: Hostile, upstream: ScriptedUpstream, browser: Browser
) -> None:
    delta = {"index": 0, "delta": {"role": text, "content": text}, "finish_reason": None}
    event = {"id": text, "object": "chat.completion.chunk", "model": text, "choices": [delta]}
    lines = [f": prism-cost {text.splitlines()[0]} input_tokens=<b>", f"data: {json.dumps(event)}", "data: [DONE]", ""]
    upstream.script(sse_answer("\n\n".join(lines).encode()))
    page = browser.open(attacked.gateway)
    try_it(page, ALIAS)
    expect(page.locator("#try-status")).to_have_text("Done.")
    assert page.locator("#try-output").text_content() == text
    assert markup(page) == []


def test_an_error_that_who_tries_it_sees_is_text(
    attacked: Hostile, upstream: ScriptedUpstream, browser: Browser
) -> None:
    browser.expect("Failed to load resource")
    page = browser.open(attacked.gateway)
    for text in TEXTS:
        upstream.script(json_answer({"error": {"message": text, "type": text, "code": text, "param": text}}, 400))
        try_it(page, ALIAS)
        expect(page.locator("#try-status")).to_have_text("Refused.")
        assert markup(page) == []


def test_the_address_of_an_image_is_text(attacked: Hostile, upstream: ScriptedUpstream, browser: Browser) -> None:
    pictures = [{"url": text, "revised_prompt": text} for text in PRINTABLE]
    upstream.script(json_answer({"created": 1, "data": pictures, "output_format": PRINTABLE[2]}))
    page = browser.open(attacked.gateway)
    try_it(page, "pictures")
    expect(page.locator("#try-status")).to_have_text("Done.")
    assert (page.locator("#try-output").text_content() or "").splitlines() == list(PRINTABLE)
    assert markup(page) == []


# pages of another site, in the browser of an admin who has signed in

FORMS = """<!doctype html><title>Other</title><link rel="icon" href="data:,">
<form method="post" action="{0}/dashboard/keys"><input name="name" value="a"><button>plain</button></form>
<form method="post" action="{0}/dashboard/keys" enctype="multipart/form-data"><input name="name" value="b">
<button>parts</button></form>
<form method="post" action="{0}/dashboard/keys" enctype="text/plain"><input name="name=c&x" value="y">
<button>text</button></form>
<form method="post" action="{0}/dashboard/sign-out"><button>sign out</button></form>
<iframe src="{0}/dashboard"></iframe>"""


@pytest.fixture
def elsewhere(attacked: Hostile, browser: Browser) -> Iterator[BrowserPage]:
    """A page of another origin, in a browser that has the session's cookie."""
    html = FORMS.format(attacked.gateway.url).encode()
    with ScriptedUpstream(lambda _: json_answer(html, headers={"content-type": "text/html"})) as other:
        browser.expect("another host|Failed to load resource|frame-ancestors|CORS policy")
        page = browser.open(other.base_url, None)
        page.context.add_cookies([{"name": COOKIE, "value": attacked.admin, "url": attacked.gateway.url}])
        page.goto(other.base_url)
        yield page


@pytest.mark.parametrize("button", ["plain", "parts", "text", "sign out"])
def test_a_form_of_another_site_does_nothing(button: str, attacked: Hostile, elsewhere: BrowserPage) -> None:
    elsewhere.get_by_role("button", name=button).click()
    expect(elsewhere.get_by_role("heading", name="403")).to_be_visible()
    assert [one["key"]["id"] for one in keys_of(attacked)] == attacked.keys


def test_a_script_of_another_site_does_and_reads_nothing(attacked: Hostile, elsewhere: BrowserPage) -> None:
    attempt = """async ([url, mode]) => {
      const body = new URLSearchParams({ name: "d" });
      try {
        const response = await fetch(url, { method: "POST", mode, credentials: "include", body });
        return `${response.type} ${await response.text()}`;
      } catch (error) { return error.name; }
    }"""
    url = f"{attacked.gateway.url}/dashboard/keys"
    assert elsewhere.evaluate(attempt, [url, "cors"]) == "TypeError"
    assert elsewhere.evaluate(attempt, [url, "no-cors"]) in ("opaque ", "TypeError")
    assert [one["key"]["id"] for one in keys_of(attacked)] == attacked.keys


def test_no_page_stands_in_a_frame_of_another_site(elsewhere: BrowserPage) -> None:
    elsewhere.wait_for_load_state("load")
    assert elsewhere.frames[1].url.startswith("chrome-error:")


def keys_of(attacked: Hostile) -> list[Any]:
    with reader(attacked.gateway, attacked.admin) as client:
        keys: list[Any] = client.get("/dashboard/keys.json").json()["keys"]
    return keys


# twins and files


@by_row(TWINS)
def test_a_twin_is_never_taken_for_a_page(page: Page, attacked: Hostile) -> None:
    if page.path.endswith(".sse"):
        pytest.skip("does not end")
    with reader(attacked.gateway, attacked.admin) as client:
        response = client.get(path_of(page, attacked), params={"period": "30d"})
    assert response.status_code == 200
    kinds = {"md": "text/markdown", "txt": "text/plain", "csv": "text/csv", "json": "application/json"}
    assert response.headers["content-type"].partition(";")[0] == kinds[page.path.rpartition(".")[2]]
    assert response.headers["x-content-type-options"] == "nosniff"
    assert ("content-disposition" in response.headers) is page.path.endswith(".csv")


@by_row([page for page in TWINS if page.path.endswith(".json")])
def test_a_document_that_a_browser_shows_is_text(page: Page, attacked: Hostile, browser: Browser) -> None:
    browser.expect("favicon.ico")
    found = browser.open(attacked.gateway, path_of(page, attacked, PRINTABLE[1]), session=attacked.admin)
    assert markup(found) == []


@by_row(FILES)
@pytest.mark.parametrize("asked", ["", "by=key", "by=team", "by=tag"])
def test_a_spreadsheet_calculates_no_cell(page: Page, asked: str, calculated: Hostile) -> None:
    with reader(calculated.gateway, calculated.admin) as client:
        text = client.get(f"{page.path}?period=30d&{asked}").text
    cells = {cell for row in csv.reader(io.StringIO(text, newline="")) for cell in row}
    # Behind what is not seen, or a space; a number with its sign is one.
    begins = re.compile(r"[\s\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\ufeff]*[=+@|%\uff1d-]|[\t\r\n]")
    assert [cell for cell in cells if begins.match(cell) and not re.fullmatch(r"-?[\d.]+", cell)] == []
    # Whose a budget is begins with a word of the gateway's own.
    assert page.path == "/dashboard/budgets.csv" or any(cell.startswith("'") for cell in cells)


# headers


HEADS = (
    *(
        "a\r\nset-cookie: a=b",
        "a\nset-cookie: a=b",
        "\r\n\r\n<script>alert(1)</script>",
        "a\x00b",
        '"; filename="x.html',
    ),
    *("\u2028", "\u560d\u560aset-cookie: a=b", "é\u202e", "//evil.example", "a; Domain=evil.example"),
)


@pytest.mark.parametrize("text", HEADS, ids=ascii)
def test_nothing_from_outside_adds_to_a_head(text: str, attacked: Hostile) -> None:
    known = {"content-disposition", "location", "set-cookie"}
    csrf = csrf_of(attacked.gateway, attacked.admin)
    with reader(attacked.gateway, attacked.admin) as client:
        for page in READ:
            if page.path.endswith(".sse"):
                continue
            path = re.sub(r"\{\w+\}", quote(text, safe=""), page.path)
            response = client.get(path, params=dict.fromkeys(("by", "next", "zone", "key", "before", "metric"), text))
            assert known.isdisjoint(response.headers)
        form = {"csrf": csrf, "next": text, "zone": "UTC", "theme": "dark"}
        response = client.post("/dashboard/settings", data=form)
        assert response.headers["location"] == "/dashboard"
        assert "evil" not in response.headers["set-cookie"]
        for field in ("zone", "theme"):
            response = client.post("/dashboard/settings", data={**form, field: text})
            assert (response.status_code, "set-cookie" in response.headers) == (400, False)
    with reader(attacked.gateway) as client:
        response = client.get("/dashboard/keys/" + quote(text, safe=""), params={"next": text})
        assert re.fullmatch(r"/dashboard/sign-in\?next=[\w%.~-]+", response.headers["location"])
        assert "set-cookie" not in response.headers


@pytest.mark.parametrize("page", FILES, ids=lambda page: page.path)
def test_the_name_of_a_file_is_the_page_s_alone(page: Page, attacked: Hostile) -> None:
    with reader(attacked.gateway, attacked.admin) as client:
        for by in ("key", "team", "tag", "alias"):
            response = client.get(page.path, params={"by": by, "key": attacked.keys[1]})
            name = response.headers["content-disposition"]
            assert re.fullmatch(r'attachment; filename="[a-z-]+\.csv"', name)


NEXT = (
    *("//evil.example", "/\\evil.example", "https:evil.example", "https://evil.example", "javascript:alert(1)"),
    *("%2f%2fevil.example", "/%09/evil.example", "/\t/evil.example", "/dashboard/..//evil.example", "/dashboard@evil"),
    *("\\\\evil.example", "/dashboard/%2e%2e%2f%2fevil.example", "/dashboard\r\nlocation: //evil.example"),
)


@pytest.mark.parametrize("target", NEXT, ids=ascii)
def test_signing_in_leads_to_no_other_site(target: str, attacked: Hostile, browser: Browser) -> None:
    page = browser.open(attacked.gateway, f"/dashboard/sign-in?next={quote(target, safe='')}")
    page.get_by_label("Key or admin token").fill(KEY)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url("**/dashboard")
    assert page.url == f"{attacked.gateway.url}/dashboard"
