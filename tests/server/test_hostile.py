"""What the guard refuses, on real sockets: whole, byte by byte and behind a good request; nothing reaches upstream."""

import json

import pytest

from tests.fakes import RawClient
from tests.server.conftest import Site
from tests.server.payloads import GOOD, GOOD_CHUNKED, LARGE, SMALL, UNREAD_BODIES, Hostile

HOSTILE = pytest.mark.parametrize("hostile", [*SMALL, *LARGE], ids=lambda hostile: hostile.name)
SMALL_HOSTILE = pytest.mark.parametrize("hostile", SMALL, ids=lambda hostile: hostile.name)


def assert_refused(client: RawClient, hostile: Hostile) -> None:
    """One readable refusal, in our shape, and then the end of the connection."""
    head, body = client.read_answer()
    assert head.status in hostile.status
    assert head.header("connection") == "close"
    assert body.complete
    assert json.loads(body.payload)["error"]["type"] == "invalid_request_error"
    assert client.read_all() == b""


def send(client: RawClient, data: bytes) -> None:
    """Send what the gateway takes: it may refuse and close before the end."""
    try:
        client.send(data)
    except (ConnectionResetError, BrokenPipeError):
        return


@HOSTILE
def test_it_is_refused_and_never_sent_on(site: Site, hostile: Hostile) -> None:
    before = len(site.upstream.requests)
    with site.client() as client:
        send(client, hostile.data)
        assert_refused(client, hostile)
    assert len(site.upstream.requests) == before


@SMALL_HOSTILE
def test_it_is_refused_byte_by_byte(site: Site, hostile: Hostile) -> None:
    before = len(site.upstream.requests)
    with site.client() as client:
        for position in range(len(hostile.data)):
            send(client, hostile.data[position : position + 1])
        assert_refused(client, hostile)
    assert len(site.upstream.requests) == before


@HOSTILE
@pytest.mark.parametrize("good", [GOOD, GOOD_CHUNKED], ids=["length", "chunked"])
def test_behind_a_good_request_it_is_refused_after_the_good_answer(site: Site, hostile: Hostile, good: bytes) -> None:
    before = len(site.upstream.requests)
    with site.client() as client:
        send(client, good + hostile.data)
        head, body = client.read_answer()
        assert (head.status, body.complete) == (200, True)
        assert json.loads(body.payload)["choices"][0]["message"]["content"] == "Hi"
        assert_refused(client, hostile)
    assert len(site.upstream.requests) == before + 1


@pytest.mark.parametrize("early", UNREAD_BODIES.values(), ids=UNREAD_BODIES.keys())
@pytest.mark.parametrize("at_once", [True, False], ids=["at once", "after the answer"])
def test_a_body_that_is_not_read_is_never_a_request(site: Site, early: bytes, at_once: bool) -> None:
    before = len(site.upstream.requests)
    with site.client() as client:
        send(client, early + GOOD if at_once else early)
        head, _ = client.read_answer()
        if not at_once:
            send(client, GOOD)
        if not at_once or b"content-length: %d\r\n" % len(GOOD) not in early:
            assert client.read_all() == b""
    assert (head.status == 200) == early.startswith(b"GET /livez")
    assert len(site.upstream.requests) == before


@pytest.mark.parametrize("good", [GOOD, GOOD_CHUNKED], ids=["length", "chunked"])
def test_the_good_requests_of_these_tests_are_served(site: Site, good: bytes) -> None:
    with site.client() as client:
        for position in range(len(good)):
            client.send(good[position : position + 1])
        head, _ = client.read_answer()
        assert head.status == 200
