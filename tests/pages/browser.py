"""A real Chromium over the pages of a gateway. What it reports as wrong with a page fails the test.

That is: errors in its console, errors of scripts that nothing caught, `alert`, what the Content-Security-Policy blocks
or reports, and any request to another host. A fault that a test provokes is named by `expect`.
"""

import asyncio
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser as Chromium
from playwright.sync_api import BrowserContext, ConsoleMessage, Dialog, Page, Request, sync_playwright

from proxy.pages.cookies import COOKIE
from tests.serving import RunningGateway

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
AXE = Path(__file__).parents[1] / "node" / "node_modules" / "axe-core" / "axe.min.js"
DESKTOP, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}
#: Milliseconds that an element or a navigation may take, on a machine that is busy.
_PATIENCE = 30_000.0
_INERT_SCHEMES = ("data", "blob", "about")
#: Names outside this machine are not even looked up.
_ARGUMENTS = ["--no-sandbox", "--disable-dev-shm-usage", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"]
_REPORT_VIOLATIONS = """
document.addEventListener("securitypolicyviolation", event =>
  console.error("CSP violation", event.effectiveDirective, event.blockedURI, event.sourceFile, event.lineNumber));
"""


def skip_or_fail(reason: str) -> None:
    """Skip the test for want of a program; in continuous integration, where there must be one, fail it."""
    if os.environ.get("GATEWAY_NEEDS_BROWSER"):
        pytest.fail(reason)
    pytest.skip(reason)


@contextmanager
def chromium() -> Iterator["SharedChromium"]:
    """The browser of a run of tests."""
    if CHROMIUM is None:
        skip_or_fail("no browser is installed: apt-get install chromium")
    driver = sync_playwright().start()
    try:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=_ARGUMENTS)
        shared = SharedChromium(browser)
        with shared.away():
            yield shared
        browser.close()
    finally:
        driver.stop()


class SharedChromium:
    """The browser, and the event loop of its driver, which marks the main thread as running a loop.

    Other tests run loops of their own there, so the mark is set only while a test uses the browser.
    """

    def __init__(self, browser: Chromium) -> None:
        self.browser = browser
        self._loop = asyncio._get_running_loop()

    @contextmanager
    def away(self) -> Iterator[None]:
        """Let the thread run other loops."""
        asyncio._set_running_loop(None)
        try:
            yield
        finally:
            asyncio._set_running_loop(self._loop)

    @contextmanager
    def in_use(self) -> Iterator["Browser"]:
        """A browser without a past, closed and checked at the end."""
        asyncio._set_running_loop(self._loop)
        try:
            browser = Browser(self.browser)
            try:
                yield browser
            finally:
                browser.close()
            browser.check()
        finally:
            asyncio._set_running_loop(None)


class Browser:
    """What a test opens pages with. Each `open` has cookies, storage and a cache of its own."""

    def __init__(self, browser: Chromium) -> None:
        self._browser = browser
        self._contexts: list[BrowserContext] = []
        self._expected: list[re.Pattern[str]] = []
        self.faults: list[str] = []

    def open(
        self,
        gateway: RunningGateway | str,
        path: str | None = "/",
        *,
        session: str | None = None,
        dark: bool = False,
        phone: bool = False,
        javascript: bool = True,
        zone: str = "UTC",
        **options: Any,
    ) -> Page:
        """A page of a gateway, or of the origin given, at a path, or blank (None).

        `session` is the token of a session (`tests.pages.serving.session_of`); `zone` the time zone of the system;
        `options` are those of Playwright's `new_context`.
        """
        origin = gateway if isinstance(gateway, str) else gateway.url
        context = self._browser.new_context(
            base_url=origin,
            color_scheme="dark" if dark else "light",
            viewport=PHONE if phone else DESKTOP,  # type: ignore[arg-type]
            java_script_enabled=javascript,
            timezone_id=zone,
            locale="en-US",
            reduced_motion="reduce",
            **options,
        )
        self._contexts.append(context)
        context.set_default_timeout(_PATIENCE)
        context.add_init_script(_REPORT_VIOLATIONS)
        context.on("console", self._console)
        context.on("weberror", lambda error: self.faults.append(f"uncaught: {error.error}"))
        context.on("dialog", self._dialog)
        context.on("request", lambda request: self._request(request, origin))
        if session is not None:
            context.add_cookies([{"name": COOKIE, "value": session, "url": origin}])
        page = context.new_page()
        if path is not None:
            page.goto(path)
        return page

    def expect(self, pattern: str) -> None:
        """Take faults in which a pattern is found for what they are: those that the test is about."""
        self._expected.append(re.compile(pattern))

    def check(self) -> None:
        """Raise AssertionError where a page had a fault that was not expected."""
        faults = [fault for fault in self.faults if not any(one.search(fault) for one in self._expected)]
        assert not faults, "the browser reports:\n" + "\n".join(faults)

    def close(self) -> None:
        """Close what is open."""
        while self._contexts:
            self._contexts.pop().close()

    def _console(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self.faults.append(f"console: {message.text} ({message.location.get('url', '')})")

    def _dialog(self, dialog: Dialog) -> None:
        if dialog.type == "alert":
            self.faults.append(f"alert: {dialog.message}")
        dialog.accept()

    def _request(self, request: Request, origin: str) -> None:
        parts = urlsplit(request.url)
        if parts.scheme not in _INERT_SCHEMES and f"{parts.scheme}://{parts.netloc}" != origin:
            self.faults.append(f"a request to another host: {request.url}")


def serious_faults(page: Page) -> list[str]:
    """What axe-core finds that keeps people from using a page: its faults of impact serious and critical."""
    if not AXE.is_file():
        skip_or_fail("axe-core is not installed: npm install in tests/node")
    page.evaluate(AXE.read_text(encoding="utf-8"))
    found = page.evaluate("() => axe.run(document, {resultTypes: ['violations']})")
    return [
        f"{fault['id']} ({fault['impact']}): {fault['help']}: {node['html']}: {node.get('failureSummary', '')}"
        for fault in found["violations"]
        if fault["impact"] in ("serious", "critical")
        for node in fault["nodes"]
    ]


def overflow(page: Page) -> int:
    """By how many pixels a page is wider than its window, so that it must be scrolled sideways."""
    width: int = page.evaluate("() => document.documentElement.scrollWidth - window.innerWidth")
    return max(0, width)
