"""The aliases that a key may use, as a list or one by one, in the shape of the API that the caller speaks.

Anthropic's clients are known by their `anthropic-version`, Google's by their path or their own headers; all others get
OpenAI's shape. Nothing here says who serves an alias.
"""

import functools
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Final, NamedTuple
from urllib.parse import unquote

import orjson
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from proxy.auth.credentials import credential_digests
from proxy.dialects.anthropic import MESSAGES
from proxy.dialects.base import Dialect
from proxy.dialects.gemini import GENERATE
from proxy.dialects.openai_chat import CHAT
from proxy.endpoints.table import ROWS
from proxy.errors import GatewayError, InvalidRequest
from proxy.exchange.context import RequestContext
from proxy.exchange.response_head import timestamp
from proxy.policies.access import may_use, not_found
from proxy.policies.admission import Admission
from proxy.routing.models import Alias
from proxy.wire.headers import header_value

OWNER = "prometheus"
#: Where Google's clients look; `/v1/models` is theirs too where they say who they are.
GOOGLE_PATH: Final = "/v1beta/models"
#: The families of formats, in the order in which they are listed.
FORMATS: Final = ("openai", "anthropic", "gemini")
MAX_PAGE: Final = 1_000
ANTHROPIC_PAGE: Final = 20
GOOGLE_PAGE: Final = 50
_GOOGLE_HEADERS: Final = (b"x-goog-api-key", b"x-goog-api-client")
#: Google's methods, and the capabilities that each is for.
_METHODS: Final = {row.path.rpartition(":")[2]: row.capabilities for row in ROWS if row.dialect is GENERATE}

Json = dict[str, object]


class Shape(NamedTuple):
    """How one API shows models."""

    dialect: Dialect
    #: (alias, when the gateway came up in seconds since 1970) -> the model.
    show: Callable[[Alias, int], Json]
    #: (names, query, show one) -> the page of them that the query asks for. Raises `InvalidRequest`.
    page: Callable[[Sequence[str], Mapping[str, str], Callable[[str], Json]], Json]


class Models:
    """Serves the lists of models from the compiled configuration."""

    def __init__(self, admission: Admission) -> None:
        self._admission = admission

    async def all(self, request: Request) -> Response:
        """All of them, a page at a time where the API has pages."""
        shape = shape_of(request)
        try:
            show = functools.partial(self._show, shape)
            return json_response(shape.page(await self._visible(request), request.query_params, show))
        except GatewayError as error:
            return error_response(request, error, shape.dialect)

    async def retrieve(self, request: Request) -> Response:
        """One; one that the key may not use is not found."""
        shape = shape_of(request)
        try:
            visible = await self._visible(request)
            name = unquote(request.path_params["model"])
            if name in visible:
                return json_response(self._show(shape, name))
            if name.rpartition(":")[2] in _METHODS:
                raise HTTPException(405, headers={"Allow": "POST"})
            raise not_found(name, visible)
        except GatewayError as error:
            return error_response(request, error, shape.dialect)

    async def _visible(self, request: Request) -> list[str]:
        admission, context = self._admission, context_of(request)
        context.key = await admission.authenticate_async(credential_digests(request.scope["headers"]), time.time())
        return [name for name in admission.state.aliases if may_use(context.key, name)]

    def _show(self, shape: Shape, name: str) -> Json:
        return shape.show(self._admission.state.aliases[name], self._admission.state.created)


def shape_of(request: Request) -> Shape:
    """The shape that the caller reads."""
    headers = request.scope["headers"]
    if request.scope["path"].startswith(GOOGLE_PATH):
        return _GOOGLE
    if header_value(headers, b"anthropic-version") is not None:
        return _ANTHROPIC
    if any(header_value(headers, name) is not None for name in _GOOGLE_HEADERS):
        return _GOOGLE
    return _OPENAI


def context_of(request: Request) -> RequestContext:
    """The context that the router has made for a request."""
    context: RequestContext = request.scope["state"]["context"]
    return context


def json_response(value: object, status: int = 200) -> Response:
    """A small JSON response; the router adds the gateway's header lines."""
    return Response(orjson.dumps(value), status, media_type="application/json")


def error_response(request: Request, error: GatewayError, dialect: Dialect) -> Response:
    """An error of the gateway's own, in a dialect."""
    body = dialect.error_body(error, context_of(request).id, timestamp())
    return Response(body, error.status, headers=error.headers, media_type="application/json")


# OpenAI: https://platform.openai.com/docs/api-reference/models


def _openai_model(alias: Alias, created: int) -> Json:
    standard = {"id": alias.name, "object": "model", "created": created, "owned_by": OWNER}
    return {**standard, **_abilities(alias)}


def _openai_page(names: Sequence[str], query: Mapping[str, str], show: Callable[[str], Json]) -> Json:
    return {"object": "list", "data": [show(name) for name in names]}


# Anthropic: https://docs.anthropic.com/en/api/models-list


def _anthropic_model(alias: Alias, created: int) -> Json:
    moment = datetime.fromtimestamp(created, UTC).isoformat().replace("+00:00", "Z")
    standard = {"type": "model", "id": alias.name, "display_name": alias.name, "created_at": moment}
    return {**standard, **_abilities(alias)}


def _anthropic_page(names: Sequence[str], query: Mapping[str, str], show: Callable[[str], Json]) -> Json:
    size = _size(query, "limit", ANTHROPIC_PAGE)
    begin, end = 0, len(names)
    if "after_id" in query:
        begin = _place(names, query, "after_id") + 1
    if "before_id" in query:
        end = _place(names, query, "before_id")
    found = names[begin:end]
    # The page that ends before an id is the one nearest to it.
    listed = found[-size:] if "before_id" in query and "after_id" not in query else found[:size]
    return {
        "data": [show(name) for name in listed],
        "has_more": len(found) > len(listed),
        "first_id": listed[0] if listed else None,
        "last_id": listed[-1] if listed else None,
    }


# Google: https://ai.google.dev/api/models


def _google_model(alias: Alias, created: int) -> Json:
    spoken = "gemini" in alias.by_dialect
    methods = [name for name, capabilities in _METHODS.items() if spoken and alias.capability in capabilities]
    return {
        "name": f"models/{alias.name}",
        "baseModelId": alias.name,
        "version": "1",
        "displayName": alias.name,
        "supportedGenerationMethods": methods,
    }


def _google_page(names: Sequence[str], query: Mapping[str, str], show: Callable[[str], Json]) -> Json:
    size = _size(query, "pageSize", GOOGLE_PAGE)
    begin = _place(names, query, "pageToken") + 1 if query.get("pageToken") else 0
    listed = names[begin : begin + size]
    page: Json = {"models": [show(name) for name in listed]}
    if begin + size < len(names):
        page["nextPageToken"] = listed[-1]
    return page


# all


def _abilities(alias: Alias) -> Json:
    """What no API says of a model, and people want to know: what it is for, and in which formats."""
    return {"capability": alias.capability, "formats": [name for name in FORMATS if name in alias.by_dialect]}


def _size(query: Mapping[str, str], name: str, usual: int) -> int:
    text = query.get(name) or str(usual)
    if not (text.isascii() and text.isdigit() and len(text) <= 9):
        raise InvalidRequest(f"'{name}' must be a number from 1 to {MAX_PAGE}.", param=name)
    # Google takes 0 for none given, and both cut what is too large.
    return min(int(text), MAX_PAGE) or usual


def _place(names: Sequence[str], query: Mapping[str, str], name: str) -> int:
    try:
        return names.index(query[name])
    except ValueError as error:
        raise InvalidRequest(f"'{name}' names no model that was listed.", param=name) from error


_OPENAI: Final = Shape(CHAT, _openai_model, _openai_page)
_ANTHROPIC: Final = Shape(MESSAGES, _anthropic_model, _anthropic_page)
_GOOGLE: Final = Shape(GENERATE, _google_model, _google_page)
