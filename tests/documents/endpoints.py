"""The document of all endpoints, in Markdown: made from the two tables and the dialects, so that it cannot grow old.

Nothing is served here, and nothing is written to disk: who calls it decides where the text goes.
"""

import json
from collections.abc import Iterable, Iterator
from typing import Final

from proxy.dialects.base import Dialect, DialectName
from proxy.endpoints.health import HEALTH_PATH, LIVE_PATHS, READY_PATHS, STREAM_PATH
from proxy.endpoints.table import ROWS, Row
from proxy.errors import GatewayError, ModelNotFound, UpstreamDropped
from proxy.resources.spec import ResourceRow
from proxy.resources.table import RESOURCE_ROWS

_OPENING: Final = """\
# Endpoints

An endpoint is one row in a table of the code, and this document is made from those tables. All of them take the key as
`Authorization: Bearer …`, `x-api-key`, `api-key` or `x-goog-api-key`, and all responses have the headers of
[headers.md](headers.md). An empty credential, one of another scheme and one that the gateway does not know do no harm
beside one that it knows; two keys of the gateway in one request are a `400`.

- *Model* says where the alias stands: in the body's `model`, or in the path as `{model}`. A path below
  `/openai/deployments/` names it for bodies too: one that stands in the body is replaced, as Azure does.
- *Answer* says what comes back; with more than one kind the request decides, mostly by `stream`.
- *Billed* says what the bill counts. *Nothing*: the request has its row in the ledger, and costs nothing.
- *Capabilities* are those of the aliases that an endpoint takes. An alias of another one is refused with a `400` that
  names the endpoint it belongs to. `realtime` is chat over HTTP, by a model that responds at once: it is taken where
  `chat` is. The Realtime API over WebSocket (`/v1/realtime`) is not served.
- An endpoint takes an alias that has a target of its format, or of one into which it is
  [translated](translation.md). `prometheus-gateway models` shows both for each alias.
"""

_TITLES: Final[dict[DialectName, str]] = {
    "openai": "OpenAI's formats",
    "anthropic": "Anthropic's format",
    "gemini": "Gemini's format",
}

_OBJECTS: Final = """\
## Things with an id

They belong to the key that made them, and live where they were made: [objects.md](objects.md). All of them are of
OpenAI's dialect. Ids stand in the path; an id that is not the key's own is `404`, and the upstream is not asked.
"""

_GATEWAY: Final = """\
## The gateway's own

| endpoint | what it is for |
|---|---|
| `GET /v1/models` | List the aliases that the key may use. Also at `/v1beta/models`. |
| `GET /v1/models/{model}` | Show one of them. Also at `/v1beta/models/{model}`. |
"""

_MODELS: Final = """\
Models are shown in the shape that the caller reads: Google's at `/v1beta/models`, and at `/v1/models` where a header
of Google's SDKs comes along; Anthropic's where `anthropic-version` does; else OpenAI's. Where the API has pages, so
has the list. OpenAI's and Anthropic's shapes have two fields more: `capability`, which says what an alias is for, and
`formats`, the families of formats (`openai`, `anthropic`, `gemini`) in which its providers can be asked. Google's
shape has these as `supportedGenerationMethods`.
"""

_SPELLINGS: Final = """\
## Other spellings of a path

Base URLs have a slash too many, or their version twice. A slash too many in front of a path, behind its version or at
its end does no harm, and neither does `/v1/v1/…` or `/v1beta/v1beta/…`. `/openai/…` and `/openai/v1/…`, as Azure has
them, are `/v1/…`. Other mistakes that are certain, such as `/chat/completions` or `/v1/messages/v1/messages`, are a
`404` that names the right path and how to set the SDK's base URL. A method that an endpoint does not have is a `405`
with those that it has.

An encoded slash or letter is never taken for a plain one where it would lead to another endpoint. In a model's name
slashes may stand as they are or encoded.

## Calls from web pages

Scripts of web pages may call all endpoints that take a key, with a key that the page has from its user: any page, or
those of `server.cors_origins`. Every response to a page has `access-control-allow-origin` and, for its script to read,
the `x-request-id`, `X-Prism-…`, `retry-after` and `x-ratelimit-…` headers; a preflight needs no key. The browser's
own credentials are not allowed, nor is the way into private networks; health pages are for no page.
"""

_ERRORS: Final = """\
## Errors

A refusal has the shape of the endpoint's dialect, so that an SDK raises what it would raise at its own provider. A path
that does not exist answers in the dialect of the endpoints nearest to it. An error of the upstream keeps its status and
its body, with the alias for the name of the upstream's model; where its body is of another shape, the gateway writes it
anew with the upstream's message. All codes, and what becomes of every error of an upstream, stand in
[errors.md](errors.md).

Once a stream has begun its status is sent, and an error is an event in it; then the connection breaks, so that no
client takes the response for a whole one.
"""

#: Where an example needs an id and a time.
_ID: Final = "req_0123456789abcdef0123456789abcdef"
_TIME: Final = "2026-01-31T12:00:00.000Z"


def document() -> str:
    """Make the document."""
    return "\n".join(
        [_OPENING, *_relayed(), _OBJECTS, *_objects(), _GATEWAY + _probes(), _MODELS, _SPELLINGS, _ERRORS, *_errors()]
    )


def _relayed() -> Iterator[str]:
    for name in _dialects():
        yield f"## {_TITLES[name]}\n"
        yield "| endpoint | what it is for | body | model | answer | billed | capabilities |"
        yield "|---|---|---|---|---|---|---|"
        for row in ROWS:
            if row.dialect.name == name:
                yield _relayed_line(row)
        yield ""


def _relayed_line(row: Row) -> str:
    capabilities = ", ".join(sorted(row.capabilities))
    also = " and ".join(f"`{path}`" for path in row.paths)
    what = f"{row.help} Also at {also}." if also else row.help
    return _line(f"`{row.method} {row.path}`", what, row.body, row.model, row.reply, row.unit, capabilities)


def _objects() -> Iterator[str]:
    for family in _families():
        yield f"### {family[0].upper()}{family[1:].replace('_', ' ')}\n"
        yield "| endpoint | what it is for | body | model | answer | billed |"
        yield "|---|---|---|---|---|---|"
        for row in RESOURCE_ROWS:
            if family_of(row) == family:
                yield _object_line(row)
        yield ""


def _object_line(row: ResourceRow) -> str:
    body = {"file": "form", "none": "-"}.get(row.body, row.body)
    model = {"none": "-", "may": "body, optional", "must": "body"}[row.model]
    return _line(
        f"`{row.method} {row.path}`", row.help, body, model, row.response, "tokens" if row.bills else "nothing"
    )


def family_of(row: ResourceRow) -> str:
    """What a row's things are called: the first word of its path."""
    return row.path.split("/")[2]


def _families() -> Iterable[str]:
    return dict.fromkeys(map(family_of, RESOURCE_ROWS))


def _dialects() -> Iterable[DialectName]:
    return dict.fromkeys(row.dialect.name for row in ROWS)


def _probes() -> str:
    live, ready = (", ".join(f"`GET {path}`" for path in paths) for paths in (LIVE_PATHS, READY_PATHS))
    return (
        f"| {live} | The process answers. No key is needed. |\n"
        f"| {ready} | It takes new work; `503` where it cannot write its ledger or read its keys. No key is needed. |\n"
        f"| `GET {HEALTH_PATH}` | Status, version, and the state of its services by counts, in words; "
        "always `200` ([health.md](health.md)). No key is needed. |\n"
        f"| `GET {STREAM_PATH}` | A second of events at even distances, to see whether a proxy buffers. "
        "No key is needed. |\n"
        "| `GET /`, `HEAD /` | What this is; SDKs ask it before their first request. No key is needed. |\n"
    )


def _errors() -> Iterator[str]:
    for name in _dialects():
        dialect = next(row.dialect for row in ROWS if row.dialect.name == name)
        yield f"### {_TITLES[name]}\n"
        yield from _examples(dialect)
        others = [row for row in ROWS if row.dialect.name == name and row.dialect.unknown_model_status != 404]
        for status in sorted({row.dialect.unknown_model_status for row in others}):
            paths = [f"`{row.path}`" for row in others if row.dialect.unknown_model_status == status]
            yield f"The status of an unknown alias is {status} at {', '.join(paths)}.\n"


def _examples(dialect: Dialect) -> Iterator[str]:
    unknown: GatewayError = ModelNotFound("The model `prometheus-cor` does not exist …", param="model")
    yield f"An unknown alias, with status {unknown.status}:\n"
    yield "```json"
    yield json.dumps(json.loads(dialect.error_body(unknown, _ID, _TIME)), indent=2, ensure_ascii=False)
    yield "```\n"
    yield "A stream that the upstream broke:\n"
    yield "```"
    yield dialect.error_event(UpstreamDropped("The provider …"), _ID, _TIME).decode().rstrip()
    yield "```\n"


def _line(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    print(document(), end="")
