"""What a request for objects is about: whose its ids are, which upstream it goes to, and under which alias.

It refuses, or fills in the visit; nothing is asked of an upstream here.
"""

from collections.abc import Mapping
from functools import partial
from urllib.parse import parse_qsl, unquote

import msgspec

from proxy.auth.keys import Key
from proxy.clock.gil import in_turns
from proxy.errors import InvalidRequest
from proxy.ledger.ownership import Owners
from proxy.ledger.record import BATCH_INPUT, Owned
from proxy.policies.access import is_usable, may_use
from proxy.policies.access import not_found as model_not_found
from proxy.policies.ownership import not_found, one_place, own, own_all
from proxy.policies.references import ID, check_models, find
from proxy.resources.account import Account, Accounts, target_at
from proxy.resources.context import ResourceContext
from proxy.resources.rewrite import text_of
from proxy.resources.spec import CHILD_IDS
from proxy.routing.models import Alias
from proxy.upstream.target import Target
from proxy.wire.field_names import check_names
from proxy.wire.headers import header_value
from proxy.wire.json_scan import STEP_BYTES
from proxy.wire.request_body import check_model, decode_in_steps, decode_object

#: Where a client says which alias's upstream is meant, when nothing else in the request does.
MODEL_HEADER = b"x-prism-model"
#: Query parameters that are ids.
CURSORS = frozenset({"after", "before", "run_id"})
#: Query parameters of a request.
MAX_PARAMETERS = 100
_encoder = msgspec.json.Encoder()


class ResourceRouting:
    """See the module."""

    def __init__(self, owners: Owners, accounts: Accounts, aliases: Mapping[str, Alias]) -> None:
        self._owners = owners
        self._accounts = accounts
        self._aliases = aliases

    async def check_ids(self, visit: ResourceContext) -> None:
        """Every id in the path is the key's own, or at least not another's. Raises `InvalidRequest`."""
        key = visit.key.id
        if visit.query.count(b"&") >= MAX_PARAMETERS:
            raise InvalidRequest(f"The request has more than {MAX_PARAMETERS} query parameters.")
        for name, id_ in visit.ids.items():
            if ID.fullmatch(id_) is None:
                raise not_found(name, id_)
            if name not in CHILD_IDS:
                visit.records[name] = await own(self._owners, key, name, id_)
            elif await self._is_anothers(key, id_):
                raise not_found(name, id_)
        if visit.records:
            one_place(visit.records.values())
        if not visit.row.lists:
            await self._check_cursors(visit)

    async def _check_cursors(self, visit: ResourceContext) -> None:
        """Ids in the query are below the ones in the path: no other key's, and nothing but ids."""
        for name, value in parse_qsl(visit.query.decode("latin-1")):
            if name not in CURSORS or name not in visit.row.query:
                continue
            if ID.fullmatch(value) is None or await self._is_anothers(visit.key.id, value):
                raise not_found(name, value)

    async def _is_anothers(self, key: str, id_: str) -> bool:
        found = await self._owners.find(id_)
        return found is not None and found.key != key

    async def read_json(self, visit: ResourceContext, data: bytes) -> bytes:
        """The body for the upstream, after everything in it was checked. Raises `InvalidRequest`."""
        row = visit.row
        if row.body == "none" or not data:
            self.choose(visit, [], "")
            return b""
        fields = decode_object(data) if len(data) < STEP_BYTES else await in_turns(decode_in_steps(data))
        check_names(fields)
        named = await own_all(self._owners, visit.key.id, find(fields))
        if row.refuses and text_of(fields, "purpose") == row.refuses:
            raise InvalidRequest(
                f"Files for '{row.refuses}' are uploaded in one piece, by POST /v1/files.", param="purpose"
            )
        name = text_of(fields, "model") if row.model != "none" else ""
        self.choose(visit, named, name)
        assert visit.account is not None
        self.check_models(visit.key, fields, visit.account.target)
        if row.takes_batches and not all(one.kind == BATCH_INPUT for one in named):
            raise InvalidRequest("The file is no batch: upload it with purpose 'batch'.", param="input_file_id")
        visit.stream = bytes(fields.get("stream", b"")) == b"true"
        assert visit.account is not None
        for client_id in visit.account.target.client_ids:
            fields.pop(client_id, None)
        if name:
            fields["model"] = msgspec.Raw(_encoder.encode(visit.model))
        return _encoder.encode(fields)

    def choose(self, visit: ResourceContext, named: list[Owned], name: str) -> None:
        """Where the request goes, and under which alias it is booked. Raises `InvalidRequest`."""
        row = visit.row
        records = [*visit.records.values(), *named]
        place = one_place(records) if records else None
        if row.model == "must" and not name:
            raise InvalidRequest("You must provide a model parameter.", param="model")
        if name:
            target = target_at(self.alias(visit.key, name), place)
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
                    self.alias(visit.key, made.alias)
            if place is None:
                place = self.asked_place(visit)
        visit.account = self.account(place)

    def account(self, place: str | None) -> Account:
        account = self._accounts.get(place) if place is not None else self._accounts.first()
        if account is None:
            raise InvalidRequest("No provider for this request is configured.", status=404, code="not_found")
        return account

    def asked_place(self, visit: ResourceContext) -> str | None:
        """The upstream of the alias that a header names."""
        wanted = header_value(visit.headers, MODEL_HEADER)
        if wanted is None:
            return None
        name = wanted.decode("latin-1")
        target = target_at(self.alias(visit.key, name), None)
        if target is None:
            raise InvalidRequest(f"The model `{name}` cannot be used here.", param="model", code="model_not_supported")
        return target.pool.name

    def check_models(self, key: Key, fields: Mapping[str, msgspec.Raw], target: Target) -> None:
        """Refuse a body that names models beside its own, and not by the key's aliases. Raises `InvalidRequest`."""
        check_models(fields, target.choosing, target.choosing_in, partial(is_usable, self._aliases, key))

    def alias(self, key: Key, name: str) -> Alias:
        check_model(name)
        alias = self._aliases.get(name)
        if alias is None or not may_use(key, name):
            raise model_not_found(name, [one for one in self._aliases if may_use(key, one)])
        return alias

    def query(self, visit: ResourceContext) -> bytes:
        """The part of the query that goes on, as it came."""
        # Some servers take a semicolon for the end of a parameter.
        parts = [part for part in visit.query.split(b"&") if b";" not in part]
        return b"&".join(
            [part for part in parts if unquote(part.partition(b"=")[0].decode("latin-1")) in visit.row.query]
        )
