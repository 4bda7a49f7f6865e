"""Routing of resource requests: who owns the ids, which upstream has the resources, which alias is billed.

It refuses a request, or fills it in; no upstream is called here.
"""

from collections.abc import Iterable, Mapping
from functools import partial
from urllib.parse import parse_qsl, unquote

import msgspec

from proxy.auth.keys import Key
from proxy.clock.gil import in_turns
from proxy.errors import InvalidRequest
from proxy.ledger.ownership import Owners
from proxy.ledger.record import BATCH_INPUT, OwnershipRecord
from proxy.policies.access import is_usable, may_use
from proxy.policies.access import not_found as model_not_found
from proxy.policies.ownership import not_found, one_place, own, own_all
from proxy.policies.references import ID, check_models, find
from proxy.resources.request import ResourceRequest
from proxy.resources.rewrite import text_of
from proxy.resources.spec import CHILD_IDS
from proxy.routing.models import Alias
from proxy.upstream.pool import Pool
from proxy.upstream.target import Target, compile_targets
from proxy.wire.field_names import check_names
from proxy.wire.headers import header_value
from proxy.wire.json_scan import STEP_BYTES
from proxy.wire.request_body import check_model, decode_in_steps, decode_object

#: The request header that names an alias whose upstream is meant, where nothing else in the request names one.
MODEL_HEADER = b"x-prism-model"
#: Query parameters that are ids.
CURSORS = frozenset({"after", "before", "run_id"})
MAX_QUERY_PARAMETERS = 100
_DIALECT = "openai"
_encoder = msgspec.json.Encoder()


class ResourceUpstreams:
    """The upstreams that speak OpenAI's dialect, and the aliases of their models."""

    def __init__(self, pools: Mapping[str, Pool], aliases: Mapping[str, Alias]) -> None:
        #: A target of no model for each, by the upstream's name, in the order of the configuration; with its first key.
        self._targets: dict[str, Target] = {}
        for name in pools:
            for target in compile_targets(f"{name}/none", dict(pools)):
                if _DIALECT in target.dialects:
                    self._targets.setdefault(name, target)
        #: By upstream and model.
        self._first_aliases: dict[tuple[str, str], str] = {}
        self._aliases: dict[str, dict[str, list[str]]] = {}
        for alias in aliases.values():
            for target in alias.targets:
                self._aliases.setdefault(target.pool.name, {}).setdefault(target.model, []).append(alias.name)
                self._first_aliases.setdefault((target.pool.name, target.model), alias.name)

    def target(self, upstream: str | None) -> Target:
        """The upstream of that name; the first of the configuration for None. Raises `InvalidRequest` for none."""
        target = self._targets.get(upstream) if upstream is not None else next(iter(self._targets.values()), None)
        if target is None:
            raise InvalidRequest("No provider for this request is configured.", status=404, code="not_found")
        return target

    def aliases_at(self, upstream: str) -> dict[str, list[str]]:
        """The models of an upstream, each with its aliases."""
        return self._aliases.get(upstream, {})

    def alias_for(self, upstream: str, model: str) -> str:
        """The alias of an upstream's model, whose name may have a date behind it; "" where there is none."""
        known = self._first_aliases.get((upstream, model))
        if known is not None:
            return known
        near = [
            (len(name), alias)
            for (at, name), alias in self._first_aliases.items()
            if at == upstream and model.startswith(f"{name}-")
        ]
        return max(near)[1] if near else ""


class ResourceRouting:
    """Chooses the upstream of a request by the ids and the model that it names, after checking who owns them."""

    def __init__(self, owners: Owners, upstreams: ResourceUpstreams, aliases: Mapping[str, Alias]) -> None:
        self._owners = owners
        self._upstreams = upstreams
        self._aliases = aliases

    async def check_ids(self, request: ResourceRequest) -> None:
        """Check that the ids in the path and query are the key's, or at least no other's. Raises `InvalidRequest`."""
        if request.query.count(b"&") >= MAX_QUERY_PARAMETERS:
            raise InvalidRequest(f"The request has more than {MAX_QUERY_PARAMETERS} query parameters.")
        for name, id_ in request.ids.items():
            if ID.fullmatch(id_) is None:
                raise not_found(name, id_)
            if name not in CHILD_IDS:
                request.records[name] = await own(self._owners, request.key, name, id_)
            elif await self._is_anothers(request.key, id_):
                raise not_found(name, id_)
        if request.records:
            one_place(request.records.values())
        if not request.row.lists:
            await self._check_cursors(request)

    async def _check_cursors(self, request: ResourceRequest) -> None:
        """Ids in the query are below the ones in the path: no other key's, and nothing but ids."""
        for name, value in parse_qsl(request.query.decode("latin-1")):
            if name not in CURSORS or name not in request.row.query:
                continue
            if ID.fullmatch(value) is None or await self._is_anothers(request.key, value):
                raise not_found(name, value)

    async def _is_anothers(self, key: str, id_: str) -> bool:
        found = await self._owners.find(id_)
        return found is not None and found.key != key

    async def read_json(self, request: ResourceRequest, data: bytes) -> bytes:
        """Check a JSON body, choose the upstream, and return the body for it. Raises `InvalidRequest`."""
        row = request.row
        if row.body == "none" or not data:
            self.choose(request, [], "")
            return b""
        fields = await decode(data)
        check_names(fields)
        named = await own_all(self._owners, request.key, find(fields))
        if row.refuses and text_of(fields, "purpose") == row.refuses:
            raise InvalidRequest(
                f"Files for '{row.refuses}' are uploaded in one piece, by POST /v1/files.", param="purpose"
            )
        name = text_of(fields, "model") if row.model != "none" else ""
        target = self.choose(request, named, name)
        self.check_models(request.context.key, fields, target)
        if row.takes_batches and not all(one.kind == BATCH_INPUT for one in named):
            raise InvalidRequest("The file is no batch: upload it with purpose 'batch'.", param="input_file_id")
        request.streams = bytes(fields.get("stream", b"")) == b"true"
        return encode(fields, target, request.model if name else "")

    def choose(self, request: ResourceRequest, named: list[OwnershipRecord], name: str) -> Target:
        """Choose the upstream, and the alias under which the request is billed. Raises `InvalidRequest`.

        `named` are the records of the resources that the body names, `name` is the model in the body, if any.
        """
        row, key = request.row, request.context.key
        records = [*request.records.values(), *named]
        place = one_place(records) if records else None
        if row.model == "must" and not name:
            raise InvalidRequest("You must provide a model parameter.", param="model")
        if name:
            target = self.alias_target(key, name, place)
            request.alias, request.model, place = name, target.model, target.pool.name
        else:
            made = next((one for one in [*named, *reversed(request.records.values())] if one.alias), None)
            if made is not None:
                request.alias, request.model = made.alias, made.model
                if row.bills or row.takes_batches:
                    self._alias(key, made.alias)
            if place is None:
                place = self.header_place(request)
        request.target = self._upstreams.target(place)
        return request.target

    def header_place(self, request: ResourceRequest) -> str | None:
        """The name of the upstream that a header of the client chooses. Raises `InvalidRequest`."""
        name = header_value(request.headers, MODEL_HEADER)
        return None if name is None else self.alias_target(request.context.key, name.decode("latin-1")).pool.name

    def choose_batch(self, request: ResourceRequest, alias: str, target: Target) -> None:
        """Send a batch to the upstream of a target, under an alias."""
        request.alias, request.model = alias, target.model
        request.uploads_batch = True
        request.target = self._upstreams.target(target.pool.name)

    def alias_target(
        self,
        key: Key,
        name: str,
        upstream: str | None = None,
        why: str = "cannot be used here",
        param: str = "model",
    ) -> Target:
        """An alias's first target of the dialect, at that upstream if one is named. Raises `InvalidRequest`."""
        for target in self._alias(key, name).speaking(_DIALECT):
            if upstream is None or target.pool.name == upstream:
                return target
        raise InvalidRequest(f"The model `{name}` {why}.", param=param, code="model_not_supported")

    def check_models(self, key: Key, fields: Mapping[str, msgspec.Raw], target: Target) -> None:
        """Refuse a body that names models beside its own, other than the key's aliases. Raises `InvalidRequest`."""
        check_models(fields, target.choosing, target.choosing_in, partial(is_usable, self._aliases, key))

    def _alias(self, key: Key, name: str) -> Alias:
        check_model(name)
        alias = self._aliases.get(name)
        if alias is None or not may_use(key, name):
            raise model_not_found(name, [one for one in self._aliases if may_use(key, one)])
        return alias

    def query(self, request: ResourceRequest) -> bytes:
        """The part of the query string that is forwarded, byte for byte."""
        # Some servers take a semicolon for the end of a parameter.
        parts = [part for part in request.query.split(b"&") if b";" not in part]
        return b"&".join(
            [part for part in parts if unquote(part.partition(b"=")[0].decode("latin-1")) in request.row.query]
        )


def check_place(named: Iterable[OwnershipRecord], upstream: str) -> None:
    """Refuse resources that are not at this upstream. Raises `InvalidRequest`."""
    if any(one.upstream != upstream for one in named):
        raise InvalidRequest("The objects in the request are at another provider.", code="objects_apart")


async def decode(data: bytes) -> dict[str, msgspec.Raw]:
    """The fields of a JSON object, decoded without holding the event loop. Raises `InvalidRequest`."""
    return decode_object(data) if len(data) < STEP_BYTES else await in_turns(decode_in_steps(data))


def encode(fields: dict[str, msgspec.Raw], target: Target, model: str) -> bytes:
    """A body for an upstream: with its model's name, if any, and without ids that the client may not choose."""
    for client_id in target.client_ids:
        fields.pop(client_id, None)
    if model:
        fields["model"] = msgspec.Raw(_encoder.encode(model))
    return _encoder.encode(fields)
