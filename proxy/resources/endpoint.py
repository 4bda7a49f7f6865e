"""The handler of the endpoints for things with an id: who asks, which row, and how it ends. The rest is the desk's."""

import asyncio
import logging
import time
from collections.abc import Iterable, Mapping
from urllib.parse import unquote

from starlette.types import Receive, Scope, Send

from proxy.auth.credentials import authenticate
from proxy.dialects.openai_chat import error_body
from proxy.endpoints.gateway import Shared
from proxy.errors import GatewayError, GatewayStopped, InternalFault, InvalidRequest
from proxy.exchange.response_head import PROVIDER, header_lines, timestamp
from proxy.observability.schemas import Access
from proxy.resources.context import ResourceContext
from proxy.resources.handler import ResourceHandler
from proxy.resources.spec import ObjectRow
from proxy.server.cycle import EXTENSION, RequestCycle
from proxy.server.ids import new_request_id
from proxy.wire.content_encoding import encoding_of, unsupported
from proxy.wire.headers import header_value, is_request_id
from proxy.wire.multipart import is_multipart

_log = logging.getLogger(__name__)


class Objects:
    """Serves all rows of one path."""

    def __init__(self, rows: Iterable[ObjectRow], desk: ResourceHandler, shared: Shared) -> None:
        self._rows = {row.method: row for row in rows}
        self._desk = desk
        self._shared = shared

    @property
    def methods(self) -> list[str]:
        return list(self._rows)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        row = self._rows[scope["method"]]
        client: RequestCycle = scope["extensions"][EXTENSION]
        request_id = new_request_id()
        started = time.time_ns() // 1000
        visit: ResourceContext | None = None
        counted = False
        # The server begins a request outside any task, and moves it into one when it waits like this.
        try:
            await asyncio.sleep(0)
            key = await authenticate(scope["headers"], self._shared.keys, started / 1_000_000)
            trace = header_value(scope["headers"], b"x-prism-trace-id")
            visit = ResourceContext(
                id=request_id,
                trace_id=trace.decode() if trace is not None and is_request_id(trace) else request_id,
                key=key,
                row=row,
                ids={name: unquote(value) for name, value in scope["path_params"].items()},
                query=scope["query_string"],
                headers=scope["headers"],
                client=client,
                started=started,
                arrived=client.arrived,
            )
            self._shared.overload.admit()
            self._shared.overload.others += 1
            counted = True
            check_body(scope, row)
            await self._desk.serve(visit, receive)
        except GatewayError as error:
            if visit is None or await self._desk.fail(visit, error):
                answer_error(client, request_id, error)
        except Exception as fault:  # noqa: BLE001 (the border of the application)
            _log.error("A request failed inside the gateway.", exc_info=fault)
            failed = InternalFault()
            if visit is None or await self._desk.fail(visit, failed):
                answer_error(client, request_id, failed)
        except BaseException:
            # The server's own deadline: never an unsettled request.
            restarting = GatewayStopped()
            if visit is not None and await self._desk.fail(visit, restarting):
                answer_error(client, request_id, restarting)
            raise
        finally:
            self._shared.overload.others -= counted
            self._log(scope, row, client, visit, request_id, started)

    def _log(
        self,
        scope: Scope,
        row: ObjectRow,
        client: RequestCycle,
        visit: ResourceContext | None,
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
                key=visit.key.name if visit is not None else "",
                final=visit.settled if visit is not None else None,
            )
        )


def check_body(scope: Scope, row: ObjectRow) -> None:
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


def answer_error(client: RequestCycle, request_id: str, error: GatewayError) -> None:
    """Write an error of the gateway's own."""
    body = error_body(error, request_id, timestamp())
    lines = (
        f"content-type: application/json\r\nx-request-id: {request_id}\r\n"
        f"X-Prism-Request-Id: {request_id}\r\nX-Prism-Provider: {PROVIDER}\r\n"
    ).encode()
    client.begin(error.status, lines + header_lines(error), len(body))
    client.write(body, True)


def by_path(rows: Iterable[ObjectRow]) -> dict[str, list[ObjectRow]]:
    """The rows of each path, in the order of the table."""
    found: dict[str, list[ObjectRow]] = {}
    for row in rows:
        found.setdefault(row.path, []).append(row)
    return found
