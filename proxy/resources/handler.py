"""Serves a request for objects, from its checked ids to its answer: the awaited sister of the relay.

An object lives where it was made, so there is no fallback: one upstream, and one attempt but for a connection that had
just closed.
"""

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from typing import TypeVar

import msgspec

from proxy.clock.gil import in_turns
from proxy.errors import BodyTooLarge, GatewayError, InvalidRequest
from proxy.exchange.services import Services
from proxy.ledger.ownership import Owners
from proxy.ledger.record import Owned
from proxy.policies.ownership import own, own_all
from proxy.policies.references import find
from proxy.resources.account import Account
from proxy.resources.batch_files import BatchUp
from proxy.resources.capture import ResourceResponseRewriter
from proxy.resources.context import ResourceContext
from proxy.resources.disconnect import Receive, body_pieces, while_there
from proxy.resources.form import Change, CheckedValue, Form, NewValue
from proxy.resources.pagination import own_page, wanted_of
from proxy.resources.response import JSON_HEADERS, MAX_ERROR_BODY, ResourceResponder
from proxy.resources.routing import ResourceRouting
from proxy.server.bodies import Bodies, Holding
from proxy.upstream.client import UpstreamRequest
from proxy.wire.content_encoding import encoding_of, inflate_in_steps
from proxy.wire.field_names import TEXT_FIELDS, may_name_in_json, named_by
from proxy.wire.headers import header_value, request_lines
from proxy.wire.multipart import FormEvent, boundary_of, content_type_line, is_multipart

T = TypeVar("T")
#: The largest file, and the rest of its form.
MAX_FILE = 512 * 1024 * 1024 + 1_048_576
_JSON = b"content-type: application/json\r\n"


class ResourceHandler:
    """See the module."""

    def __init__(
        self,
        owners: Owners,
        choice: ResourceRouting,
        taking: ResourceResponseRewriter,
        answering: ResourceResponder,
        services: Services,
        max_body_bytes: int,
        bodies: Bodies,
    ) -> None:
        self._owners = owners
        self._choice = choice
        self._taking = taking
        self._answering = answering
        self._services = services
        self._max_body_bytes = max_body_bytes
        self._bodies = bodies

    async def serve(self, visit: ResourceContext, receive: Receive) -> None:
        """Answer a request. Raises `GatewayError`, also after the answer has begun: `fail` knows what is left to do."""
        row = visit.row
        await self._choice.check_ids(visit)
        if row.body in ("form", "file") or (row.body == "form or json" and is_form(visit)):
            await self._upload(visit, receive)
            return
        limit = MAX_ERROR_BODY if row.body == "none" else self._max_body_bytes
        data = await visit.client.read_body(limit)
        encoding = encoding_of(visit.headers)
        if encoding and data:
            with Holding(self._bodies) as holding:
                data = await in_turns(inflate_in_steps(data, encoding, limit, holding.require))
                body = await self._choice.read_json(visit, data)
        else:
            body = await self._choice.read_json(visit, data)
        await while_there(receive, self._list(visit) if row.lists else self._send(visit, body))

    async def fail(self, visit: ResourceContext, error: GatewayError) -> bool:
        """End a request with an error; whether the caller is still to answer it."""
        return await self._answering.fail(visit, error)

    async def _send(self, visit: ResourceContext, body: bytes) -> None:
        lines = _JSON if body else b""
        if body or visit.row.method == "POST":
            lines += b"content-length: %d\r\n" % len(body)
        await self._exchange(visit, self._choice.query(visit), lines, body, self._answering.answer)

    async def _list(self, visit: ResourceContext) -> None:
        """The key's own out of the upstream's list, which may take several requests."""
        row, key = visit.row, visit.key.id
        wanted = await wanted_of(visit.query, row, self._owners, key)

        async def read(visit: ResourceContext, upstream: UpstreamRequest) -> bytes:
            if upstream.status != 200:
                await self._answering.refused(visit, upstream)
                raise _Answered
            data = await upstream.read(self._max_body_bytes)
            self._taking.check(visit, data)
            return data

        async def fetch(query: bytes) -> bytes:
            return await self._exchange(visit, query, b"", b"", read)

        async def show(element: bytes, record: Owned) -> bytes:
            return await self._taking.listed(visit, element, record)

        try:
            body = await own_page(wanted, row, self._owners, key, fetch, show)
        except _Answered:
            return
        await self._answering.respond(visit, 200, JSON_HEADERS, body, "complete", None)

    async def _exchange(
        self,
        visit: ResourceContext,
        query: bytes,
        lines: bytes,
        body: bytes,
        answer: Callable[[ResourceContext, UpstreamRequest], Awaitable[T]],
    ) -> T:
        """One request to the upstream, and what is done with its answer."""
        account = self._open(visit)
        upstream = UpstreamRequest(account.pool, visit.key.id)
        try:
            before = time.monotonic()
            await upstream.send(self._head(visit, account, query, lines), body)
            visit.waited += time.monotonic() - before
            return await answer(visit, upstream)
        finally:
            upstream.close()

    def _open(self, visit: ResourceContext) -> Account:
        """The journal knows of the call before the upstream does. Raises `StoreFailed`."""
        assert visit.account is not None
        self._services.journal.append(visit.opened())
        visit.sent = time.monotonic()
        return visit.account

    def _head(self, visit: ResourceContext, account: Account, query: bytes, lines: bytes) -> bytes:
        path = visit.row.upstream_path(visit.ids)
        return account.head(visit.row.method, path, query, request_lines(visit.headers) + lines)

    # forms

    async def _upload(self, visit: ResourceContext, receive: Receive) -> None:
        """Pass a form on while it arrives."""
        row = visit.row
        if not is_form(visit):
            raise InvalidRequest(
                "The request's content type must be multipart/form-data.", code="unsupported_content_type"
            )
        if (visit.client.announced() or 0) > MAX_FILE:
            raise BodyTooLarge(f"The request body is larger than {MAX_FILE} bytes, the most this endpoint takes.")
        boundary = boundary_of(header_value(visit.headers, b"content-type") or b"")
        wanted = "purpose" if row.body == "file" else "model" if row.model != "none" else ""
        form = Form(body_pieces(receive), boundary, MAX_FILE, wanted, Holding(self._bodies))
        lines = Holding(self._bodies)
        try:
            value = await form.read_field()
            if wanted == "purpose" and value == "batch":
                pieces = await self._batch(visit, form, lines)
            else:
                name = (value or "") if wanted == "model" else ""
                self._choice.choose(visit, [], name)
                renamed = visit.model if name else ""
                pieces = form.body(partial(self._changed, visit, renamed))
            await self._stream(visit, receive, pieces, content_type_line(boundary))
        finally:
            form.close()
            lines.release()

    def _changed(self, visit: ResourceContext, renamed: str, part: FormEvent) -> Change | None:
        """What is done with a part of a form: the model has another name, and what may name an object is looked at."""
        if renamed and part.name == "model":
            return NewValue(renamed)
        if part.is_file or (part.name in TEXT_FIELDS and not named_by(part.name)):
            return None
        return CheckedValue(part.name, partial(self._check_field, visit, part.name))

    async def _check_field(self, visit: ResourceContext, name: str, value: bytes) -> None:
        """Whether the objects that a field of a form names are the key's own. Raises `InvalidRequest`."""
        assert visit.account is not None
        if named_by(name):
            named = [await own(self._owners, visit.key.id, name, value.decode("utf-8", "replace").strip())]
        elif may_name_in_json(name, value):
            named = await own_all(self._owners, visit.key.id, find({"": msgspec.Raw(value.strip())}))
        else:
            return
        if any(one.upstream != visit.account.name for one in named):
            raise InvalidRequest("The objects in the request are at another provider.", code="objects_apart")

    async def _batch(self, visit: ResourceContext, form: Form, holding: Holding) -> AsyncIterator[bytes]:
        """The form of a batch, read as far as its first line, which says where it goes."""
        place = self._choice.asked_place(visit)
        change = BatchUp(self._choice, self._owners, visit.key, place, self._max_body_bytes, holding)

        def changed(part: FormEvent) -> Change | None:
            return change if part.is_file or part.name == "file" else None

        pieces = form.body(changed)
        begun: list[bytes] = []
        size = 0
        async for piece in pieces:
            begun.append(piece)
            size += len(piece)
            if change.target is not None:
                break
            holding.require(size + change.held)
            if size > self._max_body_bytes:
                raise InvalidRequest("The batch does not begin with a request.", param="file")
        if change.target is None:
            raise InvalidRequest("The batch holds no requests.", param="file")
        visit.alias, visit.model = change.alias, change.target.model
        visit.uploads_batch = True
        visit.account = self._choice.account(change.target.pool.name)
        return _joined(begun, pieces)

    async def _stream(
        self, visit: ResourceContext, receive: Receive, pieces: AsyncIterator[bytes], lines: bytes
    ) -> None:
        account = self._open(visit)
        upstream = UpstreamRequest(account.pool, visit.key.id)
        try:
            lines += b"transfer-encoding: chunked\r\n"
            head = self._head(visit, account, self._choice.query(visit), lines)
            await upstream.stream(head, pieces)

            async def rest() -> None:
                before = time.monotonic()
                await upstream.receive_head()
                visit.waited += time.monotonic() - before
                await self._answering.answer(visit, upstream)

            await while_there(receive, rest())
        finally:
            upstream.close()


def is_form(visit: ResourceContext) -> bool:
    """Whether the body is a form with files."""
    return is_multipart(header_value(visit.headers, b"content-type") or b"")


class _Answered(Exception):
    """An error of the upstream has been passed on."""


async def _joined(begun: list[bytes], rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    for piece in begun:
        yield piece
    begun.clear()
    async for piece in rest:
        yield piece
