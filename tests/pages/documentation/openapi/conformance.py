"""What a response has that the document does not say: its status, content type, headers, body, and each event of it."""

import json
from collections.abc import Iterator
from typing import Any, Final

import httpx
import jsonschema_rs

from tests.pages.documentation.openapi.requests import Json, Operation

EVENTS: Final = "text/event-stream"


class Conformance:
    """Holds responses against a document."""

    def __init__(self, document: Json) -> None:
        self._document = document
        self._validators: dict[str, jsonschema_rs.Validator] = {}

    def faults(self, operation: Operation, response: httpx.Response) -> list[str]:
        """What is wrong with a response to an operation, in words; nothing where it is as the document says."""
        described = operation.described["responses"].get(str(response.status_code))
        if described is None:
            return [f"the status {response.status_code} is not documented: {response.text[:200]}"]
        described = self._resolved(described)
        missing = [
            f"the header {name} is missing"
            for name, header in described["headers"].items()
            if self._resolved(header).get("required") and name not in response.headers
        ]
        media = response.headers["content-type"].split(";")[0]
        content = next((one for name, one in described["content"].items() if _fits(name, media)), None)
        if content is None:
            return [*missing, f"the content type {media} is not documented"]
        return [*missing, *self._faults_of_body(content["schema"], media, response)]

    def _resolved(self, part: Json) -> Json:
        """A part of the document, or the component that it refers to."""
        found: Any = self._document
        for step in part.get("$ref", "#").split("/")[1:]:
            found = found[step]
        return found if "$ref" in part else part

    def _faults_of_body(self, schema: Json, media: str, response: httpx.Response) -> Iterator[str]:
        if media == EVENTS:
            read = list(events(response.text))
            if not read:
                yield "a stream without an event"
            described = self._resolved(schema)["properties"]["data"]
            for event in read:
                yield from self.errors(schema, event)
                yield from self._faults_of_data(described, event["data"])
        elif media == "application/json":
            yield from self.errors(schema, response.json())

    def _faults_of_data(self, schema: Json, data: str) -> Iterator[str]:
        """What is wrong with the data of an event: a last word, or JSON by the schema of its content."""
        last, written = schema.get("anyOf", [{}, schema])[1], schema.get("anyOf", [schema])[0]
        if data in last.get("enum", ()) or "contentSchema" not in written:
            return
        try:
            value = json.loads(data)
        except ValueError:
            yield f"data that is no JSON: {data[:200]}"
        else:
            yield from self.errors(written["contentSchema"], value)

    def errors(self, schema: Json, value: Any) -> Iterator[str]:
        """What a schema has against a value."""
        key = json.dumps(schema)
        if key not in self._validators:
            self._validators[key] = jsonschema_rs.validator_for({**schema, "components": self._document["components"]})
        for error in self._validators[key].iter_errors(value):
            yield f"{error.message[:300]} at /{'/'.join(map(str, error.instance_path))}"


def events(text: str) -> Iterator[dict[str, str]]:
    """The events of a stream: the fields of each that has data. Comments are none."""
    for block in text.replace("\r\n", "\n").split("\n\n"):
        fields: dict[str, str] = {}
        for line in block.split("\n"):
            name, _, value = line.partition(":")
            if name:
                value = value.removeprefix(" ")
                fields[name] = f"{fields[name]}\n{value}" if name in fields else value
        if "data" in fields:
            yield fields


def _fits(pattern: str, media: str) -> bool:
    """Whether a content type is one that the document names, which may be `audio/*`."""
    kind = pattern.removesuffix("*").removesuffix("*/")
    return media == pattern or (pattern.endswith("*") and media.startswith(kind))
