"""Requests as the parser hands them over; what it refuses is in `test_hostile` and `test_splits`."""

import pytest

from proxy.config.tree import Server
from proxy.server.context import ServerContext
from proxy.server.head_cache import Head
from proxy.server.request_parser import FRAMING_PER_BYTE, MAX_FRAMING_BYTES, Refused, RequestHandler, RequestParser

POST = b"POST /a?b HTTP/1.1\r\nhost: a\r\n"


class Recorder(RequestHandler):
    """What the parser has told."""

    def __init__(self) -> None:
        self.begun = 0
        self.heads: list[Head] = []
        self.facts: list[tuple[int | None, bool, bool]] = []
        self.bodies: list[bytes] = []
        self.parser = RequestParser(self, ServerContext(None, Server()))

    def head_began(self) -> None:
        self.begun += 1

    def head_received(
        self, head: Head, size: int, content_length: int | None, expects_continue: bool, keep_alive: bool
    ) -> None:
        self.heads.append(head)
        self.facts.append((content_length, expects_continue, keep_alive))

    def body_received(self, data: bytes) -> None:
        self.bodies.append(data)

    def body_completed(self) -> None:
        self.bodies.append(b"end")


def read(*pieces: bytes) -> Recorder:
    recorder = Recorder()
    for piece in pieces:
        recorder.parser.feed(piece)
    return recorder


def test_a_request_is_handed_over_in_its_order() -> None:
    recorder = read(POST + b"content-length: 6\r\norigin: http://b\r\n\r\none", b"two")
    (head,) = recorder.heads
    assert (head.method, head.version, head.path, head.query) == ("POST", "1.1", "/a", b"b")
    assert head.origin == b"http://b"
    assert recorder.facts == [(6, False, True)]
    assert recorder.bodies == [b"one", b"two", b"end"]


def test_a_chunked_body_has_no_length() -> None:
    recorder = read(POST + b"transfer-encoding: chunked\r\nexpect: 100-continue\r\n\r\n3\r\none\r\n0\r\n\r\n")
    assert recorder.facts == [(None, True, True)]
    assert recorder.bodies == [b"one", b"end"]


def test_trailers_are_dropped() -> None:
    recorder = read(POST + b"transfer-encoding: chunked\r\n\r\n0\r\nx-late: 1\r\n\r\n")
    assert [name for name, _ in recorder.heads[0].headers] == [b"host", b"transfer-encoding"]


def test_a_wish_for_another_protocol_is_ignored_and_the_body_is_not_lost() -> None:
    wish = b"connection: upgrade\r\nupgrade: h2c\r\ncontent-length: 3\r\n\r\none"
    recorder = read(POST + wish)
    assert recorder.bodies == [b"one", b"end"]
    assert b"upgrade" not in dict(recorder.heads[0].headers)


def test_a_connection_that_the_client_ends_is_not_kept_alive() -> None:
    assert read(POST + b"connection: close\r\n\r\n").facts == [(None, False, False)]


def test_a_body_with_more_framing_than_content_is_refused() -> None:
    chunk = b"1;" + b"x" * (2 * FRAMING_PER_BYTE) + b"\r\na\r\n"
    chunked = POST + b"transfer-encoding: chunked\r\n\r\n"
    with pytest.raises(Refused, match="more framing than content"):
        read(chunked, *[chunk] * (MAX_FRAMING_BYTES // FRAMING_PER_BYTE))


def test_empty_lines_before_a_request_have_a_bound_which_a_request_sets_back() -> None:
    recorder = read(b"\r\n" * (MAX_FRAMING_BYTES // 2))
    recorder.parser.framing_bytes = 0
    recorder.parser.feed(b"\r\n" * (MAX_FRAMING_BYTES // 2))
    with pytest.raises(Refused, match="empty lines"):
        recorder.parser.feed(b"\r\n")
