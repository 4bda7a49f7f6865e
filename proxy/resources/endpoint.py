"""Resource endpoints as ASGI applications: admission, the row of a request's method, and the end of each request.

All else of a request is the handler's.
"""

import asyncio
import logging
import time
from collections.abc import Iterable, Mapping
from urllib.parse import unquote

from starlette.types import Receive, Scope, Send

from proxy.auth.credentials import authenticate
from proxy.dialects.openai_chat import CHAT, error_body
from proxy.endpoints.gateway import Shared
from proxy.errors import GatewayError, GatewayStopped, InternalFault, InvalidRequest
from proxy.exchange.context import RequestContext
from proxy.exchange.response_head import PROVIDER, header_lines, timestamp
from proxy.observability.schemas import Access
from proxy.resources.handler import ResourceHandler
from proxy.resources.request import ResourceRequest
from proxy.resources.spec import ResourceRow
from proxy.server.cycle import EXTENSION, RequestCycle
from proxy.server.ids import new_request_id
from proxy.wire.content_encoding import encoding_of, unsupported
from proxy.wire.headers import header_value, is_request_id
from proxy.wire.multipart import is_multipart
from proxy.wire.schemas import Body

_log = logging.getLogger(__name__)


class ResourceEndpoint:
    """Serves the requests to all rows of one path."""

    def __init__(self, rows: Iterable[ResourceRow], handler: ResourceHandler, shared: Shared) -> None:
        self._rows = {row.method: row for row in rows}
        self._handler = handler
        self._shared = shared

    @property
    def methods(self) -> list[str]:
        return list(self._rows)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        row = self._rows[scope["method"]]
        client: RequestCycle = scope["extensions"][EXTENSION]
        request_id = new_request_id()
        started = time.time_ns() // 1000
        request: ResourceRequest | None = None
        counted = False
        # The server begins a request outside any task, and moves it into one when it waits like this.
        try:
            await asyncio.sleep(0)
            key = await authenticate(scope["headers"], self._shared.keys, started / 1_000_000)
            trace = header_value(scope["headers"], b"x-prism-trace-id")
            context = RequestContext(
                id=request_id,
                trace_id=trace.decode() if trace is not None and is_request_id(trace) else request_id,
                key=key,
                endpoint=row.path,
                dialect=CHAT,
                path=b"",
                may_ask_usage=False,
                capabilities=frozenset(),
                body=Body({}, "", stream=False, wants_usage=True),
                forwarded=b"",
                started=started,
                arrived=client.arrived,
            )
            ids = {name: unquote(value) for name, value in scope["path_params"].items()}
            request = ResourceRequest(context, row, ids, client)
            self._shared.overload.admit()
            self._shared.overload.others += 1
            counted = True
            check_body(scope, row)
            await self._handler.serve(request, receive)
        except GatewayError as error:
            if request is None or await self._handler.fail(request, error):
                write_error(client, request_id, error)
        except Exception as fault:  # noqa: BLE001 (the border of the application)
            _log.error("A request failed inside the gateway.", exc_info=fault)
            failed = InternalFault()
            if request is None or await self._handler.fail(request, failed):
                write_error(client, request_id, failed)
        except BaseException:
            # The server's own deadline: never an unsettled request.
            restarting = GatewayStopped()
            if request is not None and await self._handler.fail(request, restarting):
                write_error(client, request_id, restarting)
            raise
        finally:
            self._shared.overload.others -= counted
            self._log(scope, row, client, request, request_id, started)

    def _log(
        self,
        scope: Scope,
        row: ResourceRow,
        client: RequestCycle,
        request: ResourceRequest | None,
        request_id: str,
        started: int,
    ) -> None:
        self._shared.access.add(
            Access(
                time=started,
                method=scope["method"],
                path=row.path,
                status=client.status or 499,
                request_id=request_id,
                total=int((time.monotonic() - client.arrived) * 1_000_000),
                key=request.context.key.name if request is not None else "",
                final=request.final if request is not None else None,
            )
        )


def check_body(scope: Scope, row: ResourceRow) -> None:
    """Refuse what the head already shows to be unreadable. Raises `InvalidRequest`."""
    headers: Mapping[bytes, bytes] = dict(scope["headers"])
    if sum(name == b"content-type" for name, _ in scope["headers"]) > 1:
        raise InvalidRequest("The request has two content types.", code="unsupported_content_type")
    kind = headers.get(b"content-type")
    if encoding_of(scope["headers"]) and (row.body in ("form", "file") or (kind is not None and is_multipart(kind))):
        raise unsupported("A compressed form is not taken.")
    if kind is None or row.body not in ("json", "form or json"):
        return
    either = row.body == "form or json"
    if kind.partition(b";")[0].strip().lower() != b"application/json" and not (either and is_multipart(kind)):
        wanted = "multipart/form-data or application/json" if either else "application/json"
        raise InvalidRequest(f"The request's content type must be {wanted}.", code="unsupported_content_type")


def write_error(client: RequestCycle, request_id: str, error: GatewayError) -> None:
    """Write an error of the gateway's own."""
    body = error_body(error, request_id, timestamp())
    lines = (
        f"content-type: application/json\r\nx-request-id: {request_id}\r\n"
        f"X-Prism-Request-Id: {request_id}\r\nX-Prism-Provider: {PROVIDER}\r\n"
    ).encode()
    client.begin(error.status, lines + header_lines(error), len(body))
    client.write(body, True)


def rows_by_path(rows: Iterable[ResourceRow]) -> dict[str, list[ResourceRow]]:
    """The rows of each path, in the order of the table."""
    found: dict[str, list[ResourceRow]] = {}
    for row in rows:
        found.setdefault(row.path, []).append(row)
    return found
