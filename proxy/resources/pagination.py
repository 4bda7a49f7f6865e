"""Pagination of lists: a page of the key's own resources, out of an account's list of all of them.

The upstream's pages are read one after the other until there are enough resources. Limit, order and cursors are as if
those of other keys did not exist, and no id of another key is sent or accepted.
"""

from collections.abc import Awaitable, Callable
from urllib.parse import parse_qsl, quote

import msgspec

from proxy.errors import InvalidRequest, ListTooLong
from proxy.ledger.ownership import Owners
from proxy.ledger.record import OwnershipRecord
from proxy.policies.ownership import own
from proxy.policies.references import ID
from proxy.resources.rewrite import elements_of, fields_of, text_of
from proxy.resources.spec import ResourceRow

#: Pages of the upstream that one request reads.
MAX_PAGES = 50
#: Resources in one page of the upstream: what every server takes.
MAX_UPSTREAM_PAGE = 100
_encoder = msgspec.json.Encoder()
_EMPTY = b'{"object":"list","data":[],"first_id":null,"last_id":null,"has_more":false}'

#: Fetches a page of the upstream's list by its query string.
Fetch = Callable[[bytes], Awaitable[bytes]]
#: Rewrites a resource, of which it gets the record, for the client.
Rewrite = Callable[[bytes, OwnershipRecord], Awaitable[bytes]]


class ListQuery(msgspec.Struct):
    """The query of a list."""

    limit: int
    after: str
    before: str
    #: The other query parameters, encoded.
    rest: list[bytes]


async def parse_list_query(query: bytes, row: ResourceRow, owners: Owners, key: str) -> ListQuery:
    """Parse a list's query string. Raises `InvalidRequest`, also for a cursor that is not the key's own."""
    parsed = ListQuery(row.default_page, "", "", [])
    for name, value in parse_qsl(query.decode("latin-1"), keep_blank_values=True):
        if name == "limit":
            if not value.isascii() or not value.isdigit() or not 1 <= int(value[:9]) <= row.max_page:
                raise InvalidRequest(f"'limit' must be a number between 1 and {row.max_page}.", param="limit")
            parsed.limit = int(value)
        elif name in ("after", "before"):
            if value:
                await own(owners, key, name, value)
                setattr(parsed, name, value)
        elif name in row.query:
            parsed.rest.append(f"{quote(name)}={quote(value, safe='')}".encode())
    return parsed


async def owned_page(
    listing: ListQuery, row: ResourceRow, owners: Owners, key: str, fetch: Fetch, rewrite: Rewrite
) -> bytes:
    """One page of the resources that a key owns. Raises `UpstreamFailed`."""
    owned = await owners.count(key, row.lists, *row.lists_too)
    if not owned:
        return _EMPTY
    backwards = bool(listing.before) and not listing.after
    cursor = listing.before if backwards else listing.after
    found: list[tuple[str, bytes]] = []
    envelope: dict[str, msgspec.Raw] = {}
    more = True
    for _ in range(MAX_PAGES):
        query = [b"limit=%d" % min(row.max_page, MAX_UPSTREAM_PAGE), *listing.rest]
        if cursor:
            query.append(b"%b=%b" % (b"before" if backwards else b"after", quote(cursor, safe="").encode()))
        fields = fields_of(await fetch(b"&".join(query)))
        envelope = envelope or fields
        ids, mine = await _owned(fields, owners, key, rewrite)
        found = mine + found if backwards else found + mine
        more = bytes(fields.get("has_more", b"false")) == b"true" and bool(ids)
        if listing.after and listing.before and listing.before in ids:
            cut = next((at for at, (id_, _) in enumerate(found) if id_ == listing.before), len(found))
            found, more = found[:cut], False
        if not more or len(found) > listing.limit or len(found) >= owned:
            break
        cursor = ids[0] if backwards else ids[-1]
    else:
        if not found:
            raise ListTooLong("The list is too long to be searched for what is this key's own; ask for a narrower one.")
    kept = found[-listing.limit :] if backwards else found[: listing.limit]
    return _page(envelope, kept, has_more=len(found) > len(kept) or (more and len(found) < owned))


async def _owned(
    fields: dict[str, msgspec.Raw], owners: Owners, key: str, rewrite: Rewrite
) -> tuple[list[str], list[tuple[str, bytes]]]:
    """The ids of an upstream's page, and those of its resources that the key owns, rewritten."""
    resources = [
        (text_of(fields_of(element), "id"), element) for element in elements_of(fields.get("data", msgspec.Raw(b"[]")))
    ]
    ids = [id_ for id_, _ in resources if ID.fullmatch(id_)]
    records = await owners.among(key, ids)
    return ids, [(id_, await rewrite(element, records[id_])) for id_, element in resources if id_ in records]


def _page(envelope: dict[str, msgspec.Raw], kept: list[tuple[str, bytes]], *, has_more: bool) -> bytes:
    """The upstream's first page with other resources in it; it has no other fields."""
    fields: dict[str, object] = dict(envelope)
    fields["data"] = [msgspec.Raw(element) for _, element in kept]
    if "first_id" in fields:
        fields["first_id"] = kept[0][0] if kept else None
    if "last_id" in fields:
        fields["last_id"] = kept[-1][0] if kept else None
    fields["has_more"] = has_more
    return _encoder.encode(fields)
