"""Delivery: what is compressed, what is not sent again, and what is compressed for no other site."""

import asyncio
import gzip
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page
from starlette.responses import HTMLResponse, Response, StreamingResponse

from proxy.pages.cookies import COOKIE
from proxy.pages.delivery import MIN_COMPRESSED_BYTES, Content, chooses_gzip, deliver, deliver_page, mark_of
from proxy.pages.request import Access
from proxy.pages.static import StaticFiles
from proxy.pages.table import PAGES
from tests.fakes import ScriptedUpstream, json_answer
from tests.pages.browser import Browser
from tests.pages.dashboard.seeded import Dashboard, seeded
from tests.pages.serving import csrf_of, reader

TEXT = "The same words again. " * 200
PUBLIC = {"cache-control": "public, max-age=60"}
STATIC = StaticFiles().url("site.css")
#: The pages that people see first, with the longest of their charts.
FIRST_SEEN = (
    *("/", "/errors", "/dashboard?period=30d&step=hour", "/dashboard/requests?period=30d"),
    *(
        row.path
        for row in PAGES
        if (row.access, row.method) == (Access.VIEWER, "GET") and not set(row.path) & set("{.")
    ),
)


def headers_of(**headers: str) -> list[tuple[bytes, bytes]]:
    return [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]


def delivered(response: Response, *, is_secure: bool = True, **headers: str) -> Response:
    """The response of a page to a request with these headers."""
    asyncio.run(deliver_page(response, headers_of(**headers), is_secure=is_secure))
    return response


def html(text: str = TEXT, **headers: str) -> Response:
    return HTMLResponse(text, headers={name.replace("_", "-"): value for name, value in headers.items()})


# which coding


@pytest.mark.parametrize(
    "accepted",
    [
        *("gzip", "gzip, deflate, br", "br;q=1, gzip;q=0.5", "*", "GZIP;Q=1.0", "x-gzip", "identity;q=0.5, gzip;q=0.5"),
        *("deflate, *;q=0.1", "gzip;q=0.001", "gzip ; q=0.2", "identity;q=0, gzip;q=0.1", "*;q=0, gzip"),
    ],
)
def test_gzip_is_for_who_takes_it(accepted: str) -> None:
    assert chooses_gzip(accepted, is_worth=True)


@pytest.mark.parametrize(
    "accepted",
    [
        *("", "identity", "br", "gzip;q=0", "gzip;q=0.000", "gzip;q=0, *", "*;q=0", "gzip;q=2", "gzip;q=x", "gzipped"),
        *("identity, gzip;q=0.9", "gzip;q=0.4, *;q=0.5", "gzip;q=0, identity;q=0", "notgzip", "gzip; q", "gzip;q="),
    ],
)
def test_other_clients_get_the_bytes_as_they_are(accepted: str) -> None:
    assert not chooses_gzip(accepted, is_worth=True)


@pytest.mark.parametrize(("accepted", "is_chosen"), [("gzip", False), ("*", False), ("gzip, identity;q=0", True)])
def test_what_gains_nothing_is_compressed_for_who_takes_nothing_else(accepted: str, is_chosen: bool) -> None:
    assert chooses_gzip(accepted, is_worth=False) is is_chosen


# compressed


def test_a_page_is_compressed_whole() -> None:
    response = delivered(html(**PUBLIC), accept_encoding="gzip")
    assert (response.headers["content-encoding"], response.headers["vary"]) == ("gzip", "accept-encoding")
    assert response.headers["content-length"] == str(len(response.body))
    assert len(response.body) < len(TEXT)
    assert gzip.decompress(response.body).decode() == TEXT


def test_what_varies_already_varies_by_the_coding_too() -> None:
    response = delivered(html(**PUBLIC, vary="Accept, Cookie"))
    assert response.headers["vary"] == "Accept, Cookie, accept-encoding"


def test_a_header_may_be_on_several_lines() -> None:
    response = html(**PUBLIC)
    lines = [(b"accept-encoding", b"br"), (b"accept-encoding", b"gzip;q=0.5")]
    asyncio.run(deliver_page(response, lines, is_secure=True))
    assert response.headers["content-encoding"] == "gzip"


@pytest.mark.parametrize(
    "response",
    [
        HTMLResponse("x" * (MIN_COMPRESSED_BYTES - 1), headers=PUBLIC),
        Response(b"x" * 2_000, media_type="image/png", headers=PUBLIC),
        Response(b"x" * 2_000, media_type="audio/wav", headers=PUBLIC),
        HTMLResponse("x" * 2_000, 404, headers=PUBLIC),
        HTMLResponse("x" * 2_000, 201, headers=PUBLIC),
    ],
    ids=["short", "picture", "sound", "error", "of a form"],
)
def test_what_gains_nothing_stays_as_it_is(response: Response) -> None:
    assert "content-encoding" not in delivered(response, accept_encoding="gzip").headers


def test_a_stream_stays_as_it_is() -> None:
    response = StreamingResponse(iter([b"data: 1\n\n"]), media_type="text/event-stream", headers=PUBLIC)
    before = list(response.raw_headers)
    assert delivered(response, accept_encoding="gzip", sec_fetch_site="same-origin").raw_headers == before


def test_what_is_long_is_compressed_off_the_event_loop() -> None:
    async def beats() -> int:
        """How often the loop comes round while something is compressed."""
        count = 0
        work = asyncio.ensure_future(Content(TEXT.encode() * 1_000).compressed())
        while not work.done():
            await asyncio.sleep(0)
            count += 1
        return count

    assert asyncio.run(beats()) > 10


# for whom


@pytest.mark.parametrize("site", ["cross-site", "same-site", ""])
def test_a_secret_is_compressed_for_no_other_site(site: str) -> None:
    response = html()
    sent = headers_of(accept_encoding="gzip", **({"sec_fetch_site": site} if site else {}))
    asyncio.run(deliver_page(response, sent, is_secure=True))
    assert "content-encoding" not in response.headers


@pytest.mark.parametrize("site", ["same-origin", "none"])
def test_a_secret_is_compressed_for_its_reader(site: str) -> None:
    response = delivered(html(), accept_encoding="gzip", sec_fetch_site=site)
    assert response.headers["content-encoding"] == "gzip"


def test_by_plain_http_there_is_nothing_to_guess() -> None:
    response = delivered(html(), is_secure=False, accept_encoding="gzip")
    assert response.headers["content-encoding"] == "gzip"
    response = delivered(html(), is_secure=False, accept_encoding="gzip", sec_fetch_site="cross-site")
    assert "content-encoding" not in response.headers


def test_what_is_public_is_compressed_for_everyone() -> None:
    response = delivered(html(**PUBLIC), accept_encoding="gzip", sec_fetch_site="cross-site")
    assert response.headers["content-encoding"] == "gzip"


# not again


def test_the_etag_of_compressed_bytes_is_weak() -> None:
    plain, compressed = delivered(html(**PUBLIC)), delivered(html(**PUBLIC), accept_encoding="gzip")
    assert plain.headers["etag"] == f'"{mark_of(TEXT.encode())}"'
    assert compressed.headers["etag"] == f"W/{plain.headers['etag']}"


@pytest.mark.parametrize("known", ['"{}"', 'W/"{}"', '"a", W/"{}" , "b"', "*", ' "a,b","{}"'])
@pytest.mark.parametrize("coding", ["gzip", "identity"])
def test_who_has_it_gets_nothing_but_its_headers(known: str, coding: str) -> None:
    given = known.format(mark_of(TEXT.encode()))
    response = delivered(html(**PUBLIC), accept_encoding=coding, if_none_match=given)
    assert (response.status_code, bytes(response.body)) == (304, b"")
    assert set(response.headers) == {"cache-control", "etag", "vary"}


@pytest.mark.parametrize("known", ["", '"x"', "{}", '"{}x"', 'W/"x{}"', '"*"'])
def test_who_has_another_one_gets_it(known: str) -> None:
    response = delivered(html(**PUBLIC), if_none_match=known.format(mark_of(TEXT.encode())))
    assert response.status_code == 200
    assert response.body


def test_what_may_not_be_stored_has_no_etag() -> None:
    response = delivered(html(), sec_fetch_site="none", if_none_match="*")
    assert (response.status_code, "etag" in response.headers) == (200, False)


def test_without_a_mark_there_is_no_etag() -> None:
    response = html()
    asyncio.run(deliver(response, Content(b"x"), []))
    assert "etag" not in response.headers


# on the wire


@pytest.fixture(scope="module")
def dashboard(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dashboard]:
    with seeded(tmp_path_factory.mktemp("dashboard")) as one:
        yield one


@pytest.mark.parametrize("path", ["/", "/openapi.json", STATIC, "/dashboard", "/dashboard/overview.json"])
@pytest.mark.parametrize("coding", ["gzip", "identity"])
def test_head_has_the_headers_of_get_and_no_body(dashboard: Dashboard, path: str, coding: str) -> None:
    with reader(dashboard.gateway, dashboard.admin) as client:
        head, get = (client.request(method, path, headers={"accept-encoding": coding}) for method in ("HEAD", "GET"))
    assert head.content == b""
    for name in ("content-length", "content-encoding", "content-type", "etag", "vary"):
        assert head.headers.get(name) == get.headers.get(name)
    assert ("content-encoding" in get.headers) is (coding == "gzip")


def test_a_file_that_the_client_has_is_not_sent_again(dashboard: Dashboard) -> None:
    with reader(dashboard.gateway) as client:
        first = client.get(STATIC)
        again = client.get(STATIC, headers={"if-none-match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    for name in ("cache-control", "etag", "vary", "content-security-policy"):
        assert again.headers[name] == first.headers[name]


def test_a_live_list_is_not_compressed(dashboard: Dashboard) -> None:
    with (
        reader(dashboard.gateway, dashboard.admin) as client,
        client.stream("GET", "/dashboard/requests/live.sse", headers={"accept-encoding": "gzip"}) as response,
    ):
        assert "content-encoding" not in response.headers
        assert next(response.iter_raw()) == b": begin\n\n"


def test_a_new_secret_is_not_compressed(dashboard: Dashboard) -> None:
    form = {"csrf": csrf_of(dashboard.gateway, dashboard.admin), "name": "new"}
    with reader(dashboard.gateway, dashboard.admin) as client:
        response = client.post("/dashboard/keys", data=form)
    assert (response.status_code, "content-encoding" in response.headers) == (201, False)
    assert len(response.content) > MIN_COMPRESSED_BYTES


# in a browser


def transferred(page: Page) -> int:
    """Bytes of heads and bodies that a page, and all that it loads, came over the network with."""
    page.wait_for_load_state("load")
    count: int = page.evaluate(
        """() => [...performance.getEntriesByType("navigation"), ...performance.getEntriesByType("resource")]
            .reduce((sum, one) => sum + one.transferSize, 0)"""
    )
    return count


@pytest.mark.parametrize("path", FIRST_SEEN)
def test_the_first_paint_takes_less_than_150_kilobytes(dashboard: Dashboard, browser: Browser, path: str) -> None:
    page = browser.open(dashboard.gateway, path, session=dashboard.admin)
    assert 5_000 < transferred(page) < 150_000


def test_the_next_page_brings_no_file_again(dashboard: Dashboard, browser: Browser) -> None:
    page = browser.open(dashboard.gateway, "/dashboard", session=dashboard.admin)
    first = transferred(page)
    page.get_by_role("link", name="Models").click()
    page.wait_for_url("**/dashboard/models")
    assert transferred(page) < first / 3


def test_a_browser_sends_what_keeps_a_secret_from_another_site(dashboard: Dashboard, browser: Browser) -> None:
    target = f"{dashboard.gateway.url}/dashboard?session=guess"
    content = f'<!doctype html><title>Other</title><link rel="icon" href="data:,"><a href="{target}">Go</a>'
    with ScriptedUpstream(lambda _: json_answer(content.encode(), headers={"content-type": "text/html"})) as other:
        page = browser.open(other.base_url)
        page.context.add_cookies([{"name": COOKIE, "value": dashboard.admin, "url": dashboard.gateway.url}])
        browser.expect("a request to another host")
        with page.expect_navigation() as navigation:
            page.get_by_role("link").click()
    assert page.get_by_text("session: guess").is_visible()
    assert navigation.value.header_value("content-encoding") is None
    with page.expect_navigation() as navigation:
        page.get_by_role("link", name="Overview").click()
    assert navigation.value.header_value("content-encoding") == "gzip"
