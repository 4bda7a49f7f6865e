"""The state of a response while it is being parsed, however it is cut, and what is kept of it."""

import httptools
import pytest

from proxy.upstream.response_parser import (
    BODY,
    COMPLETE,
    HEAD,
    INFORMATIONAL,
    OVERRUN,
    WAITING,
    ResponseParser,
)

OK = b"HTTP/1.1 200 OK\r\n"


def parsed(*pieces: bytes) -> ResponseParser:
    """A parser that was fed these, as a connection does it."""
    response = ResponseParser()
    response.begin(WAITING)
    for piece in pieces:
        if response.state == WAITING:
            response.state = HEAD
        try:
            response.parser.feed_data(piece)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            if response.state >= COMPLETE:
                response.state = OVERRUN
    return response


@pytest.mark.parametrize(
    ("data", "state", "keep_alive"),
    [
        (OK, HEAD, False),
        (OK + b"content-length: 2\r\n\r\n", BODY, True),
        (OK + b"content-length: 2\r\n\r\n{", BODY, True),
        (OK + b"content-length: 2\r\n\r\n{}", COMPLETE, True),
        (OK + b"content-length: 0\r\n\r\n", COMPLETE, True),
        (OK + b"content-length: 2\r\nconnection: close\r\n\r\n{}", COMPLETE, False),
        (OK + b"content-length: 2\r\n\r\n{}HTTP/1.1 200 OK\r\n", OVERRUN, True),
        (OK + b"content-length: 2\r\n\r\n{}garbage", OVERRUN, True),
        (OK + b"transfer-encoding: chunked\r\n\r\n2\r\n{}\r\n", BODY, True),
        (OK + b"transfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n", COMPLETE, True),
        (OK + b"\r\n{}", BODY, False),
        (b"HTTP/1.1 204 No Content\r\n\r\n", COMPLETE, True),
        (b"HTTP/1.1 100 Continue\r\n", HEAD, False),
        (b"HTTP/1.1 100 Continue\r\n\r\n", HEAD, False),
        (b"HTTP/1.1 103 Early\r\na: b\r\n\r\n" + OK + b"content-length: 0\r\n\r\n", COMPLETE, True),
        (b"HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\n{}", COMPLETE, False),
    ],
)
def test_the_state_says_how_far_a_response_has_come(data: bytes, state: int, keep_alive: bool) -> None:
    for pieces in ([data], [data[at : at + 1] for at in range(len(data))]):
        response = parsed(*pieces)
        assert (response.state, response.keep_alive) == (state, keep_alive)


def test_states_are_in_their_order() -> None:
    assert WAITING < HEAD < INFORMATIONAL < BODY < COMPLETE < OVERRUN


@pytest.mark.parametrize(("lines", "ends_with_the_connection"), [(b"", True), (b"content-length: 5\r\n", False)])
def test_only_a_body_without_a_framing_ends_with_the_connection(lines: bytes, ends_with_the_connection: bool) -> None:
    assert parsed(OK + lines + b"\r\n").eof_framed is ends_with_the_connection


def test_headers_are_of_the_final_head_alone() -> None:
    response = parsed(b"HTTP/1.1 103 Early\r\nLink: a\r\n\r\n", OK + b"Content-Length: 2\r\nX-A: B\r\n\r\n{}")
    assert (response.status, response.headers) == (200, [(b"content-length", b"2"), (b"x-a", b"B")])
    assert response.parts == [b"{}"]


def test_nothing_of_a_response_is_left_to_the_next_one() -> None:
    response = parsed(OK + b"content-length: 2\r\n\r\n{}")
    response.begin(WAITING)
    assert (response.state, response.status, response.headers, response.parts) == (WAITING, 0, [], [])
    assert not response.keep_alive


def test_a_body_that_comes_with_a_head_is_no_part_of_its_size() -> None:
    head = OK + b"a: b\r\n\r\n"
    assert parsed(head[:-2]).head_exceeds(6)
    assert not parsed(head + b"x" * 1000).head_exceeds(6)
    assert parsed(head + b"x" * 1000).head_exceeds(5)
