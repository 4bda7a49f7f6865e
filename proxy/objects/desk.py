"""Serves a request for objects, from its checked ids to its bill: the awaited sister of the relay.

An object lives where it was made, so there is no fallback: one upstream, and one attempt but for a connection that had
just closed. What an answer creates is recorded before the client learns of it.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping, MutableMapping
from typing import Any, TypeVar
from urllib.parse import unquote

import msgspec

from proxy.answer import outcome_of, timestamp
from proxy.dialects.base import AnswerTap
from proxy.dialects.openai import error_event, upstream_error
from proxy.dialects.typed import TypedTap
from proxy.errors import BodyTooLarge, ClientGone, GatewayError, InvalidRequest, UpstreamDropped, UpstreamFailed
from proxy.ledger.keys import Key
from proxy.ledger.owners import Owners
from proxy.ledger.record import Outcome, Owned
from proxy.objects.account import Account, Accounts, target_at
from proxy.objects.asking import Asking
from proxy.objects.claims import not_found, one_place, own, own_all
from proxy.objects.events import RunTap
from proxy.objects.form import Form
from proxy.objects.lines import BatchDown, BatchUp
from proxy.objects.pages import own_page, wanted_of
from proxy.objects.row import CHILD_IDS
from proxy.objects.shown import (
    elements_of,
    fields_of,
    model_of,
    named_in,
    scrubbed,
    text_of,
    with_alias,
    with_elements,
)
from proxy.objects.visit import Visit, store
from proxy.policies.references import ID, Reference, find
from proxy.policies.rights import may_use
from proxy.policies.rights import not_found as model_not_found
from proxy.services import Services
from proxy.upstream.target import Alias
from proxy.wire.body import decode_object
from proxy.wire.headers import first, forwarded, relayed
from proxy.wire.multipart import boundary_of, content_type_line, is_multipart
from proxy.wire.rewrite import StreamRewriter
from proxy.wire.usage import read_usage

T = TypeVar("T")
#: The client's side of ASGI.
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
#: The largest file, and the rest of its form.
MAX_FILE = 512 * 1024 * 1024 + 1_048_576
MAX_ERROR_BODY = 65_536
#: Where a client says which alias's upstream is meant, when nothing else in the request does.
MODEL_HEADER = b"x-prism-model"
_JSON = b"content-type: application/json\r\n"
_encoder = msgspec.json.Encoder()


class Desk:
    """See the module."""

    def __init__(
        self,
        owners: Owners,
        accounts: Accounts,
        aliases: Mapping[str, Alias],
        services: Services,
        max_body_bytes: int,
        failed: Callable[[str, str, GatewayError], None],
    ) -> None:
        """`failed` is told of every failed call: the request's id, the upstream's name, and why."""
        self._owners = owners
        self._accounts = accounts
        self._aliases = aliases
        self._services = services
        self._max_body_bytes = max_body_bytes
        self._failed = failed

    async def serve(self, visit: Visit, receive: Receive) -> None:
        """Answer a request. Raises `GatewayError` while nothing of an answer has left; a cut is the caller's too."""
        await self._check_ids(visit)
        if visit.row.body in ("form", "file"):
            await self._upload(visit, receive)
            return
        body = await self._read(visit)
        await while_there(receive, self._send(visit, body))

    # what is asked

    async def _check_ids(self, visit: Visit) -> None:
        """Every id in the path is the key's own, or at least not another's. Raises `InvalidRequest`."""
        key = visit.key.id
        for name, id_ in visit.ids.items():
            if ID.fullmatch(id_) is None:
                raise not_found(name, id_)
            if name not in CHILD_IDS:
                visit.records[name] = await own(self._owners, key, name, id_)
            elif await self._is_anothers(key, id_):
                raise not_found(name, id_)
        if visit.records:
            one_place(visit.records.values())

    async def _is_anothers(self, key: str, id_: str) -> bool:
        found = await self._owners.find(id_)
        return found is not None and found.key != key

    async def _read(self, visit: Visit) -> bytes:
        """The body for the upstream, after everything in it was checked. Raises `GatewayError`."""
        row = visit.row
        data = await visit.client.read_body(self._max_body_bytes if row.body == "json" else MAX_ERROR_BODY)
        if row.body == "none" or not data:
            self._choose(visit, [], "")
            return b""
        fields = decode_object(data)
        named = await own_all(self._owners, visit.key.id, find(fields))
        if row.refuses and text_of(fields, "purpose") == row.refuses:
            raise InvalidRequest(
                f"Files for '{row.refuses}' are uploaded in one piece, by POST /v1/files.", param="purpose"
            )
        name = text_of(fields, "model") if row.model != "none" else ""
        self._choose(visit, named, name)
        if row.takes_batches and not all(one.alias for one in named if one.kind == "file"):
            raise InvalidRequest("The file is no batch: upload it with purpose 'batch'.", param="input_file_id")
        visit.stream = bytes(fields.get("stream", b"")) == b"true"
        if name:
            fields["model"] = msgspec.Raw(_encoder.encode(visit.model))
        return _encoder.encode(fields)

    def _choose(self, visit: Visit, named: list[Owned], name: str) -> None:
        """Where the request goes, and under which alias it is booked. Raises `InvalidRequest`."""
        row = visit.row
        records = [*visit.records.values(), *named]
        place = one_place(records) if records else None
        if row.model == "must" and not name:
            raise InvalidRequest("You must provide a model parameter.", param="model")
        if name:
            target = target_at(self._alias(visit.key, name), place)
            if target is None:
                raise InvalidRequest(
                    f"The model `{name}` cannot be used here.", param="model", code="model_not_supported"
                )
            visit.alias, visit.model, place = name, target.model, target.pool.name
        else:
            made = next((one for one in [*named, *reversed(visit.records.values())] if one.alias), None)
            if made is not None:
                visit.alias, visit.model = made.alias, made.model
                if row.bills or row.takes_batches:
                    self._alias(visit.key, made.alias)
            if place is None:
                place = self._asked_place(visit)
        visit.account = self._account(place)

    def _account(self, place: str | None) -> Account:
        account = self._accounts.get(place) if place is not None else self._accounts.first()
        if account is None:
            raise InvalidRequest("No provider for this request is configured.", status=404, code="not_found")
        return account

    def _asked_place(self, visit: Visit) -> str | None:
        """The upstream of the alias that a header names."""
        wanted = first(visit.headers, MODEL_HEADER)
        if wanted is None:
            return None
        name = wanted.decode("latin-1")
        target = target_at(self._alias(visit.key, name), None)
        if target is None:
            raise InvalidRequest(f"The model `{name}` cannot be used here.", param="model", code="model_not_supported")
        return target.pool.name

    def _alias(self, key: Key, name: str) -> Alias:
        alias = self._aliases.get(name)
        if alias is None or not may_use(key, name):
            raise model_not_found(name, [one for one in self._aliases if may_use(key, one)])
        return alias

    # to the upstream

    async def _send(self, visit: Visit, body: bytes) -> None:
        if visit.row.lists:
            await self._list(visit)
            return
        lines = _JSON if body else b""
        if body or visit.row.method == "POST":
            lines += b"content-length: %d\r\n" % len(body)
        await self._exchange(visit, self._query(visit), lines, body, self._answer)

    async def _exchange(
        self, visit: Visit, query: bytes, lines: bytes, body: bytes, answer: Callable[[Visit, Asking], Awaitable[T]]
    ) -> T:
        """One request to the upstream, and what is done with its answer."""
        account = self._opened(visit)
        asking = Asking(account.pool)
        try:
            path = visit.row.upstream_path(visit.ids)
            before = time.monotonic()
            lines = forwarded(visit.headers) + lines
            await asking.send(account.head(visit.row.method, path, query, lines), body)
            visit.waited += time.monotonic() - before
            return await answer(visit, asking)
        finally:
            asking.give_up()

    def _opened(self, visit: Visit) -> Account:
        """The journal knows of the call before the upstream does. Raises `StoreFailed`."""
        account = visit.account
        assert account is not None
        self._services.journal.append(visit.opened())
        visit.sent = time.monotonic()
        return account

    def _query(self, visit: Visit) -> bytes:
        """The part of the query that goes on. Raises `InvalidRequest` for a cursor that is no id."""
        kept = []
        for part in visit.query.split(b"&"):
            name, _, value = part.partition(b"=")
            known = unquote(name.decode("latin-1"))
            if known not in visit.row.query:
                continue
            if known in ("after", "before") and value and ID.fullmatch(unquote(value.decode("latin-1"))) is None:
                raise not_found(known, value.decode("latin-1"))
            kept.append(part)
        return b"&".join(kept)

    async def _upload(self, visit: Visit, receive: Receive) -> None:
        """Pass a form on while it arrives."""
        row = visit.row
        content_type = first(visit.headers, b"content-type") or b""
        if not is_multipart(content_type):
            raise InvalidRequest(
                "The request's content type must be multipart/form-data.", code="unsupported_content_type"
            )
        if (visit.client.announced() or 0) > MAX_FILE:
            raise BodyTooLarge(f"The request body is larger than {MAX_FILE} bytes, the most this endpoint takes.")
        boundary = boundary_of(content_type)
        wanted = "purpose" if row.body == "file" else "model" if row.model != "none" else ""
        form = Form(body_pieces(receive), boundary, MAX_FILE, wanted)
        try:
            value = await form.look()
            if wanted == "purpose" and value == "batch":
                pieces = await self._batch(visit, form)
            else:
                name = (value or "") if wanted == "model" else ""
                self._choose(visit, [], name)
                renamed = visit.model if name else ""
                pieces = form.body(lambda part: Renamed(renamed) if renamed and part.name == "model" else None)
            await self._stream(visit, receive, pieces, content_type_line(boundary))
        finally:
            form.close()

    async def _batch(self, visit: Visit, form: Form) -> AsyncIterator[bytes]:
        """The form of a batch, read as far as its first line, which says where it goes."""
        place = self._asked_place(visit)

        async def check(references: tuple[Reference, ...]) -> None:
            for one in await own_all(self._owners, visit.key.id, references):
                assert change.target is not None
                if one.upstream != change.target.pool.name:
                    raise InvalidRequest("The objects in the request are at another provider.", code="objects_apart")

        change = BatchUp(self._aliases, visit.key, place, check, self._max_body_bytes)
        pieces = form.body(lambda part: change if part.is_file and part.name == "file" else None)
        begun: list[bytes] = []
        async for piece in pieces:
            begun.append(piece)
            if change.target is not None:
                break
            if sum(map(len, begun)) > self._max_body_bytes:
                raise InvalidRequest("The batch does not begin with a request.", param="file")
        if change.target is None:
            raise InvalidRequest("The batch holds no requests.", param="file")
        visit.alias, visit.model = change.alias, change.target.model
        visit.account = self._account(change.target.pool.name)
        return _joined(begun, pieces)

    async def _stream(self, visit: Visit, receive: Receive, pieces: AsyncIterator[bytes], lines: bytes) -> None:
        account = self._opened(visit)
        asking = Asking(account.pool)
        try:
            lines = forwarded(visit.headers) + lines + b"transfer-encoding: chunked\r\n"
            path = visit.row.upstream_path(visit.ids)
            head = account.head(visit.row.method, path, self._query(visit), lines)
            await asking.stream(head, pieces, chunked=True)

            async def rest() -> None:
                before = time.monotonic()
                await asking.begun()
                visit.waited += time.monotonic() - before
                await self._answer(visit, asking)

            await while_there(receive, rest())
        finally:
            asking.give_up()

    # the answer

    async def _answer(self, visit: Visit, asking: Asking) -> None:
        if not 200 <= asking.status < 300:
            await self._refused(visit, asking)
            return
        kind = (first(asking.headers, b"content-type") or b"").lower()
        if visit.row.reply == "bytes":
            await self._bytes(visit, asking)
        elif kind.startswith(b"text/event-stream") and visit.row.reply == "json or events":
            await self._events(visit, asking)
        else:
            before = time.monotonic()
            data = await asking.read(self._max_body_bytes)
            visit.waited += time.monotonic() - before
            await self._respond(visit, asking, await self._taken(visit, data), "complete", None)

    async def _refused(self, visit: Visit, asking: Asking) -> None:
        """Pass the upstream's error on, if it is one that a client may see. Raises `UpstreamFailed` for any other."""
        status = asking.status
        data = await asking.read(MAX_ERROR_BODY)
        if status in (401, 403):
            raise UpstreamFailed("The gateway was refused by the provider.", detail=f"status {status}")
        body = upstream_error(data, visit.model, visit.alias)
        if body is None or status < 400:
            raise UpstreamFailed(f"The provider failed (status {status}).")
        await self._respond(visit, asking, body, "upstream_error", f"upstream_{status}")

    async def _respond(
        self, visit: Visit, asking: Asking | None, body: bytes, outcome: Outcome, code: str | None
    ) -> None:
        """Bill, and then write, a whole answer."""
        status = asking.status if asking is not None else 200
        headers = asking.headers if asking is not None else [(b"content-type", b"application/json")]
        visit.first_write = time.monotonic()
        await self.settle(visit, outcome, status, code, len(body))
        visit.client.begin(status, relayed(headers) + self._facts(visit), len(body))
        visit.client.write(body, True)

    async def _list(self, visit: Visit) -> None:
        row, key = visit.row, visit.key.id
        wanted = await wanted_of(visit.query, row, self._owners, key)

        async def read(visit: Visit, asking: Asking) -> bytes:
            if asking.status != 200:
                await self._refused(visit, asking)
                raise _Answered
            return await asking.read(self._max_body_bytes)

        def show(element: bytes, record: Owned) -> bytes:
            return self._shown(visit, element, record)

        try:
            body = await own_page(
                wanted, row, self._owners, key, lambda query: self._exchange(visit, query, b"", b"", read), show
            )
        except _Answered:
            return
        await self._respond(visit, None, body, "complete", None)

    async def _taken(self, visit: Visit, data: bytes) -> bytes:
        """An answer as the client gets it, after what it creates was recorded. Raises `UpstreamProtocolError`."""
        row = visit.row
        fields = fields_of(data)
        if row.deletes:
            self._owners.forget(visit.records[row.deletes])
        for path, kind in row.creates:
            self._record(visit, _id_at(fields, path), kind)
        await self._adopt(visit, data)
        if row.bills and "usage" in fields:
            visit.usage = read_usage(bytes(fields["usage"]))
        record = next(reversed(visit.records.values()), None)
        if bytes(fields.get("data", b"")).startswith(b"["):
            elements = elements_of(fields["data"])
            ids = [text_of(fields_of(element), "id") for element in elements if element.startswith(b"{")]
            records = await self._owners.among(visit.key.id, [id_ for id_ in ids if ID.fullmatch(id_)])
            shown = [
                self._shown(visit, element, records.get(text_of(fields_of(element), "id"), record))
                if element.startswith(b"{")
                else element
                for element in elements
            ]
            data = with_elements(data, fields, shown)
        return self._shown(visit, data, record)

    def _shown(self, visit: Visit, data: bytes, record: Owned | None) -> bytes:
        """An object with the alias it was made with, or one that stands for its model, in place of the model."""
        assert visit.account is not None
        alias = (visit.alias if visit.row.creates else "") or (record.alias if record is not None else "")
        model = model_of(data)
        alias = alias or visit.alias or self._accounts.alias_for(visit.account.name, model) or "prometheus"
        data = with_alias(data, alias)
        if visit.row.scrubs:
            data = scrubbed(data, (record.model if record is not None else "") or model, alias)
        return data

    def _record(self, visit: Visit, id_: str, kind: str) -> None:
        if ID.fullmatch(id_) is not None:
            self._owners.record(self._owned(visit, id_, kind))

    def _owned(self, visit: Visit, id_: str, kind: str) -> Owned:
        assert visit.account is not None
        return Owned(id_, kind, visit.key.id, visit.account.name, time.time_ns() // 1000, visit.alias, visit.model)

    async def _adopt(self, visit: Visit, data: bytes) -> None:
        """What the upstream made for this key, and names in an answer to it, is the key's."""
        for id_ in named_in(data, visit.row.adopts):
            if ID.fullmatch(id_) is not None:
                await self._owners.adopt(self._owned(visit, id_, "vector_store" if id_.startswith("vs_") else "file"))

    async def _bytes(self, visit: Visit, asking: Asking) -> None:
        """A file, as it comes; the lines of a batch with the alias put back."""
        record = next(reversed(visit.records.values()), None)
        lines = None
        length: int | None = None
        announced = first(asking.headers, b"content-length")
        if record is not None and record.kind == "file" and record.alias:
            lines = BatchDown(record.alias, record.model, self._max_body_bytes)
        elif announced is not None and announced.isdigit():
            length = int(announced)
        visit.client.begin(asking.status, relayed(asking.headers) + self._facts(visit), length)
        held = b""
        async for piece in asking.pieces():
            if held:
                await self._write(visit, held)
            held = lines.feed(piece) if lines is not None else piece
        held += lines.end() if lines is not None else b""
        await self.settle(visit, "complete", asking.status, None, len(held))
        visit.client.write(held, True)

    async def _events(self, visit: Visit, asking: Asking) -> None:
        """A stream of events with the alias put back, each recorded before it leaves."""
        assert visit.account is not None
        visit.stream = True
        record = next(reversed(visit.records.values()), None)
        alias = visit.alias or (record.alias if record is not None else "") or "prometheus"
        of_run = not visit.row.path.startswith("/v1/responses")
        tap: AnswerTap = TypedTap(alias, visit.model, False)
        if of_run:
            tap = RunTap(alias, visit.model)
        rewriter = StreamRewriter(tap, alias, self._services.max_event_bytes)
        visit.client.begin(asking.status, relayed(asking.headers) + self._facts(visit), None)
        out = b""
        async for piece in asking.pieces():
            out = rewriter.feed(piece)
            await self._seen(visit, tap)
            if tap.ended:
                break
            await self._write(visit, out)
            out = b""
        if not tap.ended:
            out = rewriter.end()
            await self._seen(visit, tap)
        visit.usage = tap.usage()
        if not (tap.ended or tap.finished):
            raise UpstreamDropped("The provider ended the answer early.", detail="not whole")
        await self.settle(visit, "upstream_error" if tap.failed else "complete", asking.status, None, len(out))
        visit.client.write(out, True)

    async def _seen(self, visit: Visit, tap: AnswerTap) -> None:
        """Record what the events name, before they leave."""
        if isinstance(tap, RunTap):
            for id_, kind in tap.made:
                self._record(visit, id_, kind)
            for payload in tap.naming:
                await self._adopt(visit, payload)
            tap.made.clear()
            tap.naming.clear()

    async def _write(self, visit: Visit, data: bytes) -> None:
        """Give the client more of its answer, no faster than it takes it."""
        if not data:
            return
        if not visit.first_write:
            visit.first_write = time.monotonic()
        visit.client.write(data, False)
        if visit.client.flow.write_paused:
            await visit.client.flow.drain()

    def _facts(self, visit: Visit) -> bytes:
        expose = self._services.expose_upstream and visit.account is not None
        return visit.fact_lines(
            model=visit.model if expose else visit.alias,
            provider=visit.account.name if expose and visit.account is not None else "",
        )

    async def settle(self, visit: Visit, outcome: Outcome, status: int, code: str | None, pending: int = 0) -> None:
        """Write the bill, once."""
        if visit.settled is None:
            visit.settled = visit.final(self._aliases.get(visit.alias), outcome, status, code, pending)
            await store(self._services.journal, visit.settled)

    async def fail(self, visit: Visit, error: GatewayError) -> bool:
        """End a request with an error; whether the caller is still to answer it."""
        client = visit.client
        if visit.account is not None and visit.attempts:
            self._failed(visit.id, visit.account.name, error)
        outcome = outcome_of(error)
        begun = client.response_started
        if isinstance(error, ClientGone):
            await self.settle(visit, "client_stalled" if client.stalled else "client_closed", 499, error.code)
            return False
        if not begun:
            await self.settle(visit, outcome, error.status, error.code)
            return True
        await self.settle(visit, "timeout" if outcome == "timeout" else "upstream_cut", client.status, error.code)
        if visit.stream:
            client.write(error_event(error, visit.id, timestamp()), False)
        client.cut()
        return False


class _Answered(Exception):
    """An error of the upstream has been passed on."""


class Renamed:
    """A field with another value."""

    def __init__(self, value: str) -> None:
        self._value = value.encode()

    async def feed(self, data: bytes) -> bytes:
        return b""

    async def end(self) -> bytes:
        return self._value


async def body_pieces(receive: Receive) -> AsyncIterator[bytes]:
    """The client's body as it comes. Raises `ClientGone`."""
    while True:
        message = await receive()
        if message["type"] != "http.request":
            raise ClientGone("The client left while it sent its request.")
        if message.get("body"):
            yield message["body"]
        if not message.get("more_body"):
            return


async def while_there(receive: Receive, work: Coroutine[Any, Any, T]) -> T:
    """Do something for as long as the client waits for it. Raises `ClientGone`, and whatever the work does."""

    async def gone() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass

    working, leaving = asyncio.create_task(work), asyncio.create_task(gone())
    try:
        await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise ClientGone("The client left before its answer ended.")
        return working.result()
    finally:
        for task in (working, leaving):
            task.cancel()
        await asyncio.gather(working, leaving, return_exceptions=True)


async def _joined(begun: list[bytes], rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    for piece in begun:
        yield piece
    begun.clear()
    async for piece in rest:
        yield piece


def _id_at(fields: dict[str, msgspec.Raw], path: str) -> str:
    """The id at a path of one name or two, or ""."""
    outer, _, inner = path.partition(".")
    if not inner:
        return text_of(fields, outer)
    raw = fields.get(outer)
    return text_of(fields_of(bytes(raw)), inner) if raw is not None and bytes(raw).startswith(b"{") else ""
