"""PageRequest: one request of a page as its handler gets it; and the rows of the table of pages."""

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final, Literal

from starlette.datastructures import FormData, QueryParams
from starlette.responses import Response

from proxy.pages.services import PageServices
from proxy.pages.viewer import Viewer
from proxy.wire.headers import Header, header_value

MAX_FORM_BYTES: Final = 65_536


class Access(Enum):
    """Who may read a page."""

    #: Everyone, without a key.
    OPEN = "open"
    #: Who has signed in: an admin, or the owner of a key, who sees what concerns that key alone.
    VIEWER = "viewer"
    ADMIN = "admin"


@dataclass(frozen=True)
class PageRequest:
    """A request whose viewer may read the page, and whose form has the token of its session."""

    method: str
    #: As it was asked for; never used as the name of a file.
    path: str
    #: What stands in the path in place of `{…}`, by its name.
    ids: Mapping[str, str]
    query: QueryParams
    form: FormData
    headers: list[Header]
    #: None for a page that is open, where there is no session.
    viewer: Viewer | None
    #: The token of the session, which must stand in no page; empty where there is none.
    session: str
    #: Whether an admin may sign in: not at an address that is not the admin API's, nor from another network.
    takes_admins: bool
    #: Scheme, host and port of the gateway, as clients reach it, without a slash at the end.
    origin: str
    #: Whether the browser came by https.
    is_secure: bool
    #: The address of the client.
    client: str

    def header(self, name: bytes) -> str | None:
        """The value of a header, or None."""
        value = header_value(self.headers, name)
        return None if value is None else value.decode("latin-1")

    @property
    def wants_html(self) -> bool:
        """Whether the client is a browser, by its Accept header."""
        return "text/html" in (self.header(b"accept") or "")

    @property
    def signed_in(self) -> Viewer:
        """The viewer of a page that is not open."""
        assert self.viewer is not None
        return self.viewer


Handler = Callable[[PageServices, PageRequest], Awaitable[Response]]
#: Which part of the site a page belongs to, that a setting turns off.
Part = Literal["docs", "dashboard"]


@dataclass(frozen=True)
class Page:
    """One page, twin, download or form."""

    method: str
    path: str
    handler: Handler
    help: str
    part: Part
    access: Access = Access.OPEN
    #: Further sources that its vendored code needs, by directive of the Content-Security-Policy.
    sources: Mapping[str, str] | None = None

    @property
    def pattern(self) -> re.Pattern[str]:
        """Matches the path of a request."""
        parts = re.split(r"\{(\w+)\}", self.path)
        text = "".join(re.escape(part) if place % 2 == 0 else f"(?P<{part}>[^/]+)" for place, part in enumerate(parts))
        return re.compile(text)
