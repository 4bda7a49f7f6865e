"""Which headers pass, in both directions: allow lists and the checks on values.

No header reaches the other side that is not named here, so nothing of a client's credentials or an upstream's identity
can leak through one that was forgotten.
"""

import math
import re
from collections.abc import Iterable
from typing import Final

Header = tuple[bytes, bytes]

#: From the client to the upstream. Never a credential, a cookie or a framing header; and no idempotency key: the
#: account at the upstream is shared by all keys, and one key's response must not be replayed to another.
REQUEST_HEADERS: Final = frozenset(
    {b"openai-beta", b"anthropic-version", b"anthropic-beta", b"x-stainless-helper-method"}
)
#: From the upstream to the client. Never a name, an id or a host of the upstream.
RESPONSE_HEADERS: Final = frozenset(
    {
        b"cache-control",
        b"content-disposition",
        b"content-encoding",
        b"content-language",
        b"content-type",
        b"openai-processing-ms",
        b"openai-version",
        b"retry-after",
        b"retry-after-ms",
        b"x-should-retry",
    }
)
#: The rate limits of the account, which all keys share: shown only where they were passed. Anthropic's all begin alike;
#: the others are named one by one, as one of them tells a deployment.
LIMIT_HEADERS: Final = frozenset(
    f"x-ratelimit-{what}{unit}".encode()
    for what in ("limit", "remaining", "reset")
    for unit in ("", "-requests", "-tokens", "-input-tokens", "-output-tokens", "-input-images")
)
_ANTHROPIC_LIMITS: Final = b"anthropic-ratelimit-"
#: The beginnings of their lines.
_REQUEST_LINES: Final = {name: name + b": " for name in REQUEST_HEADERS}
_RESPONSE_LINES: Final = {name: name + b": " for name in RESPONSE_HEADERS}
_AGAIN_LINES: Final = {name: name + b": " for name in (b"retry-after", b"retry-after-ms", b"x-should-retry")}
_SECONDS: Final = re.compile(rb"[0-9]{1,9}(?:\.[0-9]{1,9})?")
#: Leaves every byte of a value alone but those that may not stand in one, which become question marks.
_SAFE: Final = bytes([63 if (at < 32 and at != 9) or at == 127 else at for at in range(256)])


def request_lines(headers: Iterable[Header]) -> bytes:
    """The client's headers that go to the upstream, as header lines."""
    return lines(headers, _REQUEST_LINES)


def response_lines(headers: Iterable[Header]) -> bytes:
    """The upstream's headers that go to the client, as header lines."""
    return lines(headers, _RESPONSE_LINES)


def retry_lines(headers: Iterable[Header]) -> bytes:
    """The headers of an error that say when, and whether, to retry, as header lines: for a body of our own."""
    return lines(headers, _AGAIN_LINES)


def rate_limit_lines(headers: Iterable[Header]) -> bytes:
    """The upstream's rate limits, as header lines."""
    found = [name for name, _ in headers if name in LIMIT_HEADERS or name.startswith(_ANTHROPIC_LIMITS)]
    return lines(headers, {name: name + b": " for name in found})


def lines(headers: Iterable[Header], allowed: dict[bytes, bytes]) -> bytes:
    """Header lines of those headers (names in lower case) that are allowed and whose values are safe.

    `allowed` has how the line of each name begins.
    """
    found: list[bytes] = []
    for name, value in headers:
        begin = allowed.get(name)
        if begin is not None:
            found.append(begin + value)
    # Asked of all lines at once: hardly ever one is not.
    if not _is_safe(b"".join(found)):
        found = [line for line in found if _is_safe(line)]
    if not found:
        return b""
    found.append(b"")
    return b"\r\n".join(found)


def _is_safe(value: bytes) -> bool:
    """Whether a value has no control character but tabs."""
    return value.translate(_SAFE) == value


def header_value(headers: Iterable[Header], name: bytes) -> bytes | None:
    """The value of the first header of that name (lower case), or None."""
    for key, value in headers:
        if key == name:
            return value
    return None


def parse_seconds(value: bytes | None) -> float:
    """A plain number of seconds above 0, such as `600` or `0.5`; infinity for none, and for anything else."""
    if value is None or _SECONDS.fullmatch(value) is None:
        return math.inf
    return float(value) or math.inf


def retry_after(headers: Iterable[Header]) -> float:
    """The seconds after which an upstream wants a retry; infinity where it gives none, or a date."""
    wanted = math.inf
    for name, value in headers:
        if name == b"retry-after-ms" and _SECONDS.fullmatch(value) is not None:
            return float(value) / 1000
        if name == b"retry-after" and _SECONDS.fullmatch(value) is not None:
            wanted = float(value)
    return wanted


def with_content_type(headers: Iterable[Header], kind: bytes) -> list[Header]:
    """The headers with another content type."""
    return [*(one for one in headers if one[0] != b"content-type"), (b"content-type", kind)]
