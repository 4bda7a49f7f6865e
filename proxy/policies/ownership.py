"""Whose the objects are that a request names: the key's own, or the request is refused as if they did not exist.

One answer for all that cannot be had, whether nobody made it or another key did.
"""

from collections.abc import Iterable

from proxy.errors import InvalidRequest
from proxy.exchange.context import RequestContext
from proxy.ledger.ownership import Owners
from proxy.ledger.record import Owned
from proxy.policies.references import ID, Reference

_MOST_SHOWN = 128


def not_found(field: str, id_: str) -> InvalidRequest:
    """The 404 for an id that is not the key's own."""
    shown = id_ if len(id_) <= _MOST_SHOWN else id_[:_MOST_SHOWN] + "…"
    return InvalidRequest(f"No object with the id '{shown}' was found.", status=404, code="not_found", param=field)


async def own(owners: Owners, key: str, field: str, id_: str) -> Owned:
    """The record of an object that this key owns. Raises `InvalidRequest` for any other id."""
    found = await owners.owned_by(key, id_) if ID.fullmatch(id_) is not None else None
    if found is None:
        raise not_found(field, id_)
    return found


async def own_all(owners: Owners, key: str, references: Iterable[Reference]) -> list[Owned]:
    """The records of all objects that a body names. Raises `InvalidRequest` for the first that is not the key's own."""
    return [await own(owners, key, field, id_) for field, id_ in references]


async def admit(owners: Owners, call: RequestContext) -> None:
    """Check what a relayed call names, and leave it only the targets where that lives. Raises `InvalidRequest`."""
    named = await own_all(owners, call.key.id, call.references)
    place = one_place(named)
    call.targets = tuple(target for target in call.targets if target.pool.name == place)
    if not call.targets:
        raise InvalidRequest(
            f"The model `{call.body.model}` is not served where the objects in the request are.",
            param="model",
            code="model_not_supported",
        )


def one_place(named: Iterable[Owned]) -> str:
    """The upstream where all these objects are. Raises `InvalidRequest` where that is not one."""
    places = {one.upstream for one in named}
    if len(places) != 1:
        raise InvalidRequest("The objects in the request are not all at the same provider.", code="objects_apart")
    return places.pop()
