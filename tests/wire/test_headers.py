"""Headers: only what is named passes, only with safe values, in both directions."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.wire.headers import (
    LIMIT_HEADERS,
    REQUEST_HEADERS,
    RESPONSE_HEADERS,
    Header,
    header_value,
    parse_seconds,
    rate_limit_lines,
    request_lines,
    response_lines,
    retry_after,
    retry_lines,
)
from tests.corpus import exchanges

#: Credentials, framing, hop-by-hop headers and ways to say who one is: none goes up.
NEVER_UP = (
    b"authorization", b"x-api-key", b"api-key", b"x-goog-api-key", b"cookie", b"proxy-authorization",
    b"openai-organization", b"openai-project", b"host", b"connection", b"keep-alive", b"te", b"trailer", b"upgrade",
    b"transfer-encoding", b"content-length", b"content-type", b"expect", b"accept-encoding", b"forwarded",
    b"x-forwarded-for", b"x-real-ip", b"via", b"user-agent", b"x-request-id", b"x-stainless-lang", b"referer",
)  # fmt: skip
#: What would name the upstream, its model or its account, set a cookie, or frame another body: none comes down.
NEVER_DOWN = (
    b"openai-model", b"openai-organization", b"openai-project", b"x-request-id", b"request-id", b"apim-request-id",
    b"cf-ray", b"server", b"via", b"set-cookie", b"x-ms-deployment-name", b"x-ms-served-model", b"x-ratelimit-key",
    b"x-ms-region", b"azureml-model-session", b"x-litellm-model-group", b"x-litellm-model-id",
    b"x-litellm-model-api-base", b"x-generation-id", b"x-groq-region", b"location", b"content-location", b"link",
    b"alt-svc", b"www-authenticate", b"connection", b"keep-alive", b"transfer-encoding", b"content-length", b"trailer",
    b"upgrade", b"date", b"strict-transport-security", b"access-control-allow-origin", b"report-to", b"nel",
    b"x-accel-buffering", b"anthropic-ratelimit-unified-status", *sorted(LIMIT_HEADERS),
)  # fmt: skip


@pytest.mark.parametrize("name", NEVER_UP)
def test_what_is_not_named_does_not_go_up(name: bytes) -> None:
    assert request_lines([(name, b"value")]) == b""


@pytest.mark.parametrize("name", NEVER_DOWN)
def test_what_is_not_named_does_not_come_down(name: bytes) -> None:
    assert response_lines([(name, b"value")]) == b""


@pytest.mark.parametrize("name", sorted(REQUEST_HEADERS))
def test_what_is_named_goes_up(name: bytes) -> None:
    assert request_lines([(name, b"value")]) == name + b": value\r\n"


@pytest.mark.parametrize("name", sorted(RESPONSE_HEADERS))
def test_what_is_named_comes_down(name: bytes) -> None:
    assert response_lines([(name, b"value")]) == name + b": value\r\n"


@pytest.mark.parametrize(
    "name", sorted([*LIMIT_HEADERS, b"anthropic-ratelimit-tokens-limit", b"anthropic-ratelimit-x"])
)
def test_rate_limits_are_apart(name: bytes) -> None:
    assert rate_limit_lines([(name, b"7")]) == name + b": 7\r\n"
    assert retry_lines([(name, b"7")]) == b""


@pytest.mark.parametrize("name", [b"x-ratelimit-key", b"x-ratelimit-limit-vendor-big", b"ratelimit", b"set-cookie"])
def test_what_is_no_rate_limit_is_none(name: bytes) -> None:
    assert rate_limit_lines([(name, b"7")]) == b""


@pytest.mark.parametrize("name", [b"retry-after", b"retry-after-ms", b"x-should-retry"])
def test_when_to_retry_is_passed_on_with_a_body_of_ours(name: bytes) -> None:
    assert retry_lines([(b"content-type", b"text/html"), (name, b"7"), (name, b"a\r\nb: c")]) == name + b": 7\r\n"


def test_headers_keep_their_order_and_their_repetitions() -> None:
    headers = [(b"retry-after", b"1"), (b"server", b"x"), (b"cache-control", b"no-cache"), (b"retry-after", b"2")]
    assert response_lines(headers) == b"retry-after: 1\r\ncache-control: no-cache\r\nretry-after: 2\r\n"


@pytest.mark.parametrize(
    "value", [b"text/event-stream;charset=UTF-8", b"", b"a\tb", b"\xc3\xa9\xff", b'attachment; filename="x"', b"a: b"]
)
def test_a_safe_value_passes_as_it_is(value: bytes) -> None:
    assert response_lines([(b"content-type", value)]) == b"content-type: " + value + b"\r\n"


@pytest.mark.parametrize("value", [b"a\r\nset-cookie: x", b"a\nb", b"a\rb", b"\x00", b"a\x1b[31m", b"\x7f", b"\r\n"])
def test_a_header_with_an_unsafe_value_is_left_out_alone(value: bytes) -> None:
    headers = [(b"retry-after", b"1"), (b"content-type", value), (b"cache-control", b"no-cache")]
    assert response_lines(headers) == b"retry-after: 1\r\ncache-control: no-cache\r\n"


def test_no_headers_make_no_lines() -> None:
    assert (request_lines([]), response_lines(iter([]))) == (b"", b"")


@given(st.lists(st.tuples(st.sampled_from(sorted(RESPONSE_HEADERS | {b"server"})), st.binary(max_size=8)), max_size=6))
def test_every_line_is_one_allowed_header(headers: list[tuple[bytes, bytes]]) -> None:
    out = response_lines(headers)
    *found, rest = out.split(b"\r\n")
    assert rest == b""
    for line in found:
        name, _, value = line.partition(b": ")
        assert name in RESPONSE_HEADERS
        assert (name, value) in headers
        assert not set(value) & {0, 10, 13, 127}


@pytest.mark.parametrize(
    ("name", "value"), [(b"content-type", b"a"), (b"retry-after", b""), (b"x-other", None), (b"Content-Type", None)]
)
def test_the_first_header_of_a_name_is_found(name: bytes, value: bytes | None) -> None:
    headers = [(b"retry-after", b""), (b"content-type", b"a"), (b"content-type", b"b")]
    assert header_value(headers, name) == value


def test_recorded_headers_name_no_upstream() -> None:
    for exchange in exchanges(status=200):
        headers = [(name.encode(), str(value).encode("latin-1", "replace")) for name, value in exchange.headers.items()]
        out = response_lines(headers).lower()
        for word in (b"openai.com", b"azure", b"anthropic", b"google", b"cloudflare", b"gpt-", b"org-", b"req_"):
            assert word not in out, exchange.id
        assert b"content-type: " in out or b"content-type" not in dict(headers), exchange.id


def test_an_idempotency_key_stays_here() -> None:
    """The upstream would replay one key's answer to another: they share its account."""
    assert request_lines([(b"idempotency-key", b"1"), (b"openai-beta", b"x")]) == b"openai-beta: x\r\n"


@pytest.mark.parametrize(("value", "meaning"), [(b"600", 600.0), (b"600.0", 600.0), (b"0.25", 0.25)])
def test_a_plain_number_is_seconds(value: bytes, meaning: float) -> None:
    assert parse_seconds(value) == meaning


@pytest.mark.parametrize("value", [None, b"", b"0", b"-1", b"nan", b"inf", b"1e3", b"None", b"5 s", b"9" * 40, b"1_0"])
def test_anything_else_is_no_limit(value: bytes | None) -> None:
    assert parse_seconds(value) == math.inf


@pytest.mark.parametrize(
    ("headers", "wait"),
    [
        ([(b"retry-after", b"2")], 2.0),
        ([(b"retry-after", b"2"), (b"retry-after-ms", b"150")], 0.15),
        ([(b"retry-after", b"Fri, 07 Aug 2026 10:00:00 GMT")], math.inf),
        ([(b"content-type", b"2")], math.inf),
    ],
)
def test_the_wait_that_an_upstream_asks_for_is_read_in_its_two_spellings(headers: list[Header], wait: float) -> None:
    assert retry_after(headers) == wait
