"""Requests whose head the guard knows from an earlier one on the connection: served the same, refused the same."""

import asyncio
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.config.tree import Server
from proxy.server.context import ServerContext
from proxy.server.cycle import EXTENSION, RequestCycle
from proxy.server.protocol import GuardedProtocol
from tests.server.payloads import SMALL, UNDERSCORED, Hostile, request
from tests.server.test_splits import Wire
from tests.upstream.recording import run

#: A connection knows its head from the third request on.
LEARNED = 2


class Served:
    """One connection, and what an application was asked on it."""

    def __init__(self, inline: bool = False) -> None:
        self.asked: list[tuple[str, bytes]] = []
        self.lengths: list[int | None] = []
        #: How many were taken by `try_handle_inline`.
        self.direct = 0
        self.wire = Wire()
        self._handles_inline = inline
        self.protocol = GuardedProtocol(ServerContext(self, Server()))
        self.protocol.connection_made(self.wire)

    def try_handle_inline(self, client: RequestCycle) -> "Served | None":
        body = client.try_read_body(1_000_000) if self._handles_inline else None
        if body is None:
            return self
        self.direct += 1
        self._answer(client, body)
        return None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        client = scope["extensions"][EXTENSION]
        self.lengths.append(next((int(value) for name, value in scope["headers"] if name == b"content-length"), None))
        self._answer(client, await client.read_body(1_000_000))

    def _answer(self, client: RequestCycle, body: bytes) -> None:
        self.asked.append((client.head.path, body))
        client.begin(200, b"", 2)
        client.write(b"ok", True)

    def send(self, *pieces: bytes) -> None:
        for piece in pieces:
            self.protocol.data_received(piece)

    @property
    def knows(self) -> bool:
        return self.protocol._head_cache.head is not None


def asking(body: bytes, *lines: bytes) -> bytes:
    return request(b"content-length: %d" % len(body), *lines, body=body)


def on_connection(work: Any, inline: bool = False) -> Served:
    async def main() -> Served:
        served = Served(inline)
        await asyncio.sleep(0)
        work(served)
        return served

    served: Served = run(main())
    return served


@pytest.mark.parametrize("inline", [False, True])
def test_a_known_head_brings_its_own_body(inline: bool) -> None:
    bodies = [b"one", b"two", b"three", b"", b"a" * 12_345]
    served = on_connection(lambda served: served.send(*map(asking, bodies)), inline)
    assert served.knows
    assert [body for _, body in served.asked] == bodies
    assert served.lengths == ([] if inline else list(map(len, bodies)))
    assert served.direct == (len(bodies) if inline else 0)


@pytest.mark.parametrize("line", UNDERSCORED)
def test_a_head_with_an_underscored_header_is_known_again_and_does_not_have_it(line: bytes) -> None:
    def work(served: Served) -> None:
        served.send(*(asking(body, line) for body in (b"1", b"2", b"3", b"4")))

    served = on_connection(work)
    assert served.knows
    assert [body for _, body in served.asked] == [b"1", b"2", b"3", b"4"]
    known = served.protocol._head_cache.head
    assert known is not None
    assert all(b"_" not in name for name, _ in known.headers)


def test_an_underscored_header_of_another_value_is_another_head() -> None:
    def work(served: Served) -> None:
        served.send(*(asking(b"a", b"session_id: %d" % number) for number in (1, 1, 1, 2, 2, 1)))

    assert len(on_connection(work).asked) == 6


def test_a_connection_s_first_request_teaches_nothing() -> None:
    assert not on_connection(lambda served: served.send(asking(b"one"))).knows


def test_another_head_between_two_of_the_same_is_read_as_it_is() -> None:
    other = asking(b"four").replace(b"/v1/chat/completions", b"/v1/embeddings")
    served = on_connection(lambda served: served.send(*map(asking, (b"1", b"2", b"3")), other, asking(b"5")))
    assert served.asked[3:] == [("/v1/embeddings", b"four"), ("/v1/chat/completions", b"5")]


@pytest.mark.parametrize("behind", [b"", asking(b"behind"), asking(b"behind").replace(b"/v1/chat", b"/v1")])
def test_a_known_head_is_served_wherever_it_is_cut(behind: bytes) -> None:
    last = asking(b"the last one") + behind
    for at in range(1, len(last)):
        served = on_connection(lambda served, at=at: served.send(asking(b"1"), asking(b"2"), last[:at], last[at:]))
        bodies = [body for _, body in served.asked]
        assert bodies[: LEARNED + 1] == [b"1", b"2", b"the last one"]
        assert len(bodies) == LEARNED + 1 + bool(behind)


@pytest.mark.parametrize("hostile", SMALL, ids=lambda hostile: hostile.name)
def test_what_is_refused_is_refused_behind_a_known_head_too(hostile: Hostile) -> None:
    def work(served: Served) -> None:
        served.send(asking(b"1"), asking(b"2"), asking(b"3"), hostile.data)

    served = on_connection(work)
    assert served.knows
    assert len(served.asked) == LEARNED + 1
    statuses = [int(status) for status in re.findall(rb"HTTP/1\.1 ([0-9]+)", served.wire.written)]
    assert statuses[:3] == [200] * 3
    assert statuses[3] in hostile.status
    assert len(statuses) == LEARNED + 2
    assert served.wire.ended


def test_a_body_that_stops_coming_behind_a_known_head_is_refused() -> None:
    def work(served: Served) -> None:
        served.send(asking(b"1"), asking(b"2"), asking(b"the third")[:-1])
        served.protocol.sweep(asyncio.get_running_loop().time() + 3_600)

    served = on_connection(work)
    assert served.knows
    assert b"HTTP/1.1 408" in served.wire.written


def test_a_connection_that_is_to_end_ends_behind_a_known_head_too() -> None:
    def work(served: Served) -> None:
        served.send(asking(b"1"), asking(b"2"))
        served.protocol.context.keeps_alive = False
        served.send(asking(b"3"))

    served = on_connection(work)
    assert served.wire.written.endswith(b"connection: close\r\n\r\nok")
    assert served.wire.ended


def test_heads_that_never_come_again_are_learned_no_more() -> None:
    def work(served: Served) -> None:
        served.send(*(asking(b"body", b"x-number: %d" % number) for number in range(20)), asking(b"1"), asking(b"2"))

    served = on_connection(work)
    assert not served.protocol._head_cache.is_learning
    assert len(served.asked) == 22


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from([b"/a", b"/b"]), st.binary(max_size=40)), min_size=3, max_size=8),
    st.lists(st.integers(1, 400), max_size=40),
)
def test_whatever_the_cuts_each_body_is_its_own(requests: list[tuple[bytes, bytes]], sizes: list[int]) -> None:
    sent = b"".join(asking(body).replace(b"/v1/chat/completions", path) for path, body in requests)

    async def main() -> Served:
        served = Served()
        rest = sent
        for size in sizes:
            served.send(rest[:size] or b"") if rest[:size] else None
            rest = rest[size:]
        if rest:
            served.send(rest)
        for _ in range(2 * len(requests)):
            # Those behind others are answered in the turns to come.
            await asyncio.sleep(0)
        return served

    served: Served = run(main())
    assert served.asked == [(path.decode(), body) for path, body in requests]
