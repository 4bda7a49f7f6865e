"""What a resource response creates is recorded as its key's own, and the upstream's names are taken out of it.

All of it happens before the client gets the bytes in question. The events of runs are read here too; their wire facts:
https://platform.openai.com/docs/api-reference/assistants-streaming/events.
"""

import time
from typing import Final

import msgspec

from proxy.dialects.lenient import decode
from proxy.dialects.scrub import NO_NAMES, scrub
from proxy.dialects.upstream_errors import error_in_resource
from proxy.ledger.ownership import Owners
from proxy.ledger.record import BATCH_INPUT, OwnershipRecord
from proxy.policies.access import may_use
from proxy.policies.references import ID
from proxy.resources.request import ResourceRequest
from proxy.resources.rewrite import (
    elements_of,
    fields_of,
    model_of,
    named_in,
    scrubbed,
    text_of,
    with_alias,
    with_elements,
)
from proxy.resources.routing import ResourceUpstreams
from proxy.wire.meter import UsageMeter
from proxy.wire.schemas import Usage
from proxy.wire.usage import Reading, read_usage, reading, usage_of

#: What a client sees in place of a model that has no alias.
UNNAMED: Final = "prometheus"
#: The resources that the events of a run create.
KINDS: Final = frozenset({"thread", "thread.run", "thread.message"})
#: The statuses of a run after which its stream ends.
_LAST_STATUSES: Final = frozenset({"requires_action", "cancelled", "failed", "completed", "incomplete", "expired"})
_EMPTY: Final = msgspec.Raw()
_NULL: Final = msgspec.Raw(b"null")


class ResourceResponseRewriter:
    """Records who owns what a response creates, and rewrites the upstream's model names to aliases."""

    def __init__(self, owners: Owners, upstreams: ResourceUpstreams) -> None:
        self._owners = owners
        self._upstreams = upstreams

    async def rewrite(self, request: ResourceRequest, data: bytes) -> bytes:
        """The response for the client, after what it creates was recorded. Raises `UpstreamProtocolError`."""
        row = request.row
        self.check(request, data)
        fields = fields_of(data)
        if row.deletes:
            self._owners.forget(request.records[row.deletes])
        for path, kind in row.creates:
            self._record(request, _id_at(fields, path), BATCH_INPUT if request.uploads_batch else kind)
        await self._adopt(request, data)
        if row.bills and "usage" in fields:
            request.usage = read_usage(bytes(fields["usage"]))
        record = request.record
        if bytes(fields.get("data", b"")).startswith(b"["):
            elements = elements_of(fields["data"])
            ids = [text_of(fields_of(element), "id") if element.startswith(b"{") else "" for element in elements]
            records = await self._owners.among(request.key, [id_ for id_ in ids if ID.fullmatch(id_)])
            rewritten = [
                self._with_alias(request, element, records.get(id_, record)) if element.startswith(b"{") else element
                for element, id_ in zip(elements, ids, strict=True)
            ]
            data = with_elements(data, fields, rewritten)
        return self._with_alias(request, data, record)

    async def rewrite_listed(self, request: ResourceRequest, data: bytes, record: OwnershipRecord) -> bytes:
        """A resource of a list for the client that owns it."""
        await self._adopt(request, data, record)
        return self._with_alias(request, data, record)

    def _with_alias(self, request: ResourceRequest, data: bytes, record: OwnershipRecord | None) -> bytes:
        """A resource with the alias that it was made with, or one of its model, in place of the model."""
        alias = (request.alias if request.row.creates else "") or (record.alias if record is not None else "")
        model = model_of(data)
        alias = alias or request.alias or self._upstreams.alias_for(request.upstream, model) or UNNAMED
        data = with_alias(data, alias)
        if request.row.scrubs:
            data = scrubbed(data, (record.model if record is not None else "") or model, alias)
        return data

    def check(self, request: ResourceRequest, data: bytes) -> None:
        """Raise `UpstreamReported` for a response that is an error."""
        error = error_in_resource(200, data, self.names(request))
        if error is not None:
            raise error

    def names(self, request: ResourceRequest) -> dict[str, str]:
        """The upstream's models and secrets that an error may quote, each with what the client sees in its place."""
        record, target, key = request.record, request.target, request.context.key
        names = dict(target.hidden) if target is not None else {}
        for model, aliases in self._upstreams.aliases_at(request.upstream).items():
            names[model] = next((alias for alias in aliases if may_use(key, alias)), UNNAMED)
        if record is not None and record.model:
            names[record.model] = record.alias or UNNAMED
        if request.model:
            names[request.model] = request.alias or UNNAMED
        return names

    async def record_events(self, request: ResourceRequest, meter: "RunMeter") -> None:
        """Record what the events read last have created, or name."""
        for id_, kind in meter.created:
            self._record(request, id_, kind)
        for payload in meter.naming:
            await self._adopt(request, payload)
        meter.created.clear()
        meter.naming.clear()

    def _record(self, request: ResourceRequest, id_: str, kind: str) -> None:
        if ID.fullmatch(id_) is not None:
            self._owners.record(_owned(request, id_, kind))

    async def _adopt(self, request: ResourceRequest, data: bytes, parent: OwnershipRecord | None = None) -> None:
        """Record what the upstream made for this key by itself, and names in a response to it, as the key's."""
        for id_ in named_in(data, request.row.adopts):
            if ID.fullmatch(id_) is not None:
                kind = "vector_store" if id_.startswith("vs_") else "file"
                await self._owners.adopt(_owned(request, id_, kind, parent))


def _owned(request: ResourceRequest, id_: str, kind: str, parent: OwnershipRecord | None = None) -> OwnershipRecord:
    """The record of a resource that was made with the request's alias, or with that of its parent."""
    made_with = parent or request
    created = time.time_ns() // 1000
    return OwnershipRecord(id_, kind, request.key, request.upstream, created, made_with.alias, made_with.model)


def _id_at(fields: dict[str, msgspec.Raw], path: str) -> str:
    """The id at a path of one name or two, or ""."""
    outer, _, inner = path.partition(".")
    if not inner:
        return text_of(fields, outer)
    raw = fields.get(outer)
    return text_of(fields_of(bytes(raw)), inner) if raw is not None and bytes(raw).startswith(b"{") else ""


class _Event(msgspec.Struct, gc=False):
    id: str = ""
    object: str = ""
    status: str | None = None
    model: msgspec.Raw = _EMPTY
    usage: msgspec.Raw = _EMPTY
    error: msgspec.Raw = _EMPTY
    code: msgspec.Raw = _EMPTY


_event = msgspec.json.Decoder(_Event)


class RunMeter(UsageMeter):
    """Usage meter of the event stream of a run, which also notes what the run creates."""

    counts_so_far = False
    terminal = False

    def __init__(self, alias: str, model: str) -> None:
        self._alias = alias.encode()
        self._model = model.encode()
        self._usage = Reading({})
        #: Secrets that an error may quote beside the model's name, each with what the client sees in its place.
        self.hidden = NO_NAMES
        self.path = ("model",)
        self.drop = self.failed = self.ended = False
        self.text_out = 0
        self.finished = False
        #: (id, kind) of each resource created, and events that may name files, since the lists were last cleared.
        self.created: list[tuple[str, str]] = []
        self.naming: list[bytes] = []

    def read(self, payload: bytes) -> msgspec.Raw:
        """Read one event; return the raw value of its model. Raises `UpstreamProtocolError` when it is not JSON."""
        event = decode(_event.decode, _Event, payload)
        if event.object in KINDS:
            self.created.append((event.id, event.object))
        if b"file_id" in payload:
            self.naming.append(payload)
        if event.object == "thread.run":
            self.finished = event.status in _LAST_STATUSES
            if event.usage is not _EMPTY and event.usage != _NULL:
                self._usage = self._usage.under(reading(bytes(event.usage)))
        # The error event has no object: {"code": ..., "message": ...}, or one around it.
        self.failed = not event.object and (event.error is not _EMPTY or event.code is not _EMPTY)
        self.finished = self.finished or self.failed
        return event.model

    def scrub(self, block: bytes) -> bytes:
        """An error event with the alias in place of the upstream's model name, and without account ids."""
        return scrub(block, self._model, self._alias, self.hidden)

    def usage(self) -> Usage | None:
        """The usage of the run, once its stream has ended."""
        return usage_of(self._usage)
