"""One HTTP exchange of the demo provider: the bounded body in, JSON, bytes or a paced stream of events out.

It knows ASGI and the demo's orders, and no endpoint. Every wait ends at once when the client leaves.
"""

import asyncio
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import parse_qs

import msgspec
from starlette.types import Receive, Scope, Send

from proxy.demo.dialects import dialect_of
from proxy.demo.faults import failure
from proxy.demo.forms import Form, is_form, parse_form
from proxy.demo.phrases import Orders
from proxy.demo.settings import DemoSettings
from proxy.demo.store import Store
from proxy.errors import BodyTooLarge, GatewayError, InvalidRequest

MOST_BODY_BYTES = 16 * 1024 * 1024
MOST_FORM_BYTES = 32 * 1024 * 1024
_BODY_SECONDS = 60.0
_STALL_SECONDS = 3600.0

DONE = b"data: [DONE]\n\n"
EVENT_STREAM = b"text/event-stream; charset=utf-8"

Body = TypeVar("Body")
Headers = tuple[tuple[bytes, bytes], ...]


class ClientLeft(Exception):
    """The client closed the connection before its request had arrived: there is nobody to answer."""


@dataclass(frozen=True)
class Event:
    """One server-sent event, and whether it carries content: only such events are paced and counted."""

    data: bytes
    content: bool = False


def event(payload: Any, *, content: bool = False) -> Event:
    """The payload as one event: a `data:` line and a blank line."""
    return Event(b"data: " + msgspec.json.encode(payload) + b"\n\n", content)


def named_event(name: str, payload: Any, *, content: bool = False) -> Event:
    """The payload as one event with a name."""
    return Event(b"event: " + name.encode() + b"\n" + event(payload).data, content)


class Exchange:
    """One request and its answer. An answer that is not finished when the handler returns is an aborted one."""

    def __init__(
        self, scope: Scope, receive: Receive, send: Send, settings: DemoSettings, store: Store | None = None
    ) -> None:
        self.scope = scope
        self.settings = settings
        self.store = Store() if store is None else store
        self.dialect = dialect_of(scope.get("path", ""))
        self._receive = receive
        self._send = send

    def path(self, name: str) -> str:
        """A parameter of the path."""
        return str(self.scope["path_params"][name])

    def query(self, name: str, default: str = "") -> str:
        """The last value of a parameter of the query."""
        query: bytes = self.scope.get("query_string", b"")
        return parse_qs(query.decode("latin-1")).get(name, [default])[-1]

    @property
    def content_type(self) -> str:
        """The content type of the request."""
        return next((value.decode("latin-1") for name, value in self.scope["headers"] if name == b"content-type"), "")

    @property
    def has_form(self) -> bool:
        """Whether the body is a form."""
        return is_form(self.content_type)

    async def read(self, kind: type[Body]) -> Body:
        """The JSON body, checked against `kind`.

        Raises BodyTooLarge past 16 MiB, InvalidRequest for what is no such JSON or takes too long, ClientLeft.
        """
        body = await self._read_body(MOST_BODY_BYTES)
        try:
            return msgspec.json.decode(body or b"{}", type=kind)
        except msgspec.ValidationError as error:
            raise InvalidRequest(f"Invalid request body: {error}.", code="invalid_value") from error
        except (msgspec.DecodeError, RecursionError) as error:
            message = "We could not parse the JSON body of your request. The API expects a JSON object."
            raise InvalidRequest(message) from error

    async def read_form(self) -> Form:
        """The form in the body. Raises as `read` does, past 32 MiB."""
        return parse_form(self.content_type, await self._read_body(MOST_FORM_BYTES))

    async def _read_body(self, most: int) -> bytes:
        parts: list[bytes] = []
        size = 0
        try:
            async with asyncio.timeout(_BODY_SECONDS):
                while True:
                    message = await self._receive()
                    if message["type"] == "http.disconnect":
                        raise ClientLeft
                    parts.append(message.get("body", b""))
                    size += len(parts[-1])
                    if size > most:
                        raise BodyTooLarge(
                            f"Maximum content size limit ({most}) exceeded; send a smaller request.",
                            headers={"connection": "close"},
                        )
                    if not message.get("more_body", False):
                        return b"".join(parts)
        except TimeoutError as error:
            raise InvalidRequest(
                f"The request body did not arrive within {_BODY_SECONDS:g} seconds; send it at once.",
                status=408,
                headers={"connection": "close"},
            ) from error

    async def pause(self, seconds: float) -> bool:
        """Wait so long; False, and at once, when the client leaves. Without a time it only lets others run."""
        if seconds <= 0:
            await asyncio.sleep(0)
            return True
        try:
            async with asyncio.timeout(seconds):
                while (await self._receive())["type"] != "http.disconnect":
                    pass
        except TimeoutError:
            return True
        return False

    async def send_json(self, payload: Any, *, headers: Headers = (), orders: Orders | None = None) -> None:
        """Send a whole answer. `cut` and `stall` stop in the middle of it."""
        await self.send_bytes(msgspec.json.encode(payload), b"application/json", headers=headers, orders=orders)

    async def send_bytes(
        self, body: bytes, content_type: bytes, *, headers: Headers = (), orders: Orders | None = None
    ) -> None:
        """Send a whole answer of any type. `cut` and `stall` stop in the middle of it."""
        await self._start(200, content_type, (*headers, (b"content-length", b"%d" % len(body))))
        if orders and (orders.cut is not None or orders.stall is not None):
            await self._send({"type": "http.response.body", "body": body[: len(body) // 2], "more_body": True})
            if orders.cut is None:
                await self.pause(_STALL_SECONDS)
            return
        await self._send({"type": "http.response.body", "body": body})

    async def send_error(self, error: GatewayError) -> None:
        """Send an error in the shape of the path's dialect."""
        body = msgspec.json.encode(self.dialect.error_body(error))
        headers = tuple((name.encode(), value.encode()) for name, value in error.headers.items())
        length = (b"content-length", b"%d" % len(body))
        await self._start(error.status, b"application/json; charset=utf-8", (*headers, length))
        await self._send({"type": "http.response.body", "body": body})

    async def send_events(
        self,
        events: Iterable[Event],
        orders: Orders,
        model: str,
        headers: Headers = (),
        content_type: bytes = EVENT_STREAM,
    ) -> None:
        """Send a stream: the pace and the faults are those of `orders`, the rest is in `events`."""
        await self._start(200, content_type, (*headers, (b"cache-control", b"no-cache")))
        pace = self.settings.token_interval if orders.pace is None else orders.pace
        sent = 0
        for one in events:
            if sent == orders.cut:
                return
            if sent == orders.stall:
                await self.pause(_STALL_SECONDS)
                return
            if sent == orders.error_event:
                await self._write(self.dialect.error_event(failure(500, model)))
                break
            if one.content:
                if sent and not await self.pause(pace):
                    return
                sent += 1
            await self._write(one.data)
        await self._send({"type": "http.response.body", "body": b""})

    async def _start(self, status: int, content_type: bytes, headers: Headers) -> None:
        common = (
            (b"content-type", content_type),
            (self.dialect.id_header, b"req_" + secrets.token_hex(16).encode()),
            *self.dialect.headers,
        )
        await self._send({"type": "http.response.start", "status": status, "headers": [*common, *headers]})

    async def _write(self, data: bytes) -> None:
        await self._send({"type": "http.response.body", "body": data, "more_body": True})
