"""Errors of an upstream about objects: the same rules as for requests that a model answers."""

import json
import threading
from pathlib import Path
from typing import Any

import pytest

from tests.fakes import Close, ScriptedUpstream, Send, WaitFor, chunk, head, json_answer
from tests.resources.samples import ALIAS, KEY, OTHER, UPSTREAM_MODEL, ask, ask_json, gateway_over, record_owner
from tests.serving import RunningGateway

PATHS = ["/v1/files/file-1", "/v1/files/file-1/content", "/v1/files"]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        ({"detail": "no such file"}, 404, "no such file"),
        ([{"error": {"code": 400, "message": "bad arg", "status": "INVALID_ARGUMENT"}}], 400, "bad arg"),
        ({"type": "error", "error": {"type": "x", "message": "from elsewhere"}}, 422, "from elsewhere"),
        ({"message": "slower"}, 429, "slower"),
        ({"message": "inner words"}, 503, "The model's provider failed (status 503)."),
    ],
)
def test_an_error_of_another_shape_keeps_its_status(
    tmp_path: Path, path: str, body: Any, status: int, message: str
) -> None:
    with ScriptedUpstream() as upstream, gateway_over(tmp_path, upstream.base_url) as gateway:
        record_owner(gateway, "file-1")
        limits = {"retry-after": "30", "x-ratelimit-limit-requests": "5"}
        upstream.script(json_answer(body, status, limits))
        with gateway.client() as client:
            answer, payload = ask(client, "GET", path)
        told = json.loads(payload.payload)
        assert (answer.status, answer.header("retry-after")) == (status, "30")
        assert answer.header("x-ratelimit-limit-requests") == ("5" if status == 429 else None)
        assert told["error"]["message"] == message
        assert told["request_id"] == answer.header("x-request-id")
        (row,) = gateway.rows()
        assert (row.status, row.outcome) == (status, "upstream_error")


def test_a_large_error_keeps_its_status(tmp_path: Path) -> None:
    with ScriptedUpstream() as upstream, gateway_over(tmp_path, upstream.base_url) as gateway:
        record_owner(gateway, "file-1")
        upstream.script(json_answer({"message": "x" * 300_000}, 404))
        assert ask_json(gateway, "GET", "/v1/files/file-1")[0] == 404


@pytest.mark.parametrize("models", [None, [ALIAS], ["another"]])
def test_an_error_about_what_has_no_model_names_none_of_the_upstreams(tmp_path: Path, models: Any) -> None:
    with ScriptedUpstream() as upstream, gateway_over(tmp_path, upstream.base_url) as gateway:
        gateway.add_key("other", OTHER, models=models)
        record_owner(gateway, "conv_1", "conversation", name="other")
        upstream.script(json_answer({"error": {"message": f"{UPSTREAM_MODEL} has no conv_1", "type": "x"}}, 404))
        status, told = ask_json(gateway, "GET", "/v1/conversations/conv_1", key=OTHER)
        shown = "prometheus" if models == ["another"] else ALIAS
        assert (status, told["error"]["message"]) == (404, f"{shown} has no conv_1")


@pytest.mark.parametrize("path", PATHS[::2])
@pytest.mark.parametrize(
    "body",
    [
        {"error": {"message": f"{UPSTREAM_MODEL} of org-abcd1234 failed", "type": "server_error"}},
        {"type": "error", "error": {"message": f"{UPSTREAM_MODEL} of org-abcd1234 failed"}},
        {"object": "error", "message": f"{UPSTREAM_MODEL} of org-abcd1234 failed"},
        {"error": f"{UPSTREAM_MODEL} of org-abcd1234 failed"},
        {"error": {"message": f"{UPSTREAM_MODEL} of org-abcd1234 failed"}, "object": None, "id": None},
    ],
)
def test_an_error_that_came_with_status_200_is_an_error(tmp_path: Path, body: Any, path: str) -> None:
    with ScriptedUpstream() as upstream, gateway_over(tmp_path, upstream.base_url) as gateway:
        record_owner(gateway, "file-1")
        upstream.script(json_answer(body))
        status, told = ask_json(gateway, "GET", path)
        assert (status, told["error"]["code"]) == (502, "upstream_protocol_error")
        assert told["error"]["message"] == f"The model's provider reported an error: {ALIAS} of *** failed"
        (row,) = gateway.rows()
        assert (row.status, row.outcome) == (502, "upstream_error")


def test_an_error_that_came_with_status_200_deletes_nothing(tmp_path: Path) -> None:
    with ScriptedUpstream() as upstream, gateway_over(tmp_path, upstream.base_url) as gateway:
        record_owner(gateway, "file-1")
        upstream.script(json_answer({"error": {"message": "busy"}}))
        assert ask_json(gateway, "DELETE", "/v1/files/file-1")[0] == 502
        upstream.script(json_answer({"id": "file-1", "object": "file"}))
        assert ask_json(gateway, "GET", "/v1/files/file-1")[0] == 200


@pytest.mark.parametrize(
    "body",
    [
        {"id": "resp_1", "object": "response", "status": "failed", "error": {"code": "server_error", "message": "x"}},
        {"id": "file-1", "object": "file", "error": None},
        {"error": None, "id": "x"},
        {"object": "list", "data": [], "error": {"message": "kept"}},
    ],
)
def test_an_object_that_tells_of_an_error_is_an_object(tmp_path: Path, body: Any) -> None:
    with ScriptedUpstream() as upstream, gateway_over(tmp_path, upstream.base_url) as gateway:
        record_owner(gateway, "resp_1", "response")
        upstream.script(json_answer(body))
        assert ask_json(gateway, "GET", "/v1/responses/resp_1") == (200, body)


def test_a_file_that_reads_like_an_error_is_a_file(tmp_path: Path) -> None:
    body = b'{"error":{"message":"of the file"}}'
    with ScriptedUpstream() as upstream, gateway_over(tmp_path, upstream.base_url) as gateway:
        record_owner(gateway, "file-1")
        upstream.script(json_answer(body))
        with gateway.client() as client:
            answer, payload = ask(client, "GET", "/v1/files/file-1/content")
        assert (answer.status, payload.payload) == (200, body)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("status", [404, 200])
def test_an_error_that_quotes_what_the_upstream_is_sent_quotes_no_secret(
    tmp_path: Path, path: str, status: int
) -> None:
    secrets = {"api_key": "key-of/the+account", "query": {"sig": "a signature of ours"}}
    with ScriptedUpstream() as upstream, gateway_over(tmp_path, upstream.base_url, upstream=secrets) as gateway:
        record_owner(gateway, "file-1")
        upstream.script(json_answer({"error": {"message": "x?sig=a+signature+of+ours key-of/the+account"}}, status))
        _, payload = ask_json(gateway, "GET", path)
        if status == 404 or not path.endswith("content"):
            assert "x?sig=*** ***" in payload["error"]["message"]


def test_an_upstreams_error_is_shown_only_as_far_as_a_client_may_see_it(tmp_path: Path) -> None:
    gone = b'{"error":{"message":"gone in org-abcdef","type":"invalid_request_error","code":null}}'
    answers: list[tuple[int, bytes, int, str | None]] = [
        (404, gone, 404, None),
        (401, b'{"error":{"message":"bad key sk-abcdef"}}', 502, "upstream_error"),
        (500, b"<html>vendor</html>", 500, "upstream_error"),
        (302, b"", 502, "upstream_error"),
    ]
    with ScriptedUpstream() as upstream, gateway_over(tmp_path, upstream.base_url) as gateway:
        record_owner(gateway, "file-1")
        for status, body, shown, code in answers:
            upstream.script(json_answer(body, status=status, headers={"location": "http://inner.host/"}))
            with gateway.client() as client:
                answer, payload = ask(client, "GET", "/v1/files/file-1")
            assert answer.status == shown
            assert answer.header("location") is None
            assert json.loads(payload.payload)["error"]["code"] == code
            for secret in (b"org-abcdef", b"sk-abcdef", b"vendor"):
                assert secret not in payload.payload
        rows = gateway.rows()
        assert [(row.status, row.outcome) for row in rows] == [
            (404, "upstream_error"),
            *[(status, "upstream_error") for status in (502, 500, 502)],
        ]


def test_an_answer_that_is_no_object_is_an_error_of_the_upstream(tmp_path: Path) -> None:
    with ScriptedUpstream() as upstream, gateway_over(tmp_path, upstream.base_url) as gateway:
        record_owner(gateway, "file-1")
        for answer in (b"not json", b'["a"]', b""):
            upstream.script(json_answer(answer))
            assert ask_json(gateway, "GET", "/v1/files/file-1")[0] == 502


def test_a_file_comes_as_it_is(tmp_path: Path) -> None:
    data = bytes(range(256)) * 8192
    with ScriptedUpstream() as upstream, gateway_over(tmp_path, upstream.base_url) as gateway:
        record_owner(gateway, "file-1")
        kind = {"content-type": "application/octet-stream", "content-disposition": 'attachment; filename="a"'}
        upstream.script(json_answer(data, headers={**kind, "set-cookie": "a=b"}))
        with gateway.client() as client:
            answer, body = ask(client, "GET", "/v1/files/file-1/content")
        assert body.payload == data
        assert answer.header("content-length") == str(len(data))
        assert answer.header("content-disposition") == 'attachment; filename="a"'
        assert answer.header("set-cookie") is None


def test_a_file_is_read_only_as_fast_as_its_client_reads(tmp_path: Path) -> None:
    size = 64 * 1024 * 1024
    with (
        ScriptedUpstream(socket_buffer=65_536) as upstream,
        gateway_over(tmp_path, upstream.base_url) as gateway,
        gateway.client() as client,
    ):
        record_owner(gateway, "file-1")
        step = threading.Event()
        upstream.script([head(200, {"content-length": str(size)}), Send(bytes(size))])
        big_file(client, gateway)
        client.read_head()
        (request,) = upstream.wait_for_requests(1)
        before = -1
        while request.bytes_sent != before:
            before = request.bytes_sent
            step.wait(0.2)
        assert request.bytes_sent < 16 * 1024 * 1024


def test_a_file_that_is_cut_never_ends_cleanly(tmp_path: Path) -> None:
    went_on = threading.Event()
    with ScriptedUpstream() as upstream, gateway_over(tmp_path, upstream.base_url) as gateway:
        record_owner(gateway, "file-1")
        begun = head(200, {"transfer-encoding": "chunked"})
        upstream.script([begun, chunk(bytes(300_000)), WaitFor(went_on), Close()])
        with gateway.client() as client:
            big_file(client, gateway)
            client.read_head()
            went_on.set()
            assert not client.read_chunked().complete
        (row,) = gateway.rows()
        assert row.outcome == "upstream_cut"


def test_a_file_that_does_not_come_at_all_is_an_error(tmp_path: Path) -> None:
    with ScriptedUpstream() as upstream, gateway_over(tmp_path, upstream.base_url) as gateway:
        record_owner(gateway, "file-1")
        upstream.script([head(200, {"transfer-encoding": "chunked"}), Close()])
        assert ask_json(gateway, "GET", "/v1/files/file-1/content")[0] == 502


def big_file(client: Any, gateway: RunningGateway) -> None:
    client.request("GET", "/v1/files/file-1/content", headers={"authorization": f"Bearer {KEY}"})
