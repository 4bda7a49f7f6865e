"""AdminApi: serves the routes of the admin table.

A request is refused unless a row allows it: first by its network, then for want of the token, and only then because no
row has its path or method, so that a stranger learns nothing of the routes. It never sends headers of CORS.
"""

import asyncio
import ipaddress
import logging
from collections.abc import Awaitable, Sequence
from typing import Any, Final, TypeVar
from urllib.parse import parse_qs

import msgspec
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from proxy.admin.request import AdminRequest, Result, Row, ids_of
from proxy.admin.routes.rotation import fall_back
from proxy.admin.services import AdminServices
from proxy.auth.values import MAX_DEPTH, is_deeper
from proxy.config.faults import explain
from proxy.dialects.openai_chat import CHAT
from proxy.errors import AuthenticationFailed, GatewayError, InternalFault, InvalidRequest
from proxy.exchange.context import RequestContext
from proxy.exchange.response_head import timestamp
from proxy.server.cycle import EXTENSION, RequestCycle
from proxy.wire.headers import header_value

#: All paths below these are the admin API's, whether a row has them or not.
PREFIXES: Final = ("/-/", "/admin/")
MAX_QUERY_FIELDS: Final = 64
T = TypeVar("T")
_log = logging.getLogger(__name__)


class AdminApi:
    """An ASGI application for the paths that it `serves`."""

    def __init__(self, services: AdminServices, rows: Sequence[Row]) -> None:
        self.services = services
        self._routes = [(row, row.pattern) for row in rows]
        self._open = frozenset(row.path for row in rows if row.access == "open_metrics")
        self._running: set[asyncio.Future[Any]] = set()
        #: Paths of rows that are not below the prefixes.
        self._others = frozenset(row.path for row in rows if not row.path.startswith(PREFIXES))

    def serves(self, path: str) -> bool:
        """Whether a path is the admin API's; where that is switched off, only those that are open are."""
        settings = self.services.state.config.admin
        if not settings.enabled:
            return settings.open_metrics and path in self._open
        return path.startswith(PREFIXES) or path in self._others

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        context: RequestContext = scope["state"]["context"]
        try:
            result = await self._serve(scope)
        except GatewayError as error:
            response = _error(error, context)
        except Exception as fault:  # noqa: BLE001 (the border of the API)
            _log.error("%s: the admin API failed", context.id, exc_info=fault)
            response = _error(InternalFault(), context)
        else:
            headers = {"cache-control": "no-store", **result.headers}
            response = Response(_encoded(result), result.status, headers=headers, media_type=result.media_type)
        await response(scope, receive, send)

    async def _serve(self, scope: Scope) -> Result:
        settings = self.services.state.config.admin
        client = scope["client"]
        if settings.networks and client is not None:
            _check_network(client[0], settings.networks)
        matches = [(row, match) for row, pattern in self._routes if (match := pattern.fullmatch(scope["raw_path"]))]
        # What is spelled out is no id: /-/orgs/configs names no organisation.
        matches = [one for one in matches if not one[1].groupdict()] or matches
        found = next(((row, match) for row, match in matches if row.method == scope["method"]), None)
        is_open = settings.open_metrics and bool(matches) and all(row.access == "open_metrics" for row, _ in matches)
        actor = ""
        if not is_open:
            address = client[0] if client is not None else "a Unix socket"
            actor = self.services.token.authenticate(scope["headers"], settings, address)
        if found is None:
            raise _no_route(scope, sorted({row.method for row, _ in matches}))
        row, match = found
        query = _query(row, scope["query_string"])
        body = await _body(row, scope)
        request = AdminRequest(ids_of(match), query, body, scope["headers"], actor, row.method)
        # A client that leaves does not stop a change half way.
        return await asyncio.shield(self._spawn(row.handler(self.services, request)))

    def key_refused(self, name: str) -> None:
        """An upstream refuses a key that was promoted a moment ago: put the one before in force again."""
        if self.services.provider_keys.draining.pop(name, None) is not None:
            self._spawn(fall_back(self.services, name))

    def _spawn(self, work: Awaitable[T]) -> asyncio.Future[T]:
        task = asyncio.ensure_future(work)
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return task


def is_allowed(address: str, networks: Sequence[str]) -> bool:
    """Whether an address is in one of the networks from which admins may come; in any where there are none."""
    client = ipaddress.ip_address(address.partition("%")[0])
    mapped = getattr(client, "ipv4_mapped", None)
    return not networks or any((mapped or client) in ipaddress.ip_network(network) for network in networks)


def _check_network(address: str, networks: Sequence[str]) -> None:
    if not is_allowed(address, networks):
        message = "forbidden: the admin API may not be called from this address (admin.networks)."
        raise InvalidRequest(message, status=403, code="network_not_allowed")


def _no_route(scope: Scope, methods: Sequence[str]) -> InvalidRequest:
    asked = f"{scope['method']} {scope['raw_path'].decode('latin-1')[:256]}"
    if methods:
        allowed = ", ".join(methods)
        message = f"{asked} is not allowed. Use {' or '.join(methods)}."
        return InvalidRequest(message, status=405, code="method_not_allowed", headers={"allow": allowed})
    return InvalidRequest(f"Unknown request URL: {asked}. docs/admin.md lists them.", status=404, code="unknown_url")


def _query(row: Row, text: bytes) -> Any:
    """The query, validated: a field that the row's type has as a list may be given more than once."""
    try:
        given = parse_qs(text.decode("ascii"), keep_blank_values=True, max_num_fields=MAX_QUERY_FIELDS)
    except ValueError as error:
        raise InvalidRequest("The query cannot be read: encode it as application/x-www-form-urlencoded.") from error
    lists = {one.encode_name for one in msgspec.structs.fields(row.query) if "tuple[" in str(one.type)}
    values: dict[str, Any] = {}
    for name, several in given.items():
        if len(several) > 1 and name not in lists:
            raise InvalidRequest(f"'{name}' is given more than once.", param=name)
        values[name] = several if name in lists else several[0]
    try:
        return msgspec.convert(values, row.query, strict=False)
    except msgspec.ValidationError as error:
        raise _invalid(error, row.query) from error


async def _body(row: Row, scope: Scope) -> Any:
    """The body, validated; a route that takes none reads none of it. Raises `BodyTooLarge`."""
    if row.body is None:
        return None
    encoding = header_value(scope["headers"], b"content-encoding")
    if encoding not in (None, b"", b"identity"):
        message = "The admin API takes no compressed body."
        raise InvalidRequest(message, status=415, code="unsupported_content_encoding")
    cycle: RequestCycle = scope["extensions"][EXTENSION]
    data = await cycle.read_body(row.max_body_bytes)
    try:
        if _is_too_deep(data):
            raise InvalidRequest(f"The body has more than {MAX_DEPTH} levels of objects and arrays.")
        return msgspec.json.decode(data or b"{}", type=row.body)
    except msgspec.ValidationError as error:
        raise _invalid(error, row.body, row.body_fault) from error
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise InvalidRequest("The body is no JSON.", code="invalid_json") from error


def _is_too_deep(data: bytes) -> bool:
    """Whether a body has too many levels for what works on it. Raises as `msgspec.json.decode`."""
    if data.count(b"{") + data.count(b"[") <= MAX_DEPTH:
        return False
    return is_deeper(msgspec.json.decode(data), MAX_DEPTH)


def _invalid(error: msgspec.ValidationError, kind: object, code: str = "invalid_request") -> InvalidRequest:
    """The error of a field of a query or a body."""
    message, name = explain(error, kind)
    where = f" (at {name})" if name else ""
    return InvalidRequest(f"{message[:1].upper()}{message[1:]}{where}.", param=name or None, code=code)


def _encoded(result: Result) -> bytes:
    return result.value if isinstance(result.value, bytes) else msgspec.json.encode(result.value)


def _error(error: GatewayError, context: RequestContext) -> Response:
    headers = {"cache-control": "no-store", **error.headers}
    if isinstance(error, AuthenticationFailed):
        headers["www-authenticate"] = 'Bearer realm="admin"'
    body = CHAT.error_body(error, context.id, timestamp())
    return Response(body, error.status, headers=headers, media_type="application/json")
