"""The table of objects: what every row promises, tried on every row."""

import json
import re
from pathlib import Path
from typing import Any

from proxy.resources.spec import ResourceRow
from proxy.resources.table import RESOURCE_ROWS
from tests.fakes import ScriptedUpstream, json_answer
from tests.resources.samples import ALIAS, KEY, OTHER, OWNED_IDS, ask, ask_json, gateway_over, names, record_owner
from tests.serving import RunningGateway

THEIRS = "obj_theirs"
MINE = "obj_mine"
MODEL_PART = b'--b\r\nContent-Disposition: form-data; name="model"\r\n\r\n%b\r\n' % ALIAS.encode()
FORM = b'--b\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\nbytes\r\n--b--\r\n'


#: Fields of bodies that name resources, of which every endpoint that takes JSON must check the owner.
BODY_IDS = ("assistant_id", "file_id", "file_ids", "input_file_id", "part_ids", "training_file", "vector_store_ids")


def with_ids(row: ResourceRow, foreign: str, id_: str) -> str:
    """The row's path with one id of another key's and the rest the key's own."""
    return re.sub(r"\{(\w+)\}", lambda match: id_ if match[1] == foreign else MINE, row.path)


def body_of(row: ResourceRow, **fields: Any) -> tuple[bytes | None, dict[str, str]]:
    """A body that a row takes."""
    if row.body in ("form", "file"):
        return (MODEL_PART if row.model != "none" else b"") + FORM, {"content-type": "multipart/form-data; boundary=b"}
    if row.body == "none":
        return None, {}
    return json.dumps({**({"model": ALIAS} if row.model != "none" else {}), **fields}).encode(), {}


def ready(gateway: RunningGateway) -> None:
    gateway.add_key("other", OTHER)
    record_owner(gateway, MINE, alias=ALIAS)
    record_owner(gateway, THEIRS, name="other", alias=ALIAS)


def test_another_keys_id_in_any_path_looks_like_one_that_does_not_exist(tmp_path: Path) -> None:
    """For every id of every row: the same status, headers and body, and nothing reaches the upstream."""
    with ScriptedUpstream() as upstream, gateway_over(tmp_path, upstream.base_url) as gateway:
        ready(gateway)
        for row in RESOURCE_ROWS:
            for name in row.ids:
                answers = set()
                for id_ in (THEIRS, *(["obj_nobodys"] if name in OWNED_IDS else [])):
                    data, headers = body_of(row)
                    with gateway.client() as client:
                        head, body = ask(client, row.method, with_ids(row, name, id_), data, headers=headers)
                    assert head.status == 404, (names(row), name)
                    error = json.dumps(json.loads(body.payload)["error"]).replace(id_, "ID")
                    answers.add((error, tuple(key.lower() for key, _ in head.headers)))
                assert len(answers) == 1, names(row)
        assert upstream.requests == []


def test_another_keys_id_in_any_body_looks_like_one_that_does_not_exist(tmp_path: Path) -> None:
    with ScriptedUpstream() as upstream, gateway_over(tmp_path, upstream.base_url) as gateway:
        ready(gateway)
        with gateway.client() as client:
            for row in (row for row in RESOURCE_ROWS if row.body in ("json", "form or json")):
                for field in BODY_IDS:
                    errors = set()
                    for id_ in (THEIRS, "obj_nobodys"):
                        value = [id_] if field.endswith("_ids") else id_
                        data, headers = body_of(row, **{field: value})
                        head, body = ask(client, row.method, with_ids(row, "", ""), data, headers=headers)
                        assert head.status == 404, (names(row), field)
                        errors.add(json.dumps(json.loads(body.payload)["error"]).replace(id_, "ID"))
                    assert len(errors) == 1
        assert upstream.requests == []


def test_a_list_never_shows_another_keys_objects(tmp_path: Path) -> None:
    with ScriptedUpstream() as upstream, gateway_over(tmp_path, upstream.base_url) as gateway:
        gateway.add_key("other", OTHER)
        for number, row in enumerate(row for row in RESOURCE_ROWS if row.lists):
            ids = [f"obj_{number}_{letter}" for letter in "abc"]
            for id_, name in zip(ids, ("test", "other", "test"), strict=True):
                record_owner(gateway, id_, row.lists, name=name, alias=ALIAS)
            everybodys = [{"id": id_, "object": row.lists, "model": "vendor-secret"} for id_ in ids]
            answer = {"object": "list", "data": everybodys, "first_id": ids[0], "last_id": ids[2], "has_more": False}
            upstream.script(json_answer(answer), times=2)
            _, mine = ask_json(gateway, "GET", row.path)
            _, theirs = ask_json(gateway, "GET", row.path, key=OTHER)
            assert [one["id"] for one in mine["data"]] == [ids[0], ids[2]]
            assert [one["id"] for one in theirs["data"]] == [ids[1]]
            assert (theirs["first_id"], theirs["last_id"], theirs["has_more"]) == (ids[1], ids[1], False)
            assert "vendor-secret" not in json.dumps([mine, theirs])


def test_every_row_needs_a_key(tmp_path: Path) -> None:
    with ScriptedUpstream() as upstream, gateway_over(tmp_path, upstream.base_url) as gateway:
        for row in RESOURCE_ROWS:
            with gateway.client() as client:
                client.request(row.method, with_ids(row, "", ""))
                assert client.read_answer()[0].status == 401
        assert upstream.requests == []


def test_every_row_is_billed_once_and_shows_no_upstream(tmp_path: Path) -> None:
    """The happy way of every row that answers JSON: own ids, the alias in the answer, one row in the ledger."""
    answer = {"id": MINE, "object": "x", "model": "vendor-model-dated", "data": [{"id": MINE, "model": "vendor-model"}]}
    with ScriptedUpstream() as upstream, gateway_over(tmp_path, upstream.base_url) as gateway:
        served = [row for row in RESOURCE_ROWS if not row.lists]
        upstream.handler = lambda request: json_answer(answer, headers={"openai-organization": "org-secret"})
        count = 0
        with gateway.client() as client:
            for row in served:
                record_owner(gateway, MINE, alias=ALIAS)
                data, headers = body_of(row)
                head, body = ask(client, row.method, with_ids(row, "", ""), data, headers=headers)
                count += 1
                assert head.status == 200, (names(row), body.payload)
                if row.response != "bytes":
                    assert b"vendor" not in body.payload, names(row)
                    assert ALIAS.encode() in body.payload, names(row)
                assert head.header("openai-organization") is None
        rows = gateway.rows()
        assert len(rows) == count
        assert {row.endpoint for row in rows} == {row.path for row in served}
        for request in upstream.requests:
            assert request.header("authorization") == "Bearer sk-upstream-secret"
            assert KEY.encode() not in request.body
            assert ALIAS not in request.body.decode()


def test_what_is_no_id_reaches_no_upstream(tmp_path: Path) -> None:
    tricks = ["..", "%2e%2e", "a%2fb", "%2e%2e%2fmodels", "a%00b", "a%0d%0ab", "a.b", "a%5cb", "x" * 129, "%c3%a9"]
    with ScriptedUpstream() as upstream, gateway_over(tmp_path, upstream.base_url) as gateway:
        for id_ in [*tricks, "a%20b", "a~", "a%0a", "%00"]:
            status, answer = ask_json(gateway, "GET", f"/v1/files/{id_}")
            assert (status, answer["error"]["type"]) == (404, "invalid_request_error"), id_
        for path in ("/v1/files//content", "/v1/files/a//content", "/v1/files/a/b/content", "/v1//files/a/b"):
            assert ask_json(gateway, "GET", path)[0] == 404, path
        assert upstream.requests == []


def test_a_wrong_method_is_told_the_right_ones(tmp_path: Path) -> None:
    with (
        ScriptedUpstream() as upstream,
        gateway_over(tmp_path, upstream.base_url) as gateway,
        gateway.client() as client,
    ):
        head, body = ask(client, "PUT", "/v1/files/file-1")
        assert head.status == 405
        assert {one.strip() for one in (head.header("allow") or "").split(",")} == {"GET", "DELETE"}
        assert json.loads(body.payload)["error"]["code"] == "method_not_allowed"
