"""The OpenAPI document: valid, whole, and made from the tables."""

from collections.abc import Iterator
from typing import Any

import jsonschema_rs
import msgspec
import pytest
import schemathesis

from proxy.config.tree import Config
from proxy.endpoints.table import ROWS
from proxy.pages.documentation.openapi.document import SHAPES, client_document, schemas, statuses_of
from proxy.resources.table import RESOURCE_ROWS
from tests.pages.documentation.openapi.validation import ORIGIN, document, is_empty, schemas_in


def operations() -> Iterator[dict[str, Any]]:
    for path in document()["paths"].values():
        yield from path.values()


def test_it_is_valid_by_the_specification() -> None:
    schema = schemathesis.openapi.from_dict(document())
    schema.validate()


def test_the_validator_refuses_what_is_wrong() -> None:
    broken = document()
    broken["paths"]["/v1/models"]["get"]["responses"] = "none"
    with pytest.raises(jsonschema_rs.ValidationError):
        schemathesis.openapi.from_dict(broken).validate()


def test_each_row_of_the_tables_is_an_operation() -> None:
    keys = {f"{row.method} {row.path}" for row in (*ROWS, *RESOURCE_ROWS)}
    assert keys == set(SHAPES)
    paths = document()["paths"]
    assert all(key.split(" ")[0].lower() in paths[key.split(" ")[1]] for key in keys)


def test_each_operation_has_an_id_of_its_own() -> None:
    names = [operation["operationId"] for operation in operations()]
    assert len(set(names)) == len(names)


def test_no_schema_says_nothing() -> None:
    assert [schema for schema in schemas_in(document()) if is_empty(schema)] == []


def test_no_operation_has_a_default_response() -> None:
    assert [one["operationId"] for one in operations() if "default" in one["responses"]] == []


def test_each_reference_leads_to_a_component() -> None:
    whole = document()
    text = msgspec.json.encode(whole).decode()
    named = {part.split('"')[0] for part in text.split('"$ref":"#/components/')[1:]}
    there = {f"{kind}/{name}" for kind, parts in whole["components"].items() for name in parts}
    assert named <= there


def test_a_model_is_an_alias_that_the_endpoint_takes() -> None:
    schemas = document()["components"]["schemas"]
    assert schemas["ForEmbeddings"]["properties"]["model"]["enum"] == ["prometheus-atlas"]
    assert "prometheus-core" in schemas["ForChatRealtimeVision"]["properties"]["model"]["enum"]


def test_without_aliases_it_is_valid_too() -> None:
    schema = schemathesis.openapi.from_dict(msgspec.json.decode(msgspec.json.encode(client_document(Config(), ORIGIN))))
    schema.validate()


def test_the_server_is_where_the_gateway_is() -> None:
    assert document()["servers"] == [{"url": ORIGIN}]


def test_only_anthropics_api_has_its_status_of_overload() -> None:
    assert 529 in statuses_of("anthropic")
    assert 529 not in statuses_of("gemini")


def test_the_schemas_are_json_schema() -> None:
    made = document()["components"]["schemas"]
    assert made.keys() >= schemas().keys()
    for schema in made.values():
        jsonschema_rs.meta.validate(schema)
