"""What the forwarded endpoints refuse before any upstream is asked, each alike; over real sockets."""

import gzip
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from proxy.endpoints.head_facts import allowed_query
from proxy.endpoints.table import ROWS, Row
from proxy.ledger.record import UsageRecord
from tests.fakes import Body, Head, ScriptedUpstream
from tests.serving import ALIAS, KEY, RunningGateway, simple_config

JSON_ROWS = [row for row in ROWS if row.body == "json"]
BODY_ROWS = [row for row in JSON_ROWS if row.model == "body"]
#: The most bytes that the gateway of these tests takes.
LIMIT = 20_000


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    """A gateway that is only refused by: its upstream has no script, and would say so."""
    folder = tmp_path_factory.mktemp("gateway")
    with ScriptedUpstream() as upstream:
        config = simple_config(folder, upstream.base_url, server={"max_body_bytes": LIMIT})
        with RunningGateway(config) as running:
            yield running
        assert not upstream.requests


def path_of(row: Row) -> str:
    return row.path.replace("{model}", ALIAS)


def send(
    gateway: RunningGateway, row: Row, body: bytes, headers: Mapping[str, str] | None = None
) -> tuple[Head, Body, Any]:
    """Send one request; gives the error too."""
    with gateway.client() as client:
        client.request(row.method, path_of(row), body, {"authorization": f"Bearer {KEY}", **(headers or {})})
        answer, got = client.read_answer()
    return answer, got, json.loads(got.payload)


def row_of(gateway: RunningGateway, answer: Head) -> UsageRecord:
    """The one row of an answer."""
    (row,) = [row for row in gateway.rows() if row.id == answer.header("x-request-id")]
    return row


every_row = pytest.mark.parametrize("row", ROWS, ids=[row.path for row in ROWS])
every_json_row = pytest.mark.parametrize("row", JSON_ROWS, ids=[row.path for row in JSON_ROWS])
every_body_row = pytest.mark.parametrize("row", BODY_ROWS, ids=[row.path for row in BODY_ROWS])


def message_of(value: Any) -> str:
    """The message of an error in whichever dialect."""
    return str(value["error"]["message"])


@every_row
def test_a_missing_key_is_refused_and_makes_no_row(gateway: RunningGateway, row: Row) -> None:
    with gateway.client() as client:
        client.request(row.method, path_of(row), b"{}")
        answer, body = client.read_answer()
    assert answer.status == 401
    assert message_of(json.loads(body.payload)) == "Missing API key. Provide it as Authorization: Bearer <key>."
    assert answer.header("x-request-id") not in {one.id for one in gateway.rows()}


@every_json_row
def test_a_body_that_is_too_large_is_refused_by_its_announcement(gateway: RunningGateway, row: Row) -> None:
    with gateway.client() as client:
        headers = {"authorization": f"Bearer {KEY}", "content-length": str(LIMIT + 1)}
        client.request(row.method, path_of(row), b"", headers)
        answer, body = client.read_answer()
    assert answer.status == 413
    assert str(LIMIT) in message_of(json.loads(body.payload))
    assert (row_of(gateway, answer).outcome, row_of(gateway, answer).error_code) == ("refused", "request_too_large")


def test_a_chunked_body_is_refused_once_it_is_too_large(gateway: RunningGateway) -> None:
    with gateway.client() as client:
        headers = f"authorization: Bearer {KEY}\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n"
        client.send(f"POST {ROWS[0].path} HTTP/1.1\r\n{headers}".encode())
        for _ in range(3):
            client.send(b"%x\r\n%b\r\n" % (LIMIT // 2, b" " * (LIMIT // 2)))
        answer, _ = client.read_answer()
    assert answer.status == 413
    assert answer.header("connection") == "close"


def test_a_body_of_just_the_limit_is_read(gateway: RunningGateway) -> None:
    _, _, error = send(gateway, ROWS[0], b" " * LIMIT)
    assert "not valid JSON" in error["error"]["message"]


@every_row
def test_a_body_in_an_unknown_encoding_is_refused_with_those_that_are_taken(gateway: RunningGateway, row: Row) -> None:
    answer, _, error = send(gateway, row, b"{}", {"content-encoding": "br"})
    assert answer.status == 415
    assert "gzip, deflate and zstd" in message_of(error)
    assert answer.header("accept-encoding") == "gzip, deflate, zstd"
    assert row_of(gateway, answer).error_code == "unsupported_content_encoding"


@every_json_row
def test_a_compressed_body_is_read_and_a_broken_one_refused(gateway: RunningGateway, row: Row) -> None:
    _, _, error = send(gateway, row, gzip.compress(b"[]"), {"content-encoding": "gzip"})
    assert "JSON object" in message_of(error)
    for body in (b"\x1f\x8b", b"{}", gzip.compress(b"{}")[:-1]):
        answer, _, error = send(gateway, row, body, {"content-encoding": "gzip"})
        assert answer.status == 400
        assert "inflated" in message_of(error) or "ends before" in message_of(error)


@every_json_row
def test_the_cap_of_a_body_holds_for_what_it_is_inflated_to(gateway: RunningGateway, row: Row) -> None:
    _, _, error = send(gateway, row, gzip.compress(b" " * LIMIT), {"content-encoding": "gzip"})
    assert "not valid JSON" in message_of(error)
    answer, _, error = send(gateway, row, gzip.compress(b" " * (LIMIT + 1)), {"content-encoding": "gzip"})
    assert (answer.status, row_of(gateway, answer).error_code) == (413, "request_too_large")
    assert str(LIMIT) in message_of(error)


@every_row
def test_two_content_types_are_refused(gateway: RunningGateway, row: Row) -> None:
    with gateway.client() as client:
        head = f"{row.method} {path_of(row)} HTTP/1.1\r\nhost: h\r\nauthorization: Bearer {KEY}\r\n"
        types = "content-type: application/json\r\ncontent-type: multipart/form-data; boundary=b\r\n"
        client.send(f"{head}{types}content-length: 2\r\n\r\n{{}}".encode())
        answer, body = client.read_answer()
    assert answer.status == 400
    assert "two content types" in message_of(json.loads(body.payload))
    assert row_of(gateway, answer).error_code == "unsupported_content_type"


@every_json_row
@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", ""])
def test_a_body_of_another_type_is_refused(gateway: RunningGateway, row: Row, content_type: str) -> None:
    answer, _, _ = send(gateway, row, b"{}", {"content-type": content_type})
    assert answer.status == 400
    assert row_of(gateway, answer).error_code == "unsupported_content_type"


@pytest.mark.parametrize("content_type", ["application/json; charset=utf-8", "APPLICATION/JSON"])
def test_a_json_type_in_any_spelling_is_taken(gateway: RunningGateway, content_type: str) -> None:
    _, _, error = send(gateway, ROWS[0], b"{}", {"content-type": content_type})
    assert error["error"]["param"] == "model"


@every_json_row
@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "empty"),
        (b'{"a":1,}', "byte 7"),
        (b'{"a":"\xff"}', "byte 6"),
        (b'{"a":1', "byte 6"),
        (b"[]", "JSON object"),
        (b"{} {}", "trailing characters"),
        (b"[" * 100 + b"]" * 100, "64 levels"),
        (b'{"a":nan}', "byte 6"),
        ("﻿{}".encode(), "byte 0"),
    ],
    ids=["empty", "comma", "utf-8", "cut", "list", "surplus", "deep", "nan", "bom"],
)
def test_a_body_that_is_no_json_is_refused_and_told_where(
    gateway: RunningGateway, row: Row, body: bytes, said: str
) -> None:
    answer, _, error = send(gateway, row, body)
    assert answer.status == 400
    assert said in message_of(error)


@every_body_row
@pytest.mark.parametrize("body", [b"{}", b'{"model":null}', b'{"model":""}', b'{"model":7}', b'{"model":["a"]}'])
def test_a_request_without_a_model_is_refused(gateway: RunningGateway, row: Row, body: bytes) -> None:
    answer, _, error = send(gateway, row, body)
    assert answer.status == 400
    assert "model" in message_of(error)


@every_body_row
def test_an_unknown_alias_is_not_found_and_the_nearest_is_told(gateway: RunningGateway, row: Row) -> None:
    answer, _, error = send(gateway, row, b'{"model":"prometheus-cor"}')
    # As OpenAI does.
    status = 400 if row.path.startswith("/v1/responses") else 404
    assert answer.status == status
    assert message_of(error).endswith("Did you mean `prometheus-core`?")
    settled = row_of(gateway, answer)
    assert (settled.outcome, settled.error_code, settled.status) == ("refused", "model_not_found", status)
    assert (settled.alias, settled.upstream, settled.attempts, settled.cost) == ("", "", 0, 0)
    assert settled.endpoint == row.path


def test_what_a_client_calls_a_model_is_not_stored(gateway: RunningGateway) -> None:
    answer, _, _ = send(gateway, ROWS[0], b'{"model":"<svg onload=alert(1)>"}')
    assert row_of(gateway, answer).alias == ""


def test_a_very_long_unknown_name_is_told_shortened(gateway: RunningGateway) -> None:
    _, _, error = send(gateway, ROWS[0], json.dumps({"model": "x" * 10_000}).encode())
    assert len(error["error"]["message"]) < 300


@pytest.mark.parametrize(
    "row", [row for row in BODY_ROWS if "chat" not in row.capabilities], ids=lambda row: str(row.path)
)
def test_an_alias_of_another_kind_is_refused_with_the_endpoint_to_use(gateway: RunningGateway, row: Row) -> None:
    answer, _, error = send(gateway, row, b'{"model":"%b"}' % ALIAS.encode())
    assert answer.status == 400
    assert "Use it with /v1/chat/completions." in message_of(error)
    assert row_of(gateway, answer).alias == ALIAS


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"stream": "yes"}, "stream"),
        ({"stream": 1}, "stream"),
        ({"stream": True, "stream_options": 3}, "stream_options"),
        ({"stream": True, "stream_options": {"include_usage": "yes"}}, "stream_options.include_usage"),
    ],
)
def test_a_flag_that_is_none_is_refused(gateway: RunningGateway, fields: dict[str, object], param: str) -> None:
    answer, _, error = send(gateway, ROWS[0], json.dumps({"model": ALIAS, **fields}).encode())
    assert (answer.status, error["error"]["param"], error["error"]["code"]) == (400, param, "invalid_type")


@every_row
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_another_method_is_refused_with_the_one_to_use(gateway: RunningGateway, row: Row, method: str) -> None:
    with gateway.client() as client:
        client.request(method, path_of(row), b"", {"authorization": f"Bearer {KEY}"})
        answer, body = client.read_answer()
    assert (answer.status, answer.header("allow")) == (405, row.method)
    assert message_of(json.loads(body.payload)).endswith(f"is not allowed. Use {row.method}.")


@pytest.mark.parametrize(
    "path",
    ["/v1", "/v1/nothing", "/v1/chat/completions/x", "/V1/chat/completions", "/v1/chat/%63ompletions"],
)
def test_an_unknown_path_is_not_found(gateway: RunningGateway, path: str) -> None:
    with gateway.client() as client:
        client.request("POST", path, b"{}", {"authorization": f"Bearer {KEY}"})
        answer, body = client.read_answer()
    assert answer.status == 404
    error = json.loads(body.payload)
    assert error["error"]["code"] == "unknown_url"
    assert error["request_id"] == answer.header("x-request-id")


def test_a_refusal_names_its_request(gateway: RunningGateway) -> None:
    answer, _, error = send(gateway, ROWS[0], b"{}")
    assert error["request_id"] == answer.header("x-request-id") == answer.header("x-prism-request-id")
    assert error["timestamp"].endswith("Z")


def test_a_connection_serves_on_after_a_refusal(gateway: RunningGateway) -> None:
    with gateway.client() as client:
        for _ in range(3):
            gateway.chat(client, b"oops")
            assert client.read_answer()[0].status == 400


def test_a_refused_request_is_told_in_the_access_line(tmp_path: Path) -> None:
    with ScriptedUpstream() as upstream, RunningGateway(simple_config(tmp_path, upstream.base_url)) as running:
        answer, _, _ = send(running, ROWS[0], b'{"model":"nothing-like-it"}')
    (line,) = [json.loads(line) for line in running.log.getvalue().splitlines()]
    assert (line["request_id"], line["status"], line["key"]) == (answer.header("x-request-id"), 404, "test")
    assert (line["alias"], line["requested_model"]) == ("", "nothing-like-it")


def test_only_named_query_parameters_go_on() -> None:
    assert allowed_query(b"alt=sse&key=secret&beta=true", frozenset({"alt", "beta"})) == b"?alt=sse&beta=true"
    assert allowed_query(b"key=secret", frozenset({"alt"})) == b""
    assert allowed_query(b"alt=sse", frozenset()) == b""
