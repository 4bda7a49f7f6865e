"""The OpenAPI 3.1 document: the rows of the endpoint tables with their schemas, and this gateway's aliases.

Pure: tables and a configuration in, a dictionary out. A row without a shape is a KeyError: it gets one in the modules
beside this one.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from http import HTTPStatus
from typing import Any, Final

from proxy import __version__
from proxy.config.tree import Capability, Config
from proxy.dialects.base import DialectName
from proxy.endpoints.table import ROWS, Row
from proxy.pages.documentation.openapi import chat, media, native, objects, own, responses
from proxy.pages.documentation.openapi.notation import (
    BINARY,
    FLAG,
    INTEGER,
    TEXT,
    Schema,
    Shape,
    either,
    many,
    ref,
    words,
)
from proxy.pages.documentation.openapi.own import TICK, OwnRow, own_parameters, own_rows
from proxy.resources.spec import ResourceRow
from proxy.resources.table import RESOURCE_ROWS

Json = dict[str, Any]
VERSION: Final = "3.1.0"
_MODULES: Final = (chat, media, native, objects, responses)
#: All shapes, by method and path.
SHAPES: Final[Mapping[str, Shape]] = {key: shape for module in _MODULES for key, shape in module.SHAPES.items()}
_ABOUT: Final = """\
What clients call, with the aliases of this gateway. Fields that a schema does not name are forwarded as they are.

A key is sent as `Authorization: Bearer …`, `x-api-key`, `api-key` or `x-goog-api-key`. An error of a model's provider
keeps its status, which may be another one than those listed. What is refused before it is a request, such as a head
that is too large, has OpenAI's envelope and the status 400, 408, 414, 417, 431 or 501; another method has 405.
"""
_ERRORS: Final[Mapping[DialectName, str]] = {
    "openai": "Error",
    "anthropic": "AnthropicError",
    "gemini": "GeminiError",
}
#: What a status says, of those that every forwarded request may end with.
_STATUSES: Final[Mapping[int, str]] = {
    400: "The request cannot be served as it is; the message says why.",
    401: "There is no key, or one that is unknown, expired or revoked.",
    404: "The key has no such alias or object.",
    408: "The body stopped coming.",
    409: "The provider refuses it in the object's present state.",
    413: "The body is larger than the endpoint takes.",
    415: "The body is compressed in a way that is not taken.",
    422: "The provider cannot process it.",
    429: "A limit or a budget is used up, the gateway's own or the provider's.",
    500: "The provider failed, or the gateway did.",
    502: "The provider could not be reached, or its response could not be used.",
    503: "The gateway or the provider takes no new work for now.",
    504: "The provider did not respond in time.",
    529: "The provider is overloaded.",
}
#: What only Anthropic's API says.
_OF_ANTHROPIC: Final = frozenset({529})
_SECURITY: Final = ({"bearer": ()}, {"xApiKey": ()}, {"apiKey": ()}, {"googApiKey": ()})
_TITLES: Final[Mapping[str, str]] = {
    "chat": "Chat",
    "completions": "Chat",
    "count_tokens": "Chat",
    "fine_tuning": "Fine-tuning",
    "ocr": "Search and OCR",
    "search": "Search and OCR",
}
_DIALECT_TAGS: Final[Mapping[DialectName, str]] = {"anthropic": "Anthropic", "gemini": "Gemini"}
_INCLUDES: Final[Schema] = {"type": "array", "items": TEXT}
#: Query parameters that are forwarded.
_QUERY: Final[Mapping[str, tuple[Schema, str]]] = {
    "after": (TEXT, "The id behind which the page begins."),
    "before": (TEXT, "The id in front of which the page ends."),
    "order": ({"enum": ("asc", "desc")}, "By the time of creation."),
    "limit": ({**INTEGER, "minimum": 1, "maximum": 100}, "Most objects in the page."),
    "purpose": (TEXT, "Only files with this purpose."),
    "filter": ({"enum": ("in_progress", "completed", "failed", "cancelled")}, "Only files with this status."),
    "run_id": (TEXT, "Only messages of this run."),
    "include": (_INCLUDES, "Further fields of the response."),
    "include[]": (_INCLUDES, "The same as include."),
    "include_obfuscation": (FLAG, "Whether events have a field that hides their length."),
    "starting_after": ({**INTEGER, "minimum": 0}, "The number of the event behind which the stream goes on."),
    "stream": (FLAG, "Whether the response is a stream of events."),
    "variant": ({"enum": ("video", "thumbnail", "spritesheet")}, "What of the video."),
    "beta": (TEXT, "As Anthropic's SDKs send it."),
    "alt": ({"enum": ("sse", "json")}, "Whether the stream is of events, or a JSON array that grows."),
}
#: Of every response, and whether it is always there.
_HEADERS: Final[Mapping[str, tuple[Schema, str, bool]]] = {
    "x-request-id": (TEXT, "The gateway's id of the request, as in its logs and its ledger.", True),
    "X-Prism-Request-Id": (TEXT, "The same.", True),
    "X-Prism-Trace-Id": (TEXT, "The client's trace id, else the request's id.", True),
    "X-Prism-Latency-Ms": (INTEGER, "Milliseconds from the arrival of the request to this head.", True),
    "X-Prism-Model-Used": (TEXT, "The alias; `none` where no model is known.", True),
    "X-Prism-Provider": (TEXT, "Who responded, as far as that is shown.", True),
    "X-Prism-Timeout-Ms": (INTEGER, "The time that the first byte may take; 0 for none.", True),
    "X-Prism-Cost": (TEXT, "USD, of whole responses whose alias has a price.", False),
    "x-ratelimit-limit-requests": (INTEGER, "The limit of which the least is left.", False),
    "x-ratelimit-remaining-requests": (INTEGER, "How much of it is left.", False),
    "x-ratelimit-reset-requests": (TEXT, "How long until all of it is back.", False),
    "x-ratelimit-limit-tokens": (INTEGER, "The same of tokens.", False),
    "x-ratelimit-remaining-tokens": (INTEGER, "How many tokens are left.", False),
    "x-ratelimit-reset-tokens": (TEXT, "How long until all of them are back.", False),
    "retry-after": (TEXT, "Seconds until the request may be sent again.", False),
}
_OF_LIMITS: Final = "x-ratelimit-"
_PLAIN: Final = "text/plain"
_JSON: Final = "application/json"
_EVENTS: Final = "text/event-stream"
_FORM: Final = "multipart/form-data"
#: Schemas of bodies that are forms where the endpoint takes JSON too.
_FORMS: Final[Mapping[str, str]] = {"ImageEditRequest": "ImageEditForm", "VideoRequest": "VideoRequest"}


def client_document(config: Config, origin: str) -> Json:
    """The document of what clients call at the gateway of a configuration, which is reached at `origin`."""
    paths: dict[str, Json] = {}
    for row in ROWS:
        paths.setdefault(row.path, {})[row.method.lower()] = _forwarded(row, config)
    for resource in RESOURCE_ROWS:
        paths.setdefault(resource.path, {})[resource.method.lower()] = _resource(resource, config)
    for own_row in own_rows():
        paths.setdefault(own_row.path, {})["get"] = _own(own_row)
    tags = {operation["tags"][0] for path in paths.values() for operation in path.values()}
    return {
        "openapi": VERSION,
        "info": {"title": "Prometheus Gateway", "version": __version__, "description": _ABOUT},
        "servers": [{"url": origin}],
        "security": _SECURITY,
        "tags": [{"name": tag} for tag in sorted(tags)],
        "paths": paths,
        "components": {
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "xApiKey": {"type": "apiKey", "in": "header", "name": "x-api-key"},
                "apiKey": {"type": "apiKey", "in": "header", "name": "api-key"},
                "googApiKey": {"type": "apiKey", "in": "header", "name": "x-goog-api-key"},
            },
            "schemas": {"Alias": _alias_schema(config.models), **_by_capability(config), **schemas()},
            "headers": {
                name: {"description": about, "schema": schema, **({"required": True} if always else {})}
                for name, (schema, about, always) in _HEADERS.items()
            },
            "responses": {
                f"{dialect}{status}": _error_response(dialect, status) for dialect in _ERRORS for status in _STATUSES
            },
        },
    }


def schemas() -> dict[str, Schema]:
    """All schemas, by their names."""
    return {name: schema for module in (*_MODULES, own) for name, schema in module.schemas().items()}


def statuses_of(dialect: DialectName) -> list[int]:
    """The statuses of errors that a forwarded request may end with. Each may have a body, though few need one."""
    return [status for status in _STATUSES if dialect == "anthropic" or status not in _OF_ANTHROPIC]


def _forwarded(row: Row, config: Config) -> Json:
    """The operation of an inference endpoint."""
    shape = SHAPES[f"{row.method} {row.path}"]
    dialect = row.dialect.name
    usable = _aliases(config, row.capabilities)
    also = f" Also at {', '.join(f'`{path}`' for path in row.paths)}." if row.paths else ""
    parameters = [_parameter("path", "model", _names(usable))] if row.model == "path" else []
    operation: Json = {
        "operationId": shape.name,
        "summary": row.help,
        "description": f"For aliases of the capabilities {', '.join(sorted(row.capabilities))}.{also}",
        "tags": [_DIALECT_TAGS.get(dialect) or _tag(row.path)],
        "parameters": [*parameters, *_query(row.query)],
        "requestBody": _body(shape, row.body, usable if row.model == "body" else None, _capability_ref(row)),
        "responses": _responses(_success(row.reply, shape), dialect),
    }
    return operation


def _resource(row: ResourceRow, config: Config) -> Json:
    """The operation of a resource endpoint."""
    shape = SHAPES[f"{row.method} {row.path}"]
    usable = _aliases(config, _TEXTS) if row.model == "must" else None
    operation: Json = {
        "operationId": shape.name,
        "summary": row.help,
        "tags": [_tag(row.path)],
        "parameters": [*(_parameter("path", name, TEXT) for name in row.ids), *_query(row.query, row.max_page)],
        "responses": _responses(_success(row.response, shape), "openai"),
    }
    if shape.request:
        operation["requestBody"] = _body(shape, row.body, usable, None)
    return operation


def _own(row: OwnRow) -> Json:
    """The operation of an endpoint of the gateway's own."""
    parameters = [_parameter("path", "model", TEXT)] if "{model}" in row.path else []
    return {
        "operationId": row.name,
        "summary": row.help,
        "tags": [row.tag],
        "parameters": [*parameters, *own_parameters(row)],
        "responses": {
            str(status): {
                "description": _STATUSES.get(status, "What was asked for.") if status != 200 else "What was asked for.",
                "headers": _headers(always=True),
                "content": {_EVENTS if schema is TICK else _JSON: {"schema": schema}},
            }
            for status, schema in row.responses.items()
        },
        **({} if row.has_key else {"security": []}),
    }


def _success(kinds: str, shape: Shape) -> Json:
    """The content of a response with status 200, by media type."""
    content: Json = {}
    if shape.response:
        content[_JSON] = {"schema": ref(shape.response)}
    if "audio" in kinds:
        content["audio/*"] = {"schema": BINARY}
        content["application/octet-stream"] = {"schema": BINARY}
    if "text" in kinds:
        content[_PLAIN] = {"schema": TEXT}
        content["text/vtt"] = {"schema": TEXT}
        content["application/x-subrip"] = {"schema": TEXT}
    if "bytes" in kinds:
        content["*/*"] = {"schema": BINARY}
    if "events" in kinds:
        content[_EVENTS] = {"schema": ref(shape.event)}
    return content


def _responses(success: Json, dialect: DialectName) -> Json:
    errors = {str(status): {"$ref": f"#/components/responses/{dialect}{status}"} for status in statuses_of(dialect)}
    done = {"description": "What was asked for.", "headers": _headers(always=False), "content": success}
    return {"200": done, **errors}


def _error_response(dialect: DialectName, status: int) -> Json:
    schema: Schema = ref(_ERRORS[dialect])
    if dialect == "gemini":
        # Where the response would be an array of objects, Google's errors are one too.
        schema = either(schema, many(schema))
    if status == HTTPStatus.REQUEST_TIMEOUT and dialect != "openai":
        # The gateway says it before it knows whose API is spoken.
        schema = either(schema, ref("Error"))
    return {
        "description": _STATUSES[status],
        "headers": _headers(always=False),
        "content": {_JSON: {"schema": schema}},
    }


def _headers(*, always: bool) -> Json:
    """References to the headers of a response: those that are `always` there, or all."""
    return {
        name: {"$ref": f"#/components/headers/{name}"}
        for name, (_, _, there) in _HEADERS.items()
        if there or not always
    }


def _body(shape: Shape, kind: str, usable: list[str] | None, narrowed: Schema | None) -> Json:
    """The body of a request; where it names a model, the example has the first alias that is `usable`."""
    example = dict(shape.example or {})
    if usable is not None:
        example = {"model": usable[0] if usable else "", **example}
    schema = ref(shape.request) if narrowed is None else {"allOf": [ref(shape.request), narrowed]}
    content: Json = {}
    if "json" in kind:
        content[_JSON] = {"schema": schema, "example": example}
    if "form" in kind or kind == "file":
        form = _FORMS.get(shape.request, shape.request)
        own_schema = schema if form == shape.request else ref(form)
        content[_FORM] = {"schema": own_schema, **({} if content else {"example": example})}
    return {"required": True, "content": content}


def _query(names: Iterable[str], max_page: int = 100) -> Iterator[Json]:
    for name in sorted(names):
        schema, about = _QUERY[name]
        if name == "limit":
            schema = {**schema, "maximum": max_page}
        yield {"name": name, "in": "query", "description": about, "schema": schema}


def _parameter(place: str, name: str, schema: Schema) -> Json:
    return {"name": name, "in": place, "required": True, "schema": schema}


_TEXTS: Final[frozenset[Capability]] = frozenset({"chat", "vision", "realtime"})


def _aliases(config: Config, capabilities: frozenset[Capability]) -> list[str]:
    return [name for name, model in config.models.items() if model.capability in capabilities]


def _names(aliases: Iterable[str]) -> Schema:
    """A text that is one of these aliases; any where there are none."""
    names = list(aliases)
    return words(*names) if names else TEXT


def _alias_schema(aliases: Iterable[str]) -> Schema:
    return {**_names(aliases), "description": "An alias of this gateway, never the name of a provider's model."}


def _capability_ref(row: Row) -> Schema | None:
    return ref(_alias_name(row.capabilities)) if row.model == "body" else None


def _alias_name(capabilities: frozenset[Capability]) -> str:
    return "For" + "".join(word.capitalize() for word in sorted(capabilities))


def _by_capability(config: Config) -> Json:
    """For each set of capabilities of a row the object whose `model` is an alias that has one of them."""
    return {
        _alias_name(row.capabilities): {
            "type": "object",
            "properties": {"model": _names(_aliases(config, row.capabilities))},
        }
        for row in ROWS
        if row.model == "body"
    }


def _tag(path: str) -> str:
    """The heading under which an operation stands, by the first word of its path."""
    word = path.split("/")[2]
    return _TITLES.get(word) or re.sub("_", " ", word).capitalize()
