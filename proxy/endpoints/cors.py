"""Which web pages may call the gateway from their scripts: the CORS protocol.

https://fetch.spec.whatwg.org/#http-cors-protocol. It is the browser that holds a page to it; keys are checked as ever.
Credentials of the browser's own, cookies and client certificates, are never allowed, nor is the way from a public page
into a private network.
"""

import re
from collections.abc import Collection, Iterable
from typing import Final

from proxy.wire.headers import LIMIT_HEADERS, RESPONSE_HEADERS, Header, header_value

ANY: Final = "*"
#: Seconds for which a browser need not ask again; browsers cap it at about this.
MAX_AGE_SECONDS: Final = 7_200
METHODS: Final = b"DELETE, GET, HEAD, PATCH, POST, PUT"
#: Headers that a page may send where it does not say which it wants to.
USUAL_HEADERS: Final = b"authorization, content-type, x-api-key"
MAX_WANTED_BYTES: Final = 4_096
#: Headers of the gateway's own that a page's script may read.
_OWN_HEADERS: Final = (
    b"allow",
    b"x-request-id",
    b"x-prism-cost",
    b"x-prism-fallback-used",
    b"x-prism-latency-ms",
    b"x-prism-model-used",
    b"x-prism-provider",
    b"x-prism-request-id",
    b"x-prism-timeout-ms",
    b"x-prism-trace-id",
    b"x-prism-warning",
)
#: All others too, such as Anthropic's rate limits; by their names as well for browsers that do not know the asterisk.
_EXPOSED: Final = b", ".join((*_OWN_HEADERS, *sorted(RESPONSE_HEADERS | LIMIT_HEADERS), b"*"))
_EXPOSE_LINE: Final = b"access-control-expose-headers: " + _EXPOSED + b"\r\n"
_ANY_LINES: Final = b"access-control-allow-origin: *\r\n" + _EXPOSE_LINE
_VARY_LINE: Final = b"vary: origin\r\n"
_NAMES = re.compile(rb"[A-Za-z0-9!#$%&'*+.^_`|~-]+(?:[ \t]*,[ \t]*[A-Za-z0-9!#$%&'*+.^_`|~-]+)*")


class Cors:
    """The origins that are allowed."""

    def __init__(self, origins: Collection[str]) -> None:
        """`origins` are such as `https://app.example.com`; `*` is any, and none turns the protocol off."""
        self._any = ANY in origins
        self._allowed = frozenset(origin.lower().encode() for origin in origins)
        #: Whether anything is allowed at all.
        self.is_on = bool(origins)

    def allows(self, origin: bytes) -> bool:
        """Whether pages of an origin may call."""
        return self._any or origin in self._allowed

    def lines(self, origin: bytes) -> bytes:
        """The header lines of any response to a page of an origin."""
        if self._any:
            return _ANY_LINES
        if not self._allowed:
            return b""
        if origin not in self._allowed:
            return _VARY_LINE
        return b"access-control-allow-origin: %b\r\n" % origin + _EXPOSE_LINE + _VARY_LINE


def is_preflight(method: str, headers: Iterable[Header]) -> bool:
    """Whether a request, which has an `Origin`, is a browser's question before the one that it is about."""
    return method == "OPTIONS" and header_value(headers, b"access-control-request-method") is not None


def preflight_headers(headers: Iterable[Header]) -> dict[str, str]:
    """The response headers of a preflight, beside `Cors.lines`: any method, and the headers that it asks for."""
    wanted = header_value(headers, b"access-control-request-headers") or b""
    if len(wanted) > MAX_WANTED_BYTES or _NAMES.fullmatch(wanted) is None:
        wanted = USUAL_HEADERS
    return {
        "access-control-allow-methods": METHODS.decode(),
        "access-control-allow-headers": wanted.decode(),
        "access-control-max-age": str(MAX_AGE_SECONDS),
    }
