"""What becomes of an answer about objects: what it creates is recorded, and names of the upstream are taken out.

Everything in here happens before the client gets the bytes in question.
"""

import time

import msgspec

from proxy.dialects.upstream_errors import error_in_resource
from proxy.ledger.ownership import Owners
from proxy.ledger.record import BATCH_INPUT, Owned
from proxy.policies.access import may_use
from proxy.policies.references import ID
from proxy.resources.account import Accounts
from proxy.resources.context import ResourceContext
from proxy.resources.events import RunMeter
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
from proxy.wire.usage import read_usage

#: What stands for a model that no alias stands for.
UNNAMED = "prometheus"


class ResourceResponseRewriter:
    """See the module."""

    def __init__(self, owners: Owners, accounts: Accounts) -> None:
        self._owners = owners
        self._accounts = accounts

    async def answer(self, visit: ResourceContext, data: bytes) -> bytes:
        """An answer as the client gets it, after what it creates was recorded. Raises `UpstreamProtocolError`."""
        row = visit.row
        self.check(visit, data)
        fields = fields_of(data)
        if row.deletes:
            self._owners.forget(visit.records[row.deletes])
        for path, kind in row.creates:
            self._record(visit, _id_at(fields, path), BATCH_INPUT if visit.uploads_batch else kind)
        await self._adopt(visit, data)
        if row.bills and "usage" in fields:
            visit.usage = read_usage(bytes(fields["usage"]))
        record = visit.record
        if bytes(fields.get("data", b"")).startswith(b"["):
            elements = elements_of(fields["data"])
            ids = [text_of(fields_of(element), "id") for element in elements if element.startswith(b"{")]
            records = await self._owners.among(visit.key.id, [id_ for id_ in ids if ID.fullmatch(id_)])
            shown = [
                self.shown(visit, element, records.get(text_of(fields_of(element), "id"), record))
                if element.startswith(b"{")
                else element
                for element in elements
            ]
            data = with_elements(data, fields, shown)
        return self.shown(visit, data, record)

    def shown(self, visit: ResourceContext, data: bytes, record: Owned | None) -> bytes:
        """An object with the alias it was made with, or one that stands for its model, in place of the model."""
        assert visit.account is not None
        alias = (visit.alias if visit.row.creates else "") or (record.alias if record is not None else "")
        model = model_of(data)
        alias = alias or visit.alias or self._accounts.alias_for(visit.account.name, model) or UNNAMED
        data = with_alias(data, alias)
        if visit.row.scrubs:
            data = scrubbed(data, (record.model if record is not None else "") or model, alias)
        return data

    def check(self, visit: ResourceContext, data: bytes) -> None:
        """Raise `UpstreamReported` for an answer that is an error."""
        error = error_in_resource(200, data, self.names(visit))
        if error is not None:
            raise error

    def names(self, visit: ResourceContext) -> dict[str, str]:
        """The upstream's models and secrets that an error may name, and what is shown for each."""
        record, account = visit.record, visit.account
        names = self._accounts.models_at(account.name) if account is not None else {}
        shown = dict(account.target.hidden) if account is not None else {}
        shown |= {
            model: next((alias for alias in aliases if may_use(visit.key, alias)), UNNAMED)
            for model, aliases in names.items()
        }
        if record is not None and record.model:
            shown[record.model] = record.alias or UNNAMED
        if visit.model:
            shown[visit.model] = visit.alias or UNNAMED
        return shown

    async def listed(self, visit: ResourceContext, data: bytes, record: Owned) -> bytes:
        """An object of a list as its key gets it."""
        await self._adopt(visit, data, record)
        return self.shown(visit, data, record)

    def _record(self, visit: ResourceContext, id_: str, kind: str) -> None:
        if ID.fullmatch(id_) is not None:
            self._owners.record(self._owned(visit, id_, kind))

    def _owned(self, visit: ResourceContext, id_: str, kind: str, parent: Owned | None = None) -> Owned:
        assert visit.account is not None
        made = parent or visit
        return Owned(id_, kind, visit.key.id, visit.account.name, time.time_ns() // 1000, made.alias, made.model)

    async def _adopt(self, visit: ResourceContext, data: bytes, parent: Owned | None = None) -> None:
        """What the upstream made for this key, and names in an answer to it, is the key's."""
        for id_ in named_in(data, visit.row.adopts):
            if ID.fullmatch(id_) is not None:
                kind = "vector_store" if id_.startswith("vs_") else "file"
                await self._owners.adopt(self._owned(visit, id_, kind, parent))

    async def made(self, visit: ResourceContext, meter: RunMeter) -> None:
        """Record what the events read last have made, or name."""
        for id_, kind in meter.made:
            self._record(visit, id_, kind)
        for payload in meter.naming:
            await self._adopt(visit, payload)
        meter.made.clear()
        meter.naming.clear()


def _id_at(fields: dict[str, msgspec.Raw], path: str) -> str:
    """The id at a path of one name or two, or ""."""
    outer, _, inner = path.partition(".")
    if not inner:
        return text_of(fields, outer)
    raw = fields.get(outer)
    return text_of(fields_of(bytes(raw)), inner) if raw is not None and bytes(raw).startswith(b"{") else ""
