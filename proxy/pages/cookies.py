"""The cookie of a session: for this host alone, out of reach of scripts, and not sent with forms of other sites.

It is `Lax` and not `Strict`: a link to the dashboard in a message is to open for who is signed in, and every form has a
token of its session besides.
"""

from collections.abc import Sequence
from typing import Final

from proxy.wire.headers import Header

COOKIE: Final = "prometheus_session"
#: A browser takes a cookie of this name by https alone, and of this host alone (RFC 6265bis, 4.1.3.2).
SECURE_COOKIE: Final = f"__Host-{COOKIE}"


def cookie_of(token: str, seconds: float, *, is_secure: bool) -> str:
    """The Set-Cookie header of a session; 0 seconds take it away."""
    name, secure = (SECURE_COOKIE, "; Secure") if is_secure else (COOKIE, "")
    return f"{name}={token}; Path=/; HttpOnly; SameSite=Lax; Max-Age={int(seconds)}{secure}"


def token_in(headers: Sequence[Header], *, is_secure: bool) -> str:
    """The token of the session of a request; empty where it has none."""
    wanted = SECURE_COOKIE if is_secure else COOKIE
    for name, value in headers:
        if name == b"cookie":
            for pair in value.decode("latin-1").split(";"):
                key, _, token = pair.strip().partition("=")
                if key == wanted:
                    return token
    return ""
