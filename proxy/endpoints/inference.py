"""The handler of every row that is forwarded: read, look, admit, and hand over to the relay.

It waits for two things only: the request's body, and the client's leaving.
"""

import os
import re
import time

from starlette.types import Receive, Scope, Send

from proxy.access import Access
from proxy.answer import PROVIDER, header_lines, outcome_of, timestamp
from proxy.endpoints.credentials import authenticate
from proxy.endpoints.gateway import Shared
from proxy.endpoints.table import Row
from proxy.errors import ClientGone, GatewayError, InvalidRequest, StoreFailed
from proxy.ledger.keys import Key
from proxy.ledger.record import Final
from proxy.policies.base import Call
from proxy.relay import Exchange
from proxy.server.client import EXTENSION, ClientCycle
from proxy.settlement import refused_record
from proxy.wire.body import Body, peek, peek_without_model
from proxy.wire.headers import first, forwarded, is_request_id

# Base64 in a data URL is no text.
_DATA_URL = re.compile(rb";base64,[A-Za-z0-9+/=]+")


class Inference:
    """Serves one row."""

    def __init__(self, row: Row, shared: Shared) -> None:
        self._row = row
        self._shared = shared
        self._upstream_path = row.upstream_path.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        client: ClientCycle = scope["extensions"][EXTENSION]
        shared = self._shared
        request_id = new_request_id()
        key: Key | None = None
        body: Body | None = None
        started = time.time_ns() // 1000
        try:
            key = authenticate(scope["headers"], shared.keys, started / 1_000_000)
            check_head(scope)
            failure = shared.failure()
            if failure is not None:
                raise StoreFailed("The gateway cannot write its ledger and takes no new work.")
            data = await client.read_body(shared.max_body_bytes)
            body = self._peek(scope, data)
            call = self._call(scope, client, request_id, key, body, data, started)
            for policy in shared.policies:
                policy.admit(call)
        except GatewayError as error:
            self._refuse(client, scope, request_id, started, key, body, error)
            return
        assert call.alias is not None
        exchange = Exchange(shared.services, call, call.alias, client)
        del data, body
        try:
            exchange.start()
            while (await receive())["type"] != "http.disconnect":
                pass
        except BaseException:
            # The server's own deadline, or a fault of ours: never an unsettled request.
            exchange.interrupt()
            raise
        exchange.client_gone()

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
            text_in=text_bytes(data),
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


def check_head(scope: Scope) -> None:
    """Refuse what the body's head already shows to be unreadable; raises `InvalidRequest`."""
    for name, value in scope["headers"]:
        if name == b"content-type":
            if value.partition(b";")[0].strip().lower() != b"application/json":
                raise InvalidRequest(
                    "The request's content type must be application/json.", code="unsupported_content_type"
                )
        elif name == b"content-encoding" and value.lower() != b"identity":
            raise InvalidRequest(
                "Compressed request bodies are not taken; send the body as it is.",
                status=415,
                code="unsupported_content_encoding",
            )


def allowed_query(query: bytes, allowed: frozenset[str]) -> bytes:
    """The part of a query string that goes to the upstream, with its question mark; never a credential."""
    if not query or not allowed:
        return b""
    kept = [part for part in query.split(b"&") if part.partition(b"=")[0].decode("latin-1") in allowed]
    return b"?" + b"&".join(kept) if kept else b""


def text_bytes(data: bytes) -> int:
    """The size of a request body without the base64 of its data URLs."""
    if b";base64," not in data:
        return len(data)
    return len(data) - sum(match.end() - match.start() for match in _DATA_URL.finditer(data))


def new_request_id() -> str:
    """A fresh request id."""
    return f"req_{os.urandom(16).hex()}"
