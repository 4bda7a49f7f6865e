"""The demo provider as an ASGI app: the table of its endpoints, its key, and its responses to errors."""

import hmac
import logging
from collections.abc import Mapping
from typing import Any, Final

from starlette.routing import Route, Router
from starlette.types import ASGIApp, Receive, Scope, Send

from proxy.demo import chat, generate_content, media, messages, resources, responses, retrieval
from proxy.demo.exchange import ClientDisconnected, DemoExchange
from proxy.demo.resources import DemoHandler, DemoRoutes
from proxy.demo.settings import DEMO_MODELS, DemoModel, DemoSettings, find_model
from proxy.demo.store import DemoStore
from proxy.errors import AuthenticationFailed, GatewayError, InvalidRequest

_MODELS_CREATED_AT: Final = 1_767_225_600


async def models(exchange: DemoExchange) -> None:
    """`GET` of all models, or of one, in OpenAI's shape or Gemini's."""
    is_gemini, name = exchange.scope["path"].startswith("/v1beta"), exchange.path("model")
    shape = _gemini_model if is_gemini else _model
    if name:
        await exchange.send_json(shape(find_model(name, (), "v1/models")))
    else:
        data = [shape(model) for model in DEMO_MODELS]
        await exchange.send_json({"models": data} if is_gemini else {"object": "list", "data": data})


def _model(model: DemoModel) -> dict[str, Any]:
    return {"id": model.name, "object": "model", "created": _MODELS_CREATED_AT, "owned_by": "demo"}


def _gemini_model(model: DemoModel) -> dict[str, Any]:
    return {"name": f"models/{model.name}", "displayName": model.undated, "version": model.name[-10:]}


ROUTES: Final[DemoRoutes] = (
    ("GET", "/v1/models", models),
    ("GET", "/v1/models/{model:path}", models),
    ("POST", "/v1/chat/completions", chat.chat_completions),
    ("POST", "/v1/completions", chat.completions),
    ("POST", "/v1/responses", responses.create_response),
    ("POST", "/v1/responses/input_tokens", responses.count_input_tokens),
    ("POST", "/v1/responses/compact", responses.compact),
    ("GET", "/v1/responses/{id}", responses.show_response),
    ("DELETE", "/v1/responses/{id}", responses.delete_response),
    ("POST", "/v1/responses/{id}/cancel", responses.cancel_response),
    ("GET", "/v1/responses/{id}/input_items", responses.list_input_items),
    ("POST", "/v1/messages", messages.create_message),
    ("POST", "/v1/messages/count_tokens", messages.count_message_tokens),
    ("POST", "/v1/count_tokens", messages.count_message_tokens),
    ("GET", "/v1beta/models", models),
    ("POST", "/v1beta/models/{model}:generateContent", generate_content.generate_content),
    ("POST", "/v1beta/models/{model}:streamGenerateContent", generate_content.stream_content),
    ("POST", "/v1beta/models/{model}:countTokens", generate_content.count_content_tokens),
    ("POST", "/v1beta/models/{model}:embedContent", retrieval.embed_contents),
    ("POST", "/v1beta/models/{model}:batchEmbedContents", retrieval.embed_contents),
    ("GET", "/v1beta/models/{model}", models),
    ("POST", "/v1/embeddings", retrieval.embeddings),
    ("POST", "/v1/moderations", retrieval.moderations),
    ("POST", "/v1/rerank", retrieval.rerank),
    ("POST", "/v1/search", retrieval.search),
    ("POST", "/v1/ocr", retrieval.ocr),
    ("POST", "/v1/audio/transcriptions", media.transcribe),
    ("POST", "/v1/audio/translations", media.transcribe),
    ("POST", "/v1/audio/speech", media.speak),
    ("POST", "/v1/audio/speech/stream", media.speak),
    ("POST", "/v1/images/generations", media.generate_image),
    ("POST", "/v1/images/edits", media.edit_image),
    ("POST", "/v1/images/variations", media.vary_image),
    *resources.ROUTES,
)


def demo_app(settings: DemoSettings, extra_routes: DemoRoutes = ()) -> ASGIApp:
    """The provider as an ASGI app. Each has a store of its own, so that any number of them may run side by side.

    `extra_routes` come beside the built-in ones, or in their place.
    """
    logging.getLogger("uvicorn.error").addFilter(_is_not_ordered_cut)
    store = DemoStore()
    handlers: dict[str, dict[str, DemoHandler]] = {}
    # Paths without parameters come first: an id must not match them.
    for method, path, handler in sorted((*ROUTES, *extra_routes), key=lambda route: "{" in route[1]):
        handlers.setdefault(path, {})[method] = handler
    routes = [Route(path, _Endpoint(methods, settings, store)) for path, methods in handlers.items()]
    router = Router(routes, redirect_slashes=False, default=_Endpoint({}, settings, store))

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await send({"type": "websocket.close"})
            return
        await router(scope, receive, send)

    return app


def _is_not_ordered_cut(record: logging.LogRecord) -> bool:
    """Whether a line of uvicorn's log is about something else than a cut response, which is asked for here."""
    return record.getMessage() != "ASGI callable returned without completing response."


class _Endpoint:
    """The ASGI app of one path: checks key and method, runs the handler, and sends its errors."""

    def __init__(self, handlers: Mapping[str, DemoHandler], settings: DemoSettings, store: DemoStore) -> None:
        self._handlers = handlers
        self._settings = settings
        self._store = store

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        exchange = DemoExchange(scope, receive, send, self._settings, self._store)
        try:
            self._authenticate(scope)
            await self._handler(scope)(exchange)
        except GatewayError as error:
            await exchange.send_error(error)
        except ClientDisconnected:
            return

    def _handler(self, scope: Scope) -> DemoHandler:
        method, path = scope["method"], scope["path"]
        if method in self._handlers:
            return self._handlers[method]
        if not self._handlers:
            raise InvalidRequest(f"Invalid URL ({method} {path})", status=404)
        allowed = ", ".join(sorted(self._handlers))
        message = f"Not allowed to {method} on {path}; use {allowed}."
        raise InvalidRequest(message, status=405, headers={"allow": allowed})

    def _authenticate(self, scope: Scope) -> None:
        """Check every key that is sent, under the names that the API families have for it."""
        sent = b""
        for name, value in scope["headers"]:
            if name == b"authorization":
                scheme, _, sent = value.partition(b" ")
                if scheme.lower() != b"bearer":
                    raise _wrong_key()
            elif name in (b"x-api-key", b"x-goog-api-key", b"api-key"):
                sent = value
            else:
                continue
            if not hmac.compare_digest(sent.strip(), self._settings.api_key.encode()):
                raise _wrong_key()
        if not sent:
            raise AuthenticationFailed("You didn't provide an API key. Send it as Authorization: Bearer <key>.")


def _wrong_key() -> AuthenticationFailed:
    return AuthenticationFailed("Incorrect API key provided. The demo provider prints its key when it starts.")
