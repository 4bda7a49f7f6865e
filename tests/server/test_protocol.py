"""The guard on real sockets: what a client may take its time for, how connections live on, and how they end."""

import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from proxy.server.protocol import sweep
from proxy.server.request_parser import MAX_HEADERS
from tests.exchange.samples import wait_until
from tests.fakes import (
    LAST_CHUNK,
    Hang,
    RawClient,
    ScriptedUpstream,
    Send,
    WaitFor,
    chunk,
    head,
    json_answer,
    sse_answer,
)
from tests.server.conftest import ANSWER, Site, answer
from tests.server.payloads import BODY, CHUNKED, GOOD, GOOD_CHUNKED, KEY_LINE, LENGTH, POST, UNDERSCORED, request
from tests.serving import ALIAS, RunningGateway, simple_config

GET = b"GET /v1/models HTTP/1.1"
STREAM_REQUEST = b'{"model":"%b","messages":[],"stream":true}' % ALIAS.encode()
STREAM = b'data: {"model":"m","choices":[{"index":0,"delta":{"content":"Hi"},"finish_reason":"stop"}]}\n\n'


@pytest.fixture(scope="module")
def hasty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A gateway that waits for nobody for long; the sweep adds up to half a second."""
    limits = dict.fromkeys(("head_timeout", "body_idle_timeout", "keep_alive_timeout", "write_stall_timeout"), 0.3)
    with ScriptedUpstream(answer) as upstream:
        config = simple_config(tmp_path_factory.mktemp("data"), upstream.base_url, server=limits)
        with RunningGateway(config) as gateway:
            site = Site(gateway, upstream)
            site.assert_serves()
            gateway.rows()
            gateway.call(lambda running: running.access.flush())
            yield site


def content(body: bytes) -> str:
    text = json.loads(body)["choices"][0]["message"]["content"]
    assert isinstance(text, str)
    return text


def stream_request() -> bytes:
    return request(b"content-length: %d" % len(STREAM_REQUEST), body=STREAM_REQUEST)


# time


@pytest.mark.parametrize("key_line", [KEY_LINE, b"authorization: Bearer wrong"])
def test_a_client_that_stays_after_its_refusal_is_dropped_and_others_are_served(
    tmp_path: Path, key_line: bytes
) -> None:
    # Its body goes on, past the time that it may take: there is no second refusal of the same request.
    with ScriptedUpstream(answer) as upstream:
        config = simple_config(tmp_path, upstream.base_url, server={"body_timeout": 0.3, "body_idle_timeout": 5.0})
        with RunningGateway(config) as gateway:
            with gateway.client() as client:
                client.send(b"\r\n".join([POST, b"host: x", key_line, b"content-length: 1000", b"", b"{"]))
                assert client.read_answer()[0].status == (408 if key_line is KEY_LINE else 401)
                assert client.read_all() == b""
                wait_until(lambda: gateway.connections == 0, "end of the connection")
            Site(gateway, upstream).assert_serves()


def test_a_connection_that_fails_at_its_timeout_ends_alone() -> None:
    class Connection:
        held = 3

        def __init__(self, *, fails: bool) -> None:
            self.fails = fails
            self.transport = self
            self.aborted = False

        def sweep(self, now: float) -> None:
            if self.fails:
                raise RuntimeError("write behind the end")

        def abort(self) -> None:
            self.aborted = True

    connections = [Connection(fails=True), Connection(fails=False)]
    assert sweep(connections, 1.0) == 3
    assert [connection.aborted for connection in connections] == [True, False]


def test_a_connection_that_says_nothing_is_closed_without_a_word(hasty: Site) -> None:
    with hasty.client() as client:
        assert client.read_all() == b""


@pytest.mark.parametrize("cut", [1, 20, len(GOOD) - len(BODY) - 1])
def test_a_head_that_stops_coming_is_refused(hasty: Site, cut: int) -> None:
    with hasty.client() as client:
        client.send(GOOD[:cut])
        assert client.read_answer()[0].status == 408
        assert client.read_all() == b""


def test_a_refusal_has_a_request_id(site: Site) -> None:
    with site.gateway.client() as client:
        client.send(b"GET / HTTP/1.1\r\n\r\n")
        head, _ = client.read_answer()
    assert (head.header("x-request-id") or "").startswith("req_")


def test_a_head_that_trickles_is_refused_too(hasty: Site) -> None:
    # Each byte comes in time; the whole head does not.
    pause = threading.Event()
    with hasty.client() as client:
        client.socket.settimeout(0.05)
        for position in range(200):
            try:
                client.send(GOOD[position : position + 1])
                client.buffer += client.socket.recv(65_536)
                break
            except TimeoutError:
                pause.wait(0.01)
        client.socket.settimeout(5.0)
        assert client.read_answer()[0].status == 408


@pytest.mark.parametrize("cut", [0, 10])
def test_a_body_that_stops_coming_is_refused(hasty: Site, cut: int) -> None:
    before = len(hasty.upstream.requests)
    with hasty.client() as client:
        client.send(GOOD[: len(GOOD) - len(BODY) + cut])
        assert client.read_answer()[0].status == 408
        assert client.read_all() == b""
    assert len(hasty.upstream.requests) == before


def test_an_idle_connection_is_closed_without_a_word(hasty: Site) -> None:
    with hasty.client() as client:
        client.send(GOOD)
        assert client.read_answer()[0].status == 200
        assert client.read_all() == b""


def test_a_head_that_stops_on_a_used_connection_is_refused(hasty: Site) -> None:
    with hasty.client() as client:
        client.send(GOOD)
        assert client.read_answer()[0].status == 200
        client.send(GOOD[:20])
        assert client.read_answer()[0].status == 408


def test_an_answer_that_takes_long_is_waited_for(hasty: Site) -> None:
    # Longer than any of the limits: the client owes nothing while the gateway answers.
    go = threading.Event()
    hasty.upstream.script([WaitFor(go), *json_answer(ANSWER)])
    with hasty.client() as client, hasty.client() as idle:
        client.send(GOOD)
        assert idle.read_all() == b""
        with hasty.client() as later:
            assert later.read_all() == b""
        go.set()
        assert client.read_answer()[0].status == 200


def test_a_client_that_does_not_read_is_dropped_and_its_row_says_so(hasty: Site) -> None:
    event = b'data: {"model":"m","choices":[{"index":0,"delta":{"content":"%b"}}]}\n\n' % (b"a" * 60_000)
    hasty.upstream.script([*sse_answer(event * 400)[:-1], Hang()])
    before = len(hasty.upstream.requests)
    with hasty.client() as client:
        client.send(stream_request())
        running = hasty.upstream.wait_for_requests(before + 1)[before]
        assert running.closed.wait(10)
        assert running.bytes_sent < 400 * len(event)
        # Not only closed: then the kernel would go on offering what it had taken.
        client.read_all()
        assert client.was_reset
    assert hasty.gateway.rows()[-1].outcome == "client_stalled"


# one connection, many requests


def test_a_connection_serves_one_request_after_the_other(site: Site) -> None:
    with site.client() as client:
        for good in (GOOD, GOOD_CHUNKED, GOOD):
            client.send(good)
            head, body = client.read_answer()
            assert (head.status, content(body.payload)) == (200, "Hi")
            assert head.header("connection") is None


def test_pipelined_requests_are_answered_in_order(site: Site) -> None:
    for number in range(5):
        site.upstream.script(json_answer({**ANSWER, "id": f"c{number}"}))
    with site.client() as client:
        client.send(GOOD * 3 + GOOD_CHUNKED * 2)
        assert [json.loads(client.read_answer()[1].payload)["id"] for _ in range(5)] == [f"c{n}" for n in range(5)]


def test_too_many_pipelined_requests_are_refused_behind_the_answers_to_the_others(site: Site) -> None:
    with site.client() as client:
        client.send(request(start=GET, body=b"") * 300)
        statuses = []
        while client._fill(1):
            statuses.append(client.read_answer()[0].status)
        assert statuses[-1] == 400
        assert set(statuses[:-1]) == {200}


def test_a_large_body_is_no_large_head_of_the_next_request(site: Site) -> None:
    body = b'{"model":"%b","messages":[{"role":"user","content":"%b"}]}' % (ALIAS.encode(), b"a" * 200_000)
    large = request(b"content-length: %d" % len(body), body=body)
    with site.client() as client:
        for _ in range(3):
            client.send(large)
            assert client.read_answer()[0].status == 200
        client.send(GOOD)
        assert client.read_answer()[0].status == 200


def test_who_pipelines_and_leaves_cancels_what_is_being_answered(site: Site) -> None:
    site.upstream.script([Hang()])
    before = len(site.upstream.requests)
    with site.client() as client:
        client.send(GOOD + GOOD)
        running = site.upstream.wait_for_requests(before + 1)[before]
    assert running.closed.wait(5)
    site.assert_serves()
    # The one that was cancelled and that of another client: what waited behind it was never sent.
    assert len(site.upstream.requests) == before + 2


def test_who_asks_again_during_a_stream_and_leaves_cancels_it(site: Site) -> None:
    # Not at its end yet: an answer that is waits for its usage.
    site.upstream.script([*sse_answer(STREAM.replace(b'"stop"', b"null"))[:-1], Hang()])
    before = len(site.upstream.requests)
    with site.client() as client:
        client.send(stream_request())
        running = site.upstream.wait_for_requests(before + 1)[before]
        client.read_head()
        client.send(GOOD)
    assert running.closed.wait(5)


def test_a_body_that_breaks_behind_a_running_stream_does_not_break_into_it(site: Site) -> None:
    go = threading.Event()
    *beginning, end = sse_answer(STREAM + b"data: [DONE]\n\n", [len(STREAM)])
    site.upstream.script([*beginning[:2], WaitFor(go), *beginning[2:], end])
    before = len(site.upstream.requests)
    with site.client() as client:
        client.send(stream_request())
        client.read_head()
        client.send(request(CHUNKED, body=b"5\r\nhello\r\nzz\r\n"))
        site.assert_serves()
        go.set()
        body = client.read_chunked()
        assert body.complete
        assert body.payload.endswith(b"data: [DONE]\n\n")
        assert client.read_answer()[0].status == 400
        assert client.read_all() == b""
    assert len(site.upstream.requests) == before + 2


# versions, methods, expectations


def test_http_1_0_is_answered_and_closed(site: Site) -> None:
    with site.client() as client:
        client.send(request(LENGTH, start=b"POST /v1/chat/completions HTTP/1.0"))
        head, body = client.read_answer()
        assert (head.status, content(body.payload), head.header("transfer-encoding")) == (200, "Hi", None)
        assert client.read_all() == b""


def test_http_1_0_may_keep_its_connection(site: Site) -> None:
    with site.client() as client:
        for _ in range(2):
            client.send(request(LENGTH, b"connection: keep-alive", start=b"POST /v1/chat/completions HTTP/1.0"))
            head, body = client.read_answer()
            assert (content(body.payload), head.header("connection")) == ("Hi", "keep-alive")


def test_http_1_0_needs_no_host(site: Site) -> None:
    with site.client() as client:
        client.send(request(LENGTH, start=b"POST /v1/chat/completions HTTP/1.0", host=b""))
        assert client.read_answer()[0].status == 200


def test_a_stream_over_http_1_0_is_ended_by_the_connection(site: Site) -> None:
    site.upstream.script(sse_answer(STREAM + b"data: [DONE]\n\n"))
    with site.client() as client:
        length = b"content-length: %d" % len(STREAM_REQUEST)
        client.send(request(length, start=b"POST /v1/chat/completions HTTP/1.0", body=STREAM_REQUEST))
        head, body = client.read_answer()
        assert head.header("transfer-encoding") is None
        assert head.header("content-length") is None
        assert body.payload.endswith(b"data: [DONE]\n\n")


def test_connection_close_is_obeyed(site: Site) -> None:
    with site.client() as client:
        client.send(request(LENGTH, b"connection: close"))
        head, body = client.read_answer()
        assert (head.header("connection"), content(body.payload)) == ("close", "Hi")
        assert client.read_all() == b""


def test_an_answer_to_head_has_no_body(site: Site) -> None:
    with site.client() as client:
        client.send(request(start=b"HEAD /v1/models HTTP/1.1", body=b""))
        head = client.read_head()
        assert head.status == 200
        client.send(GOOD)
        assert client.read_answer()[0].status == 200


def test_the_body_is_asked_for_when_the_client_waits_to_be_asked(site: Site) -> None:
    with site.client() as client:
        client.send(request(LENGTH, b"expect: 100-continue", body=b""))
        assert client.read_head().status == 100
        client.send(BODY)
        assert content(client.read_answer()[1].payload) == "Hi"
    assert site.upstream.requests[-1].header("expect") is None


def test_a_body_that_will_be_refused_is_not_asked_for(site: Site) -> None:
    with site.client() as client:
        client.send(
            request(LENGTH, b"expect: 100-continue", body=b"").replace(KEY_LINE, b"authorization: Bearer prom_sk_wrong")
        )
        head, _ = client.read_answer()
        assert (head.status, head.header("connection")) == (401, "close")


@pytest.mark.parametrize("good", [GOOD, GOOD_CHUNKED], ids=["length", "chunked"])
@pytest.mark.parametrize("protocol", [b"h2c", b"websocket", b"TLS/1.0"])
def test_a_wish_for_another_protocol_is_ignored(site: Site, good: bytes, protocol: bytes) -> None:
    lines = b"\r\nconnection: Upgrade, HTTP2-Settings\r\nupgrade: " + protocol + b"\r\nhttp2-settings: AAMAAABk\r\n"
    upgrading = good.replace(b"\r\n", lines, 1)
    with site.client() as client:
        client.send(upgrading + good)
        for _ in range(2):
            head, body = client.read_answer()
            assert (head.status, content(body.payload), head.header("upgrade")) == (200, "Hi", None)


def test_a_wish_for_another_protocol_without_a_body_is_ignored(site: Site) -> None:
    lines = (b"connection: upgrade", b"upgrade: websocket")
    with site.client() as client:
        client.send(request(*lines, start=GET, body=b"") * 2 + GOOD)
        assert [client.read_answer()[0].status for _ in range(3)] == [200, 200, 200]


def test_the_body_of_such_a_wish_is_never_another_request(site: Site) -> None:
    before = len(site.upstream.requests)
    lines = (b"connection: upgrade", b"upgrade: h2c", b"content-length: %d" % len(GOOD))
    with site.client() as client:
        client.send(request(*lines, body=GOOD))
        assert client.read_answer()[0].status == 400
        client.send(request(start=GET, body=b""))
        head, body = client.read_answer()
        assert (head.status, json.loads(body.payload)["object"]) == (200, "list")
    assert len(site.upstream.requests) == before


def test_trailers_are_no_headers(site: Site) -> None:
    trailing = request(CHUNKED, body=b"%x\r\n%b\r\n0\r\n%b\r\nhost: b\r\n\r\n" % (len(BODY), BODY, KEY_LINE))
    with site.client() as client:
        client.send(trailing.replace(KEY_LINE + b"\r\n", b"", 1))
        assert client.read_answer()[0].status == 401
        client.send(trailing)
        assert client.read_answer()[0].status == 200


def test_chunk_extensions_are_ignored_and_not_passed_on(site: Site) -> None:
    with site.client() as client:
        client.send(request(CHUNKED, body=b"%x;name=value\r\n%b\r\n0;last\r\n\r\n" % (len(BODY), BODY)))
        assert client.read_answer()[0].status == 200
    assert b"name=value" not in site.upstream.requests[-1].body


def test_empty_lines_before_a_request_are_skipped(site: Site) -> None:
    with site.client() as client:
        client.send(b"\r\n\r\n" + GOOD)
        assert client.read_answer()[0].status == 200


@pytest.mark.parametrize("line", UNDERSCORED)
@pytest.mark.parametrize("first", [True, False])
def test_a_header_with_an_underscore_is_dropped_and_the_request_served(site: Site, line: bytes, first: bool) -> None:
    with site.client() as client:
        for _ in range(4):
            client.send(request(line, LENGTH) if first else request(LENGTH, line))
            assert client.read_answer()[0].status == 200
    assert site.upstream.requests[-1].body == site.upstream.requests[-4].body
    assert b"_" not in b"".join(name.encode() for name, _ in site.upstream.requests[-1].headers)


def test_a_header_with_an_underscore_hides_no_flaw(site: Site) -> None:
    with site.client() as client:
        client.send(request(b"x_a: b", b"host: other.test", LENGTH))
        assert client.read_answer()[0].status == 400


def test_headers_with_an_underscore_count_as_headers(site: Site) -> None:
    with site.client() as client:
        client.send(request(*[b"x_a: b"] * MAX_HEADERS, LENGTH))
        assert client.read_answer()[0].status == 431


@pytest.mark.parametrize("host", [b"gateway.test:8080", b"[::1]:8080", b"127.0.0.1", b""])
def test_every_form_of_host_is_taken(site: Site, host: bytes) -> None:
    with site.client() as client:
        client.send(request(LENGTH, host=b"host: " + host))
        assert client.read_answer()[0].status == 200


# refusals


def test_a_refusal_is_readable_though_the_client_sends_on_before_it_reads(tmp_path: Path) -> None:
    # Closed at once, the connection would be reset by what still comes, and the refusal be lost.
    size = 10_000_000
    with (
        ScriptedUpstream() as upstream,
        RunningGateway(simple_config(tmp_path, upstream.base_url, server={"max_body_bytes": 100_000})) as gateway,
        gateway.client() as client,
    ):
        client.send(request(b"content-length: %d" % size, body=b"a" * size))
        head, body = client.read_answer()
        assert (head.status, head.header("connection"), body.complete) == (413, "close", True)
        assert json.loads(body.payload)["error"]["code"] == "request_too_large"
        assert client.read_all() == b""
        assert upstream.requests == []


def test_a_chunked_body_is_counted_while_it_comes(tmp_path: Path) -> None:
    with (
        ScriptedUpstream() as upstream,
        RunningGateway(simple_config(tmp_path, upstream.base_url, server={"max_body_bytes": 100_000})) as gateway,
        gateway.client() as client,
    ):
        client.send(request(CHUNKED, body=b"%x\r\n" % 2**30 + b"a" * 100_001))
        assert client.read_answer()[0].status == 413
        assert upstream.requests == []


def test_small_packets_leave_at_once(site: Site) -> None:
    listener = site.gateway._listener
    assert listener is not None
    with site.client() as client:
        client.send(GOOD)
        client.read_answer()

        def options(_: object) -> set[int]:
            assert listener is not None
            return {
                connection.transport.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
                for connection in listener.server_state.connections
            }

        assert 0 not in site.gateway.call(options)


def test_a_head_within_the_limit_may_come_in_many_packets(site: Site) -> None:
    long = request(*[b"x-%d: " % number + b"a" * 1_000 for number in range(50)], LENGTH)
    with site.client() as client:
        for begin in range(0, len(long), 500):
            client.send(long[begin : begin + 500])
        assert client.read_answer()[0].status == 200


def test_a_client_may_close_its_side_early_without_harm_to_others(site: Site) -> None:
    with site.client() as client:
        client.send(POST)
        client.socket.shutdown(socket.SHUT_WR)
        assert client.read_all() == b""
    site.assert_serves()


def test_the_gateway_outlives_clients_that_reset(site: Site) -> None:
    for cut in range(1, len(GOOD), 20):
        client: RawClient = site.client()
        client.send(GOOD[:cut])
        client.reset()
    site.assert_serves()


def test_streams_of_chunks_end_with_the_last_chunk(site: Site) -> None:
    site.upstream.script(
        [
            head(200, {"content-type": "text/event-stream", "transfer-encoding": "chunked"}),
            chunk(STREAM),
            chunk(b"data: [DONE]\n\n"),
            Send(LAST_CHUNK),
        ]
    )
    with site.client() as client:
        client.send(stream_request())
        _, body = client.read_answer()
        assert body.complete
        client.send(GOOD)
        assert client.read_answer()[0].status == 200
