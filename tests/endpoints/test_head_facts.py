"""HeadFacts: what is parsed of a request head once, and for how long a handler may take it from there."""

import math

import pytest

from proxy.endpoints.head_facts import HeadFacts, allowed_query
from proxy.endpoints.table import ROWS
from proxy.errors import InvalidRequest
from proxy.wire.prism_headers import NO_PRISM_HEADERS

CHAT = next(row for row in ROWS if row.path == "/v1/chat/completions")
SPEECH = next(row for row in ROWS if row.path == "/v1/audio/transcriptions")
JSON = (b"content-type", b"application/json")


def facts(*headers: tuple[bytes, bytes], query: bytes = b"") -> HeadFacts:
    return HeadFacts(CHAT, (b"digest",), [JSON, *headers], query)


def test_a_plain_head() -> None:
    found = facts((b"openai-beta", b"x"), (b"cookie", b"secret"))
    assert (found.path, found.forwarded) == (b"/chat/completions", b"openai-beta: x\r\n")
    assert (found.boundary, found.encoding, found.patience) == (None, "", math.inf)
    assert found.prism is NO_PRISM_HEADERS


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ([(b"x-stainless-read-timeout", b"60")], 60),
        ([(b"x-prism-request-timeout", b"1500")], 1.5),
        ([(b"x-stainless-read-timeout", b"60"), (b"x-agentcc-timeout", b"5s")], 5),
        ([(b"x-stainless-read-timeout", b"1"), (b"x-agentcc-timeout", b"5s")], 1),
    ],
)
def test_the_shortest_wait_of_the_client_counts(headers: list[tuple[bytes, bytes]], seconds: float) -> None:
    assert facts(*headers).patience == seconds


def test_a_header_out_of_bounds_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="x-prism-session-id") as caught:
        facts((b"x-prism-session-id", b"x" * 256))
    assert caught.value.code == "session_id_too_long"


def test_a_form_has_its_boundary() -> None:
    headers = [(b"content-type", b"multipart/form-data; boundary=cut")]
    assert HeadFacts(SPEECH, (), headers, b"").boundary == b"cut"


def test_a_query_passes_by_name_and_never_with_a_semicolon() -> None:
    allowed = frozenset({"alt", "page"})
    assert allowed_query(b"alt=sse&key=secret&page=2", allowed) == b"?alt=sse&page=2"
    assert allowed_query(b"alt=sse;key=secret", allowed) == b""
    assert allowed_query(b"alt=sse", frozenset()) == b""
