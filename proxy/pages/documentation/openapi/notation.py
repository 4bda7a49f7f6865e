"""A short notation of JSON Schema (draft 2020-12), in which the schemas of the OpenAPI document are written.

It makes plain dictionaries. What a schema does not name may be sent all the same: the gateway forwards it.
"""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

Schema = Mapping[str, Any]

TEXT: Final[Schema] = {"type": "string"}
INTEGER: Final[Schema] = {"type": "integer"}
COUNT: Final[Schema] = {"type": "integer", "minimum": 0}
NUMBER: Final[Schema] = {"type": "number"}
FLAG: Final[Schema] = {"type": "boolean"}
#: Seconds since 1970.
SECONDS: Final[Schema] = {"type": "integer", "description": "Seconds since 1970."}
#: A file in a form, or a body of bytes.
BINARY: Final[Schema] = {"type": "string", "format": "binary"}
#: Any JSON value.
VALUE: Final[Schema] = {"type": ("object", "array", "string", "number", "boolean", "null")}
#: An object with any fields.
OBJECT: Final[Schema] = {"type": "object", "additionalProperties": VALUE}
#: Labels of a client's own.
LABELS: Final[Schema] = {"type": "object", "additionalProperties": TEXT}


class Shape(NamedTuple):
    """What one operation takes and gives."""

    #: The operation's id.
    name: str
    #: The name of the schema of its body; "" for none.
    request: str = ""
    #: The name of the schema of its JSON response; "" for one that is none.
    response: str = ""
    #: A request that works: the body without its model, which is an alias of the gateway.
    example: Mapping[str, Any] | None = None
    #: The name of the schema of one event of its response; "" for one that is never a stream.
    event: str = ""


def struct(fields: Mapping[str, Schema], about: str = "", **more: Any) -> Schema:
    """An object; a name that ends in `?` is that of a field which may be missing."""
    schema: dict[str, Any] = {
        "type": "object",
        "properties": {name.removesuffix("?"): schema for name, schema in fields.items()},
    }
    required = [name for name in fields if not name.endswith("?")]
    if required:
        schema["required"] = required
    if about:
        schema["description"] = about
    return {**schema, **more}


def ref(name: str) -> Schema:
    """A schema of the document by its name."""
    return {"$ref": f"#/components/schemas/{name}"}


def many(items: Schema, least: int = 0, most: int | None = None) -> Schema:
    """An array."""
    bounds: dict[str, int] = {"minItems": least} if least else {}
    return {"type": "array", "items": items, **bounds, **({} if most is None else {"maxItems": most})}


def words(*values: str) -> Schema:
    """A text out of a list."""
    return {"type": "string", "enum": list(values)}


def either(*schemas: Schema) -> Schema:
    """What fits any of several schemas."""
    return {"anyOf": list(schemas)}


def maybe(schema: Schema) -> Schema:
    """What a schema says, or null."""
    return either(schema, {"type": "null"})


def within(schema: Schema, low: float, high: float | None = None) -> Schema:
    """A number from `low` to `high`."""
    return {**schema, "minimum": low, **({} if high is None else {"maximum": high})}


def sized(least: int = 1, most: int | None = None) -> Schema:
    """A text of so many characters."""
    return {"type": "string", "minLength": least, **({} if most is None else {"maxLength": most})}


def event(*data: str, about: str = "", end: str = "") -> Schema:
    """A server-sent event whose data is JSON by one of these schemas; that of the last event is the text `end`.

    OpenAPI 3.1 has no word for the parts of a stream: its schema is that of one event.
    """
    names = [ref(name) for name in data]
    json: Schema = {
        **TEXT,
        "contentMediaType": "application/json",
        "contentSchema": names[0] if len(names) == 1 else either(*names),
    }
    return struct(
        {"event?": noted(TEXT, "Its name."), "data": either(json, words(end)) if end else json},
        f"One of the stream's server-sent events. {about}".rstrip(),
    )


def noted(schema: Schema, about: str) -> Schema:
    """A schema with a description."""
    return {**schema, "description": about}
