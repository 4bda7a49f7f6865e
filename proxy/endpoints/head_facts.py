"""What a request head says to the handler of a row: parsed once, and kept with a head that a client repeats.

It keeps digests and no secret; whether a key is still valid is looked up anew for every request.
"""

from typing import Final

from proxy.endpoints.table import BodyKind, Row
from proxy.errors import InvalidRequest
from proxy.wire.content_encoding import encoding_of, unsupported
from proxy.wire.headers import Header, header_value, parse_seconds, request_lines
from proxy.wire.multipart import boundary_of, is_multipart
from proxy.wire.prism_headers import read_prism_headers

_CONTENT_TYPES: Final[dict[BodyKind, str]] = {
    "json": "application/json",
    "form": "multipart/form-data",
    "form or json": "multipart/form-data or application/json",
}


class HeadFacts:
    """The parsed head of the requests of one row."""

    def __init__(self, row: Row, digests: tuple[bytes, ...], headers: list[Header], query: bytes) -> None:
        """Raises `InvalidRequest` where the head already shows that the body cannot be read."""
        prism = read_prism_headers(headers)
        prism.check()
        #: The row that it was read for.
        self.row = row
        #: Those of the secrets, known and unknown ones: which of them are a key's is asked anew for every request.
        self.digests = digests
        #: How the body is compressed, or "".
        self.encoding = encoding_of(headers)
        if self.encoding and row.body == "form":
            raise unsupported("A compressed form is not taken.")
        #: Where the body is a form, what stands between its parts.
        self.boundary = check_head(headers, row.body)
        if self.encoding and self.boundary is not None:
            raise unsupported("A compressed form is not taken.")
        #: The path for the upstream, with its query.
        self.path = row.upstream_path.encode() + allowed_query(query, row.query)
        #: Header lines for the upstream.
        self.forwarded = request_lines(headers)
        #: How many seconds the client waits.
        self.patience = min(parse_seconds(header_value(headers, b"x-stainless-read-timeout")), prism.timeout)
        #: What its `x-prism-*` headers say.
        self.prism = prism


def check_head(headers: list[Header], kind: BodyKind) -> bytes | None:
    """Refuse what the body's head already shows to be unreadable; the boundary, if the body is a form.

    Raises `InvalidRequest`.
    """
    content_type: bytes | None = None
    for name, value in headers:
        if name == b"content-type":
            if content_type is not None:
                raise InvalidRequest("The request has two content types.", code="unsupported_content_type")
            content_type = value
    if kind != "json" and content_type is not None and is_multipart(content_type):
        return boundary_of(content_type)
    if kind == "form" or (
        content_type is not None and content_type.partition(b";")[0].strip().lower() != b"application/json"
    ):
        wanted = _CONTENT_TYPES[kind]
        raise InvalidRequest(f"The request's content type must be {wanted}.", code="unsupported_content_type")
    return None


def allowed_query(query: bytes, allowed: frozenset[str]) -> bytes:
    """The part of a query string that goes to the upstream, with its question mark; never a credential."""
    if not query or not allowed:
        return b""
    # Some servers take a semicolon for the end of a parameter.
    kept = [
        part for part in query.split(b"&") if part.partition(b"=")[0].decode("latin-1") in allowed and b";" not in part
    ]
    return b"?" + b"&".join(kept) if kept else b""
