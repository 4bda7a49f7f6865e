"""Secrets that must not get out, each with a text that is found wherever it went, and where they are looked for.

Each is given to the gateway in every request of a run; what comes out is searched for all of them, byte by byte.
"""

import io
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from tests.serving import KEY

UPSTREAM_KEY: Final = "sk-vndr-canary-upstream-key-0123456789"
UPSTREAM_HEADERS: Final = {"x-vendor-token": "canary-upstream-header-0123456789"}
UPSTREAM_QUERY: Final = {"token": "canary-upstream-query-0123456789"}
PROMPT: Final = "canary-prompt-0123456789"
#: What a client sends along, and nobody asked it for.
CLIENT_HEADERS: Final = {
    "cookie": "session=canary-cookie-0123456789",
    "proxy-authorization": "Basic canary-proxy-0123456789",
    "x-forwarded-authorization": "Bearer canary-forwarded-0123456789",
    "openai-organization": "canary-organization-0123456789",
    "x-amz-security-token": "canary-token-0123456789",
}
#: The ways in which a client may show its key.
CREDENTIALS: Final[tuple[Mapping[str, str], ...]] = (
    {"authorization": f"Bearer {KEY}"},
    {"x-api-key": KEY},
    {"api-key": KEY},
    {"x-goog-api-key": KEY},
)
#: What the client alone may know, and what the gateway sends to its upstreams.
OF_THE_CLIENT: Final[Mapping[str, str]] = {
    "client key": KEY,
    **{name: value.split()[-1].rpartition("=")[2] for name, value in CLIENT_HEADERS.items()},
}
FOR_UPSTREAM: Final[Mapping[str, str]] = {
    "upstream key": UPSTREAM_KEY,
    "upstream header": UPSTREAM_HEADERS["x-vendor-token"],
    "upstream query": UPSTREAM_QUERY["token"],
    "prompt": PROMPT,
}
SECRETS: Final[Mapping[str, str]] = {**OF_THE_CLIENT, **FOR_UPSTREAM}


@contextmanager
def everything_logged() -> Iterator[io.StringIO]:
    """All loggers there are, at their finest, with the tracebacks of what they log."""
    text = io.StringIO()
    handler = logging.StreamHandler(text)
    handler.setFormatter(logging.Formatter("%(levelname)s %(name)s %(message)s %(args)r %(pathname)s"))
    root = logging.getLogger()
    loggers = [root, *(one for one in root.manager.loggerDict.values() if isinstance(one, logging.Logger))]
    levels = [(logger, logger.level, logger.disabled) for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.DEBUG)
        logger.disabled = False
    root.addHandler(handler)
    try:
        yield text
    finally:
        root.removeHandler(handler)
        for logger, level, disabled in levels:
            logger.setLevel(level)
            logger.disabled = disabled


def files_of(folder: Path) -> bytes:
    """Every byte below a folder."""
    return b"".join(path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file())


def found_in(places: Mapping[str, bytes | str]) -> list[str]:
    """Which secrets are found, and where."""
    texts = {place: text.encode() if isinstance(text, str) else text for place, text in places.items()}
    return [
        f"the {name} stands in {place}"
        for place, text in texts.items()
        for name, secret in SECRETS.items()
        if secret.encode() in text
    ]
