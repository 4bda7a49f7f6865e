"""Validates values by the schemas of the document. It holds no assertion of a single module."""

from collections.abc import Mapping
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
