"""One connection to an upstream: how answers are framed, what ends them, and what may follow on the same connection."""

import asyncio
import threading
from collections.abc import Iterable

import pytest

from proxy.errors import InternalFault, UpstreamDropped, UpstreamFailed, UpstreamProtocolError
from proxy.wire.headers import Header
from tests.fakes import (
    LAST_CHUNK,
    Close,
    Hang,
    ReadNothing,
    Reset,
    ScriptedUpstream,
    Send,
    Step,
    WaitFor,
    chunk,
    head,
    json_answer,
)
from tests.upstream.recording import Recorder, fetch, open_pool, run, until

CHUNKED = {"transfer-encoding": "chunked"}
OK = b"HTTP/1.1 200 OK\r\n"


def answers(*scripts: Iterable[Step]) -> list[Recorder]:
    """One request after the other on one pool, each answered by a script; at the end nothing is busy."""

    async def main() -> list[Recorder]:
        with ScriptedUpstream() as upstream:
            for script in scripts:
                upstream.script(script)
            async with open_pool(upstream.base_url) as pool:
                recorders = [await fetch(pool) for _ in scripts]
                await until(lambda: pool.size == pool.idle)
                return recorders

    return run(main())


def connections(*scripts: Iterable[Step]) -> list[int]:
    """The numbers of the connections that served these scripts, in order."""

    async def main() -> list[int]:
        with ScriptedUpstream() as upstream:
            for script in scripts:
                upstream.script(script)
            async with open_pool(upstream.base_url) as pool:
                for _ in scripts:
                    await fetch(pool)
                    # A surplus that comes in a read of its own is seen while the connection idles.
                    await until(lambda: pool.idle == pool.size)
            return [request.connection for request in upstream.requests]

    return run(main())


@pytest.mark.parametrize(
    "steps",
    [
        [Send(OK + b"content-length: 5\r\n\r\nhello")],
        [Send(OK + b"transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n")],
        [Send(OK + b"transfer-encoding: chunked\r\n\r\n2;ext=1\r\nhe\r\n3\r\nllo\r\n0\r\nx-trailer: 1\r\n\r\n")],
        [Send(OK + b"connection: close\r\n\r\nhello"), Close()],
        [Send(OK + b"\r\nhello"), Close()],
        [Send(b"HTTP/1.0 200 OK\r\n\r\nhello"), Close()],
        [Send(b"HTTP/1.1 100 Continue\r\n\r\n" + OK + b"content-length: 5\r\n\r\nhello")],
        [Send(b"HTTP/1.1 103 Early Hints\r\nlink: a\r\n\r\n" * 3 + OK + b"content-length: 5\r\n\r\nhello")],
    ],
    ids=["length", "chunked", "extension-and-trailer", "eof", "eof-without-close", "http-1.0", "continue", "hints"],
)
def test_an_answer_is_whole_when_its_framing_says_so(steps: list[Step]) -> None:
    (answer,) = answers(steps)
    assert (answer.status, answer.data, answer.complete, answer.heads, answer.ends) == (200, b"hello", True, 1, 1)


@pytest.mark.parametrize("status", [204, 304])
def test_an_answer_without_a_body_ends_with_its_head(status: int) -> None:
    (answer,) = answers([head(status)])
    assert (answer.status, answer.data, answer.complete) == (status, b"", True)


def test_an_answer_sent_byte_by_byte_is_the_same() -> None:
    whole = OK + b"X-Name: Value\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
    (answer,) = answers([Send(whole[position : position + 1]) for position in range(len(whole))])
    assert (answer.data, answer.complete, answer.heads) == (b"hello", True, 1)


def test_names_of_headers_are_in_lower_case_and_values_untouched() -> None:
    (answer,) = answers([head(200, {"X-Name": "Va Lue", "Content-Length": "0"})])
    assert answer.headers == [(b"x-name", b"Va Lue"), (b"content-length", b"0")]


def test_headers_of_informational_answers_and_trailers_are_dropped() -> None:
    steps = [
        Send(b"HTTP/1.1 103 Early Hints\r\nx-early: 1\r\n\r\n"),
        Send(OK + b"transfer-encoding: chunked\r\n\r\n1\r\na\r\n0\r\nx-late: 1\r\n\r\n"),
    ]
    (answer,) = answers(steps)
    assert answer.headers == [(b"transfer-encoding", b"chunked")]


def test_the_bytes_of_one_read_come_as_one_piece() -> None:
    body = b"".join(chunk(b"abc").data for _ in range(20)) + LAST_CHUNK
    (answer,) = answers([Send(OK + b"transfer-encoding: chunked\r\n\r\n" + body)])
    assert answer.pieces == [b"abc" * 20]


def test_a_large_answer_is_whole() -> None:
    data = bytes(range(256)) * 8192
    (answer,) = answers(json_answer(data))
    assert answer.data == data


@pytest.mark.parametrize(
    "steps",
    [
        [Close()],
        [Send(OK), Close()],
        [Send(OK + b"content-length: 10\r\n\r\nhello"), Close()],
        [Send(OK + b"transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n"), Close()],
        [Send(OK + b"transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n"), Close()],
        [Send(OK + b"transfer-encoding: chunked\r\n\r\n9\r\nhello"), Reset()],
        [Send(OK + b"\r\nhello"), WaitFor(threading.Event(), 0.0), Reset()],
        [Reset()],
    ],
    ids=["at-once", "in-the-head", "length", "chunked", "last-chunk", "reset-in-chunk", "reset-under-eof", "reset"],
)
def test_an_answer_that_was_cut_never_ends_cleanly(steps: list[Step]) -> None:
    steps = [step for step in steps if not isinstance(step, WaitFor)]
    (answer,) = answers(steps)
    assert isinstance(answer.error, UpstreamDropped)
    assert (answer.complete, answer.ends) == (False, 1)


@pytest.mark.parametrize(
    "data",
    [
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"\x15\x03\x01\x00\x02\x02\x16",
        b"HTTP/1.1 abc\r\n\r\n",
        OK + b"content-length: 5\r\ncontent-length: 6\r\n\r\nhello!",
        OK + b"content-length: 5\r\ncontent-length: 5\r\n\r\nhello",
        OK + b"content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        OK + b"content-length: -1\r\n\r\n",
        OK + b"transfer-encoding: chunked\r\n\r\nxyz\r\n",
        OK + b"transfer-encoding: chunked\r\n\r\n10000000000000001\r\n",
        OK + b"x-a: b\x00c\r\n\r\n",
        OK + b"x-a : b\r\n\r\n",
        OK + b"x-a: " + b"a" * 100_000 + b"\r\ncontent-length: 0\r\n\r\n",
        OK + b"x-a: 1\r\n" * 10_000 + b"content-length: 0\r\n\r\n",
        OK + b"x-a: " + b"a" * 2**20,
        b"HTTP/1.1 100 Continue\r\n\r\n" * 10_000,
        OK + b"transfer-encoding: chunked\r\n\r\n1\r\na\r\n0\r\nx-a: " + b"a" * 2**20,
        OK + b"transfer-encoding: chunked\r\n\r\n1\r\na\r\n0\r\n" + b"x-a: 1\r\n" * 131_072,
        OK + b"transfer-encoding: chunked\r\n\r\n1;" + b"a" * 2**20,
    ],
    ids=[
        *("another-protocol", "tls", "status", "two-lengths", "equal-lengths", "length-and-chunked", "negative-length"),
        *("chunk-size", "chunk-size-overflow", "nul", "space-before-colon", "large-header", "many-headers"),
        *("endless-header", "endless-hints", "endless-trailer", "endless-trailers", "endless-extension"),
    ],
)
def test_what_is_no_http_or_has_no_bound_is_refused(data: bytes) -> None:
    (answer,) = answers([Send(data), Hang()])
    assert isinstance(answer.error, UpstreamProtocolError)
    assert (answer.complete, answer.ends) == (False, 1)


def test_an_upgrade_without_a_request_for_it_is_not_followed() -> None:
    switched = Send(b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\nhello")
    assert connections([switched], json_answer({})) == [1, 2]


def test_a_connection_serves_again_after_a_clean_end() -> None:
    chunked: list[Step] = [head(200, CHUNKED), chunk(b"a"), Send(LAST_CHUNK)]
    assert connections(json_answer({}), chunked, [head(204)], json_answer({}, 500)) == [1, 1, 1, 1]


@pytest.mark.parametrize(
    "data",
    [
        OK + b"connection: close\r\ncontent-length: 5\r\n\r\nhello",
        b"HTTP/1.0 200 OK\r\ncontent-length: 5\r\n\r\nhello",
        OK + b"content-length: 5\r\n\r\nhelloX",
        OK + b"content-length: 5\r\n\r\nhello" + OK + b"content-length: 6\r\n\r\nforged",
        OK + b"content-length: 5\r\n\r\nhello\r\n\r\nrest",
        OK + b"transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\nX",
        b"HTTP/1.1 204 No Content\r\n\r\nhello",
    ],
    ids=["close", "http-1.0", "one-byte", "another-answer", "rest", "behind-chunks", "behind-204"],
)
def test_a_connection_with_something_left_over_serves_no_other_request(data: bytes) -> None:
    assert connections([Send(data)], json_answer({})) == [1, 2]


def test_what_follows_an_answer_is_never_part_of_it_or_of_the_next() -> None:
    forged = OK + b"content-length: 6\r\n\r\nforged"
    first, second = answers([Send(OK + b"content-length: 5\r\n\r\nhello" + forged)], json_answer({"own": 1}))
    assert (first.data, second.data) == (b"hello", b'{"own": 1}')


def test_data_on_an_idle_connection_closes_it() -> None:
    late = threading.Event()

    async def main() -> None:
        with ScriptedUpstream() as upstream:
            upstream.script([*json_answer({}), WaitFor(late), Send(OK + b"content-length: 6\r\n\r\nforged")])
            upstream.script(json_answer({"own": 1}))
            async with open_pool(upstream.base_url) as pool:
                await fetch(pool)
                assert pool.idle == 1
                late.set()
                await until(lambda: pool.size == 0)
                assert (await fetch(pool)).data == b'{"own": 1}'

    run(main())


@pytest.mark.parametrize(("times", "reused"), [(1, False), (2, True)])
def test_a_drop_before_the_first_byte_says_whether_the_connection_had_served(times: int, reused: bool) -> None:
    *_, last = answers(*[json_answer({})] * (times - 1), [Reset()])
    assert isinstance(last.error, UpstreamDropped)
    assert last.error.reused is reused


@pytest.mark.parametrize("rest", [b"the rest of an answer", b"\r\n\r\n}", b"0\r\n\r\n", b"\x00"])
def test_bytes_that_are_no_answer_are_a_drop_on_a_connection_that_has_served(rest: bytes) -> None:
    """What an upstream sent too late, and a fresh connection mends; on one that has not served it is its answer."""
    first, second = answers(json_answer({}), [Send(rest)])
    assert (first.error, first.complete) == (None, True)
    assert isinstance(second.error, UpstreamDropped)
    assert second.error.reused
    (alone,) = answers([Send(rest)])
    assert isinstance(alone.error, UpstreamProtocolError)


def test_a_drop_after_the_first_byte_is_no_race_with_an_idle_close() -> None:
    _, last = answers(json_answer({}), [Send(b"HTTP"), Reset()])
    assert isinstance(last.error, UpstreamDropped)
    assert last.error.reused is False


def test_an_aborted_response_is_closed_at_once_and_says_nothing_more() -> None:
    async def main() -> None:
        with ScriptedUpstream() as upstream:
            upstream.script([head(200, CHUNKED), chunk(b"one"), Hang()])
            async with open_pool(upstream.base_url) as pool:
                answer = await Recorder().start(pool).received(3)
                assert answer.connection is not None
                answer.connection.abort()
                await until(lambda: pool.size == 0)
                assert (answer.ends, answer.error) == (0, None)
            assert upstream.requests[0].closed.wait(5)

    run(main())


def test_a_paused_connection_reads_nothing_until_it_is_resumed() -> None:
    more = threading.Event()

    async def main() -> None:
        with ScriptedUpstream() as upstream:
            upstream.script([head(200, CHUNKED), chunk(b"one"), WaitFor(more), chunk(b"two"), Send(LAST_CHUNK)])
            async with open_pool(upstream.base_url) as pool:
                answer = await Recorder().start(pool).received(3)
                assert answer.connection is not None
                answer.connection.pause()
                more.set()
                await until(upstream.requests[0].answered.is_set)
                assert answer.data == b"one"
                answer.connection.resume()
                await answer.ended()
                assert (answer.data, answer.complete) == (b"onetwo", True)

    run(main())


def test_a_connection_given_back_while_paused_reads_again() -> None:
    class Pausing(Recorder):
        def head(self, status: int, headers: list[Header]) -> None:
            super().head(status, headers)
            assert self.connection is not None
            self.connection.pause()

    async def main() -> None:
        with ScriptedUpstream() as upstream:
            upstream.script([Send(OK + b"content-length: 5\r\n\r\nhello")])
            upstream.script(json_answer({}))
            async with open_pool(upstream.base_url) as pool:
                assert (await Pausing().start(pool).ended()).complete
                assert (await fetch(pool)).complete
            assert [request.connection for request in upstream.requests] == [1, 1]

    run(main())


def test_the_rest_of_an_answer_may_go_to_another_sink() -> None:
    more = threading.Event()

    async def main() -> None:
        with ScriptedUpstream() as upstream:
            upstream.script([head(200, CHUNKED), chunk(b"one"), WaitFor(more), chunk(b"two"), Send(LAST_CHUNK)])
            async with open_pool(upstream.base_url) as pool:
                first, second = Recorder(), Recorder()
                await first.start(pool).received(3)
                assert first.connection is not None
                first.connection.replace_sink(second)
                more.set()
                await second.ended()
                assert (first.data, first.ends, second.data, second.complete) == (b"one", 0, b"two", True)
                assert pool.idle == 1

    run(main())


def test_a_large_request_arrives_whole() -> None:
    body = bytes(range(256)) * 20_000
    request = b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: %d\r\n\r\n" % len(body)

    async def main() -> None:
        with ScriptedUpstream() as upstream:
            upstream.script(json_answer({}))
            async with open_pool(upstream.base_url) as pool:
                await Recorder(request, body).start(pool).ended()
            assert upstream.requests[0].body == body

    run(main())


def test_a_connection_that_still_has_a_part_of_its_request_to_send_serves_no_other_request() -> None:
    body = bytes(16_000_000)
    request = b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: %d\r\n\r\n" % len(body)

    async def main() -> None:
        with ScriptedUpstream() as upstream:
            upstream.script([ReadNothing(), *json_answer({}, 413), Hang()])
            async with open_pool(upstream.base_url) as pool:
                answer = Recorder(request, body).start(pool)
                await answer.ended()
                assert answer.status == 413
                await until(lambda: pool.size == 0)

    run(main())


def test_failing_a_connection_notifies_its_sink_once() -> None:
    async def main() -> None:
        with ScriptedUpstream() as upstream:
            upstream.script([Hang()])
            async with open_pool(upstream.base_url) as pool:
                answer = Recorder().start(pool)
                await asyncio.to_thread(upstream.wait_for_requests, 1)
                assert answer.connection is not None
                error = UpstreamFailed("gone")
                answer.connection.fail(error)
                await until(lambda: pool.size == 0)
                assert (answer.error, answer.ends) == (error, 1)

    run(main())


@pytest.mark.parametrize("status", [0, 99, 101, 600, 799, 999])
@pytest.mark.parametrize("body", [b"content-length: 2\r\n\r\n{}", b"\r\n"], ids=["with-length", "without"])
def test_a_status_that_http_has_not_for_an_answer_is_no_answer(status: int, body: bytes) -> None:
    (answer,) = answers([Send(b"HTTP/1.1 %03d Strange\r\n" % status + body)])
    assert isinstance(answer.error, UpstreamProtocolError)
    assert (answer.heads, answer.ends, answer.complete) == (0, 1, False)


@pytest.mark.parametrize("status", [100, 102, 103, 110, 199])
def test_an_informational_status_is_waited_behind(status: int) -> None:
    early = b"HTTP/1.1 %d Early\r\n\r\n" % status
    (answer,) = answers([Send(early), Send(OK + b"content-length: 5\r\n\r\nhello")])
    assert (answer.status, answer.data, answer.complete, answer.heads) == (200, b"hello", True, 1)


@pytest.mark.parametrize("status", [200, 299, 300, 418, 499, 500, 599])
def test_every_status_of_an_answer_is_given_on(status: int) -> None:
    (answer,) = answers([Send(b"HTTP/1.1 %d Known\r\ncontent-length: 2\r\n\r\n{}" % status)])
    assert (answer.status, answer.complete) == (status, True)


class Refusing(Recorder):
    """A sink with a fault of its own."""

    def __init__(self, at: str) -> None:
        super().__init__()
        self._at = at

    def head(self, status: int, headers: list[Header]) -> None:
        super().head(status, headers)
        if self._at == "head":
            raise KeyError(status)

    def body(self, data: bytes, complete: bool) -> None:
        if self._at == "body" or complete:
            raise KeyError(data)
        super().body(data, complete)


@pytest.mark.parametrize("at", ["head", "body", "end"])
def test_a_sink_that_fails_is_notified_of_an_end_and_the_next_one_is_served(at: str) -> None:
    async def main() -> None:
        with ScriptedUpstream() as upstream:
            upstream.script([head(200, CHUNKED), chunk(b"one"), chunk(b"two"), Send(LAST_CHUNK)])
            upstream.script(json_answer(b"{}"))
            async with open_pool(upstream.base_url) as pool:
                failed = await Refusing(at).start(pool).ended()
                assert isinstance(failed.error, InternalFault)
                assert failed.ends == 1
                assert (await fetch(pool)).data == b"{}"

    run(main())
