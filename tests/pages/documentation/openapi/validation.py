"""Validates values by the schemas of the document. It holds no assertion of a single module."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

import jsonschema_rs
import msgspec

from proxy.demo.settings import DemoSettings, demo_config
from proxy.pages.documentation.openapi.document import client_document
from proxy.pages.documentation.openapi.notation import Shape

ORIGIN: Final = "https://ai.example.com"


def document() -> dict[str, Any]:
    """The document of the demo's aliases, as a client reads it."""
    made: dict[str, Any] = msgspec.json.decode(
        msgspec.json.encode(client_document(demo_config(9, DemoSettings()), ORIGIN))
    )
    return made


def examples_fit(shapes: Mapping[str, Shape]) -> list[str]:
    """The operations of a module whose example is not what their schema says; a file of a form is its name here."""
    whole = document()
    wrong = []
    for key in shapes:
        method, _, path = key.partition(" ")
        body = whole["paths"][path][method.lower()].get("requestBody")
        for content in body["content"].values() if body else ():
            schema = {**content["schema"], "components": whole["components"]}
            if "example" in content and not jsonschema_rs.is_valid(schema, content["example"]):
                wrong.append(key)
    return wrong


def schemas_in(value: Any) -> Iterator[dict[str, Any]]:
    """Every schema of a document, at any depth."""
    if isinstance(value, dict):
        for name, inner in value.items():
            if name == "schema" and isinstance(inner, dict):
                yield from parts_of(inner)
            elif name == "schemas":
                for one in inner.values():
                    yield from parts_of(one)
            elif name != "example":
                yield from schemas_in(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from schemas_in(inner)


def parts_of(schema: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield schema
    inner = [*schema.get("properties", {}).values(), schema.get("items"), schema.get("additionalProperties")]
    for one in (*inner, *schema.get("anyOf", ()), *schema.get("allOf", ())):
        if isinstance(one, dict):
            yield from parts_of(one)


def is_empty(schema: dict[str, Any]) -> bool:
    """Whether a schema says nothing of its values, or of the fields of an object."""
    if schema.get("type") == "object":
        return not (schema.get("properties") or isinstance(schema.get("additionalProperties"), dict))
    return not schema.keys() & {"$ref", "type", "enum", "anyOf", "allOf"}
