"""nginx and the gateway must never disagree on what a request is: every hostile one, through both.

What nginx refuses never arrives. What it mends and sends on is one good request for the gateway too. In no case may
the upstream see a request that nobody made, or a client get the answer to another's.
"""

import itertools
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from proxy.server.head_cache import Head
from proxy.server.protocol import GuardedProtocol
from proxy.server.request_parser import RequestParser
from tests.exchange.samples import wait_until
from tests.fakes import RecordedRequest, ScriptedUpstream, Step, json_answer
from tests.server.conftest import ANSWER
from tests.server.fronts import NGINX, Front, nginx_before
from tests.server.payloads import (
    BODY,
    GOOD,
    GOOD_CHUNKED,
    LARGE,
    LENGTH,
    SMALL,
    UNDERSCORED,
    UNREAD_BODIES,
    Hostile,
    request,
)
from tests.serving import COMPILED, RunningGateway, simple_config

pytestmark = pytest.mark.skipif(NGINX is None, reason="nginx is not installed: apt-get install nginx-light")

HOSTILE = pytest.mark.parametrize("hostile", [*SMALL, *LARGE], ids=lambda hostile: hostile.name)
UNREAD = pytest.mark.parametrize("early", UNREAD_BODIES.values(), ids=UNREAD_BODIES.keys())
SMALL_HOSTILE = pytest.mark.parametrize("hostile", SMALL, ids=lambda hostile: hostile.name)
#: What the hostile requests ask for; every good one asks for something that nobody asked before.
THEIRS = "hi"
#: The size of a piece that holds every request.
WHOLE = 2**30


def echo(asked: RecordedRequest) -> list[Step]:
    """Answer with what was asked for, and with nothing that another asked for."""
    message = {"role": "assistant", "content": nonce_of(asked)}
    return json_answer({**ANSWER, "choices": [{"index": 0, "message": message, "finish_reason": "stop"}]})


def nonce_of(asked: RecordedRequest) -> str:
    messages: list[dict[str, str]] = json.loads(asked.body)["messages"]
    return messages[0]["content"]


@dataclass
class Both:
    """nginx, the gateway and the upstream."""

    front: Front
    gateway: RunningGateway
    upstream: ScriptedUpstream
    #: One entry for each request of which the gateway has seen the first byte; none where it is compiled.
    begun: list[None]
    numbers: Iterator[int] = field(default_factory=itertools.count)

    def nonce(self) -> str:
        return f"nonce-{next(self.numbers)}"

    def sent(self, data: bytes, piece: int = WHOLE) -> "Seen":
        """Send bytes on a connection of their own, and wait for its end."""
        before = len(self.upstream.requests)
        with self.front.client() as client:
            try:
                for begin in range(0, len(data), piece):
                    client.send(data[begin : begin + piece])
                answers = client.read_all()
            except (ConnectionResetError, BrokenPipeError):
                answers = client.read_all()
        return Seen(answers_in(answers), [nonce_of(one) for one in self.upstream.requests[before:]])

    def assert_same_count(self) -> None:
        """The gateway has seen the beginnings of just the requests that nginx sent on."""
        if COMPILED:
            return
        wait_until(lambda: self.front.sent_on() == len(self.begun), f"as many requests as {len(self.begun)}")


@dataclass
class Seen:
    """What came of what was sent."""

    #: For each answer to the client: its status, and the nonce in it.
    answers: list[tuple[int, str]]
    #: The nonces that reached the upstream.
    upstream: list[str]

    @property
    def served(self) -> list[str]:
        """The nonces of the good answers."""
        return [nonce for status, nonce in self.answers if status == 200 and nonce]


def answers_in(data: bytes) -> list[tuple[int, str]]:
    """The status of each answer and the nonce in it. An answer without a head, to HTTP/0.9, has status 0."""
    found: list[tuple[int, str]] = []
    while data:
        # nginx itself says `continue` to whoever waits for it.
        head, _, rest = data.removeprefix(b"HTTP/1.1 100 Continue\r\n\r\n").partition(b"\r\n\r\n")
        match = re.match(rb"HTTP/1\.1 ([0-9]{3}) ", head)
        length = re.search(rb"(?i)\r\ncontent-length: ([0-9]+)", head)
        if match is None or length is None:
            assert b"HTTP/1.1" not in data, data[:500]
            return [*found, (0, "")]
        body, data = rest[: int(length[1])], rest[int(length[1]) :]
        assert len(body) == int(length[1]), "an answer that was cut"
        found.append((int(match[1]), content_of(body)))
    return found


def content_of(body: bytes) -> str:
    """The nonce in an answer; empty for an error."""
    try:
        value: dict[str, Any] = json.loads(body)
    except ValueError:
        return ""
    choices: list[Any] = value.get("choices", [{"message": {"content": ""}}])
    return str(choices[0]["message"]["content"])


def good(nonce: str, *lines: bytes) -> bytes:
    """A good request that asks for its own answer."""
    body = BODY.replace(b'"hi"', json.dumps(nonce).encode())
    return request(b"content-length: %d" % len(body), *lines, body=body)


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Both]:
    begun: list[None] = []
    on_message_begin, begin_cached = RequestParser.on_message_begin, GuardedProtocol._begin_cached

    def counting(self: RequestParser) -> None:
        begun.append(None)
        on_message_begin(self)

    def counting_cached(self: GuardedProtocol, head: Head, data: bytes) -> None:
        # The parser does not see those whose head was there before.
        begun.append(None)
        begin_cached(self, head, data)

    with (
        pytest.MonkeyPatch.context() as patch,
        ScriptedUpstream(echo) as upstream,
        RunningGateway(simple_config(tmp_path_factory.mktemp("data"), upstream.base_url)) as gateway,
        nginx_before(gateway.port, tmp_path_factory.mktemp("nginx")) as front,
    ):
        patch.setattr(RequestParser, "on_message_begin", counting)
        patch.setattr(GuardedProtocol, "_begin_cached", counting_cached)
        both = Both(front, gateway, upstream, begun)
        assert_in_step(both)
        # Its threads are up once it has stored a row and written a line.
        gateway.rows()
        gateway.call(lambda running: running.access.flush())
        yield both


def assert_in_step(both: Both) -> None:
    """A good request on a connection of its own gets its own answer, over connections to the gateway that live on."""
    nonce = both.nonce()
    seen = both.sent(good(nonce, b"connection: close"))
    assert seen == Seen([(200, nonce)], [nonce])
    both.assert_same_count()


def assert_understood_alike(both: Both, seen: Seen, asked: Sequence[str]) -> None:
    """Nobody saw a request that was not made, or an answer to another."""
    # All that was served was asked for, once and in this order, and all that reached the upstream was served.
    served = iter(asked)
    assert all(nonce in served for nonce in seen.served), (seen, asked)
    assert seen.upstream == seen.served
    assert len(seen.answers) <= len(asked)
    assert_in_step(both)


@HOSTILE
def test_a_hostile_request_is_understood_alike(both: Both, hostile: Hostile) -> None:
    first, last = both.nonce(), both.nonce()
    seen = both.sent(good(first) + hostile.data + good(last, b"connection: close"))
    assert seen.answers[0] == (200, first)
    assert_understood_alike(both, seen, [first, THEIRS, last])


@SMALL_HOSTILE
def test_a_hostile_request_is_understood_alike_byte_by_byte(both: Both, hostile: Hostile) -> None:
    last = both.nonce()
    seen = both.sent(hostile.data + good(last, b"connection: close"), 1)
    assert_understood_alike(both, seen, [THEIRS, last])


@UNREAD
def test_a_body_that_is_not_read_is_never_a_request(both: Both, early: bytes) -> None:
    first, last = both.nonce(), both.nonce()
    seen = both.sent(good(first) + early + GOOD + good(last, b"connection: close"))
    assert THEIRS not in seen.served
    assert_understood_alike(both, seen, [first, THEIRS, last])


@pytest.mark.parametrize("data", [GOOD, GOOD_CHUNKED], ids=["length", "chunked"])
@pytest.mark.parametrize("piece", [WHOLE, 1], ids=["whole", "byte by byte"])
def test_good_requests_are_served_through_both(both: Both, data: bytes, piece: int) -> None:
    last = both.nonce()
    seen = both.sent(data * 2 + good(last, b"connection: close"), piece)
    assert seen == Seen([(200, THEIRS), (200, THEIRS), (200, last)], [THEIRS, THEIRS, last])
    assert_in_step(both)


@pytest.mark.parametrize("line", UNDERSCORED)
def test_a_header_with_an_underscore_is_understood_alike(both: Both, line: bytes) -> None:
    last = both.nonce()
    seen = both.sent(request(line, LENGTH) * 3 + good(last, b"connection: close"))
    assert seen == Seen([(200, THEIRS)] * 3 + [(200, last)], [THEIRS] * 3 + [last])
    assert_in_step(both)
