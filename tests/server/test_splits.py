"""The guard without sockets: every hostile request cut in two at every byte, thousands of cuts, and reads and moments
that the kernel cannot be made to give."""

import asyncio
import re
from typing import Any

import pytest

from proxy.config.tree import Server
from proxy.server.context import ServerContext
from proxy.server.protocol import GuardedProtocol
from tests.server.payloads import GOOD, GOOD_CHUNKED, LARGE, SMALL, Hostile, request
from tests.upstream.recording import run


class Wire(asyncio.Transport):
    """A transport that keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.ended = False
        self.aborted = False

    def write(self, data: Any) -> None:
        self.written += data

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Nothing ever waits here."""

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self.ended = True

    def close(self) -> None:
        self.ended = True

    def abort(self) -> None:
        self.aborted = True

    def is_closing(self) -> bool:
        return self.ended

    def pause_reading(self) -> None:
        """Nothing is read here."""

    def resume_reading(self) -> None:
        """Nothing is read here."""


async def served(requests: list[list[bytes]]) -> list[tuple[bytes, bool, int]]:
    """For each request in its pieces: what was answered, whether the connection ended, and the whole bodies served."""
    bodies: list[bytes] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        body = b""
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body += message["body"]
            if not message["more_body"]:
                break
        bodies.append(body)

    context = ServerContext(app, Server())
    state = context.state
    results = []
    for pieces in requests:
        wire = Wire()
        protocol = GuardedProtocol(context)
        protocol.connection_made(wire)
        bodies.clear()
        for piece in pieces:
            protocol.data_received(piece)
        while state.tasks:
            await asyncio.gather(*state.tasks, return_exceptions=True)
        results.append((wire.written, wire.ended, len(bodies)))
        protocol.connection_lost(None)
        while state.tasks:
            await asyncio.gather(*state.tasks, return_exceptions=True)
    return results


def cuts(data: bytes) -> list[list[bytes]]:
    return [[data[:position], data[position:]] for position in range(1, len(data))]


@pytest.mark.parametrize("hostile", SMALL, ids=lambda hostile: hostile.name)
def test_it_is_refused_wherever_it_is_cut(hostile: Hostile) -> None:
    for written, ended, bodies in run(served(cuts(hostile.data))):
        assert int(written.split(b" ", 2)[1]) in hostile.status
        assert len(re.findall(rb"HTTP/1\.1 [0-9]", written)) == 1
        assert (ended, bodies) == (True, 0)


@pytest.mark.parametrize("good", [GOOD, GOOD_CHUNKED], ids=["length", "chunked"])
def test_a_good_request_is_served_wherever_it_is_cut(good: bytes) -> None:
    assert {bodies for _, _, bodies in run(served(cuts(good)))} == {1}


@pytest.mark.parametrize(
    "hostile", [one for one in LARGE if set(one.status) & {414, 431}], ids=lambda hostile: hostile.name
)
def test_a_large_head_is_refused_in_one_read_too(hostile: Hostile) -> None:
    ((written, ended, bodies),) = run(served([[hostile.data]]))
    assert int(written.split(b" ", 2)[1]) in hostile.status
    assert (ended, bodies) == (True, 0)


def test_the_beginning_of_a_head_behind_a_large_body_is_no_large_head() -> None:
    body = b"a" * 200_000
    large = request(b"content-length: %d" % len(body), body=body)
    ((written, ended, bodies),) = run(served([[large + GOOD[:20], GOOD[20:]]]))
    assert b"HTTP/1.1 431" not in written
    assert (ended, bodies) == (False, 2)


def test_an_answer_that_is_never_read_to_its_end_holds_its_closing_connection_no_longer_than_others() -> None:
    async def main() -> None:
        protocol, wire = GuardedProtocol(ServerContext(served, Server(write_stall_timeout=30))), Wire()
        protocol.connection_made(wire)
        wire.close()
        now = asyncio.get_running_loop().time()
        for later, aborted in ((0.0, False), (29.0, False), (31.0, True)):
            protocol.sweep(now + later)
            assert wire.aborted is aborted
        protocol.connection_lost(None)

    run(main())
