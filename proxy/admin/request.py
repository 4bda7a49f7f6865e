"""AdminRequest: one request of the admin API as its handler gets it; and the rows of the table of routes."""

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, NamedTuple
from urllib.parse import unquote

import msgspec

from proxy.admin.services import AdminServices
from proxy.wire.headers import Header, header_value

MAX_BODY_BYTES: Final = 1_048_576
MAX_BULK_BYTES: Final = 16_777_216
#: Who may call a route: with the admin token; or, where `admin.open_metrics` is set, without.
Access = Literal["token", "open_metrics"]


class Input(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Base class of request bodies and queries: what is unknown is refused."""


class NoQuery(Input, frozen=True):
    """The query of a route that takes none."""


@dataclass(frozen=True)
class AdminRequest:
    """A request that has passed authentication and whose query and body have been validated."""

    #: What stands in the path in place of `{…}`, by its name.
    ids: Mapping[str, str]
    #: Of the row's types.
    query: Any
    body: Any
    headers: list[Header]
    #: For the audit table.
    actor: str
    method: str = "GET"

    def header(self, name: bytes) -> str | None:
        """The value of a header, or None."""
        value = header_value(self.headers, name)
        return None if value is None else value.decode("latin-1")


class Result(NamedTuple):
    """What a handler returns: a value of the row's response type, and what is unusual about the response."""

    value: Any
    status: int = 200
    headers: Mapping[str, str] = {}
    #: A response that is no JSON.
    media_type: str = "application/json"


Handler = Callable[[AdminServices, AdminRequest], Awaitable[Result]]


@dataclass(frozen=True)
class Row:
    """One route."""

    method: str
    path: str
    handler: Handler
    help: str
    #: The type of its response; None for one that is no JSON.
    response: Any
    #: The type of its JSON body; None for a route that takes none.
    body: Any = None
    #: The code of the error for a body that its type does not accept.
    body_fault: str = "invalid_request"
    query: type[Input] = NoQuery
    access: Access = "token"
    max_body_bytes: int = MAX_BODY_BYTES
    #: Request headers that it reads, with what they do.
    headers: Mapping[str, str] = field(default_factory=dict)
    #: Statuses that it may respond with beside those of every route.
    statuses: tuple[int, ...] = (200,)

    @property
    def pattern(self) -> re.Pattern[bytes]:
        """Matches the raw path of a request."""
        parts = re.split(r"\{(\w+)\}", self.path)
        text = "".join(re.escape(part) if place % 2 == 0 else f"(?P<{part}>[^/]+)" for place, part in enumerate(parts))
        return re.compile(text.encode())


def ids_of(match: re.Match[bytes]) -> dict[str, str]:
    """What stands in a path in place of `{…}`. Never used as the name of a file."""
    return {name: unquote(value.decode("latin-1"), errors="replace") for name, value in match.groupdict().items()}
