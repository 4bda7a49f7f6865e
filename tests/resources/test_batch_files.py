"""Batches: aliases in the lines on the way up, and back on the way down, a line at a time."""

import json
from pathlib import Path
from typing import Any

import pytest

from proxy.resources.batch_files import BatchDownload, LineSplitter
from tests.corpus import cuts
from tests.fakes import ScriptedUpstream, json_answer, split
from tests.resources.samples import ALIAS, KEY, OTHER, UPSTREAM_MODEL, ask, ask_json, gateway_over, record_owner
from tests.serving import RunningGateway

FILE = {"id": "file-in", "object": "file", "purpose": "batch"}
BATCH = {"id": "batch_1", "object": "batch", "model": None, "input_file_id": "file-in", "output_file_id": None}


def request_line(name: str = ALIAS, **body: Any) -> bytes:
    line = {"custom_id": "1", "method": "POST", "url": "/v1/chat/completions", "body": {"model": name, **body}}
    return json.dumps(line).encode() + b"\n"


def form(lines: bytes, *, purpose: str = "batch", file_first: bool = False) -> bytes:
    parts = [
        b'--b\r\nContent-Disposition: form-data; name="purpose"\r\n\r\n%b\r\n' % purpose.encode(),
        b'--b\r\nContent-Disposition: form-data; name="file"; filename="in.jsonl"\r\n\r\n%b\r\n' % lines,
    ]
    return b"".join(reversed(parts) if file_first else parts) + b"--b--\r\n"


def upload(gateway: RunningGateway, body: bytes, *, key: str = KEY) -> tuple[int, Any]:
    headers = {"content-type": "multipart/form-data; boundary=b"}
    return ask_json(gateway, "POST", "/v1/files", body, key=key, headers=headers)


@pytest.mark.parametrize("file_first", [False, True])
def test_the_lines_of_a_batch_go_up_under_the_upstreams_name(tmp_path: Path, file_first: bool) -> None:
    lines = request_line() + b"\n" + request_line(n=1.50)
    with ScriptedUpstream() as upstream, gateway_over(tmp_path, upstream.base_url) as gateway:
        upstream.script(json_answer(FILE))
        assert upload(gateway, form(lines, file_first=file_first)) == (200, FILE)
        sent = upstream.requests[0].body
        assert ALIAS.encode() not in sent
        assert sent.count(UPSTREAM_MODEL.encode()) == 2
        written = sent.partition(b"in.jsonl")[2].partition(b"\r\n\r\n")[2].partition(b"\r\n--b")[0]
        expected = lines.replace(ALIAS.encode(), UPSTREAM_MODEL.encode())
        assert [json.loads(line) for line in written.splitlines() if line] == [
            json.loads(line) for line in expected.splitlines() if line
        ]
        assert b'name="purpose"\r\n\r\nbatch\r\n' in sent


@pytest.mark.parametrize("file_first", [False, True])
def test_a_file_for_another_purpose_is_not_touched(tmp_path: Path, file_first: bool) -> None:
    body = form(request_line("any-name"), purpose="user_data", file_first=file_first)
    with ScriptedUpstream() as upstream, gateway_over(tmp_path, upstream.base_url) as gateway:
        upstream.script(json_answer({**FILE, "purpose": "user_data"}))
        assert upload(gateway, body)[0] == 200
        assert upstream.requests[0].body == body


def test_a_line_that_may_not_be_sent_refuses_the_batch(tmp_path: Path) -> None:
    file = [{"type": "input_file", "file_id": "resp_theirs"}]
    refused = [
        (request_line(UPSTREAM_MODEL), 404, "Line 1"),
        (request_line() + request_line("unknown"), 400, "Line 2"),
        (b"not json\n", 400, "Line 1"),
        (b'{"body":[]}\n', 400, "Line 1"),
        (b'{"custom_id":"1"}\n', 400, "Line 1"),
        (request_line(model=None), 400, "Line 1"),
        (request_line(previous_response_id="resp_theirs"), 404, "Line 1"),
        (request_line() + request_line(input=file), 404, "Line 2"),
        (b"\n\n", 400, "no requests"),
        (b"", 400, "no requests"),
    ]
    with ScriptedUpstream() as upstream, gateway_over(tmp_path, upstream.base_url) as gateway:
        upstream.handler = lambda request: json_answer(FILE)
        gateway.add_key("other", OTHER)
        record_owner(gateway, "resp_theirs", "response", name="other")
        for lines, status, says in refused:
            got, answer = upload(gateway, form(lines))
            assert (got, says in answer["error"]["message"]) == (status, True), (lines, answer)
        assert not any(request.received.is_set() for request in upstream.requests)


def test_a_repeated_key_in_a_line_smuggles_nothing(tmp_path: Path) -> None:
    line = b'{"body":{"model":"secret"},"body":{"model":"secret","model":"%b"}}\n' % ALIAS.encode()
    with ScriptedUpstream() as upstream, gateway_over(tmp_path, upstream.base_url) as gateway:
        upstream.script(json_answer(FILE))
        assert upload(gateway, form(line))[0] == 200
        assert b"secret" not in upstream.requests[0].body


def test_a_line_cannot_choose_the_id_of_what_it_makes(tmp_path: Path) -> None:
    with ScriptedUpstream() as upstream, gateway_over(tmp_path, upstream.base_url) as gateway:
        upstream.script(json_answer(FILE))
        assert upload(gateway, form(request_line(request_id="resp_chosen", n=1)))[0] == 200
        assert b"resp_chosen" not in upstream.requests[0].body
        assert b'"n":1' in upstream.requests[0].body


def test_a_second_purpose_smuggles_nothing(tmp_path: Path) -> None:
    body = form(request_line(UPSTREAM_MODEL), purpose="user_data").removesuffix(b"--b--\r\n")
    body += b'--b\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nbatch\r\n--b--\r\n'
    with ScriptedUpstream() as upstream, gateway_over(tmp_path, upstream.base_url) as gateway:
        upstream.handler = lambda request: json_answer(FILE)
        assert upload(gateway, body)[0] == 400
        assert not any(request.received.is_set() for request in upstream.requests)


def test_only_a_file_that_was_uploaded_as_a_batch_may_be_run(tmp_path: Path) -> None:
    with ScriptedUpstream() as upstream, gateway_over(tmp_path, upstream.base_url) as gateway:
        record_owner(gateway, "file-plain")
        body = {"input_file_id": "file-plain", "endpoint": "/v1/chat/completions", "completion_window": "24h"}
        assert ask_json(gateway, "POST", "/v1/batches", body)[0] == 400
        purpose = {"purpose": "batch", "filename": "a", "bytes": 1, "mime_type": "application/jsonl"}
        assert ask_json(gateway, "POST", "/v1/uploads", purpose)[0] == 400
        assert upstream.requests == []


@pytest.mark.parametrize("made", ["by a run", "by a batch", "in parts", "for another purpose"])
def test_a_file_whose_lines_nobody_looked_at_is_not_run(tmp_path: Path, made: str) -> None:
    """It may hold any model of the account: that it has an alias, or that its key owns it, is not enough."""
    with ScriptedUpstream() as upstream, gateway_over(tmp_path, upstream.base_url) as gateway:
        record_owner(gateway, "thread_1", "thread", alias=ALIAS)
        record_owner(gateway, "batch_1", "batch", alias=ALIAS)
        record_owner(gateway, "upload_1", "upload", alias=ALIAS)
        if made == "by a run":
            message = {"id": "msg_1", "content": [{"type": "image_file", "image_file": {"file_id": "file-made"}}]}
            upstream.script(json_answer(message))
            assert ask_json(gateway, "GET", "/v1/threads/thread_1/messages/msg_1")[0] == 200
        elif made == "by a batch":
            upstream.script(json_answer({**BATCH, "output_file_id": "file-made"}))
            assert ask_json(gateway, "GET", "/v1/batches/batch_1")[0] == 200
        elif made == "in parts":
            upstream.script(json_answer({"id": "upload_1", "file": {"id": "file-made"}}))
            assert ask_json(gateway, "POST", "/v1/uploads/upload_1/complete", {"part_ids": []})[0] == 200
        else:
            upstream.script(json_answer({**FILE, "id": "file-made"}))
            assert upload(gateway, form(request_line("any"), purpose="user_data"))[0] == 200
        asked = len(upstream.requests)
        body = {"input_file_id": "file-made", "endpoint": "/v1/chat/completions", "completion_window": "24h"}
        status, answer = ask_json(gateway, "POST", "/v1/batches", body)
        assert (status, answer["error"]["param"]) == (400, "input_file_id")
        assert len(upstream.requests) == asked
        upstream.script(json_answer({**FILE, "id": "file-made"}))
        assert ask_json(gateway, "GET", "/v1/files/file-made")[0] == 200


def test_the_input_of_a_batch_is_a_file_like_any_other(tmp_path: Path) -> None:
    with ScriptedUpstream() as upstream, gateway_over(tmp_path, upstream.base_url) as gateway:
        upstream.script(json_answer(FILE))
        assert upload(gateway, form(request_line()))[0] == 200
        upstream.script(json_answer({"object": "list", "data": [FILE], "has_more": False}))
        status, page = ask_json(gateway, "GET", "/v1/files")
        assert (status, [one["id"] for one in page["data"]]) == (200, ["file-in"])


def test_what_a_batch_makes_is_its_keys_and_shows_the_alias(tmp_path: Path) -> None:
    out = json.dumps(
        {
            "custom_id": "1",
            "response": {"status_code": 200, "body": {"model": "vendor-model-dated", "choices": [{"model": "kept"}]}},
            "error": None,
        }
    ).encode()
    done = {**BATCH, "model": "vendor-model-dated", "output_file_id": "file-out", "metadata": {"error_file_id": "x"}}
    with ScriptedUpstream() as upstream, gateway_over(tmp_path, upstream.base_url) as gateway:
        gateway.add_key("other", OTHER)
        for answer in (FILE, BATCH, done):
            upstream.script(json_answer(answer))
        assert upload(gateway, form(request_line()))[0] == 200
        body = {"input_file_id": "file-in", "endpoint": "/v1/chat/completions", "completion_window": "24h"}
        assert ask_json(gateway, "POST", "/v1/batches", body)[0] == 200
        assert ask_json(gateway, "GET", "/v1/files/file-out")[0] == 404
        assert ask_json(gateway, "GET", "/v1/batches/batch_1")[1]["model"] == ALIAS
        assert ask_json(gateway, "GET", "/v1/files/x")[0] == 404
        assert ask_json(gateway, "GET", "/v1/files/file-out/content", key=OTHER)[0] == 404
        upstream.script(json_answer(out + b"\n" + out))
        with gateway.client() as client:
            _, content = ask(client, "GET", "/v1/files/file-out/content")
        expected = out.replace(b"vendor-model-dated", ALIAS.encode())
        assert content.complete
        assert content.payload == expected + b"\n" + expected
        upstream.script(json_answer(request_line(UPSTREAM_MODEL)))
        with gateway.client() as client:
            assert ask(client, "GET", "/v1/files/file-in/content")[1].payload == request_line()


def test_a_batch_goes_where_its_alias_is_served(tmp_path: Path) -> None:
    with ScriptedUpstream() as first, ScriptedUpstream() as second:
        base = gateway_over(tmp_path, first.base_url, second.base_url).config
        there = type(base.models[ALIAS])(capability="chat", targets=["vendor2/other-model"])
        config = type(base)(server=base.server, upstreams=base.upstreams, models={**base.models, "there": there})
        with RunningGateway(config) as gateway:
            second.script(json_answer(FILE))
            assert upload(gateway, form(request_line("there")))[0] == 200
            assert b"other-model" in second.requests[0].body
            assert first.requests == []


@pytest.mark.parametrize("seed", range(5))
def test_lines_come_out_whole_wherever_the_pieces_are_cut(seed: int) -> None:
    data = b"\n".join([b"", b"one", b"two" * 50, b"", b"last"])
    lines = LineSplitter(1_000)
    found = [line for piece in split(data, cuts(len(data), seed)) for line in lines.feed(piece)]
    assert b"".join([*found, lines.end()]) == data
    assert all(line.endswith(b"\n") for line in found)


def test_a_batchs_own_errors_name_no_upstream() -> None:
    line = b'{"custom_id":"1","response":null,"error":{"message":"The model `vendor-x` of org-abcdef is gone"}}\n'
    shown = BatchDownload(ALIAS, "vendor-x", 10_000).feed(line)
    assert b"vendor-x" not in shown
    assert b"org-abcdef" not in shown


#: Values that a strict parser refuses, and that servers write all the same.
ODD = [b'"cut \\ud83d"', b"NaN", b"[-Infinity,1]", b'"\xff"']


@pytest.mark.parametrize("value", ODD)
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_a_line_that_a_strict_parser_refuses_names_no_upstream(value: bytes, mark: bytes) -> None:
    for line in (
        b'{"response":{"body":{"model":"%b","x":%b}},"error":null}\n',
        b'{"custom_id":"1","body":{"model":"%b","x":%b}}\n',
        b'{"response":{"body":{"error":{"message":"no %b here","x":%b}}}}\n',
        b'{"response":{"body":{"\\ud83d":1,"model":"%b","x":%b}}}\n',
    ):
        shown = BatchDownload(ALIAS, "vendor-x", 10_000).feed(mark + line % (b"vendor-x", value))
        assert shown == mark + line % (ALIAS.encode(), value)


def test_a_line_that_cannot_be_read_names_no_upstream() -> None:
    down = BatchDownload(ALIAS, "vendor-x", 10_000)
    assert down.feed(b'{"model":"vendor-x","x":"\x01"}\n') == b'{"model":"%b","x":"\x01"}\n' % ALIAS.encode()
    assert down.feed(b'{"model":"vendor-x"') + down.end() == b'{"model":"%b"' % ALIAS.encode()
