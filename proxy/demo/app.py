"""The demo provider as an ASGI app: the table of its routes, its key, and the shape of its errors.

Endpoints live in files of their own; a new one is a line in ROUTES.
"""

import hmac
import logging
from collections.abc import Mapping
from typing import Any, Final

from starlette.routing import Route, Router
from starlette.types import ASGIApp, Receive, Scope, Send

from proxy.demo import (
    assistants,
    audio,
    batches,
    conversations,
    files,
    gemini,
    images,
    jobs,
    messages,
    responses,
    runs,
    speech,
    texts,
    uploads,
    vector_stores,
)
from proxy.demo.chat import chat_completions
from proxy.demo.completions import completions
from proxy.demo.embeddings import embeddings
from proxy.demo.exchange import ClientLeft, Exchange
from proxy.demo.resources import Handler, Routes
from proxy.demo.settings import DEMO_MODELS, DemoModel, DemoSettings
from proxy.demo.store import Store
from proxy.errors import AuthenticationFailed, GatewayError, InvalidRequest, ModelNotFound

_MODELS_SINCE = 1_767_225_600


async def list_models(exchange: Exchange) -> None:
    """`GET /v1/models`."""
    await exchange.send_json({"object": "list", "data": [_described(model) for model in DEMO_MODELS]})


async def retrieve_model(exchange: Exchange) -> None:
    """`GET /v1/models/{model}`."""
    name = exchange.scope["path_params"]["model"]
    for model in DEMO_MODELS:
        if name in (model.name, model.undated):
            return await exchange.send_json(_described(model))
    raise ModelNotFound(f"The model '{name}' does not exist", param="model")


def _described(model: DemoModel) -> dict[str, Any]:
    return {"id": model.name, "object": "model", "created": _MODELS_SINCE, "owned_by": "demo"}


MODEL_ROUTES: Final[Routes] = (
    ("GET", "/v1/models", list_models),
    ("GET", "/v1/models/{model:path}", retrieve_model),
    ("POST", "/v1/chat/completions", chat_completions),
    ("POST", "/v1/completions", completions),
    ("POST", "/v1/embeddings", embeddings),
)
ROUTES: Final[Routes] = (
    *MODEL_ROUTES,
    *responses.ROUTES,
    *conversations.ROUTES,
    *messages.ROUTES,
    *gemini.ROUTES,
    *texts.ROUTES,
    *audio.ROUTES,
    *speech.ROUTES,
    *images.ROUTES,
    *files.ROUTES,
    *uploads.ROUTES,
    *batches.ROUTES,
    *vector_stores.ROUTES,
    *assistants.ROUTES,
    *runs.ROUTES,
    *jobs.ROUTES,
)


def demo_app(settings: DemoSettings) -> ASGIApp:
    """The provider as an ASGI app. What it keeps is its own; any number of them may run side by side."""
    logging.getLogger("uvicorn.error").addFilter(_is_no_cut)
    store = Store()
    handlers: dict[str, dict[str, Handler]] = {}
    # What has no parameter comes first: an id must not swallow it.
    for method, path, handler in sorted(ROUTES, key=lambda route: "{" in route[1]):
        handlers.setdefault(path, {})[method] = handler
    routes = [Route(path, _Endpoint(methods, settings, store)) for path, methods in handlers.items()]
    router = Router(routes, redirect_slashes=False, default=_Endpoint({}, settings, store))

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await send({"type": "websocket.close"})
            return
        await router(scope, receive, send)

    return app


def _is_no_cut(record: logging.LogRecord) -> bool:
    """Whether a line of the server's log says something else than that an answer was cut, which is asked for here."""
    return record.getMessage() != "ASGI callable returned without completing response."


async def _unknown(exchange: Exchange) -> None:
    scope = exchange.scope
    raise InvalidRequest(f"Invalid URL ({scope['method']} {scope['path']})", status=404)


class _Endpoint:
    """One endpoint as an ASGI app: checks key and method, runs the handler, answers its errors."""

    def __init__(self, handlers: Mapping[str, Handler], settings: DemoSettings, store: Store) -> None:
        self._handlers = handlers
        self._settings = settings
        self._store = store

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        exchange = Exchange(scope, receive, send, self._settings, self._store)
        try:
            self._authorise(scope)
            await self._handler(scope)(exchange)
        except GatewayError as error:
            await exchange.send_error(error)
        except ClientLeft:
            return

    def _handler(self, scope: Scope) -> Handler:
        method = scope["method"]
        if method in self._handlers:
            return self._handlers[method]
        if not self._handlers:
            return _unknown
        allowed = ", ".join(sorted(self._handlers))
        message = f"Not allowed to {method} on {scope['path']}; use {allowed}."
        raise InvalidRequest(message, status=405, headers={"allow": allowed})

    def _authorise(self, scope: Scope) -> None:
        """Check the key, under any of the names that the dialects have for it."""
        given = b""
        for name, value in scope["headers"]:
            if name == b"authorization":
                scheme, _, given = value.partition(b" ")
                if scheme.lower() != b"bearer":
                    raise _wrong_key()
            elif name in (b"x-api-key", b"x-goog-api-key", b"api-key"):
                given = value
            else:
                continue
            if not hmac.compare_digest(given.strip(), self._settings.api_key.encode()):
                raise _wrong_key()
        if not given:
            raise AuthenticationFailed("You didn't provide an API key. Send it as Authorization: Bearer <key>.")


def _wrong_key() -> AuthenticationFailed:
    return AuthenticationFailed("Incorrect API key provided. The demo provider prints its key when it starts.")
