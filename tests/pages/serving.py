"""A gateway whose pages are read: by httpx, with or without a session."""

from collections.abc import Iterator
from contextlib import contextmanager

import httpx

from proxy.pages.cookies import COOKIE
from tests.serving import RunningGateway

BROWSER = {"accept": "text/html,application/xhtml+xml", "sec-fetch-site": "same-origin"}


def session_of(gateway: RunningGateway, key: str | None = None) -> str:
    """The token of a new session: of the owner of a key, by its secret, or of an admin."""

    async def begin() -> str:
        sessions = gateway.gateway.site.services.sessions
        secret = key or gateway.gateway.admin.services.token.file.load_or_create()
        return await sessions.begin(await sessions.identify(secret, "127.0.0.1", admins=True))

    return gateway.wait_for(begin())


def csrf_of(gateway: RunningGateway, session: str) -> str:
    """What the forms of a session must send."""
    viewer = gateway.wait_for(gateway.gateway.site.services.sessions.viewer(session))
    assert viewer is not None
    return viewer.csrf


@contextmanager
def reader(gateway: RunningGateway, session: str | None = None) -> Iterator[httpx.Client]:
    """A client that asks as a browser does."""
    cookies = {} if session is None else {COOKIE: session}
    with httpx.Client(base_url=gateway.url, headers=BROWSER, cookies=cookies) as client:
        yield client
