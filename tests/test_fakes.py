"""The tests' own tools: the scripted upstream, the raw client, the leak check, and what is expected of a recording.

Nothing of `proxy` is imported here.
"""

import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests import corpus
from tests.conftest import child_processes, left_behind, running_threads
from tests.fakes import (
    LAST_CHUNK,
    Close,
    Hang,
    Pause,
    RawClient,
    ReadNothing,
    RecordedRequest,
    Reset,
    ScriptedUpstream,
    Send,
    Step,
    WaitFor,
    chunk,
    head,
    json_answer,
    split,
    sse_answer,
)

EVENTS = b'data: {"a":1}\n\ndata: {"b":2}\n\ndata: [DONE]\n\n'


@pytest.fixture
def upstream() -> Iterator[ScriptedUpstream]:
    with ScriptedUpstream() as upstream:
        yield upstream


@pytest.fixture
def client(upstream: ScriptedUpstream) -> Iterator[RawClient]:
    with RawClient("127.0.0.1", upstream.port) as client:
        yield client


def test_a_json_answer_has_its_length(upstream: ScriptedUpstream, client: RawClient) -> None:
    upstream.script(json_answer({"ok": True}, 201, {"X-Request-Id": "1"}))
    client.request("GET", "/v1/models")
    answer, body = client.read_answer()
    assert (answer.status, answer.header("x-request-id"), body.payload) == (201, "1", b'{"ok": true}')
    assert body.complete


def test_a_given_header_takes_the_place_of_the_default() -> None:
    assert b"content-type" not in json_answer({}, headers={"Content-Type": "text/plain"})[0].data  # type: ignore[union-attr]


def test_a_request_is_recorded_as_it_came(upstream: ScriptedUpstream, client: RawClient) -> None:
    upstream.script(json_answer({}))
    client.request("POST", "/v1/chat/completions?a=b", b"body", {"Authorization": "Bearer x"})
    client.read_answer()
    [request] = upstream.requests
    assert (request.method, request.target, request.body) == ("POST", "/v1/chat/completions?a=b", b"body")
    assert ("Authorization", "Bearer x") in request.headers
    assert request.received.is_set()


def test_a_chunked_request_is_put_together(upstream: ScriptedUpstream, client: RawClient) -> None:
    upstream.script(json_answer({}))
    client.send(b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n" + b"2\r\nab\r\n3\r\ncde\r\n0\r\n\r\n")
    client.read_answer()
    assert upstream.requests[0].body == b"abcde"


@pytest.mark.parametrize(
    ("pieces", "expected"),
    [
        (None, [b"abcdef"]),
        (4, [b"abcd", b"ef"]),
        (6, [b"abcdef"]),
        ([1, 3], [b"a", b"bc", b"def"]),
        ([0, 6], [b"abcdef"]),
    ],
)
def test_a_body_is_split_where_told(pieces: list[int] | int | None, expected: list[bytes]) -> None:
    assert split(b"abcdef", pieces) == expected


def test_each_piece_of_a_stream_is_a_chunk(upstream: ScriptedUpstream, client: RawClient) -> None:
    upstream.script(sse_answer(EVENTS, [3, 20]))
    client.request("POST", "/")
    answer, body = client.read_answer()
    assert answer.header("content-type") == "text/event-stream"
    assert body.pieces == [EVENTS[:3], EVENTS[3:20], EVENTS[20:]]
    assert body.complete


def test_a_stream_without_chunks_ends_with_the_connection(upstream: ScriptedUpstream, client: RawClient) -> None:
    upstream.script(sse_answer(EVENTS, 5, chunked=False))
    client.request("POST", "/")
    _, body = client.read_answer()
    assert (body.payload, body.complete) == (EVENTS, True)


def test_a_closed_stream_is_not_complete(upstream: ScriptedUpstream, client: RawClient) -> None:
    upstream.script([*sse_answer(EVENTS, 5)[:-1], Close(), Send(LAST_CHUNK)])
    client.request("POST", "/")
    _, body = client.read_answer()
    assert (body.payload, body.complete, body.reset) == (EVENTS, False, False)


def test_a_reset_stream_keeps_what_came_before(upstream: ScriptedUpstream, client: RawClient) -> None:
    go_on = threading.Event()
    upstream.script([*sse_answer(EVENTS)[:-1], WaitFor(go_on), Reset()])
    client.request("POST", "/")
    client.read_head()
    assert client.read_chunk() == EVENTS
    go_on.set()
    body = client.read_chunked()
    assert (body.complete, body.reset) == (False, True)


def test_a_piece_cut_inside_a_chunk_is_given(upstream: ScriptedUpstream, client: RawClient) -> None:
    upstream.script([*sse_answer(b"")[:1], chunk(b"one"), Send(b"5\r\ntw"), Close()])
    client.request("POST", "/")
    _, body = client.read_answer()
    assert (body.payload, body.pieces, body.complete) == (b"onetw", [b"one"], False)


@pytest.mark.parametrize(
    ("framing", "fault"),
    [
        (b"3;x=1\r\nabc\r\n", "not a chunk's size"),
        (b"x\r\n", "not a chunk's size"),
        (b" 3\r\nabc\r\n", "not a chunk's size"),
        (b"-1\r\n\r\n", "not a chunk's size"),
        (b"3\r\nabcd\r\n", "a chunk of 3 bytes does not end"),
        (b"0\r\nx: y\r\n\r\n", "a chunk of 0 bytes does not end"),
    ],
)
def test_broken_chunks_are_refused(upstream: ScriptedUpstream, client: RawClient, framing: bytes, fault: str) -> None:
    upstream.script([head(headers={"transfer-encoding": "chunked"}), Send(framing), Close()])
    client.request("POST", "/")
    with pytest.raises(AssertionError, match=fault):
        client.read_answer()


def test_a_body_shorter_than_its_length_is_not_complete(upstream: ScriptedUpstream, client: RawClient) -> None:
    upstream.script([head(headers={"content-length": "9"}), Send(b"four"), Close()])
    client.request("POST", "/")
    _, body = client.read_answer()
    assert (body.payload, body.complete) == (b"four", False)


def test_one_connection_serves_request_after_request(upstream: ScriptedUpstream, client: RawClient) -> None:
    upstream.script(json_answer(1), times=2)
    for _ in range(2):
        client.request("GET", "/")
        client.read_answer()
    assert [request.connection for request in upstream.requests] == [1, 1]
    assert upstream.open_connections == 1


def test_pipelined_requests_are_answered_in_order(upstream: ScriptedUpstream, client: RawClient) -> None:
    upstream.script(json_answer(1))
    upstream.script(json_answer(2))
    client.send(b"GET /1 HTTP/1.1\r\n\r\nGET /2 HTTP/1.1\r\n\r\n")
    assert [client.read_answer()[1].payload for _ in range(2)] == [b"1", b"2"]


def test_a_request_that_ends_the_connection_is_obeyed(upstream: ScriptedUpstream, client: RawClient) -> None:
    upstream.script(json_answer(1))
    client.request("GET", "/", headers={"connection": "close"})
    client.read_answer()
    assert (client.read_all(), client.was_reset) == (b"", False)


def test_each_connection_has_its_number(upstream: ScriptedUpstream) -> None:
    upstream.script(json_answer(1), times=2)
    for _ in range(2):
        with RawClient("127.0.0.1", upstream.port) as client:
            client.request("GET", "/")
            client.read_answer()
    assert [request.connection for request in upstream.requests] == [1, 2]
    upstream.wait_for_open_connections(0)


def test_the_handler_answers_what_no_script_does() -> None:
    def echo(request: RecordedRequest) -> list[Step]:
        return json_answer(request.body)

    with ScriptedUpstream(echo) as upstream, RawClient("127.0.0.1", upstream.port) as client:
        upstream.script(json_answer(b"script"))
        answers = []
        for _ in range(2):
            client.request("POST", "/", b"handler")
            answers.append(client.read_answer()[1].payload)
    assert answers == [b"script", b"handler"]


def test_a_script_waits_for_the_test(upstream: ScriptedUpstream, client: RawClient) -> None:
    go_on = threading.Event()
    upstream.script([head(headers={"transfer-encoding": "chunked"}), chunk(b"1"), WaitFor(go_on), Send(LAST_CHUNK)])
    client.request("GET", "/")
    client.read_head()
    assert client.read_chunk() == b"1"
    assert not upstream.requests[0].answered.is_set()
    go_on.set()
    assert client.read_chunk() == b""
    assert upstream.requests[0].answered.wait(5)


def test_the_client_leaving_a_hanging_upstream_is_seen(upstream: ScriptedUpstream, client: RawClient) -> None:
    upstream.script([Hang()])
    client.request("GET", "/")
    [request] = upstream.wait_for_requests(1)
    assert not request.closed.is_set()
    client.close()
    assert request.closed.wait(5)
    assert request.closed_at is not None
    assert request.closed_at >= request.arrived


def test_the_client_leaving_after_the_script_is_seen(upstream: ScriptedUpstream, client: RawClient) -> None:
    upstream.script(json_answer(1))
    client.request("GET", "/")
    client.read_answer()
    [request] = upstream.requests
    client.reset()
    assert request.closed.wait(5)
    assert request.answered.is_set()


def test_the_upstream_closing_is_not_the_client_leaving(upstream: ScriptedUpstream, client: RawClient) -> None:
    upstream.script([Close()])
    client.request("GET", "/")
    assert client.read_all() == b""
    client.close()
    upstream.wait_for_open_connections(0)
    assert not upstream.requests[0].closed.is_set()


def test_a_pause_ends_early_when_the_client_leaves(upstream: ScriptedUpstream, client: RawClient) -> None:
    upstream.script([Pause(600)])
    client.request("GET", "/")
    upstream.wait_for_requests(1)
    client.close()
    upstream.wait_for_open_connections(0)
    assert not upstream.requests[0].answered.is_set()


def test_an_upstream_that_reads_nothing_blocks_the_sender() -> None:
    with (
        ScriptedUpstream(socket_buffer=65_536) as upstream,
        RawClient("127.0.0.1", upstream.port, seconds=0.2) as client,
    ):
        upstream.script([ReadNothing(), Hang()])
        with pytest.raises(TimeoutError):
            client.request("POST", "/", bytes(32 * 2**20))
        assert not upstream.requests[0].received.is_set()


def test_an_upstream_may_read_on(upstream: ScriptedUpstream, client: RawClient) -> None:
    go_on = threading.Event()
    upstream.script([ReadNothing(go_on), *json_answer(1)])
    client.send(b"POST / HTTP/1.1\r\ncontent-length: 4\r\n\r\n")
    [request] = upstream.wait_for_requests(1)
    client.send(b"bo")
    go_on.set()
    assert not request.answered.wait(0.05)
    client.send(b"dy")
    assert client.read_answer()[0].status == 200
    assert request.body == b"body"


def test_an_upstream_may_answer_before_the_body_came(upstream: ScriptedUpstream, client: RawClient) -> None:
    upstream.script([ReadNothing(), *json_answer({"error": {}}, 413)])
    client.send(b"POST / HTTP/1.1\r\ncontent-length: 1000\r\n\r\n")
    assert client.read_answer()[0].status == 413


def test_a_client_that_does_not_read_holds_the_script_up() -> None:
    answer = sse_answer(bytes(64 * 2**20), 2**20)
    with ScriptedUpstream(socket_buffer=65_536) as upstream, RawClient("127.0.0.1", upstream.port) as client:
        upstream.script(answer)
        client.request("GET", "/")
        [request] = upstream.wait_for_requests(1)
        client.read_head()
        assert not request.answered.wait(0.2)
        assert request.bytes_sent < 32 * 2**20


def test_tls_is_spoken_with_the_upstreams_own_authority() -> None:
    with ScriptedUpstream(tls=True) as upstream:
        upstream.script(sse_answer(EVENTS, 7))
        context = ssl.create_default_context(cadata=upstream.authority.decode())
        with RawClient("127.0.0.1", upstream.port, tls=context) as client:
            client.request("GET", "/")
            _, body = client.read_answer()
        assert (body.payload, body.complete) == (EVENTS, True)
        assert upstream.base_url.startswith("https://")


def test_a_tls_connection_that_is_reset_is_seen() -> None:
    with ScriptedUpstream(tls=True) as upstream:
        upstream.script([Reset()])
        context = ssl.create_default_context(cadata=upstream.authority.decode())
        with RawClient("127.0.0.1", upstream.port, tls=context) as client:
            client.request("GET", "/")
            assert (client.read_all(), client.was_reset) == (b"", True)


def leave_after(sent: bytes, *steps: Step) -> None:
    """Send something to an upstream with this script, and leave the upstream when it has ended the connection."""
    with ScriptedUpstream() as upstream, RawClient("127.0.0.1", upstream.port) as client:
        if steps:
            upstream.script(steps)
        client.send(sent)
        client.read_all()


def test_a_request_without_a_script_fails_the_test() -> None:
    with pytest.raises(AssertionError, match="no script is left for GET /nowhere"):
        leave_after(b"GET /nowhere HTTP/1.1\r\n\r\n")


def test_what_is_not_http_fails_the_test() -> None:
    with pytest.raises(AssertionError, match="not HTTP"):
        leave_after(b"\x16\x03\x01 hello\r\n\r\n", json_answer(1)[0])


def test_an_event_never_set_fails_the_test() -> None:
    with pytest.raises(AssertionError, match="TimeoutError"):
        leave_after(b"GET / HTTP/1.1\r\n\r\n", WaitFor(threading.Event(), 0.01))


def test_the_fault_of_the_test_itself_is_shown_first() -> None:
    def fail() -> None:
        with ScriptedUpstream() as upstream:
            upstream.errors.append("a fault that follows from it")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()


def test_waiting_in_vain_says_what_there_is(upstream: ScriptedUpstream) -> None:
    with pytest.raises(AssertionError, match="there are 0 requests"):
        upstream.wait_for_requests(1, 0.01)


def test_an_upstream_ends_with_open_connections() -> None:
    with ScriptedUpstream() as upstream:
        upstream.script([Hang()])
        client = RawClient("127.0.0.1", upstream.port)
        client.request("GET", "/")
        upstream.wait_for_requests(1)
    with client:
        assert (client.read_all(), client.was_reset) == (b"", True)


def test_a_port_may_be_used_again() -> None:
    with ScriptedUpstream() as first, RawClient("127.0.0.1", first.port) as client:
        first.script([Close()])
        client.request("GET", "/")
        client.read_all()
    with ScriptedUpstream(port=first.port) as second:
        assert second.base_url == first.base_url


def test_a_silent_server_is_an_assertion(upstream: ScriptedUpstream) -> None:
    upstream.script([Hang()])
    with RawClient("127.0.0.1", upstream.port, seconds=0.05) as client:
        client.request("GET", "/")
        with pytest.raises(AssertionError, match="nothing came"):
            client.read_head()


def test_a_header_sent_twice_is_an_assertion(upstream: ScriptedUpstream, client: RawClient) -> None:
    upstream.script([Send(b"HTTP/1.1 200 OK\r\nA: 1\r\na: 2\r\ncontent-length: 0\r\n\r\n")])
    client.request("GET", "/")
    answer = client.read_head()
    with pytest.raises(AssertionError, match="2 times"):
        answer.header("a")


# The leak check.


def test_a_thread_left_behind_is_seen() -> None:
    before, stop = running_threads(), threading.Event()
    thread = threading.Thread(target=stop.wait)
    thread.start()
    assert left_behind(before, running_threads, grace=0.01) == {thread}
    stop.set()
    assert left_behind(before, running_threads) == set()
    thread.join()


def test_a_process_left_behind_is_seen() -> None:
    before = child_processes()
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        assert left_behind(before, child_processes, grace=0.01) == {process.pid}
        process.kill()
    assert left_behind(before, child_processes) == set()


# What is expected of a recording.


def exchange(response: bytes, *, stream: bool = True, request: bytes = b"{}", status: int = 200) -> corpus.Exchange:
    kind = "text/event-stream; charset=utf-8" if stream else "application/json"
    url = "https://api.example.com/v1/chat/completions?a=b"
    return corpus.Exchange("test:1", "here", "POST", url, request, status, {"content-type": kind}, response)


def test_without_recordings_the_test_is_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(corpus.FOLDER_VARIABLE, raising=False)
    with pytest.raises(pytest.skip.Exception, match="GATEWAY_CORPUS"):
        corpus.exchanges()


def test_recordings_are_read_and_chosen(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "some.jsonl").write_text(
        '{"source":"s","method":"POST","url":"https://h/v1/chat/completions","request":{"b64":"/w=="},"status":200,'
        '"headers":{},"response":"é"}\n'
        '{"source":"s","method":"GET","url":"https://h/v1/models","request":"","status":404,"headers":{},"response":""}\n',
        "utf-8",
    )
    monkeypatch.setenv(corpus.FOLDER_VARIABLE, str(tmp_path))
    [chat] = corpus.exchanges(dialect="openai-chat")
    [missing] = corpus.exchanges(status=404)
    assert (chat.id, chat.request, chat.response) == ("some:1", b"\xff", "é".encode())
    assert (missing.id, missing.path) == ("some:2", "/v1/models")


def test_a_choice_that_fits_nothing_proves_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(corpus.FOLDER_VARIABLE, str(tmp_path))
    with pytest.raises(AssertionError, match="no recording"):
        corpus.exchanges(stream=True)


@pytest.mark.parametrize(
    ("method", "url", "dialect"),
    [
        ("POST", "https://api.x.ai/v1/chat/completions", "openai-chat"),
        ("GET", "https://api.openai.com/v1/chat/completions", "openai-other"),
        ("POST", "https://api.openai.com/v1/responses", "openai-responses"),
        ("POST", "https://api.openai.com/v1/embeddings", "openai-embeddings"),
        ("POST", "https://api.openai.com/v1/threads/t/messages", "openai-other"),
        ("POST", "https://api.anthropic.com/v1/messages", "anthropic"),
        ("POST", "https://v.googleapis.com/v1/publishers/anthropic/models/claude@1:streamRawPredict", "anthropic"),
        ("POST", "https://g.googleapis.com/v1beta/models/gemini-2.5:streamGenerateContent?alt=sse", "gemini"),
    ],
)
def test_the_dialect_follows_from_the_address(method: str, url: str, dialect: str) -> None:
    assert corpus.Exchange("test:1", "here", method, url, b"", 200, {}, b"").dialect == dialect


@pytest.mark.parametrize(
    ("request_body", "asks"),
    [
        (b'{"stream_options":{"include_usage":true}}', True),
        (b'{"stream_options":{"include_usage":false}}', False),
        (b'{"stream_options":null}', False),
        (b"{}", False),
        (b"--boundary", False),
    ],
)
def test_whether_a_client_asked_for_usage(request_body: bytes, asks: bool) -> None:
    assert exchange(b"", request=request_body).asks_for_usage is asks


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b'{"model":"x","a":1}', b'{"model":"core","a":1}'),
        (b'{ "a" : [{"model":"x"}] , "model" : "x" }', b'{ "a" : [{"model":"x"}] , "model" : "core" }'),
        (b'{"a":"\\"model\\":\\"x\\"","model":"x"}', b'{"a":"\\"model\\":\\"x\\"","model":"core"}'),
        (b'{"a":"\xc3\xa9\xe2\x80\xa8","model":"\xc3\xa9"}', b'{"a":"\xc3\xa9\xe2\x80\xa8","model":"core"}'),
        (b'\n{"model":"x","model":"y"}\n', b'\n{"model":"core","model":"core"}\n'),
        (b'{"mo\\u0064el":"x"}', b'{"mo\\u0064el":"core"}'),
        (b'{"model":""}', b'{"model":""}'),
        (b'{"model":null}', b'{"model":null}'),
        (b"{}", b"{}"),
    ],
)
def test_only_the_top_level_model_is_replaced(before: bytes, after: bytes) -> None:
    assert corpus.with_model(before, "core") == after


def test_a_client_gets_a_stream_with_its_alias_and_the_same_framing() -> None:
    stream = (
        b': ping\r\n\r\nevent: x\r\ndata:{"model":"%b"}\r\n\r\n'
        b'data: {"model": ""}\n\ndata: {"m":1,"model":"%b"} \n\ndata: [DONE]'
    )
    expected = exchange(stream % (b"x", b"y")).expected_client_bytes("core")
    assert expected == stream % (b"core", b"core")


@pytest.mark.parametrize(("status", "body"), [(400, b"{}"), (200, b'data: {"error":{"code":1}}\n\n')])
def test_nothing_is_expected_of_an_error(status: int, body: bytes) -> None:
    with pytest.raises(ValueError, match="is an error"):
        exchange(body, stream=status == 200, status=status).expected_client_bytes("core")


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        (b'{"prompt_tokens":5,"completion_tokens":3,"total_tokens":8}', (5, 0, 0, 3, 0)),
        (b'{"input_tokens":5,"output_tokens":3,"input_tokens_details":{"cached_tokens":4}}', (5, 4, 0, 3, 0)),
        (b'{"prompt_tokens":5,"completion_tokens":3,"prompt_tokens_details":{"cached_tokens":4}}', (5, 4, 0, 3, 0)),
        (b'{"prompt_tokens":5,"completion_tokens":3,"cached_tokens":4}', (5, 4, 0, 3, 0)),
        (b'{"prompt_tokens":5,"completion_tokens":3,"prompt_cache_hit_tokens":4}', (5, 4, 0, 3, 0)),
        (
            b'{"prompt_tokens":5,"completion_tokens":3,"prompt_tokens_details":{"cache_write_tokens":2}}',
            (5, 0, 2, 3, 0),
        ),
        (
            b'{"prompt_tokens":5,"completion_tokens":3,"prompt_tokens_details":{"created_cache_tokens":2}}',
            (5, 0, 2, 3, 0),
        ),
        (b'{"prompt_tokens":5,"completion_tokens":3,"cache_creation_input_tokens":2}', (5, 0, 2, 3, 0)),
        (b'{"prompt_tokens":5,"completion_tokens":3,"reasoning_tokens":2}', (5, 0, 0, 3, 2)),
        (
            b'{"prompt_tokens":5,"completion_tokens":3,"total_tokens":8,'
            b'"completion_tokens_details":{"reasoning_tokens":2}}',
            (5, 0, 0, 3, 2),
        ),
        (
            b'{"prompt_tokens":5,"completion_tokens":3,"total_tokens":10,'
            b'"completion_tokens_details":{"reasoning_tokens":2}}',
            (5, 0, 0, 5, 2),
        ),
    ],
)
def test_usage_is_read_in_all_spellings(usage: bytes, expected: tuple[int, ...]) -> None:
    answer = exchange(b'{"usage":' + usage + b"}", stream=False)
    assert answer.expected_usage() == corpus.ExpectedUsage(*expected)


@pytest.mark.parametrize(
    "last",
    [
        b'{"choices":[],"usage":{"prompt_tokens":7}}',
        b'{"choices":[{}],"x_groq":{"usage":{"prompt_tokens":7}}}',
        b'{"choices":[{"usage":{"prompt_tokens":7}}]}',
    ],
)
def test_the_last_usage_of_a_stream_counts_wherever_it_stands(last: bytes) -> None:
    stream = b'data: {"usage":{"prompt_tokens":1}}\n\ndata: ' + last + b'\n\ndata: {"usage":null}\n\ndata: [DONE]\n\n'
    usage = exchange(stream).expected_usage()
    assert usage is not None
    assert usage.input_tokens == 7


def test_a_stream_may_report_no_usage() -> None:
    assert exchange(b'data: {"usage":null}\n\n').expected_usage() is None


def test_every_recorded_chat_completion_reports_its_usage_and_names_its_model() -> None:
    for recorded in corpus.exchanges(dialect="openai-chat", status=200):
        assert recorded.expected_usage() is not None, recorded.id
        expected = recorded.expected_client_bytes("core")
        named = {event["model"] for event in replace(recorded, response=expected).events() if event["model"]}
        assert named == {"core"}, recorded.id


@pytest.mark.parametrize("seed", range(20))
def test_cuts_are_inside_ordered_and_repeatable(seed: int) -> None:
    points = corpus.cuts(100, seed)
    assert points == sorted(set(points)) == corpus.cuts(100, seed)
    assert points[0] > 0
    assert points[-1] < 100


@pytest.mark.parametrize("length", [0, 1, 2])
def test_the_shortest_bodies_can_be_cut_too(length: int) -> None:
    assert len(corpus.cuts(length, 1)) == max(0, length - 1)
