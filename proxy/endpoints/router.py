"""Routing of requests to handlers by method and path, and the errors for requests that have none.

All routes are built anew for another configuration, and replaced in one step.
"""

import functools
import time
from collections.abc import Awaitable, Sequence
from typing import Final, Protocol

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from proxy.config.tree import Server
from proxy.dialects.openai_chat import CHAT
from proxy.endpoints.cors import Cors, is_preflight, preflight_headers
from proxy.endpoints.health import HEALTH_PATH, LIVE_PATHS, READY_PATHS, STREAM_PATH, Health, home
from proxy.endpoints.inference import Inference
from proxy.endpoints.models import GOOGLE_PATH, Models, error_response
from proxy.endpoints.paths import Mistakes, is_for_clients, respelled
from proxy.endpoints.table import ROWS, Row, dialect_at
from proxy.errors import GatewayError, InternalFault, InvalidRequest
from proxy.exchange.audio_length import AudioMeter
from proxy.exchange.context import EndpointSpec, RequestContext
from proxy.exchange.response_head import own_lines
from proxy.exchange.services import Services
from proxy.observability.access_log import AccessLog
from proxy.policies.access_line import write_unbilled_line
from proxy.policies.admission import Admission
from proxy.resources.endpoint import ResourceEndpoint, rows_by_path
from proxy.resources.handler import ResourceHandler
from proxy.resources.table import RESOURCE_ROWS
from proxy.server.cycle import EXTENSION, RequestCycle
from proxy.server.ids import new_request_id
from proxy.wire.headers import Header
from proxy.wire.prism_headers import read_prism_headers

MODEL_PATHS = ("/v1/models", GOOGLE_PATH)
#: Bytes of a path that the access log shows where it is not that of an endpoint.
MAX_LOGGED_PATH_BYTES = 256
#: Of responses that the server makes by itself.
_SERVER: Final = EndpointSpec("", CHAT)


class Routes(Starlette):
    """The handlers of one configuration."""

    def __init__(
        self,
        admission: Admission,
        services: Services,
        audio: AudioMeter,
        server: Server,
        resources: ResourceHandler,
        health: Health,
    ) -> None:
        models = Models(admission)
        handlers = [(row, Inference(row, admission, services, audio, server)) for row in ROWS]
        #: Those with an exact path, by method and path.
        self.exact = {(row.method, row.path): handler for row, handler in handlers}
        #: Paths in which there is nothing to be filled in.
        self.fixed = frozenset([*MODEL_PATHS, *(row.path for row in ROWS if "{" not in row.path)])
        self.cors = Cors(server.cors_origins)
        super().__init__(
            routes=[
                *(_row_route(row, handler) for row, handler in handlers),
                *(
                    Route(_pattern(path), handler, methods=[row.method])
                    for row, handler in handlers
                    for path in row.paths
                ),
                *(
                    _resource_route(path, ResourceEndpoint(rows, resources, admission))
                    for path, rows in rows_by_path(RESOURCE_ROWS).items()
                ),
                Route("/", home, methods=["GET"]),
                *(Route(path, models.all, methods=["GET"]) for path in MODEL_PATHS),
                *(Route(f"{path}/{{model:path}}", models.retrieve, methods=["GET"]) for path in MODEL_PATHS),
                *(Route(path, health.live, methods=["GET"]) for path in LIVE_PATHS),
                *(Route(path, health.ready, methods=["GET"]) for path in READY_PATHS),
                Route(HEALTH_PATH, health.health, methods=["GET"]),
                Route(STREAM_PATH, health.stream, methods=["GET"]),
            ],
            exception_handlers={
                GatewayError: _respond_to_gateway_error,
                Exception: _respond_to_fault,
                HTTPException: functools.partial(
                    _respond_to_http_error, Mistakes(ROWS, [row.path for row in RESOURCE_ROWS])
                ),
            },
        )
        # A redirect would be built from the Host header, and no SDK follows one with its body.
        self.router.redirect_slashes = False


class Mount(Protocol):
    """An application for some paths, such as the admin API; it writes its own errors, and gets no headers of CORS."""

    def serves(self, path: str, /) -> bool:
        """Whether a path is one of its own."""

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Respond to a request with such a path."""


class Router:
    """Exact rows by one look into a table; everything else by Starlette's routes.

    It outlives its routes: those of another configuration take their place between two requests.
    """

    def __init__(self, access: AccessLog, routes: Routes, mounts: Sequence[Mount] = ()) -> None:
        self._access = access
        self._mounts = mounts
        self.reconfigure(routes)

    def reconfigure(self, routes: Routes) -> None:
        """Serve new requests by these routes; those under way stay with the ones before."""
        self._routes, self._exact = routes, routes.exact

    def try_handle_inline(self, client: RequestCycle) -> ASGIApp | None:
        """Have a row's handler serve a request without a coroutine; the application to call where that cannot be."""
        head = client.head
        handler = self._exact.get((head.method, head.path))
        if handler is None:
            return self
        if head.origin:
            client.more_lines = self._routes.cors.lines(head.origin)
        return handler.try_handle_inline(client)

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """Not a coroutine of its own, but the handler's: one layer less for every request."""
        handler: ASGIApp | None = self._exact.get((scope["method"], scope["path"]))
        if handler is None:
            return self._other(scope, receive, send)
        client = scope["extensions"][EXTENSION]
        if client.head.origin:
            client.more_lines = self._routes.cors.lines(client.head.origin)
        return handler(scope, receive, send)

    def own_lines(self, request_id: str, headers: list[Header], arrived: float) -> bytes:
        """The gateway's header lines of a response that the server makes by itself, such as that to malformed HTTP."""
        return _lines_of_server(request_id, headers, arrived)

    async def _other(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve another spelling of a row's path, or by Starlette's routes; and write the access line."""
        client = scope["extensions"][EXTENSION]
        routes = self._routes
        scope["path"] = path = respelled(scope["path"], routes.fixed)
        app: ASGIApp = routes
        if client.head.origin and routes.cors.is_on and is_for_clients(path):
            client.more_lines = routes.cors.lines(client.head.origin)
            if is_preflight(scope["method"], scope["headers"]):
                app = functools.partial(_respond_to_preflight, routes.cors.allows(client.head.origin))
        exact = routes.exact.get((scope["method"], path))
        if exact is not None:
            await exact(scope, receive, send)
            return
        app = next((mount for mount in self._mounts if mount.serves(path)), app)
        await _serve_unbilled(self._access, app, path, scope, receive, send)


class MountRouter:
    """The application of an address of its own at which mounts are served and nothing else."""

    def __init__(self, access: AccessLog, mounts: Sequence[Mount]) -> None:
        self._access = access
        self._mounts = mounts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"]
        app: ASGIApp = next((mount for mount in self._mounts if mount.serves(path)), _no_routes)
        await _serve_unbilled(self._access, app, path, scope, receive, send)

    def own_lines(self, request_id: str, headers: list[Header], arrived: float) -> bytes:
        """The gateway's header lines of a response that the server makes by itself."""
        return _lines_of_server(request_id, headers, arrived)


async def _serve_unbilled(
    access: AccessLog, app: ASGIApp, path: str, scope: Scope, receive: Receive, send: Send
) -> None:
    """Have an application respond, with the gateway's header lines and the access line."""
    client = scope["extensions"][EXTENSION]
    context = scope["state"]["context"] = RequestContext(
        EndpointSpec(scope["raw_path"].decode("latin-1")[:MAX_LOGGED_PATH_BYTES], dialect_at(path), scope["method"]),
        id=new_request_id(),
        started=time.time_ns() // 1000,
        arrived=client.arrived,
    )
    context.apply_prism_headers(read_prism_headers(scope["headers"]))
    try:
        await app(scope, receive, functools.partial(_send_with_own_lines, send, context))
    finally:
        if not isinstance(scope.get("endpoint"), Inference | ResourceEndpoint):
            # Those have a context of their own, and a line with the bill in it.
            write_unbilled_line(access, context, client.status)


def _lines_of_server(request_id: str, headers: list[Header], arrived: float) -> bytes:
    context = RequestContext(_SERVER, id=request_id, started=0, arrived=arrived)
    context.apply_prism_headers(read_prism_headers(headers))
    return own_lines(context)


async def _no_routes(scope: Scope, receive: Receive, send: Send) -> None:
    """Respond that there is nothing at a path."""
    request = Request(scope)
    asked = f"{request.method} {scope['raw_path'].decode('latin-1')[:MAX_LOGGED_PATH_BYTES]}"
    error = InvalidRequest(f"Unknown request URL: {asked}.", status=404, code="unknown_url")
    await error_response(request, error, CHAT)(scope, receive, send)


def _row_route(row: Row, handler: Inference) -> Route:
    """The route of a row. An exact path comes here with another method only, and must not pass for an object's id."""
    if "{" in row.path:
        return Route(_pattern(row.path), handler, methods=[row.method])
    return Route(row.path, OtherMethod(row.method))


def _pattern(path: str) -> str:
    """A row's path for Starlette: a model's name may hold slashes."""
    return path.replace("{model}", "{model:path}")


class OtherMethod:
    """Refuses every request with the one method to use."""

    def __init__(self, method: str) -> None:
        self._method = method

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        raise HTTPException(405, headers={"Allow": self._method})


def _resource_route(path: str, handler: ResourceEndpoint) -> Route:
    route = Route(path, handler, methods=handler.methods)
    if route.methods is not None:
        # Starlette adds it to every GET; here it would ask the upstream for a body that is not sent on.
        route.methods.discard("HEAD")
    return route


async def _respond_to_preflight(allowed: bool, scope: Scope, receive: Receive, send: Send) -> None:
    """Respond to a preflight: whether a page may call. No key is needed, and browsers send none."""
    response = Response(status_code=204, headers=preflight_headers(scope["headers"]))
    if not allowed:
        response = Response("This page's origin is not in server.cors_origins.", 403, media_type="text/plain")
    await response(scope, receive, send)


async def _send_with_own_lines(send: Send, context: RequestContext, message: Message) -> None:
    """ASGI's `send`, with the gateway's own header lines in the response head."""
    if message["type"] == "http.response.start":
        own = [tuple(line.split(b": ", 1)) for line in own_lines(context).splitlines()]
        message = {**message, "headers": [*message.get("headers", ()), *own]}
    await send(message)


async def _respond_to_gateway_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, GatewayError)
    return error_response(request, error, dialect_at(request.scope["path"]))


async def _respond_to_fault(request: Request, error: Exception) -> Response:
    """The 500 for a fault of the gateway's own, which the server logs."""
    return error_response(request, InternalFault(), dialect_at(request.scope["path"]))


async def _respond_to_http_error(mistakes: Mistakes, request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    asked = f"{request.method} {request.scope['raw_path'].decode('latin-1')[:256]}"
    path = request.scope["path"]
    if error.status_code == 405:
        allowed = (error.headers or {}).get("Allow", "")
        refusal = InvalidRequest(
            f"{asked} is not allowed. Use {allowed or 'another method'}.",
            status=405,
            code="method_not_allowed",
            headers={"allow": allowed},
        )
    else:
        meant = mistakes.meant(path)
        hint = f" {meant.hint}" if meant is not None else ""
        refusal = InvalidRequest(f"Unknown request URL: {asked}.{hint}", status=error.status_code, code="unknown_url")
        path = meant.path if meant is not None else path
    return error_response(request, refusal, dialect_at(path))
