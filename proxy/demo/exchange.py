"""One HTTP exchange of the demo provider: a bounded request body in; JSON, bytes or a paced event stream out.

It knows ASGI, settings and faults, and no endpoint. Every wait ends as soon as the client disconnects.
"""

import asyncio
import re
import secrets
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final, TypeVar
from urllib.parse import parse_qs

import msgspec
from starlette.types import Receive, Scope, Send

from proxy.config.tree import Capability
from proxy.demo.faults import DemoFaults, format_of, parse_faults, provider_error
from proxy.demo.forms import DemoForm, is_form, parse_form
from proxy.demo.settings import DemoSettings, find_model
from proxy.demo.store import DemoStore
from proxy.demo.words import split_words
from proxy.errors import BodyTooLarge, GatewayError, InvalidRequest

MAX_BODY_BYTES: Final = 16 * 1024 * 1024
MAX_FORM_BYTES: Final = 32 * 1024 * 1024
_STALL_SECONDS: Final = 3600.0
EVENT_STREAM: Final = b"text/event-stream; charset=utf-8"
DONE: Final = b"data: [DONE]\n\n"
CRLF_DONE: Final = b"data: [DONE]\r\n\r\n"
#: The field that an error of msgspec is about.
_FIELD: Final = re.compile(r"`\$\.(\w+)")
_NO_FAULTS: Final = DemoFaults()

Body = TypeVar("Body")


class ClientDisconnected(Exception):
    """The client closed the connection before its response was complete: the handler ends, nothing more is sent."""


@dataclass(frozen=True)
class DemoEvent:
    """A part of a stream, and whether it carries content: only such parts are paced and counted."""

    data: bytes
    content: bool = False


def event(payload: Any, *, content: bool = False, crlf: bool = False) -> DemoEvent:
    """A server-sent event with this JSON as its data; `crlf` for the endpoints that end lines so."""
    return DemoEvent(b"data: " + msgspec.json.encode(payload) + (b"\r\n\r\n" if crlf else b"\n\n"), content)


def named_event(name: str, payload: Any, *, content: bool = False) -> DemoEvent:
    """A server-sent event with a name."""
    return DemoEvent(b"event: " + name.encode() + b"\n" + event(payload).data, content)


def typed_event(name: str, fields: dict[str, Any], *, content: bool = False) -> DemoEvent:
    """A server-sent event whose data repeats its name as `type`."""
    return named_event(name, {"type": name, **fields}, content=content)


def convert(value: Any, kind: type[Body], *, strict: bool = True) -> Body:
    """Validate JSON that is parsed already against a schema, or form fields if not `strict`. Raises InvalidRequest."""
    try:
        return msgspec.convert(value, kind, strict=strict)
    except msgspec.ValidationError as error:
        raise _invalid(error) from error


def _invalid(error: msgspec.ValidationError) -> InvalidRequest:
    field = _FIELD.search(str(error))
    return InvalidRequest(f"Invalid request: {error}.", param=field and field[1], code="invalid_value")


class DemoExchange:
    """A request and its response. A response that is not complete when the handler returns is an aborted one."""

    def __init__(
        self, scope: Scope, receive: Receive, send: Send, settings: DemoSettings, store: DemoStore | None = None
    ) -> None:
        self.scope = scope
        self.settings = settings
        self.store = DemoStore() if store is None else store
        self._format = format_of(scope.get("path", ""))
        self._receive = receive
        self._send = send

    def path(self, name: str) -> str:
        """A parameter of the path; empty where the path has none of this name."""
        return str(self.scope["path_params"].get(name, ""))

    def query(self, name: str, default: str = "") -> str:
        """The last value of a query parameter."""
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
        """The JSON body, validated against a schema.

        Raises BodyTooLarge past 16 MiB, InvalidRequest for what does not validate, ClientDisconnected.
        """
        body = await self._read_body(MAX_BODY_BYTES)
        try:
            return msgspec.json.decode(body or b"{}", type=kind)
        except msgspec.ValidationError as error:
            raise _invalid(error) from error
        except (msgspec.DecodeError, RecursionError) as error:
            message = "We could not parse the JSON body of your request. The API expects a JSON object."
            raise InvalidRequest(message) from error

    async def read_form(self) -> DemoForm:
        """The form in the body. Raises as `read` does, past 32 MiB."""
        return parse_form(self.content_type, await self._read_body(MAX_FORM_BYTES))

    async def _read_body(self, limit: int) -> bytes:
        body = bytearray()
        more = True
        while more:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise ClientDisconnected
            body += message.get("body", b"")
            more = message.get("more_body", False)
            if len(body) > limit:
                text = f"Maximum content size limit ({limit}) exceeded; send a smaller request."
                raise BodyTooLarge(text, headers={"connection": "close"})
        return bytes(body)

    async def pause(self, seconds: float) -> None:
        """Wait this long; 0 only yields to other requests. Raises ClientDisconnected as soon as the client leaves."""
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        try:
            async with asyncio.timeout(seconds):
                while (await self._receive())["type"] != "http.disconnect":
                    pass
        except TimeoutError:
            return
        raise ClientDisconnected

    async def think(
        self, faults: DemoFaults, model: str, texts: Iterable[str] = ("",), *, stream: bool = False
    ) -> None:
        """Wait as long as the model takes to the first byte: for JSON, until the longest text is written.

        Raises the error that `faults` ask for, and ClientDisconnected.
        """
        if faults.error:
            await self.pause(faults.delay or 0)
            raise provider_error(faults.error, model)
        seconds = self.settings.first_token_delay if faults.delay is None else faults.delay
        pace = self._pace(faults)
        if pace and not stream:
            seconds += pace * max(sum(1 for _ in split_words(text)) for text in texts)
        await self.pause(seconds)

    async def begin(
        self, model: str, capabilities: tuple[Capability, ...], prompt: str, *, stream: bool = False
    ) -> tuple[str, DemoFaults]:
        """Find the model, read the faults out of the prompt, and wait until the first byte is due.

        Returns the dated name of the model, and the faults. Raises InvalidRequest, ModelNotFound, and as `think`.
        """
        name = find_model(model, capabilities, self.scope["path"][1:]).name
        faults = parse_faults(prompt)
        await self.think(faults, name, stream=stream)
        return name, faults

    def _pace(self, faults: DemoFaults) -> float:
        return self.settings.token_interval if faults.pace is None else faults.pace

    async def send_json(self, payload: Any, faults: DemoFaults = _NO_FAULTS) -> None:
        """Send a JSON response. `cut` and `stall` stop in the middle of it."""
        await self.send_bytes(msgspec.json.encode(payload), b"application/json", faults)

    async def send_bytes(self, body: bytes, content_type: bytes, faults: DemoFaults = _NO_FAULTS) -> None:
        """Send a response of any type. `cut` and `stall` stop in the middle of it."""
        await self._start(200, content_type, (b"content-length", b"%d" % len(body)))
        if faults.cut is None and faults.stall is None:
            await self._send({"type": "http.response.body", "body": body})
            return
        await self._write(body[: len(body) // 2])
        if faults.cut is None:
            await self.pause(_STALL_SECONDS)

    async def send_error(self, error: GatewayError) -> None:
        """Send an error in the format of the path's API family."""
        body = msgspec.json.encode(self._format.error_body(error))
        headers = tuple((name.encode(), value.encode()) for name, value in error.headers.items())
        length = (b"content-length", b"%d" % len(body))
        await self._start(error.status, b"application/json; charset=utf-8", *headers, length)
        await self._send({"type": "http.response.body", "body": body})

    async def send_events(
        self,
        events: Iterator[DemoEvent],
        faults: DemoFaults,
        model: str,
        content_type: bytes = EVENT_STREAM,
        end_mark: bytes = b"",
    ) -> None:
        """Send a stream, a pause before each content event but the first. Counts of `faults` are content events."""
        await self._start(200, content_type, (b"cache-control", b"no-cache"))
        pace = self._pace(faults)
        sent = 0
        for one in events:
            if sent == faults.cut:
                return
            if sent == faults.stall:
                await self.pause(_STALL_SECONDS)
                return
            if sent == faults.error_event:
                error = self._format.error_body(provider_error(500, model))
                await self._write(self._format.error_event(error))
                break
            if one.content:
                if sent:
                    await self.pause(pace)
                sent += 1
            await self._write(one.data)
        else:
            await self._write(b"" if faults.no_done else end_mark)
        await self._send({"type": "http.response.body", "body": b""})

    async def _start(self, status: int, content_type: bytes, *headers: tuple[bytes, bytes]) -> None:
        common = (
            (b"content-type", content_type),
            (self._format.request_id_header, b"req_" + secrets.token_hex(16).encode()),
            # A header that no client may see: it names the account.
            (b"openai-organization", b"org-demo"),
        )
        await self._send({"type": "http.response.start", "status": status, "headers": [*common, *headers]})

    async def _write(self, data: bytes) -> None:
        await self._send({"type": "http.response.body", "body": data, "more_body": True})
