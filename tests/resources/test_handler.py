"""Objects over real sockets: what is created, passed on, mapped and billed, and what happens when something breaks."""

import json
import threading
from pathlib import Path

from tests.fakes import Close, Hang, ReadNothing, ScriptedUpstream, WaitFor, json_answer, sse_answer
from tests.resources.samples import (
    ALIAS,
    ASSISTANT,
    KEY,
    OTHER,
    UPSTREAM_MODEL,
    ask,
    ask_json,
    gateway_over,
    record_owner,
)
from tests.serving import RunningGateway


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
