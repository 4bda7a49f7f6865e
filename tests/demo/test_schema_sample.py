"""Values made for JSON schemas."""

import json
from typing import Any

import msgspec
import pytest

from proxy.demo.schema_sample import sample

NODE: dict[str, Any] = {
    "$ref": "#/$defs/node",
    "$defs": {"node": {"type": "object", "properties": {"next": {"$ref": "#/$defs/node"}}, "required": ["next"]}},
}


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"type": "string"}, "example"),
        ({"type": "string", "format": "date"}, "2026-11-20"),
        ({"type": "integer"}, 1),
        ({"type": "integer", "minimum": 18}, 18),
        ({"type": "integer", "exclusiveMinimum": 18}, 19),
        ({"type": "integer", "maximum": -3}, -3),
        ({"type": "number", "minimum": 0.5}, 0.5),
        ({"type": "number"}, 1),
        ({"type": "number", "minimum": 0}, 0),
        ({"type": "number", "minimum": 3.0}, 3),
        ({"type": "number", "exclusiveMinimum": 0}, 1),
        ({"type": "number", "exclusiveMinimum": 0, "maximum": 0.9}, 0.45),
        ({"type": "number", "minimum": 0.1, "maximum": 0.4}, 0.1),
        ({"type": "number", "maximum": -2}, -2),
        ({"type": ["number", "null"]}, 1),
        ({"type": "array", "items": {"type": "number"}, "minItems": 2}, [1, 1]),
        ({"type": "boolean"}, True),
        ({"type": "null"}, None),
        ({"type": ["null", "integer"]}, 1),
        ({"const": 7}, 7),
        ({"enum": ["a", "b"]}, "a"),
        ({"type": "string", "default": "x"}, "x"),
        ({"type": "array", "items": {"type": "integer"}}, [1]),
        ({"type": "array", "items": {"type": "integer"}, "minItems": 3}, [1, 1, 1]),
        ({"anyOf": [{"type": "null"}, {"type": "integer"}]}, 1),
        ({"oneOf": [{"type": "boolean"}]}, True),
        ({"$ref": "#/nowhere"}, "example"),
        ({"properties": {"a": {"type": "integer"}}}, {"a": 1}),
        ({"allOf": [{"properties": {"a": {"type": "null"}}}]}, {"a": None}),
        ({"$ref": "#/$defs/a", "$defs": {"a": {"type": "integer"}}}, 1),
        ({}, "example"),
        (True, "example"),
        ("nonsense", "example"),
        ({"type": "integer", "minimum": "low"}, 1),
        ({"type": "integer", "maximum": 10**400}, 1),
    ],
)
def test_a_value_fits_its_schema(schema: Any, value: Any) -> None:
    # By way of JSON: 1.0 is no 1 to a strict reader.
    assert json.dumps(sample(schema, "hi")) == json.dumps(value)


def test_names_choose_plausible_words() -> None:
    schema = {"type": "object", "properties": {"city": {"type": "string"}, "search_query": {"type": "string"}}}
    assert sample(schema, "cheap flats") == {"city": "Paris", "search_query": "cheap flats"}


def test_a_schema_that_refers_to_itself_ends() -> None:
    assert len(msgspec.json.encode(sample(NODE, "hi"))) < 1000


@pytest.mark.parametrize("keyword", ["$ref", "allOf"])
def test_a_schema_that_is_itself_ends(keyword: str) -> None:
    schema: dict[str, Any] = {"$ref": "#"} if keyword == "$ref" else {"allOf": [{"$ref": "#"}]}
    assert sample(schema, "hi") == "example"


def test_a_schema_that_explodes_stays_small() -> None:
    part = {"$ref": "#/$defs/wide"}
    wide = {"type": "object", "properties": {f"p{number}": part for number in range(9)}, "required": ["p0", "p1", "p2"]}
    assert len(msgspec.json.encode(sample({"$ref": "#/$defs/wide", "$defs": {"wide": wide}}, "hi"))) < 100_000


def test_a_schema_of_many_items_stays_small() -> None:
    assert len(sample({"type": "array", "minItems": 10**9}, "hi")) < 100
