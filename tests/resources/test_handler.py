"""Objects over real sockets: what is created, passed on, mapped and billed, and what happens when something breaks."""

import json
import threading
from pathlib import Path
from typing import Any

import pytest

from tests.fakes import Close, Hang, ReadNothing, ScriptedUpstream, Send, WaitFor, chunk, head, json_answer, sse_answer
from tests.resources.samples import ALIAS, KEY, OTHER, UPSTREAM_MODEL, ask, ask_json, gateway_over, record_owner
from tests.serving import RunningGateway

ASSISTANT = {"id": "asst_1", "object": "assistant", "model": "vendor-model-dated", "tool_resources": {}}


def test_what_is_created_is_its_keys_and_no_others(tmp_path: Path) -> None:
    with ScriptedUpstream() as upstream, gateway_over(tmp_path, upstream.base_url) as gateway:
        gateway.add_key("other", OTHER)
        upstream.handler = lambda request: json_answer(ASSISTANT)
        status, made = ask_json(gateway, "POST", "/v1/assistants", {"model": ALIAS})
        assert (status, made["model"]) == (200, ALIAS)
        assert json.loads(upstream.requests[0].body) == {"model": UPSTREAM_MODEL}
        assert ask_json(gateway, "GET", "/v1/assistants/asst_1")[1]["model"] == ALIAS
        assert ask_json(gateway, "GET", "/v1/assistants/asst_1", key=OTHER)[0] == 404
        assert len(upstream.requests) == 2


def test_what_was_created_is_still_its_keys_after_a_restart(tmp_path: Path) -> None:
    with ScriptedUpstream() as upstream:
        upstream.handler = lambda request: json_answer(ASSISTANT)
        with gateway_over(tmp_path, upstream.base_url) as gateway:
            ask_json(gateway, "POST", "/v1/assistants", {"model": ALIAS})
        with gateway_over(tmp_path, upstream.base_url) as gateway:
            assert ask_json(gateway, "GET", "/v1/assistants/asst_1") == (200, {**ASSISTANT, "model": ALIAS})


def test_what_was_deleted_is_nobodys(tmp_path: Path) -> None:
    with ScriptedUpstream() as upstream, gateway_over(tmp_path, upstream.base_url) as gateway:
        record_owner(gateway, "file-1")
        upstream.script(json_answer({"id": "file-1", "object": "file", "deleted": True}))
        assert ask_json(gateway, "DELETE", "/v1/files/file-1")[0] == 200
        assert ask_json(gateway, "GET", "/v1/files/file-1")[0] == 404
        assert len(upstream.requests) == 1


def test_what_the_upstream_would_not_delete_stays_the_keys(tmp_path: Path) -> None:
    with ScriptedUpstream() as upstream, gateway_over(tmp_path, upstream.base_url) as gateway:
        record_owner(gateway, "file-1")
        upstream.script(json_answer({"error": {"message": "busy", "type": "server_error"}}, status=409))
        upstream.script(json_answer({"id": "file-1", "object": "file"}))
        assert ask_json(gateway, "DELETE", "/v1/files/file-1")[0] == 409
        assert ask_json(gateway, "GET", "/v1/files/file-1")[0] == 200


def test_an_object_is_asked_for_where_it_was_made(tmp_path: Path) -> None:
    with (
        ScriptedUpstream() as first,
        ScriptedUpstream() as second,
        gateway_over(tmp_path, first.base_url, second.base_url) as gateway,
    ):
        record_owner(gateway, "file-there", upstream="vendor2")
        second.script(json_answer({"id": "file-there", "object": "file"}))
        assert ask_json(gateway, "GET", "/v1/files/file-there")[0] == 200
        assert first.requests == []


def test_an_answer_passes_byte_for_byte_but_for_the_model(tmp_path: Path) -> None:
    answer = b'{\n  "id": "asst_1" ,"model":"vendor-x", "tools":[{"model": "kept", "n":1.50}]\n}'
    with ScriptedUpstream() as upstream, gateway_over(tmp_path, upstream.base_url) as gateway:
        record_owner(gateway, "asst_1", "assistant", alias=ALIAS)
        upstream.script(json_answer(answer))
        with gateway.client() as client:
            _, body = ask(client, "GET", "/v1/assistants/asst_1")
        assert body.payload == answer.replace(b"vendor-x", ALIAS.encode())


def test_a_model_without_an_alias_is_never_shown(tmp_path: Path) -> None:
    with ScriptedUpstream() as upstream, gateway_over(tmp_path, upstream.base_url) as gateway:
        record_owner(gateway, "resp_1", "response")
        upstream.script(json_answer({"id": "resp_1", "model": f"{UPSTREAM_MODEL}-v2"}))
        upstream.script(json_answer({"id": "resp_1", "model": "vendor-something-else"}))
        assert ask_json(gateway, "GET", "/v1/responses/resp_1")[1]["model"] == ALIAS
        assert ask_json(gateway, "GET", "/v1/responses/resp_1")[1]["model"] == "prometheus"


def test_a_changed_assistant_has_its_new_alias(tmp_path: Path) -> None:
    config = gateway_over(tmp_path, "http://127.0.0.1:9").config
    with ScriptedUpstream() as upstream:
        models = dict.fromkeys((ALIAS, "prometheus-lite"), config.models[ALIAS])
        upstreams = gateway_over(tmp_path, upstream.base_url).config.upstreams
        upstream.handler = lambda request: json_answer(ASSISTANT)
        settings = type(config)(server=config.server, upstreams=upstreams, models=models)
        with RunningGateway(settings) as gateway:
            ask_json(gateway, "POST", "/v1/assistants", {"model": ALIAS})
            gateway.rows()
            ask_json(gateway, "POST", "/v1/assistants/asst_1", {"model": "prometheus-lite"})
            assert ask_json(gateway, "GET", "/v1/assistants/asst_1")[1]["model"] == "prometheus-lite"
        with RunningGateway(settings) as gateway:
            assert ask_json(gateway, "GET", "/v1/assistants/asst_1")[1]["model"] == "prometheus-lite"


def test_only_a_keys_own_aliases_may_stand_in_an_object(tmp_path: Path) -> None:
    with ScriptedUpstream() as upstream, gateway_over(tmp_path, upstream.base_url) as gateway:
        gateway.add_key("other", OTHER, models=["something-else"])
        for key, name in ((KEY, UPSTREAM_MODEL), (OTHER, ALIAS)):
            status, answer = ask_json(gateway, "POST", "/v1/assistants", {"model": name}, key=key)
            assert (status, answer["error"]["code"]) == (404, "model_not_found")
        assert upstream.requests == []


def test_a_repeated_key_in_a_body_smuggles_nothing(tmp_path: Path) -> None:
    with ScriptedUpstream() as upstream, gateway_over(tmp_path, upstream.base_url) as gateway:
        upstream.script(json_answer(ASSISTANT))
        body = b'{"model":"vendor-secret","model":"%b"}' % ALIAS.encode()
        assert ask_json(gateway, "POST", "/v1/assistants", body)[0] == 200
        assert upstream.requests[0].body == b'{"model":"%b"}' % UPSTREAM_MODEL.encode()


def test_a_header_says_whose_upstream_is_meant(tmp_path: Path) -> None:
    with ScriptedUpstream() as first, ScriptedUpstream() as second:
        base = gateway_over(tmp_path, first.base_url, second.base_url).config
        there = type(base.models[ALIAS])(capability="chat", targets=["vendor2/other-model"])
        config = type(base)(server=base.server, upstreams=base.upstreams, models={**base.models, "there": there})
        with RunningGateway(config) as gateway:
            second.script(json_answer({"id": "vs_1", "object": "vector_store"}))
            status, _ = ask_json(gateway, "POST", "/v1/vector_stores", {}, headers={"x-prism-model": "there"})
            assert status == 200
            assert first.requests == []
            status, _ = ask_json(gateway, "POST", "/v1/vector_stores", {}, headers={"x-prism-model": "unknown"})
            assert status == 404


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


def test_a_connection_that_had_just_closed_is_replaced(tmp_path: Path) -> None:
    with ScriptedUpstream() as upstream, gateway_over(tmp_path, upstream.base_url) as gateway:
        record_owner(gateway, "file-1")
        good = json_answer({"id": "file-1", "object": "file"})
        upstream.script(good)
        upstream.script([Close()])
        upstream.script(good)
        assert [ask_json(gateway, "GET", "/v1/files/file-1")[0] for _ in range(2)] == [200, 200]


def test_uploads_find_a_connection_whatever_idles(tmp_path: Path) -> None:
    """Each wants one that has not served: where there is no room, the one that has been idle for longest makes way."""
    form = b'--b\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\nbytes\r\n--b--\r\n'
    headers = {"content-type": "multipart/form-data; boundary=b"}
    with ScriptedUpstream() as upstream:
        upstream.handler = lambda request: json_answer({"id": "file-1"})
        with gateway_over(tmp_path, upstream.base_url, upstream={"max_connections": 4}) as gateway:
            for number in range(10):
                assert ask_json(gateway, "POST", "/v1/files", form, headers=headers)[0] == 200, number
                assert ask_json(gateway, "POST", "/v1/threads", {})[0] == 200, number
            uploads = [request for request in upstream.requests if request.target == "/files"]
            assert len({request.connection for request in uploads}) == len(uploads)


def test_a_client_that_leaves_ends_the_call_upstream(tmp_path: Path) -> None:
    with ScriptedUpstream() as upstream, gateway_over(tmp_path, upstream.base_url) as gateway:
        record_owner(gateway, "file-1")
        upstream.script([Hang()])
        with gateway.client() as client:
            client.request("GET", "/v1/files/file-1", headers={"authorization": f"Bearer {KEY}"})
            (request,) = upstream.wait_for_requests(1)
        assert request.closed.wait(5)
        (row,) = gateway.rows()
        assert (row.outcome, row.status) == ("client_closed", 499)


def test_an_upstream_that_says_nothing_is_given_up(tmp_path: Path) -> None:
    settings = {"first_byte_timeout": 0.2}
    with (
        ScriptedUpstream() as upstream,
        gateway_over(tmp_path, upstream.base_url, upstream=settings) as gateway,
    ):
        record_owner(gateway, "file-1")
        upstream.script([Hang()])
        assert ask_json(gateway, "GET", "/v1/files/file-1")[0] == 504
        (row,) = gateway.rows()
        assert row.outcome == "timeout"


def test_a_request_that_is_refused_has_its_row(tmp_path: Path) -> None:
    with ScriptedUpstream() as upstream, gateway_over(tmp_path, upstream.base_url) as gateway:
        ask_json(gateway, "GET", "/v1/files/file-1")
        (row,) = gateway.rows()
        assert (row.endpoint, row.outcome, row.status, row.upstream) == ("/v1/files/{file_id}", "refused", 404, "")


def test_usage_that_is_shown_again_is_not_billed_again(tmp_path: Path) -> None:
    answer = {"id": "resp_1", "model": "m", "usage": {"input_tokens": 5, "output_tokens": 7}}
    with ScriptedUpstream() as upstream, gateway_over(tmp_path, upstream.base_url) as gateway:
        record_owner(gateway, "resp_1", "response", alias=ALIAS)
        upstream.script(json_answer(answer))
        assert ask_json(gateway, "GET", "/v1/responses/resp_1")[1]["usage"] == answer["usage"]
        (row,) = gateway.rows()
        assert (row.input_tokens, row.output_tokens, row.usage_source, row.cost) == (0, 0, "none", 0)


def test_a_gateway_that_goes_down_settles_what_still_waits(tmp_path: Path) -> None:
    with (
        ScriptedUpstream() as upstream,
        gateway_over(tmp_path, upstream.base_url, server={"shutdown_timeout": 0.2}) as gateway,
    ):
        record_owner(gateway, "file-1")
        upstream.script([Hang()])
        with gateway.client() as client:
            client.request("GET", "/v1/files/file-1", headers={"authorization": f"Bearer {KEY}"})
            upstream.wait_for_requests(1)
            gateway.stop()
    with ScriptedUpstream() as upstream, gateway_over(tmp_path, upstream.base_url) as gateway:
        assert [(row.outcome, row.error_code) for row in gateway.rows()] == [("gateway_shutdown", "gateway_shutdown")]


def big_file(client: Any, gateway: RunningGateway) -> None:
    client.request("GET", "/v1/files/file-1/content", headers={"authorization": f"Bearer {KEY}"})


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


def test_a_part_of_an_upload_goes_on_while_it_arrives(tmp_path: Path) -> None:
    begun, rest = (
        b'--b\r\nContent-Disposition: form-data; name="data"; filename="p"\r\n\r\nfirst',
        b" last\r\n--b--\r\n",
    )
    with ScriptedUpstream() as upstream, gateway_over(tmp_path, upstream.base_url) as gateway:
        record_owner(gateway, "upload_1", "upload")
        upstream.script(json_answer({"id": "part_1", "object": "upload.part"}))
        with gateway.client() as client:
            headers = {
                "authorization": f"Bearer {KEY}",
                "content-type": "multipart/form-data; boundary=b",
                "content-length": str(len(begun) + len(rest)),
            }
            client.request("POST", "/v1/uploads/upload_1/parts", begun, headers)
            (request,) = upstream.wait_for_requests(1)
            client.send(rest)
            answer, _ = client.read_answer()
        assert answer.status == 200
        assert request.body == begun + rest
        assert request.header("content-type") == "multipart/form-data; boundary=b"
        done = {"part_ids": ["part_1"]}
        upstream.script(json_answer({"id": "upload_1", "object": "upload", "file": {"id": "file-9"}}))
        assert ask_json(gateway, "POST", "/v1/uploads/upload_1/complete", done)[0] == 200
        upstream.script(json_answer({"id": "file-9", "object": "file"}))
        assert ask_json(gateway, "GET", "/v1/files/file-9")[0] == 200


def test_an_upload_is_read_only_as_fast_as_the_upstream_takes_it(tmp_path: Path) -> None:
    go_on = threading.Event()
    sent = [0]
    with (
        ScriptedUpstream(socket_buffer=65_536) as upstream,
        gateway_over(tmp_path, upstream.base_url) as gateway,
        gateway.client() as client,
    ):
        record_owner(gateway, "upload_1", "upload")
        upstream.script([ReadNothing(go_on), *json_answer({"id": "part_1"})])
        piece = bytes(1_048_576)
        start = b'--b\r\nContent-Disposition: form-data; name="data"; filename="p"\r\n\r\n'
        size = len(start) + 40 * len(piece) + 9
        headers = {"authorization": f"Bearer {KEY}", "content-type": "multipart/form-data; boundary=b"}
        client.request("POST", "/v1/uploads/upload_1/parts", start, {**headers, "content-length": str(size)})

        def feed() -> None:
            for _ in range(40):
                client.send(piece)
                sent[0] += 1
            client.send(b"\r\n--b--\r\n")

        thread = threading.Thread(target=feed)
        thread.start()
        upstream.wait_for_requests(1)
        before, step = -1, threading.Event()
        while sent[0] != before:
            before = sent[0]
            step.wait(0.2)
        assert sent[0] < 20
        go_on.set()
        assert client.read_answer()[0].status == 200
        thread.join()


def test_a_client_that_leaves_its_upload_ends_the_call_upstream(tmp_path: Path) -> None:
    with ScriptedUpstream() as upstream, gateway_over(tmp_path, upstream.base_url) as gateway:
        record_owner(gateway, "upload_1", "upload")
        upstream.handler = lambda request: [Hang()]
        start = b'--b\r\nContent-Disposition: form-data; name="data"; filename="p"\r\n\r\nhalf'
        with gateway.client() as client:
            headers = {"authorization": f"Bearer {KEY}", "content-type": "multipart/form-data; boundary=b"}
            client.request("POST", "/v1/uploads/upload_1/parts", start, {**headers, "content-length": "1000"})
            (request,) = upstream.wait_for_requests(1)
        assert request.closed.wait(5)
        (row,) = gateway.rows()
        assert row.outcome == "client_closed"


def test_an_upstream_that_refuses_an_upload_early_is_heard(tmp_path: Path) -> None:
    error = {"error": {"message": "too large", "type": "invalid_request_error", "param": None, "code": None}}
    go_on = threading.Event()
    with ScriptedUpstream() as upstream, gateway_over(tmp_path, upstream.base_url) as gateway:
        record_owner(gateway, "upload_1", "upload")
        upstream.script([ReadNothing(), *json_answer(error, status=413), WaitFor(go_on)])
        start = b'--b\r\nContent-Disposition: form-data; name="data"; filename="p"\r\n\r\nhalf'
        with gateway.client() as client:
            headers = {"authorization": f"Bearer {KEY}", "content-type": "multipart/form-data; boundary=b"}
            client.request("POST", "/v1/uploads/upload_1/parts", start, {**headers, "content-length": "100000"})
            upstream.wait_for_requests(1)
            client.send(b"more")
            answer, body = client.read_answer()
            go_on.set()
        assert answer.status == 413
        assert json.loads(body.payload)["error"]["message"] == "too large"


def test_a_body_over_the_cap_is_refused(tmp_path: Path) -> None:
    with (
        ScriptedUpstream() as upstream,
        gateway_over(tmp_path, upstream.base_url, server={"max_body_bytes": 1000}) as gateway,
    ):
        status, _ = ask_json(gateway, "POST", "/v1/threads", {"metadata": {"a": "x" * 2000}})
        assert status == 413
        assert upstream.requests == []


def test_a_cursor_below_an_own_object_is_not_another_keys(tmp_path: Path) -> None:
    with ScriptedUpstream() as upstream, gateway_over(tmp_path, upstream.base_url) as gateway:
        gateway.add_key("other", OTHER)
        record_owner(gateway, "thread_1", "thread")
        record_owner(gateway, "msg_theirs", "thread.message", name="other")
        upstream.script(json_answer({"object": "list", "data": [], "has_more": False}))
        messages = "/v1/threads/thread_1/messages"
        assert ask_json(gateway, "GET", f"{messages}?after=msg_theirs")[0] == 404
        assert ask_json(gateway, "GET", f"{messages}?after=a%2fb")[0] == 404
        assert ask_json(gateway, "GET", f"{messages}?limit=5&after=msg_mine&secret=x")[0] == 200
        assert [request.target for request in upstream.requests] == [
            "/threads/thread_1/messages?limit=5&after=msg_mine"
        ]


def test_a_video_is_asked_for_in_a_form_or_in_json_under_the_upstreams_name(tmp_path: Path) -> None:
    form = (
        b'--b\r\nContent-Disposition: form-data; name="input_reference"; filename="a"\r\n\r\nbytes\r\n'
        b'--b\r\nContent-Disposition: form-data; name="model"\r\n\r\n%b\r\n--b--\r\n'
    )
    video = {"id": "video_1", "object": "video", "model": "vendor-x", "seconds": "4"}
    with ScriptedUpstream() as upstream, gateway_over(tmp_path, upstream.base_url) as gateway:
        upstream.script(json_answer(video), times=2)
        headers = {"content-type": "multipart/form-data; boundary=b"}
        made = ask_json(gateway, "POST", "/v1/videos", form % ALIAS.encode(), headers=headers)
        assert made == (200, {**video, "model": ALIAS})
        assert upstream.requests[0].body == form % UPSTREAM_MODEL.encode()
        assert ask_json(gateway, "POST", "/v1/videos", {"model": ALIAS, "prompt": "a"})[1]["model"] == ALIAS
        assert json.loads(upstream.requests[1].body) == {"model": UPSTREAM_MODEL, "prompt": "a"}


def test_power_durability_serves_objects_too(tmp_path: Path) -> None:
    with (
        ScriptedUpstream() as upstream,
        gateway_over(tmp_path, upstream.base_url, server={"durability": "power"}) as gateway,
    ):
        upstream.script(json_answer(ASSISTANT))
        assert ask_json(gateway, "POST", "/v1/assistants", {"model": ALIAS})[0] == 200
        assert len(gateway.rows()) == 1


@pytest.mark.parametrize("value", [b'"cut \\ud83d"', b"NaN", b"-Infinity"])
def test_an_object_with_what_a_strict_parser_refuses_comes_as_it_is(tmp_path: Path, value: bytes) -> None:
    def answer(id_: str, model: str) -> bytes:
        return b'{"id":"%b","object":"response","model":"%b","x":%b}' % (id_.encode(), model.encode(), value)

    with (
        ScriptedUpstream() as upstream,
        gateway_over(tmp_path, upstream.base_url) as gateway,
        gateway.client() as client,
    ):
        record_owner(gateway, "resp_1", "response", alias=ALIAS)
        upstream.script(json_answer(answer("resp_1", UPSTREAM_MODEL)))
        head, body = ask(client, "GET", "/v1/responses/resp_1")
        assert (head.status, body.payload) == (200, answer("resp_1", ALIAS))
        record_owner(gateway, "file-1")
        upstream.script(json_answer(b'{"object":"list","data":[{"id":"file-1","x":%b},{"id":"file-2"}]}' % value))
        head, body = ask(client, "GET", "/v1/files")
        assert (head.status, b'[{"id":"file-1","x":%b}]' % value in body.payload) == (200, True)


def test_a_response_whose_events_a_strict_parser_refuses_is_the_keys(tmp_path: Path) -> None:
    response = b'{"id":"resp_1","object":"response","model":"%b","instructions":"cut \\ud83d"%b}'
    begun = response % (UPSTREAM_MODEL.encode(), b"")
    done = response % (UPSTREAM_MODEL.encode(), b',"usage":{"input_tokens":1,"output_tokens":1}')
    events = b'data: {"type":"response.created","response":%b}\n\n' % begun
    events += b'data: {"type":"response.completed","response":%b}\n\n' % done
    with ScriptedUpstream() as upstream, gateway_over(tmp_path, upstream.base_url) as gateway:
        upstream.script(sse_answer(events))
        with gateway.client() as client:
            assert ask(client, "POST", "/v1/responses", {"model": ALIAS, "input": "x", "stream": True})[0].status == 200
        upstream.script(json_answer(begun))
        assert ask_json(gateway, "GET", "/v1/responses/resp_1")[0] == 200
