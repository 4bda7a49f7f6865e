"""The OpenAPI 3.1 document of the admin API: its rows, with the schemas of their types.

Pure: rows in, a document out. A type's schema is msgspec's, and what its fields are for is said by their comments.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, get_args

import msgspec
from msgspec import UNSET, Struct

from proxy import __version__
from proxy.admin.request import Input, NoQuery, Row
from proxy.admin.routes.pages import Time
from proxy.config.schema import help_texts

Json = dict[str, Any]

_ABOUT: Final = """\
Everything that an operator does by commands, over HTTP. docs/admin.md has what holds for all routes.

It needs the admin token, as `Authorization: Bearer …` or as `X-API-Key`; a client key is refused with 403.
"""
#: Where a route belongs, by the beginning of its path; the first that fits.
TITLES: Final = (
    ("Keys and credits", ("/-/keys",)),
    ("Teams", ("/-/teams",)),
    ("Organisations", ("/-/orgs",)),
    ("Usage and audit", ("/-/usage", "/-/audit", "/stats")),
    ("Health of providers", ("/-/health",)),
    ("Providers' keys", ("/-/admin/",)),
    ("Operations", ("",)),
)
#: What a status of an error says.
_STATUSES: Final[Mapping[int, str]] = {
    400: "The request cannot be served as it is; the message says why.",
    401: "There is no admin token, or a wrong one.",
    403: "A client key, or an address from which the admin API may not be called.",
    404: "There is no such object.",
    408: "The body stopped coming.",
    409: "It does not fit what is there already.",
    412: "The object has another version by now.",
    413: "The body is too large.",
    415: "The body is compressed.",
    429: "There were too many wrong tokens.",
    500: "The gateway failed.",
    503: "The database or the ledger cannot be used, or the gateway takes no new work for now.",
}
#: Of every route; of those with a body; of those that change something.
_ALWAYS: Final = (400, 401, 403, 429, 500, 503)
_OF_BODIES: Final = (408, 413, 415)
_OF_CHANGES: Final = (409,)
#: The media types of what is no JSON.
_METRICS: Final = ("text/plain", "application/openmetrics-text")
_REF: Final = "#/components/schemas/{name}"
_TEXT: Final = {"type": "string"}
#: Any JSON value, in an object with any fields.
_ANYTHING: Final[Mapping[str, Any]] = {"type": ("object", "array", "string", "number", "boolean", "null")}


class ErrorDetail(Struct, frozen=True):
    """What is wrong."""

    message: str
    type: str
    #: The field or parameter that it is about.
    param: str | None
    #: docs/errors.md lists them.
    code: str | None


class Error(Struct, frozen=True):
    """The envelope of an error."""

    error: ErrorDetail
    request_id: str
    timestamp: Time


class Info(Struct, frozen=True):
    """What a document is of."""

    title: str
    version: str
    description: str


class AdminDocument(Struct, frozen=True):
    """An OpenAPI document."""

    openapi: str
    info: Info
    servers: list[dict[str, str]]
    security: list[dict[str, list[str]]]
    tags: list[dict[str, str]]
    #: Operations by path and method.
    paths: dict[str, dict[str, dict[str, Any]]]
    components: dict[str, dict[str, dict[str, Any]]]


def admin_document(rows: Sequence[Row]) -> AdminDocument:
    """The document of the routes of these rows, at the address that it is read from."""
    paths: dict[str, dict[str, Json]] = {}
    for row in rows:
        paths.setdefault(row.path, {})[row.method.lower()] = _operation(row, rows)
    return AdminDocument(
        "3.1.0",
        Info("Prometheus Gateway, admin API", __version__, _ABOUT),
        [{"url": "/"}],
        [{"bearer": []}, {"xApiKey": []}],
        [{"name": title} for title, _ in TITLES],
        paths,
        {
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "xApiKey": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
            },
            "schemas": _components(rows),
            "responses": {str(status): _error(about) for status, about in _STATUSES.items()},
        },
    )


def _operation(row: Row, rows: Sequence[Row]) -> Json:
    operation: Json = {
        "operationId": _name(row),
        "summary": row.help,
        "tags": [next(title for title, beginnings in TITLES if row.path.startswith(beginnings))],
        "parameters": list(_parameters(row)),
        "responses": {
            **{str(status): _success(row, rows) for status in row.statuses},
            **{str(status): {"$ref": f"#/components/responses/{status}"} for status in _errors(row)},
        },
    }
    if row.access == "open_metrics":
        operation["description"] = "Needs no token where `admin.open_metrics` is set."
    if row.body is not None:
        operation["requestBody"] = {
            "required": any(field.required for field in _fields(row.body)),
            "content": {"application/json": {"schema": _schema(row.body)}},
        }
    return operation


def _name(row: Row) -> str:
    """Such as `getAdminKey`, from the method and the path."""
    words = re.findall(r"\{?\w+", re.sub(r"^/-/(admin/)?", "admin/", row.path))
    if words[-1].startswith("{"):
        words[-2] = words[-2].removesuffix("s")
    return row.method.lower() + "".join(word.capitalize() for word in words if not word.startswith("{"))


def _parameters(row: Row) -> Iterator[Json]:
    for name in re.findall(r"\{(\w+)\}", row.path):
        about = "The name of an upstream." if name == "id" else "Its id or its name."
        yield {"name": name, "in": "path", "required": True, "description": about, "schema": _TEXT}
    yield from _query(row.query)
    for name, about in row.headers.items():
        yield {"name": name, "in": "header", "description": about, "schema": _TEXT}


def _query(query: type[Input]) -> Iterator[Json]:
    """The parameters of a query. That it may be null says that it may be left out."""
    _, schemas = msgspec.json.schema_components([query], ref_template=_REF)
    texts = help_texts(query)
    for name, schema in schemas[query.__name__]["properties"].items():
        parameter = {"name": name, "in": "query", "schema": schema}
        if "anyOf" in schema:
            (parameter["schema"],) = (one for one in schema["anyOf"] if one != {"type": "null"})
        yield _described(parameter, texts.get(name, ""))


def _success(row: Row, rows: Sequence[Row]) -> Json:
    content = {kind: {"schema": _TEXT} for kind in _METRICS}
    if row.response is not None:
        content = {"application/json": {"schema": _schema(row.response)}}
    response: Json = {"description": "What was asked for.", "content": content}
    if _has_version(row, rows):
        about = "The version of the object, for If-Match."
        response["headers"] = {"ETag": {"description": about, "required": True, "schema": _TEXT}}
    return response


def _has_version(row: Row, rows: Sequence[Row]) -> bool:
    """Whether a response has the version of an object: one that can be put, or was made in the list of such."""
    puts = [one.path for one in rows if one.method == "PUT"]
    if row.method == "POST":
        return any(re.fullmatch(re.escape(row.path) + r"/\{\w+\}", path) for path in puts)
    return row.method != "DELETE" and row.path in puts


def _errors(row: Row) -> list[int]:
    """The statuses that a route may respond with where it does not do what it was asked for."""
    found = {*_ALWAYS}
    if "{" in row.path or row.body is not None or row.query is not NoQuery:
        found.add(404)
    if row.body is not None:
        found |= {*_OF_BODIES}
    if row.method != "GET":
        found |= {*_OF_CHANGES}
    if "If-Match" in row.headers:
        found.add(412)
    return sorted(found)


def _error(about: str) -> Json:
    return {"description": about, "content": {"application/json": {"schema": _schema(Error)}}}


# schemas


def _schema(kind: Any) -> Json:
    (schema,), _ = msgspec.json.schema_components([kind], ref_template=_REF)
    return schema


def _components(rows: Sequence[Row]) -> dict[str, Json]:
    """The schemas of all structs of the rows."""
    sent: dict[str, type[Struct]] = {}
    returned: dict[str, type[Struct]] = {}
    for row in rows:
        _collect(row.body, sent)
        _collect(row.response, returned)
    _collect(Error, returned)
    structs = {**returned, **sent}
    _, schemas = msgspec.json.schema_components(structs.values(), ref_template=_REF)
    for name, struct in structs.items():
        schema, texts = schemas[name], help_texts(struct)
        for field, inner in schema["properties"].items():
            schema["properties"][field] = _described(_filled(inner), texts.get(field, ""))
        if name not in sent and not struct.__struct_config__.omit_defaults:
            # What has a default may be left out of a request, and is never left out of a response.
            fields = msgspec.structs.fields(struct)
            schema["required"] = [field.encode_name for field in fields if field.default is not UNSET]
    return schemas


def _collect(kind: Any, found: dict[str, type[Struct]]) -> None:
    """Add all structs in a type, by their names."""
    if isinstance(kind, type) and issubclass(kind, Struct) and kind.__name__ not in found:
        found[kind.__name__] = kind
        for field in msgspec.structs.fields(kind):
            _collect(field.type, found)
    for part in get_args(kind):
        _collect(part, found)


def _fields(kind: Any) -> tuple[msgspec.structs.FieldInfo, ...]:
    """The fields of a struct; none of another type."""
    return msgspec.structs.fields(kind) if isinstance(kind, type) and issubclass(kind, Struct) else ()


def _described(part: Json, about: str) -> Json:
    return {**part, "description": about} if about else part


def _filled(schema: Json) -> Json:
    """A schema that says of an object with any fields what they may hold, and of one that is elsewhere only where."""
    if "$ref" in schema:
        return {name: part for name, part in schema.items() if name != "type"}
    filled = {
        name: _filled(part) if isinstance(part, dict) else [_filled(one) for one in part] if name == "anyOf" else part
        for name, part in schema.items()
    }
    return {**filled, "additionalProperties": _ANYTHING} if filled == {"type": "object"} else filled
