"""The composition root: a configuration becomes a running gateway and its Starlette app.

The only file that knows all the others; everything that lives as long as a gateway is made here and kept on an object.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable
from pathlib import Path
from typing import TextIO

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from proxy.access import Access, AccessLog
from proxy.answer import timestamp
from proxy.audio import AudioMeter
from proxy.config.tree import Config
from proxy.deadlines import Deadlines
from proxy.endpoints.gateway import Shared
from proxy.endpoints.health import LIVE_PATHS, READY_PATHS, Health, Home
from proxy.endpoints.inference import Inference
from proxy.endpoints.models import Models
from proxy.endpoints.object_table import OBJECT_ROWS
from proxy.endpoints.objects import Objects, by_path
from proxy.endpoints.table import ROWS, Row, dialect_at, endpoint_of
from proxy.errors import GatewayError, InvalidRequest, UpstreamFailed
from proxy.ledger.keys import KeyIndex, KeyStore
from proxy.ledger.record import Final
from proxy.ledger.store import Ledger
from proxy.objects.account import Accounts
from proxy.objects.answering import Answering
from proxy.objects.choice import Choice
from proxy.objects.desk import Desk
from proxy.objects.taking import Taking
from proxy.policies import ordered
from proxy.policies.base import Call
from proxy.readiness import Readiness
from proxy.server.client import EXTENSION
from proxy.server.ids import new_request_id
from proxy.services import Services
from proxy.upstream.pool import Pool
from proxy.upstream.target import compile_alias
from proxy.upstream.warm import warm

_log = logging.getLogger(__name__)


class Gateway:
    """One gateway: `start` it on a running event loop, serve `app`, `stop` it."""

    def __init__(self, config: Config, output: TextIO) -> None:
        self.config = config
        data_dir = Path(config.server.data_dir)
        self.ledger = Ledger(data_dir, durability=config.server.durability, shared=config.server.workers > 1)
        self.keys = KeyIndex(data_dir)
        self.store = KeyStore(data_dir, prefix=config.server.key_prefix)
        self.deadlines = Deadlines()
        self.readiness = Readiness()
        self.access = AccessLog(output, config.server.log_format)
        self.audio = AudioMeter()
        self.pools: dict[str, Pool] = {}
        self.app: ASGIApp | None = None
        self._watching: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Open the store, compile the configuration and warm the pools. Raises `StoreFailed` and `ConfigFault`."""
        await self.ledger.start()
        self.readiness.watch(lambda: self.ledger.failure)
        self.readiness.watch_for_warning(lambda: self.ledger.warning)
        await self.store.open()
        await self.keys.open()
        self._watching = asyncio.create_task(self.keys.watch(), name="keys-watch")
        server = self.config.server
        self.pools = {name: Pool(name, upstream) for name, upstream in self.config.upstreams.items()}
        aliases = {
            name: compile_alias(name, model, self.pools, server.on_disconnect)
            for name, model in self.config.models.items()
        }
        services = Services(
            journal=self.ledger.journal,
            estimator=self.ledger.estimator,
            deadlines=self.deadlines,
            settled=self._settled,
            attempt_failed=_attempt_failed,
            expose_upstream=server.expose_upstream,
            max_event_bytes=server.max_event_bytes,
            drain_max_seconds=server.drain_max_seconds,
            drain_max_tokens=server.drain_max_tokens,
        )
        shared = Shared(
            services=services,
            keys=self.keys,
            aliases=aliases,
            policies=ordered(aliases, endpoint_of()),
            owners=self.ledger.owners,
            access=self.access,
            audio=self.audio,
            failure=lambda: self.ledger.failure,
            max_body_bytes=server.max_body_bytes,
            created=int(time.time()),
        )
        self.app = Router(shared, self._desk(shared), self.readiness)
        self.deadlines.every_sweep(self.access.flush)
        self.deadlines.every_sweep(self._sweep_pools)
        self.deadlines.start()
        for pool in self.pools.values():
            warm(pool)

    def _desk(self, shared: Shared) -> Desk:
        """What serves the objects."""
        owners, accounts = shared.owners, Accounts(self.pools, shared.aliases)
        taking = Taking(owners, accounts)
        answering = Answering(taking, shared.aliases, shared.services, shared.max_body_bytes, _failed)
        choice = Choice(owners, accounts, shared.aliases)
        return Desk(owners, choice, taking, answering, shared.services, shared.max_body_bytes)

    def drain(self) -> bool:
        """The end has begun: say so where readiness is asked; whether anybody does."""
        self.readiness.draining = True
        return self.readiness.is_watched

    def interrupt(self) -> None:
        """End every exchange that still runs: its client is told, and it has its row."""
        self.deadlines.interrupt_all()

    async def stop(self) -> None:
        """Settle what still runs, close the pools, and store the journal to its end."""
        self.deadlines.stop()
        self.interrupt()
        for pool in self.pools.values():
            await pool.close()
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.gather(self._watching, return_exceptions=True)
        await self.keys.close()
        await self.store.close()
        await self.ledger.stop()
        self.audio.close()
        self.access.close()

    def _sweep_pools(self) -> None:
        now = asyncio.get_running_loop().time()
        for pool in self.pools.values():
            pool.sweep(now)

    def _settled(self, call: Call, final: Final) -> None:
        self.access.add(
            Access(
                time=call.started,
                method="POST",
                path=call.endpoint,
                status=final.status,
                request_id=call.id,
                total=final.total,
                key=call.key.name,
                final=final,
            )
        )


class Router(Starlette):
    """Exact rows by one look into a table; everything else by Starlette's routes."""

    def __init__(self, shared: Shared, desk: Desk, readiness: Readiness) -> None:
        models, health = Models(shared), Health(readiness)
        self._access = shared.access
        handlers = [(row, Inference(row, shared)) for row in ROWS]
        self._exact: dict[tuple[str, str], ASGIApp] = {(row.method, row.path): handler for row, handler in handlers}
        super().__init__(
            routes=[
                *(_row_route(row, handler) for row, handler in handlers),
                *(Route(row.also, handler, methods=[row.method]) for row, handler in handlers if row.also),
                *(_object_route(path, Objects(rows, desk, shared)) for path, rows in by_path(OBJECT_ROWS).items()),
                Route("/", Home()),
                Route("/v1/models", models.all, methods=["GET"]),
                Route("/v1/models/{model:path}", models.retrieve, methods=["GET"]),
                *(Route(path, health.live, methods=["GET"]) for path in LIVE_PATHS),
                *(Route(path, health.ready, methods=["GET"]) for path in READY_PATHS),
            ],
            exception_handlers={GatewayError: _answer_gateway_error, HTTPException: _answer_http_error},
        )
        # A redirect would be built from the Host header, and no SDK follows one with its body.
        self.router.redirect_slashes = False

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:  # type: ignore[override]
        """Not a coroutine of its own, but the handler's: one layer less for every request."""
        handler = self._exact.get((scope["method"], scope["path"]), self._other)
        return handler(scope, receive, send)

    async def _other(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve by Starlette's routes, and write the access line."""
        client = scope["extensions"][EXTENSION]
        scope["state"]["request_id"] = request_id = new_request_id()
        started = time.time_ns() // 1000
        try:
            await super().__call__(scope, receive, send)
        finally:
            if not isinstance(scope.get("endpoint"), Inference | Objects):
                # Those that are forwarded have written their own, with the bill in it.
                self._access.add(
                    Access(
                        time=started,
                        method=scope["method"],
                        path=scope["raw_path"].decode("latin-1")[:256],
                        status=client.status,
                        request_id=request_id,
                        total=int((time.monotonic() - client.arrived) * 1_000_000),
                    )
                )


def _row_route(row: Row, handler: Inference) -> Route:
    """The route of a row. An exact path comes here with another method only, and must not pass for an object's id."""
    if "{" in row.path:
        return Route(row.path, handler, methods=[row.method])
    return Route(row.path, OtherMethod(row.method))


class OtherMethod:
    """Refuses every request with the one method to use."""

    def __init__(self, method: str) -> None:
        self._method = method

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        raise HTTPException(405, headers={"Allow": self._method})


def _object_route(path: str, handler: Objects) -> Route:
    route = Route(path, handler, methods=handler.methods)
    if route.methods is not None:
        # Starlette adds it to every GET; here it would ask the upstream for a body that nobody wants.
        route.methods.discard("HEAD")
    return route


async def _answer_gateway_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, GatewayError)
    request_id = request.scope["state"]["request_id"]
    return Response(
        dialect_at(request.scope["path"]).error_body(error, request_id, timestamp()),
        error.status,
        headers={"x-request-id": request_id, **error.headers},
        media_type="application/json",
    )


async def _answer_http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    asked = f"{request.method} {request.scope['path'][:256]}"
    if error.status_code == 405:
        allowed = (error.headers or {}).get("Allow", "")
        refusal = InvalidRequest(
            f"{asked} is not allowed. Use {allowed or 'another method'}.",
            status=405,
            code="method_not_allowed",
            headers={"allow": allowed},
        )
    else:
        refusal = InvalidRequest(f"Unknown request URL: {asked}.", status=error.status_code, code="unknown_url")
    return await _answer_gateway_error(request, refusal)


def _attempt_failed(call: Call, upstream: str, error: GatewayError) -> None:
    _failed(call.id, upstream, error)


def _failed(request_id: str, upstream: str, error: GatewayError) -> None:
    detail = error.detail if isinstance(error, UpstreamFailed) else ""
    _log.warning("%s: upstream %s: %s %s", request_id, upstream, error.message, f"({detail})" if detail else "")
