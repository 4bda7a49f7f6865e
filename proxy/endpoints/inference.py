"""The handler of every row that is forwarded: read, look, admit, and hand over to the relay.

It waits for two things only: the request's body, and the client's leaving.
"""

import re
import time
from collections.abc import Mapping
from types import MappingProxyType

from starlette.types import Receive, Scope, Send

from proxy.access import Access
from proxy.answer import PROVIDER, header_lines, outcome_of, timestamp
from proxy.endpoints.credentials import authenticate
from proxy.endpoints.gateway import Shared
from proxy.endpoints.table import BodyKind, Row
from proxy.errors import ClientGone, GatewayError, InvalidRequest, StoreFailed
from proxy.ledger.keys import Key
from proxy.ledger.record import Final
from proxy.objects import claims
from proxy.objects.watch import ResponseWatch
from proxy.policies.base import Call
from proxy.relay import Exchange
from proxy.server.client import EXTENSION, ClientCycle
from proxy.server.ids import new_request_id
from proxy.settlement import refused_record
from proxy.upload import Upload
from proxy.upstream.target import Alias
from proxy.wire.body import peek, peek_without_model
from proxy.wire.headers import first, forwarded, is_request_id, seconds
from proxy.wire.multipart import boundary_of, is_multipart
from proxy.wire.shapes import Body

_CONTENT_TYPES: Mapping[BodyKind, str] = MappingProxyType(
    {
        "json": "application/json",
        "form": "multipart/form-data",
        "form or json": "multipart/form-data or application/json",
    }
)
#: Bytes from which on a body is large.
LARGE = 16_384
_CONTENT_HEADERS = frozenset({b"content-type", b"content-encoding"})
# Base64 in a data URL is no text.
_DATA_URL = re.compile(rb";base64,[A-Za-z0-9+/=]+")


class Inference:
    """Serves one row."""

    def __init__(self, row: Row, shared: Shared) -> None:
        self._row = row
        self._shared = shared
        self._upstream_path = row.upstream_path.encode()
        self._max_body_bytes = min(row.max_body_bytes or shared.max_body_bytes, shared.max_body_bytes)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        client: ClientCycle = scope["extensions"][EXTENSION]
        row, shared = self._row, self._shared
        request_id = new_request_id()
        key: Key | None = None
        body: Body | None = None
        started = time.time_ns() // 1000
        try:
            key = authenticate(scope["headers"], shared.keys, started / 1_000_000)
            shared.overload.admit()
            form = check_head(scope, row.body)
            data, upload = b"", None
            if form is None:
                here = client.body_now(self._max_body_bytes)
                data = here if here is not None else await client.read_body(self._max_body_bytes)
                body = self._peek(scope, data)
            else:
                upload, body = await self._read_form(client, form)
            call = self._call(scope, client, request_id, key, body, data, started)
            call.upload = upload
            for policy in shared.policies:
                policy.admit(call)
            if call.references:
                await claims.admit(shared.owners, call)
            # What is not stored cannot be asked for again.
            if row.creates and bytes(body.fields.get("store", b"")) != b"false":
                call.watch = ResponseWatch(shared.owners, key.id, row.creates, shared.services.max_event_bytes)
        except GatewayError as error:
            self._refuse(client, scope, request_id, started, key, body, error)
            return
        assert call.alias is not None
        if upload is not None and row.unit == "audio" and may_need_length(call.alias):
            upload.measure_with(shared.audio)
        exchange = Exchange(shared.services, call, call.alias, client)
        if len(data) >= LARGE:
            # The text of a large body is counted while the upstream has it.
            client.loop.call_soon(count_text, call, data)
        del data, body
        try:
            exchange.start()
            if upload is not None:
                await follow(client, upload, exchange, call)
            else:
                while (await receive())["type"] != "http.disconnect":
                    pass
        except BaseException:
            # The server's own deadline, or a fault of ours: never an unsettled request.
            exchange.interrupt()
            raise
        exchange.client_gone()

    async def _read_form(self, client: ClientCycle, boundary: bytes) -> tuple[Upload, Body]:
        """A form as far as its model: the rest follows while it goes on. Raises `InvalidRequest` and `ClientGone`."""
        upload = Upload(client, boundary, self._max_body_bytes, client.announced())
        await client.feed_body(upload.piece, self._max_body_bytes)
        if client.disconnected:
            raise ClientGone("The client left while it sent its request.")
        if not client.more_body:
            upload.end()
        if upload.error is not None:
            raise upload.error
        assert upload.model is not None
        return upload, Body({}, upload.model, upload.stream, wants_usage=True)

    def _peek(self, scope: Scope, data: bytes) -> Body:
        row = self._row
        if row.model == "body":
            return peek(data)
        return peek_without_model(data, scope["path_params"]["model"], row.streams)

    def _call(
        self, scope: Scope, client: ClientCycle, request_id: str, key: Key, body: Body, data: bytes, started: int
    ) -> Call:
        row = self._row
        trace = first(scope["headers"], b"x-prism-trace-id")
        return Call(
            id=request_id,
            trace_id=trace.decode() if trace is not None and is_request_id(trace) else request_id,
            key=key,
            endpoint=row.path,
            dialect=row.dialect,
            path=self._upstream_path + allowed_query(scope["query_string"], row.query),
            may_ask_usage=row.usage_option,
            capabilities=row.capabilities,
            body=body,
            forwarded=forwarded(scope["headers"]),
            started=started,
            arrived=client.arrived,
            text_in=text_bytes(data) if len(data) < LARGE else 0,
            naming=row.naming,
            unit=row.unit,
            opaque=row.opaque,
            max_event_bytes=row.max_event_bytes,
            patience=seconds(first(scope["headers"], b"x-stainless-read-timeout")),
        )

    def _refuse(
        self,
        client: ClientCycle,
        scope: Scope,
        request_id: str,
        started: int,
        key: Key | None,
        body: Body | None,
        error: GatewayError,
    ) -> None:
        """Answer with an error; a request that a known key made has its row too."""
        shared = self._shared
        total = int((time.monotonic() - client.arrived) * 1_000_000)
        final: Final | None = None
        if key is not None:
            final = refused_record(
                request_id=request_id,
                started=started,
                key=key.id,
                # Only names of the configuration are stored: a client could send anything.
                alias=body.model if body is not None and body.model in shared.aliases else "",
                endpoint=self._row.path,
                stream=body is not None and body.stream,
                outcome=outcome_of(error),
                status=error.status,
                error_code=error.code,
                total=total,
            )
            if not isinstance(error, StoreFailed):
                try:
                    shared.services.journal.append(final)
                except StoreFailed as failure:
                    error = failure
        if not isinstance(error, ClientGone):
            answer_error(client, self._row, request_id, error)
        shared.access.add(
            Access(
                time=started,
                method=scope["method"],
                path=self._row.path,
                status=error.status,
                request_id=request_id,
                total=total,
                key=key.name if key is not None else "",
                final=final,
            )
        )


def answer_error(client: ClientCycle, row: Row, request_id: str, error: GatewayError) -> None:
    """Write an error of the gateway's own, in the row's dialect."""
    body = row.dialect.error_body(error, request_id, timestamp())
    lines = (
        f"content-type: application/json\r\nx-request-id: {request_id}\r\n"
        f"X-Prism-Request-Id: {request_id}\r\nX-Prism-Provider: {PROVIDER}\r\n"
    ).encode()
    client.begin(error.status, lines + header_lines(error), len(body))
    client.write(body, True)


async def follow(client: ClientCycle, upload: Upload, exchange: Exchange, call: Call) -> None:
    """Follow a form that goes on while it arrives, until the client has left or has its answer."""
    told = False
    while True:
        if not client.more_body and not upload.whole:
            upload.end()
            call.body = Body({}, call.body.model, upload.stream, wants_usage=True)
        if upload.error is not None and not told:
            told = True
            exchange.upload_failed(upload.error)
        if not await client.changed():
            return


def may_need_length(alias: Alias) -> bool:
    """Whether the length of audio may be what a request is billed by, or all that is known of it."""
    return alias.price is None or alias.price.millisecond is not None


def check_head(scope: Scope, kind: BodyKind) -> bytes | None:
    """Refuse what the body's head already shows to be unreadable; the boundary, if the body is a form.

    Raises `InvalidRequest`.
    """
    content_type: bytes | None = None
    for name, value in scope["headers"]:
        if name not in _CONTENT_HEADERS:
            continue
        if name == b"content-type":
            if content_type is not None:
                raise InvalidRequest("The request has two content types.", code="unsupported_content_type")
            content_type = value
        elif value.lower() != b"identity":
            raise InvalidRequest(
                "Compressed request bodies are not taken; send the body as it is.",
                status=415,
                code="unsupported_content_encoding",
            )
    if kind != "json" and content_type is not None and is_multipart(content_type):
        return boundary_of(content_type)
    if kind == "form" or (
        content_type is not None and content_type.partition(b";")[0].strip().lower() != b"application/json"
    ):
        wanted = _CONTENT_TYPES[kind]
        raise InvalidRequest(f"The request's content type must be {wanted}.", code="unsupported_content_type")
    return None


def allowed_query(query: bytes, allowed: frozenset[str]) -> bytes:
    """The part of a query string that goes to the upstream, with its question mark; never a credential."""
    if not query or not allowed:
        return b""
    kept = [part for part in query.split(b"&") if part.partition(b"=")[0].decode("latin-1") in allowed]
    return b"?" + b"&".join(kept) if kept else b""


def count_text(call: Call, data: bytes) -> None:
    """Set the size of a call's text."""
    call.text_in = text_bytes(data)


def text_bytes(data: bytes) -> int:
    """The size of a request body without the base64 of its data URLs."""
    # From the end: in a long text that is several times the speed of a search from the beginning.
    if data.rfind(b";base64,") < 0:
        return len(data)
    return len(data) - sum(match.end() - match.start() for match in _DATA_URL.finditer(data))
