"""The browser of the tests of pages: one for the whole run, with nothing left in it from test to test."""

from collections.abc import Iterator

import pytest

from tests.pages.browser import Browser, SharedChromium, chromium


@pytest.fixture(scope="session")
def shared_chromium() -> Iterator[SharedChromium]:
    with chromium() as shared:
        yield shared


@pytest.fixture
def browser(shared_chromium: SharedChromium) -> Iterator[Browser]:
    """Opens pages; fails the test where Chromium reports a fault."""
    with shared_chromium.in_use() as one:
        yield one
