"""OwnershipPolicy: the objects that a request names are its key's own, and what its response creates becomes the key's.

An object of another key is refused exactly as one that does not exist.
"""

from collections.abc import Iterable
from functools import partial
from typing import ClassVar, Final

from proxy.errors import InvalidRequest
from proxy.exchange.context import RequestContext
from proxy.exchange.interfaces import Origin
from proxy.ledger.ownership import Owners
from proxy.ledger.record import OwnershipRecord
from proxy.policies.access import is_usable
from proxy.policies.base import WAIT, Policy
from proxy.policies.references import ID, TOP_NAMES, Reference, check_models, find, may_name
from proxy.policies.response_ids import ResponseIdCapture

#: Characters of an id that an error repeats.
MAX_QUOTED_CHARACTERS: Final = 128


class OwnershipPolicy(Policy):
    """Finds what an inference request names, looks up whose it is, and records what its response creates."""

    # Resource endpoints check ids in their path, query and body by themselves.
    checks_resources: ClassVar[bool] = False

    def admit(self, context: RequestContext) -> Origin | None:
        """Raises `InvalidRequest` for a body that names models beside its own, or too many objects."""
        body = context.body
        alias = context.alias
        if alias is not None and not alias.watched.isdisjoint(body.fields):
            usable = partial(is_usable, context.aliases, context.key)
            check_models(body.fields, alias.choosing, alias.choosing_in, usable)
        # What is not stored cannot be asked for again.
        if context.spec.creates and bytes(body.fields.get("store", b"")) != b"false":
            limit = self.state.config.server.max_event_bytes
            owners, name = self.state.ledger.owners, alias.name if alias is not None else ""
            capture = ResponseIdCapture(owners, context.key.id, context.spec.creates, name, limit)
            context.observers = (*context.observers, capture)
        words = context.spec.naming
        # Most bodies name nothing, which a few searches for a word show.
        if TOP_NAMES.isdisjoint(body.fields) and (
            not words or (body.data and not may_name(body.data, words, context.large))
        ):
            return None
        context.references = find(body.fields)
        return WAIT if context.references else None

    async def admit_async(self, context: RequestContext) -> Origin | None:
        """Leave the request only the targets where its objects are. Raises `InvalidRequest`."""
        place = one_place(await own_all(self.state.ledger.owners, context.key.id, context.references))
        context.targets = tuple([target for target in context.targets if target.pool.name == place])
        if not context.targets:
            raise InvalidRequest(
                f"The model `{context.body.model}` is not served where the objects in the request are.",
                param="model",
                code="model_not_supported",
            )
        return None


def not_found(field: str, id_: str) -> InvalidRequest:
    """The 404 for an id that is not the key's own."""
    quoted = id_ if len(id_) <= MAX_QUOTED_CHARACTERS else id_[:MAX_QUOTED_CHARACTERS] + "…"
    return InvalidRequest(f"No object with the id '{quoted}' was found.", status=404, code="not_found", param=field)


async def own(owners: Owners, key: str, field: str, id_: str) -> OwnershipRecord:
    """The record of an object that this key owns. Raises `InvalidRequest` for any other id."""
    found = await owners.owned_by(key, id_) if ID.fullmatch(id_) is not None else None
    if found is None:
        raise not_found(field, id_)
    return found


async def own_all(owners: Owners, key: str, references: Iterable[Reference]) -> list[OwnershipRecord]:
    """The records of all objects that a body names. Raises `InvalidRequest` for the first that is not the key's own."""
    return [await own(owners, key, field, id_) for field, id_ in references]


def one_place(named: Iterable[OwnershipRecord]) -> str:
    """The upstream where all these objects are. Raises `InvalidRequest` where that is not one."""
    places = {one.upstream for one in named}
    if len(places) != 1:
        raise InvalidRequest("The objects in the request are not all at the same provider.", code="objects_apart")
    return places.pop()
