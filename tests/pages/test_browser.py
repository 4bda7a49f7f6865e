"""The fixture of the browser fails a test for what is wrong with a page, and only for that."""

import asyncio
import http.server
import re
import threading
from collections.abc import Iterator

import pytest

from tests.pages.browser import Browser, SharedChromium, overflow, serious_faults

GOOD = '<!doctype html><html lang="en"><title>t</title><link rel="icon" href="data:,"><main><h1>t</h1></main>'


class _Server(http.server.ThreadingHTTPServer):
    """One page, under a policy, at every path but those that are not there."""

    body = GOOD
    policy = "default-src 'unsafe-inline' data:"

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(http.server.BaseHTTPRequestHandler):
    server: _Server

    def do_GET(self) -> None:
        body = self.server.body.encode()
        self.send_response(404 if "missing" in self.path else 200)
        self.send_header("content-type", "text/html")
        self.send_header("content-security-policy", self.server.policy)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing is logged."""


@pytest.fixture
def server() -> Iterator[_Server]:
    with _Server(("127.0.0.1", 0), _Handler) as one:
        thread = threading.Thread(target=one.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield one
        one.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("more", "fault"),
    [
        ("<script>console.error('broken')</script>", "console: broken"),
        ("<script>setTimeout(() => { throw new Error('lost') })</script>", "uncaught: .*lost"),
        ("<script>alert(1)</script>", "alert: 1"),
        ("<script>eval('1')</script>", "CSP violation script-src"),
        ("<img src='/picture.png' alt=''>", "CSP violation img-src"),
    ],
)
def test_a_fault_of_a_page_is_a_fault_of_the_test(server: _Server, browser: Browser, more: str, fault: str) -> None:
    server.body = GOOD + more
    page = browser.open(server.origin)
    page.wait_for_timeout(50)
    browser.expect("")
    assert any(re.search(fault, one) for one in browser.faults), browser.faults


def test_so_is_a_request_to_another_host(server: _Server, browser: Browser) -> None:
    server.policy = "default-src * data:"
    server.body = GOOD + "<img src='http://elsewhere.example/picture.png' alt=''>"
    browser.open(server.origin)
    browser.expect("")
    assert "a request to another host: http://elsewhere.example/picture.png" in browser.faults


def test_a_fault_that_is_expected_passes(server: _Server, browser: Browser) -> None:
    browser.open(server.origin, "/missing")
    assert browser.faults
    with pytest.raises(AssertionError, match="404"):
        browser.check()
    browser.expect("status of 404")


def test_each_page_has_cookies_colours_and_a_width_of_its_own(server: _Server, browser: Browser) -> None:
    query = "() => [matchMedia('(prefers-color-scheme: dark)').matches, innerWidth, document.cookie]"
    first = browser.open(server.origin)
    first.evaluate("() => { document.cookie = 'a=1' }")
    assert first.evaluate(query) == [False, 1280, "a=1"]
    assert browser.open(server.origin, dark=True, phone=True).evaluate(query)[::2] == [True, ""]


def test_scripts_can_be_off(server: _Server, browser: Browser) -> None:
    server.body = GOOD + "<script>document.title = 'scripted'</script>"
    assert browser.open(server.origin, javascript=False).title() == "t"


def test_loops_run_where_a_browser_is_open_and_not_in_use(shared_chromium: SharedChromium) -> None:
    assert shared_chromium.browser.is_connected()
    assert asyncio.run(asyncio.sleep(0, "done")) == "done"


def test_axe_finds_what_a_reader_of_the_screen_misses(server: _Server, browser: Browser) -> None:
    page = browser.open(server.origin)
    assert serious_faults(page) == []
    server.body = GOOD + "<img src='data:,'><button></button>"
    page.reload()
    assert {fault.split(" ")[0] for fault in serious_faults(page)} == {"image-alt", "button-name"}


def test_what_is_wider_than_the_window_is_measured(server: _Server, browser: Browser) -> None:
    server.body = GOOD + '<meta name="viewport" content="width=device-width"><p style="width: 600px">wide</p>'
    assert overflow(browser.open(server.origin, phone=True)) > 100
    assert overflow(browser.open(server.origin)) == 0
