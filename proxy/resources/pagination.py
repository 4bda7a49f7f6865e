"""A page of the key's own objects, out of an upstream's list of everybody's.

The upstream's pages are read one after the other until there are enough. What is asked and answered is as if the
others' objects did not exist: limit, order and cursors stay right, and no id of another key is told or taken.
"""

from collections.abc import Awaitable, Callable
from urllib.parse import parse_qsl, quote

import msgspec

from proxy.errors import InvalidRequest, ListTooLong
from proxy.ledger.ownership import Owners
from proxy.ledger.record import Owned
from proxy.policies.ownership import own
from proxy.policies.references import ID
from proxy.resources.rewrite import elements_of, fields_of, text_of
from proxy.resources.spec import ObjectRow

#: Most pages of the upstream that one request reads.
MOST_PAGES = 50
#: Most objects asked of the upstream at once: what every server takes.
LARGEST_PAGE = 100
#: Query parameters that this file answers itself.
_OWN = frozenset({"limit", "after", "before"})
_encoder = msgspec.json.Encoder()
_EMPTY = b'{"object":"list","data":[],"first_id":null,"last_id":null,"has_more":false}'

#: A query string for the upstream's list -> its answer.
Fetch = Callable[[bytes], Awaitable[bytes]]
#: An object and its record -> the object as the client sees it.
Show = Callable[[bytes, Owned], Awaitable[bytes]]


class Wanted(msgspec.Struct):
    """What the client asks of a list."""

    limit: int
    after: str
    before: str
    #: The other query parameters, encoded.
    rest: list[bytes]


async def wanted_of(query: bytes, row: ObjectRow, owners: Owners, key: str) -> Wanted:
    """Read a list's query. Raises `InvalidRequest`, also for a cursor that is not the key's own."""
    wanted = Wanted(row.usual, "", "", [])
    for name, value in parse_qsl(query.decode("latin-1"), keep_blank_values=True):
        if name == "limit":
            if not value.isascii() or not value.isdigit() or not 1 <= int(value[:9]) <= row.most:
                raise InvalidRequest(f"'limit' must be a number between 1 and {row.most}.", param="limit")
            wanted.limit = int(value)
        elif name in ("after", "before"):
            if value:
                await own(owners, key, name, value)
                setattr(wanted, name, value)
        elif name in row.query:
            wanted.rest.append(f"{quote(name)}={quote(value, safe='')}".encode())
    return wanted


async def own_page(wanted: Wanted, row: ObjectRow, owners: Owners, key: str, fetch: Fetch, show: Show) -> bytes:
    """The answer to a list. Raises `UpstreamFailed`."""
    owned = await owners.count(key, row.lists, *row.lists_too)
    if not owned:
        return _EMPTY
    backwards = bool(wanted.before) and not wanted.after
    cursor = wanted.before if backwards else wanted.after
    found: list[tuple[str, bytes]] = []
    envelope: dict[str, msgspec.Raw] = {}
    more = True
    for _ in range(MOST_PAGES):
        query = [b"limit=%d" % min(row.most, LARGEST_PAGE), *wanted.rest]
        if cursor:
            query.append(b"%b=%b" % (b"before" if backwards else b"after", quote(cursor, safe="").encode()))
        fields = fields_of(await fetch(b"&".join(query)))
        envelope = envelope or fields
        ids, mine = await _mine(fields, owners, key, show)
        found = mine + found if backwards else found + mine
        more = bytes(fields.get("has_more", b"false")) == b"true" and bool(ids)
        if wanted.after and wanted.before and wanted.before in ids:
            cut = next((at for at, (id_, _) in enumerate(found) if id_ == wanted.before), len(found))
            found, more = found[:cut], False
        if not more or len(found) > wanted.limit or len(found) >= owned:
            break
        cursor = ids[0] if backwards else ids[-1]
    else:
        if not found:
            raise ListTooLong("The list is too long to be searched for what is this key's own; ask for a narrower one.")
    kept = found[-wanted.limit :] if backwards else found[: wanted.limit]
    return _answer(envelope, kept, has_more=len(found) > len(kept) or (more and len(found) < owned))


async def _mine(
    fields: dict[str, msgspec.Raw], owners: Owners, key: str, show: Show
) -> tuple[list[str], list[tuple[str, bytes]]]:
    """The ids of a page, and of its objects the key's own, as they are shown."""
    objects = [
        (text_of(fields_of(element), "id"), element) for element in elements_of(fields.get("data", msgspec.Raw(b"[]")))
    ]
    ids = [id_ for id_, _ in objects if ID.fullmatch(id_)]
    records = await owners.among(key, ids)
    return ids, [(id_, await show(element, records[id_])) for id_, element in objects if id_ in records]


def _answer(envelope: dict[str, msgspec.Raw], kept: list[tuple[str, bytes]], *, has_more: bool) -> bytes:
    """The upstream's first page with other objects in it; it has the keys that the upstream's has."""
    fields: dict[str, object] = dict(envelope)
    fields["data"] = [msgspec.Raw(element) for _, element in kept]
    if "first_id" in fields:
        fields["first_id"] = kept[0][0] if kept else None
    if "last_id" in fields:
        fields["last_id"] = kept[-1][0] if kept else None
    fields["has_more"] = has_more
    return _encoder.encode(fields)
