"""The handler of resource endpoints: from a request's checked ids to its response, awaited.

A resource lives where it was made, so there is no fallback: one upstream, and one attempt but for a connection that had
just closed.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Final

import msgspec

from proxy.clock.gil import in_turns
from proxy.errors import BodyTooLarge, GatewayError, InvalidRequest
from proxy.exchange.response_head import JSON_LINE
from proxy.exchange.services import Services
from proxy.ledger.ownership import Owners
from proxy.policies.ownership import own, own_all
from proxy.policies.references import find
from proxy.resources.batch_files import BatchUpload
from proxy.resources.capture import ResourceResponseRewriter
from proxy.resources.disconnect import Receive, body_chunks, while_connected
from proxy.resources.form import Change, CheckedValue, Form, NewValue
from proxy.resources.pagination import owned_page, parse_list_query
from proxy.resources.request import ResourceRequest
from proxy.resources.response import ResourceResponder
from proxy.resources.routing import ResourceRouting, check_place
from proxy.routing.retry import seconds_to_respond
from proxy.server.bodies import Bodies, Holding
from proxy.upstream.client import Timeouts, UpstreamRequest
from proxy.wire.content_encoding import encoding_of, inflate_in_steps
from proxy.wire.content_type import check_content_type
from proxy.wire.field_names import TEXT_FIELDS, may_name_object, object_name_in
from proxy.wire.headers import request_lines
from proxy.wire.multipart import FormEvent, content_type_line

#: The largest file, and the rest of its form.
MAX_UPLOAD_BYTES: Final = 512 * 1024 * 1024 + 1_048_576
#: The largest body of a request that needs none.
MAX_UNUSED_BODY_BYTES: Final = 65_536


class ResourceHandler:
    """Serves requests to all resource endpoints."""

    def __init__(
        self,
        owners: Owners,
        routing: ResourceRouting,
        rewriter: ResourceResponseRewriter,
        responder: ResourceResponder,
        services: Services,
        max_body_bytes: int,
        bodies: Bodies,
    ) -> None:
        self._owners = owners
        self._routing = routing
        self._rewriter = rewriter
        self._responder = responder
        self._services = services
        self._max_body_bytes = max_body_bytes
        self._bodies = bodies

    async def serve(self, request: ResourceRequest, receive: Receive) -> None:
        """Respond to a request. Raises `GatewayError`, also after the response has begun: then `fail` ends it."""
        row = request.row
        boundary = check_content_type(request.headers, row.body)
        await self._routing.check_ids(request)
        if boundary is not None:
            await self._upload(request, receive, boundary)
            return
        max_bytes = MAX_UNUSED_BODY_BYTES if row.body == "none" else self._max_body_bytes
        data = await request.client.read_body(max_bytes)
        with Holding(self._bodies) as holding:
            encoding = encoding_of(request.headers)
            if encoding and data:
                data = await in_turns(inflate_in_steps(data, encoding, max_bytes, holding.require))
            body = await self._routing.read_json(request, data)
        await while_connected(receive, self._list(request) if row.lists else self._send(request, body))

    async def fail(self, request: ResourceRequest, error: GatewayError) -> bool:
        """End a request with an error; whether that can still be sent."""
        return await self._responder.fail(request, error)

    async def _send(self, request: ResourceRequest, body: bytes) -> None:
        lines = JSON_LINE if body else b""
        if body or request.row.method == "POST":
            lines += b"content-length: %d\r\n" % len(body)
        async with self._call(request, self._routing.query(request), lines, body) as upstream:
            await self._responder.respond(request, upstream)

    async def _list(self, request: ResourceRequest) -> None:
        """Send a page of the resources that the key owns, for which the upstream's list may take several calls."""
        query = await parse_list_query(request.query, request.row, self._owners, request.key)
        fetch = partial(self._fetch_page, request)
        rewrite = partial(self._rewriter.rewrite_listed, request)
        try:
            body = await owned_page(query, request.row, self._owners, request.key, fetch, rewrite)
        except _Responded:
            return
        await self._responder.send(request, 200, JSON_LINE, body)

    async def _fetch_page(self, request: ResourceRequest, query: bytes) -> bytes:
        async with self._call(request, query, b"", b"") as upstream:
            if upstream.status != 200:
                await self._responder.relay_error(request, upstream)
                raise _Responded
            data = await upstream.read(self._max_body_bytes)
            self._rewriter.check(request, data)
            return data

    @asynccontextmanager
    async def _call(
        self, request: ResourceRequest, query: bytes, lines: bytes, body: bytes
    ) -> AsyncIterator[UpstreamRequest]:
        """Make one call to the upstream; `lines` are the header lines of the body."""
        upstream = self._open(request)
        try:
            with request.calls.waiting():
                await upstream.send(self._head(request, query, lines), body)
            yield upstream
        finally:
            upstream.close()

    def _open(self, request: ResourceRequest) -> UpstreamRequest:
        """Write a call to the journal before it is made. Raises `StoreFailed`."""
        target, patience = request.target, request.context.patience
        assert target is not None
        self._services.journal.append(request.opened())
        upstream = target.pool.upstream
        patience = seconds_to_respond(patience)
        first_byte = min(target.first_byte_timeout, patience)
        connect = min(upstream.connect_timeout, patience)
        timeouts = Timeouts(connect, connect, first_byte, upstream.idle_timeout)
        return UpstreamRequest(target.pool, request.key, timeouts)

    def _head(self, request: ResourceRequest, query: bytes, lines: bytes) -> bytes:
        row = request.row
        assert request.target is not None
        path = row.upstream_path(request.ids).encode() + (b"?" + query if query else b"")
        forwarded = request_lines(request.headers) + request.context.upstream_lines()
        return request.target.head(path, forwarded, content=lines, method=row.method.encode() + b" ")

    # forms

    async def _upload(self, request: ResourceRequest, receive: Receive, boundary: bytes) -> None:
        """Pass a form on while it arrives."""
        row = request.row
        if (request.client.content_length or 0) > MAX_UPLOAD_BYTES:
            raise BodyTooLarge(
                f"The request body is larger than {MAX_UPLOAD_BYTES} bytes, the most this endpoint takes."
            )
        field = "purpose" if row.body == "file" else "model" if row.model != "none" else ""
        form = Form(body_chunks(receive), boundary, MAX_UPLOAD_BYTES, field, Holding(self._bodies))
        try:
            with Holding(self._bodies) as holding:
                value = await form.read_field()
                if field == "purpose" and value == "batch":
                    chunks = await self._read_batch(request, form, holding)
                else:
                    name = (value or "") if field == "model" else ""
                    self._routing.choose(request, [], name)
                    chunks = form.body(partial(self._change_of, request, request.model if name else ""))
                await self._stream(request, receive, chunks, content_type_line(boundary))
        finally:
            form.close()

    def _change_of(self, request: ResourceRequest, model: str, part: FormEvent) -> Change | None:
        """How a part is changed: the model is replaced, and what may name a resource is checked."""
        if model and part.name == "model":
            return NewValue(model)
        if part.is_file or (part.name in TEXT_FIELDS and not object_name_in(part.name)):
            return None
        return CheckedValue(part.name, partial(self._check_field, request, part.name))

    async def _check_field(self, request: ResourceRequest, name: str, value: bytes) -> None:
        """Check that the key owns the resources that a field of a form names. Raises `InvalidRequest`."""
        if object_name_in(name):
            named = [await own(self._owners, request.key, name, value.decode("utf-8", "replace").strip())]
        elif may_name_object(name, value):
            named = await own_all(self._owners, request.key, find({"": msgspec.Raw(value.strip())}))
        else:
            return
        check_place(named, request.upstream)

    async def _read_batch(self, request: ResourceRequest, form: Form, holding: Holding) -> AsyncIterator[bytes]:
        """Read the form of a batch as far as its first line, which chooses the upstream; return all of it."""
        place = self._routing.header_place(request)
        change = BatchUpload(self._routing, self._owners, request.context.key, place, self._max_body_bytes, holding)
        chunks = form.body(partial(_change_of_batch, change))
        begun: list[bytes] = []
        size = 0
        async for chunk in chunks:
            begun.append(chunk)
            size += len(chunk)
            if change.target is not None:
                break
            holding.require(size + change.partial_bytes)
            if size > self._max_body_bytes:
                raise InvalidRequest("The batch does not begin with a request.", param="file")
        if change.target is None:
            raise InvalidRequest("The batch holds no requests.", param="file")
        self._routing.choose_batch(request, change.alias, change.target)
        return _joined(begun, chunks)

    async def _stream(
        self, request: ResourceRequest, receive: Receive, chunks: AsyncIterator[bytes], lines: bytes
    ) -> None:
        """Stream a body to the upstream, then relay its response."""
        upstream = self._open(request)
        try:
            lines += b"transfer-encoding: chunked\r\n"
            await upstream.stream(self._head(request, self._routing.query(request), lines), chunks)
            await while_connected(receive, self._receive(request, upstream))
        finally:
            upstream.close()

    async def _receive(self, request: ResourceRequest, upstream: UpstreamRequest) -> None:
        with request.calls.waiting():
            await upstream.receive_head()
        await self._responder.respond(request, upstream)


class _Responded(Exception):
    """An error of the upstream has been relayed."""


def _change_of_batch(change: BatchUpload, part: FormEvent) -> Change | None:
    return change if part.is_file or part.name == "file" else None


async def _joined(begun: list[bytes], rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    for chunk in begun:
        yield chunk
    begun.clear()
    async for chunk in rest:
        yield chunk
