"""Where a page is: the origin of the gateway as a browser sees it, and what comes from there and leads there."""

import re
from typing import Final
from urllib.parse import urlsplit

from starlette.types import Scope

from proxy.wire.headers import header_value

#: A host and its port, as they may stand in a page. What is written otherwise is not repeated there.
_HOST: Final = re.compile(r"(?:[A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?")

DASHBOARD: Final = "/dashboard"
#: A page of the dashboard and its query: without a slash too many, a segment of dots, an escape or a backslash, each of
#: which leads a browser elsewhere.
_PAGE: Final = re.compile(rf"{DASHBOARD}(?:/[A-Za-z0-9_-][A-Za-z0-9._-]*)*(?:\?[!-\[\]-~]*)?")
_MAX_PAGE_CHARACTERS: Final = 4_096


def origin_of(scope: Scope, public_url: str) -> str:
    """Scheme, host and port of the gateway: those that are configured, else those that the request names.

    A Host header that is none gives the address that the request came in at.
    """
    if public_url:
        return public_url.rstrip("/")
    host = (header_value(scope["headers"], b"host") or b"").decode("latin-1")
    if _HOST.fullmatch(host) is None:
        server = scope.get("server") or ("127.0.0.1", None)
        host = server[0] if server[1] is None else f"{server[0]}:{server[1]}"
    return f"{scope['scheme']}://{host}"


def is_reached_by_https(scope: Scope, public_url: str) -> bool:
    """Whether a browser came by https, which a proxy in front ends: the public URL says so.

    One that came past the proxy, by another host name, did not.
    """
    if scope["scheme"] == "https":
        return True
    public = urlsplit(public_url)
    return public.scheme == "https" and public.netloc.encode() == header_value(scope["headers"], b"host")


def same_origin(scope: Scope, public_url: str = "") -> bool:
    """Whether a form was sent by a page of this site, by what browsers say and pages cannot change.

    A proxy in front may write another Host: then the origin is that of the public URL.
    """
    headers = scope["headers"]
    site = header_value(headers, b"sec-fetch-site")
    if site is not None:
        return site == b"same-origin"
    origin = header_value(headers, b"origin")
    if origin is None:
        # No browser: they all send one of the two with a form.
        return True
    if public_url and origin == public_url.rstrip("/").encode():
        return True
    return urlsplit(origin.decode("latin-1")).netloc.encode("latin-1") == header_value(headers, b"host")


def own_page(text: str) -> str:
    """The page of the dashboard that a form or a URL names as the next one, or the dashboard itself: nothing else."""
    is_own = len(text) <= _MAX_PAGE_CHARACTERS and _PAGE.fullmatch(text) is not None
    return text if is_own else DASHBOARD
