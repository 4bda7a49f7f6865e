"""A head that comes again: what is learned of it, and what is taken for the same."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.server.head_cache import HEAD_CACHE_MISSES, Head, HeadCache

HEADERS = [(b"host", b"a"), (b"content-length", b"12"), (b"x-b", b"c d")]
READ = b"POST /v1/a?b=c HTTP/1.1\r\nHost: a\r\nContent-Length:  12\r\nx-b: c d\r\n\r\n"


def a_head(headers: list[tuple[bytes, bytes]] = HEADERS) -> Head:
    return Head("POST", "1.1", b"/v1/a?b=c", headers)


def learned(read: bytes = READ) -> HeadCache:
    cache = HeadCache()
    assert cache.learn(a_head(), read + b"hello, world")
    return cache


def test_the_target_is_split_and_only_its_colons_are_decoded() -> None:
    head = Head("GET", "1.1", b"/a%20b%2Fc%253Ad%3Ae%3af?c=%20&d", [])
    assert (head.path, head.query) == ("/a%20b%2Fc%253Ad:e:f", b"c=%20&d")
    assert head.raw_path == b"/a%20b%2Fc%253Ad%3Ae%3af"


def test_the_same_head_with_another_length_is_known() -> None:
    cache = learned()
    assert cache.matches(READ.replace(b"12", b"7") + b"1234567")
    assert (cache.length, READ.replace(b"12", b"7")[: cache.body_at]) == (7, READ.replace(b"12", b"7"))


def test_the_headers_of_a_request_have_its_own_length() -> None:
    head = a_head()
    assert head.headers_with_length(7) == [(b"host", b"a"), (b"content-length", b"7"), (b"x-b", b"c d")]
    assert head.headers == HEADERS


@pytest.mark.parametrize(
    "other",
    [
        READ.replace(b"Host: a", b"Host: b"),
        READ.replace(b"c d", b"c e"),
        READ.replace(b"x-b", b"X-b"),
        READ.replace(b"POST", b"PUT"),
        READ.replace(b"12", b""),
        READ.replace(b"12", b"+2"),
        READ.replace(b"12", b"1 "),
        READ.replace(b"12", b"1\r\nx: y"),
        READ.replace(b"12", b"12345678901"),
        READ.replace(b"12", "\N{SUPERSCRIPT TWO}".encode()),
        READ.replace(b"\r\n\r\n", b"\r\nx: y\r\n\r\n"),
        READ[:-1],
        READ[:20],
        b"",
    ],
)
def test_anything_else_is_not(other: bytes) -> None:
    assert not learned().matches(other)


@pytest.mark.parametrize(
    "read",
    [
        READ[:-2],
        b"\r\n" + READ,
        READ.replace(b"\r\nx-b", b"\nx-b"),
        READ.replace(b"c d", b"c\r\n d"),
        READ.replace(b" 12", b" 13"),
        READ.replace(b"12\r\n", b"12 \r\n"),
        READ.replace(b"POST", b"GET"),
    ],
)
def test_what_does_not_read_as_the_parser_said_is_not_learned(read: bytes) -> None:
    assert not HeadCache().learn(a_head(), read)


@pytest.mark.parametrize(
    "lines",
    [
        [b"host: a"],
        [b"content-length: 1", b"content-length: 1"],
        [b"content-length: 1", b"transfer-encoding: chunked"],
        [b"content-length: 1", b"expect: 100-continue"],
        [b"content-length: 1", b"upgrade: h2c"],
        [b"content-length: 12345678901"],
    ],
)
def test_a_body_that_is_framed_in_another_way_is_not_learned(lines: list[bytes]) -> None:
    headers = [tuple(line.split(b": ")) for line in lines]
    read = b"\r\n".join([b"POST / HTTP/1.1", *lines, b"", b""])
    assert not HeadCache().learn(Head("POST", "1.1", b"/", headers), read)  # type: ignore[arg-type]


@pytest.mark.parametrize(("version", "keep_alive"), [("1.0", True), ("1.1", False)])
def test_a_head_behind_which_the_connection_may_end_is_not_learned(version: str, keep_alive: bool) -> None:
    assert not HeadCache().learn(Head("POST", version, b"/v1/a?b=c", HEADERS), READ, keep_alive)


def test_a_head_that_never_comes_again_is_learned_a_few_times_and_then_no_more() -> None:
    cache = HeadCache()
    for _ in range(HEAD_CACHE_MISSES):
        assert cache.is_learning
        cache.learn(a_head(), READ)
    assert not cache.is_learning
    assert cache.matches(READ)
    assert cache.is_learning


@pytest.mark.parametrize("at", range(4))
def test_a_line_that_was_dropped_for_its_underscore_is_part_of_what_is_known(at: int) -> None:
    lines = READ.split(b"\r\n")
    lines.insert(min(at, 3) + 1, b"session_id: 1")
    read = b"\r\n".join(lines)
    cache = learned(read)
    assert cache.matches(read.replace(b"12", b"5") + b"hello")
    assert read.replace(b"12", b"5")[cache.body_at :] == b""
    assert not cache.matches(read.replace(b"session_id: 1", b"session_id: 2"))
    assert not cache.matches(READ)


@given(st.binary(max_size=120), st.integers(0, len(READ)), st.integers(0, 12))
def test_only_the_digits_of_the_length_may_differ(noise: bytes, at: int, width: int) -> None:
    cache = learned()
    read = READ[:at] + noise + READ[at + width :]
    if cache.matches(read):
        assert read[: cache.body_at] == READ.replace(b"12", read[: cache.body_at].split(b"  ")[1].split(b"\r")[0])
        assert cache.length == int(read.split(b"  ")[1].split(b"\r")[0])
