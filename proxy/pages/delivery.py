"""Delivery: sends pages and files compressed to clients that take that, and not again to those that have them.

It must not compress what is secret at the wish of another site. What is not public has figures and tokens of forms
beside words of its URL; who sees the length of the compressed bytes and chooses the URL can guess them letter by letter
(BREACH, https://www.breachattack.com). Such a response is compressed only where the browser says that a page of this
site, or its reader, has asked for it.
"""

import asyncio
import gzip
import hashlib
import re
from collections.abc import Sequence
from http import HTTPStatus
from typing import Final

from starlette.responses import Response, StreamingResponse

from proxy.wire.headers import Header, header_value

#: Less than this fits into one packet either way.
MIN_COMPRESSED_BYTES: Final = 1_024
#: More than this is compressed by a thread: the event loop is held up for half a millisecond at most.
_MAX_ON_LOOP_BYTES: Final = 16_384
_LEVEL: Final = 6
#: What compressing makes shorter; pictures and sounds are compressed already.
_TYPES: Final = ("text/", "application/json", "image/svg+xml")
#: Values of Sec-Fetch-Site that no page of another site can bring about.
_OWN_SITES: Final = (b"same-origin", b"none")
_CODING: Final = re.compile(r"([A-Za-z0-9!#$%&'*+.^_`|~-]+)(?:[ \t]*;[ \t]*[qQ]=(0(?:\.\d{0,3})?|1(?:\.0{0,3})?))?")
_ENTITY_TAG: Final = re.compile(rb'(?:W/)?"([^"]*)"')


class Content:
    """The bytes of a response; they are compressed at the first request for that, and once."""

    def __init__(self, body: bytes, mark: str = "") -> None:
        """`mark` changes with the bytes, for the ETag; without one there is none."""
        self.body = body
        self.mark = mark
        self._compressed: bytes | None = None

    async def compressed(self) -> bytes:
        """The bytes in gzip's format."""
        if self._compressed is None:
            if len(self.body) <= _MAX_ON_LOOP_BYTES:
                self._compressed = _compress(self.body)
            else:
                self._compressed = await asyncio.to_thread(_compress, self.body)
        return self._compressed


def mark_of(body: bytes) -> str:
    """What changes with the bytes."""
    return hashlib.sha256(body).hexdigest()[:12]


async def deliver(response: Response, content: Content, headers: Sequence[Header]) -> None:
    """Make the response one to the headers of a request: compressed, or nothing but the ETag that the client has."""
    response.headers.add_vary_header("accept-encoding")
    is_text = response.headers.get("content-type", "").startswith(_TYPES)
    is_worth = is_text and len(content.body) >= MIN_COMPRESSED_BYTES
    is_compressed = chooses_gzip(_joined(headers, b"accept-encoding").decode("latin-1"), is_worth=is_worth)
    if content.mark:
        # Bytes that are compressed on demand are not promised to be the same ones everywhere: their ETag is a weak one.
        response.headers["etag"] = f'{"W/" if is_compressed else ""}"{content.mark}"'
        if _has(_joined(headers, b"if-none-match"), content.mark):
            response.status_code, response.body = HTTPStatus.NOT_MODIFIED, b""
            del response.headers["content-length"], response.headers["content-type"]
            return
    if is_compressed:
        response.body = await content.compressed()
        response.headers["content-length"] = str(len(response.body))
        response.headers["content-encoding"] = "gzip"


async def deliver_page(response: Response, headers: Sequence[Header], *, is_secure: bool) -> None:
    """The same for what the handler of a page has made. What is public has an ETag; streams stay as they are."""
    if isinstance(response, StreamingResponse) or response.status_code != HTTPStatus.OK:
        return
    is_public = response.headers.get("cache-control", "").startswith("public")
    if is_public or _is_own(headers, is_secure):
        body = bytes(response.body)
        await deliver(response, Content(body, mark_of(body) if is_public else ""), headers)


def chooses_gzip(accepted: str, *, is_worth: bool) -> bool:
    """Whether a client that sends this Accept-Encoding gets gzip (RFC 9110, 12.5.3).

    What `is_worth` nothing is compressed only for a client that takes it no other way.
    """
    qualities: dict[str, float] = {}
    for part in accepted.split(","):
        found = _CODING.fullmatch(part.strip())
        if found is not None:
            coding = found[1].lower()
            qualities["gzip" if coding == "x-gzip" else coding] = float(found[2] or 1)
    any_other = qualities.get("*")
    compressed, plain = qualities.get("gzip", any_other or 0), qualities.get("identity", any_other)
    if not compressed or plain == 0:
        return bool(compressed)
    return is_worth and compressed >= (plain or 0)


def _is_own(headers: Sequence[Header], is_secure: bool) -> bool:
    """Whether no other site has made the client ask, or there is nothing to guess: it came by plain HTTP."""
    site = header_value(headers, b"sec-fetch-site")
    return not is_secure if site is None else site in _OWN_SITES


def _has(known: bytes, mark: str) -> bool:
    """Whether If-None-Match names the mark; compared as weak ETags are."""
    return known.strip() == b"*" or mark.encode() in _ENTITY_TAG.findall(known)


def _joined(headers: Sequence[Header], wanted: bytes) -> bytes:
    return b", ".join([value for name, value in headers if name == wanted])


def _compress(body: bytes) -> bytes:
    return gzip.compress(body, _LEVEL, mtime=0)
