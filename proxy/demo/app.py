"""The demo provider as an ASGI app: the table of its routes, its key, and the shape of its errors.

Endpoints live in files of their own; a new one is a line in ROUTES.
"""

import hmac
from collections.abc import Awaitable, Callable
from typing import Any

from starlette.routing import Route, Router
from starlette.types import ASGIApp, Receive, Scope, Send

from proxy.demo.chat import chat_completions
from proxy.demo.completions import completions
from proxy.demo.embeddings import embeddings
from proxy.demo.exchange import ClientLeft, Exchange
from proxy.demo.settings import DEMO_MODELS, DemoModel, DemoSettings
from proxy.errors import AuthenticationFailed, GatewayError, InvalidRequest, ModelNotFound

Handler = Callable[[Exchange], Awaitable[None]]

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


ROUTES: tuple[tuple[str, str, Handler], ...] = (
    ("GET", "/v1/models", list_models),
    ("GET", "/v1/models/{model:path}", retrieve_model),
    ("POST", "/v1/chat/completions", chat_completions),
    ("POST", "/v1/completions", completions),
    ("POST", "/v1/embeddings", embeddings),
)


def demo_app(settings: DemoSettings) -> ASGIApp:
    """The provider as an ASGI app. It keeps no state; any number of them may run side by side."""
    routes = [Route(path, _Endpoint(method, handler, settings)) for method, path, handler in ROUTES]
    router = Router(routes, redirect_slashes=False, default=_Endpoint(None, _unknown, settings))

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await send({"type": "websocket.close"})
            return
        await router(scope, receive, send)

    return app


async def _unknown(exchange: Exchange) -> None:
    scope = exchange.scope
    raise InvalidRequest(f"Invalid URL ({scope['method']} {scope['path']})", status=404)


class _Endpoint:
    """One endpoint as an ASGI app: checks key and method, runs the handler, answers its errors."""

    def __init__(self, method: str | None, handler: Handler, settings: DemoSettings) -> None:
        self._method = method
        self._handler = handler
        self._settings = settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        exchange = Exchange(scope, receive, send, self._settings)
        try:
            self._authorise(scope)
            self._check_method(scope)
            await self._handler(exchange)
        except GatewayError as error:
            await exchange.send_error(error)
        except ClientLeft:
            return

    def _check_method(self, scope: Scope) -> None:
        if self._method not in (None, scope["method"]):
            message = f"Not allowed to {scope['method']} on {scope['path']}; use {self._method}."
            raise InvalidRequest(message, status=405, headers={"allow": self._method or ""})

    def _authorise(self, scope: Scope) -> None:
        given = next((value for name, value in scope["headers"] if name == b"authorization"), b"")
        scheme, _, key = given.partition(b" ")
        if scheme.lower() == b"bearer" and hmac.compare_digest(key.strip(), self._settings.api_key.encode()):
            return
        if not given:
            raise AuthenticationFailed("You didn't provide an API key. Send it as Authorization: Bearer <key>.")
        raise AuthenticationFailed("Incorrect API key provided. The demo provider prints its key when it starts.")
