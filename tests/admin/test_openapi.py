"""The OpenAPI document of the admin API: valid, whole, and what a running gateway responds."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import httpx
import jsonschema_rs
import msgspec
import pytest
import schemathesis

from proxy.admin.openapi import admin_document
from proxy.admin.request import Row
from proxy.admin.table import ROWS
from tests.admin.conftest import TOKEN, admin_config
from tests.documents.admin import Example, responses
from tests.pages.documentation.openapi.validation import is_empty, schemas_in
from tests.serving import KEY, RunningGateway

every_row = pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.method} {row.path}")


class Seen(NamedTuple):
    """A request that was sent, and its response."""

    example: Example
    row: Row
    response: httpx.Response


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    made: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(admin_document(ROWS)))
    return made


@pytest.fixture(scope="module")
def seen() -> list[Seen]:
    """The examples of docs/admin.md: of every route one, and more of those whose responses differ."""
    return [Seen(*one) for one in responses()]


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    with RunningGateway(admin_config(tmp_path_factory.mktemp("data"))) as running:
        yield running


def operation(document: dict[str, Any], row: Row) -> dict[str, Any]:
    found: dict[str, Any] = document["paths"][row.path][row.method.lower()]
    return found


def faults(document: dict[str, Any], schema: dict[str, Any], value: Any) -> list[str]:
    """What of a value is not as a schema says. A field that no schema names is a fault too."""
    named = {
        name: {"additionalProperties": False, **one} if "properties" in one else one
        for name, one in document["components"]["schemas"].items()
    }
    whole = {**schema, "components": {"schemas": named}}
    validator = jsonschema_rs.Draft202012Validator(whole, validate_formats=True)
    return [f"{error.instance_path}: {error.message}" for error in validator.iter_errors(value)]


def faults_of(document: dict[str, Any], row: Row, response: httpx.Response) -> list[str]:
    """What of a response is not as the document says."""
    said = operation(document, row)["responses"].get(str(response.status_code))
    if said is None:
        return [f"the status {response.status_code}"]
    if "$ref" in said:
        said = document["components"]["responses"][said["$ref"].rpartition("/")[2]]
    kind = response.headers["content-type"].partition(";")[0]
    if kind not in said["content"]:
        return [f"the media type {kind}"]
    found = [] if ("ETag" in said.get("headers", {})) == ("etag" in response.headers) else ["the header ETag"]
    value = response.json() if kind == "application/json" else response.text
    return found + faults(document, said["content"][kind]["schema"], value)


def test_it_is_valid_by_the_specification(document: dict[str, Any]) -> None:
    schemathesis.openapi.from_dict(document).validate()


def test_its_schemas_are_json_schema(document: dict[str, Any]) -> None:
    for schema in document["components"]["schemas"].values():
        jsonschema_rs.meta.validate(schema)


def test_it_has_every_route_and_nothing_else(document: dict[str, Any]) -> None:
    found = {(method.upper(), path) for path, operations in document["paths"].items() for method in operations}
    assert found == {(row.method, row.path) for row in ROWS}


def test_no_schema_says_nothing(document: dict[str, Any]) -> None:
    assert [schema for schema in schemas_in(document) if is_empty(schema)] == []


def test_no_operation_has_a_default_response(document: dict[str, Any]) -> None:
    assert [row.path for row in ROWS if "default" in operation(document, row)["responses"]] == []


def test_each_operation_has_an_id_of_its_own(document: dict[str, Any]) -> None:
    names = [operation(document, row)["operationId"] for row in ROWS]
    assert len(set(names)) == len(names)
    assert all(name.isalpha() for name in names)


def test_each_reference_leads_to_a_component(document: dict[str, Any]) -> None:
    text = msgspec.json.encode(document).decode()
    named = {part.split('"')[0] for part in text.split('"$ref":"#/components/')[1:]}
    assert named <= {f"{kind}/{name}" for kind, parts in document["components"].items() for name in parts}


def test_each_parameter_of_a_path_is_one_of_the_operation(document: dict[str, Any]) -> None:
    for row in ROWS:
        places = {one["name"] for one in operation(document, row)["parameters"] if one["in"] == "path"}
        assert row.path.count("{") == len(places)
        assert all(f"{{{name}}}" in row.path for name in places)


def test_a_field_has_its_comment_as_description(document: dict[str, Any]) -> None:
    fields = document["components"]["schemas"]["KeyDocument"]["properties"]
    assert fields["models"]["description"] == "Aliases that it may use; null is all of them."


def test_each_response_is_as_it_says(document: dict[str, Any], seen: list[Seen]) -> None:
    found = {f"{one.row.method} {one.row.path}": faults_of(document, one.row, one.response) for one in seen}
    assert {name: what for name, what in found.items() if what} == {}
    assert len(found) == len(ROWS)


def test_each_request_is_as_it_says(document: dict[str, Any], seen: list[Seen]) -> None:
    for one in seen:
        if one.row.body is not None:
            schema = operation(document, one.row)["requestBody"]["content"]["application/json"]["schema"]
            assert faults(document, schema, one.example.body) == [], one.example


def test_a_response_without_one_of_its_fields_is_not_as_it_says(document: dict[str, Any], seen: list[Seen]) -> None:
    (key, *_) = (one for one in seen if one.row.path == "/-/keys/{key_id}" and one.row.method == "GET")
    value = key.response.json()
    schema = {"$ref": "#/components/schemas/KeyDocument"}
    assert faults(document, schema, value) == []
    for name in value:
        assert faults(document, schema, {field: value[field] for field in value if field != name}), name


@every_row
def test_each_refusal_is_as_it_says(document: dict[str, Any], gateway: RunningGateway, row: Row) -> None:
    path = row.path.replace("{", "unknown-").replace("}", "")
    token = {"authorization": f"Bearer {TOKEN}"}
    with httpx.Client(base_url=gateway.url) as client:
        refused = [
            (client.request(row.method, path), 401),
            (client.request(row.method, path, headers={"x-api-key": KEY}), 403),
            (client.request(row.method, f"{path}?no_such=1", headers=token), 400),
        ]
        if row.body is not None:
            refused.append((client.request(row.method, path, headers=token, content=b"{"), 400))
            packed = {**token, "content-encoding": "gzip"}
            refused.append((client.request(row.method, path, headers=packed, content=b"{}"), 415))
        if "If-Match" in row.headers and row.method != "PUT":
            refused.append((client.request(row.method, path, headers=token, content=b"{}"), 404))
    for response, status in refused:
        assert response.status_code == status
        assert faults_of(document, row, response) == []


def test_it_is_made_once(gateway: RunningGateway) -> None:
    with httpx.Client(base_url=gateway.url, headers={"authorization": f"Bearer {TOKEN}"}) as client:
        first = client.get("/-/openapi.json")
        kept = gateway.gateway.admin.services.document
        assert first.content == kept
        assert client.get("/-/openapi.json").content == kept
        assert gateway.gateway.admin.services.document is kept
