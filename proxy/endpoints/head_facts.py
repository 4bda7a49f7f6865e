"""What a request head says to the handler of a row: parsed once, and kept with a head that a client repeats.

It keeps digests and no secret; whether a key is still valid is looked up anew for every request.
"""

from proxy.endpoints.table import Row
from proxy.wire.content_encoding import encoding_of
from proxy.wire.content_type import check_content_type
from proxy.wire.headers import Header, header_value, parse_seconds, request_lines
from proxy.wire.prism_headers import read_prism_headers


class HeadFacts:
    """The parsed head of the requests of one row."""

    def __init__(self, row: Row, digests: tuple[bytes, ...], headers: list[Header], query: bytes) -> None:
        """Raises `InvalidRequest` where the head already shows that the body cannot be read, or a header is refused."""
        prism = read_prism_headers(headers)
        prism.check()
        #: The row that it was read for.
        self.row = row
        #: Those of the secrets, known and unknown ones: which of them are a key's is asked anew for every request.
        self.digests = digests
        #: How the body is compressed, or "".
        self.encoding = encoding_of(headers)
        #: The boundary between the parts of a body that is a form; else None.
        self.boundary = check_content_type(headers, row.body)
        #: The path for the upstream, with its query.
        self.path = row.upstream_path.encode() + allowed_query(query, row.query)
        #: Header lines for the upstream.
        self.forwarded = request_lines(headers)
        #: How many seconds the client waits.
        self.patience = min(parse_seconds(header_value(headers, b"x-stainless-read-timeout")), prism.timeout)
        #: What its `x-prism-*` headers say.
        self.prism = prism


def allowed_query(query: bytes, allowed: frozenset[str]) -> bytes:
    """The part of a query string that goes to the upstream, with its question mark; never a credential."""
    if not query or not allowed:
        return b""
    # Some servers take a semicolon for the end of a parameter.
    kept = [
        part for part in query.split(b"&") if part.partition(b"=")[0].decode("latin-1") in allowed and b";" not in part
    ]
    return b"?" + b"&".join(kept) if kept else b""
