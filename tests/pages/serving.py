"""A gateway whose pages are read: by httpx, with or without a session."""

from collections.abc import Iterator
from contextlib import contextmanager

import httpx

from proxy.pages.site import COOKIE
from tests.serving import RunningGateway

BROWSER = {"accept": "text/html,application/xhtml+xml", "sec-fetch-site": "same-origin"}


def session_of(gateway: RunningGateway, key: str | None = None) -> str:
    """The token of a new session: of the owner of a key, by its id, or of an admin."""

    async def begin() -> str:
        return await gateway.gateway.site.services.sessions.begin(key, "admin:test", 3600)

    return gateway.wait_for(begin())


@contextmanager
def reader(gateway: RunningGateway, session: str | None = None) -> Iterator[httpx.Client]:
    """A client that asks as a browser does."""
    cookies = {} if session is None else {COOKIE: session}
    with httpx.Client(base_url=gateway.url, headers=BROWSER, cookies=cookies) as client:
        yield client
