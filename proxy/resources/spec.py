"""The specification of a resource endpoint: which ids it takes and gives, which bodies, and what is billed.

The rows are in `resources.table`; no request is served here.
"""

import re
from typing import Final, Literal

import msgspec

from proxy.wire.content_type import BodyKind

#: Names of ids in a path, below one that the key owns, of resources that an upstream may have made by itself: they must
#: only not be another key's. All other ids in a path must be the key's own.
CHILD_IDS: Final = frozenset({"message_id", "step_id", "item_id"})
_PARAMETER: Final = re.compile(r"\{(\w+)\}")

ResponseKind = Literal["json", "json or events", "bytes"]


class ResourceRow(msgspec.Struct, frozen=True):
    """One resource endpoint: a method and a path. Routes, checks, documents and conformance tests follow from it."""

    method: str
    #: As clients call it; each `{...}` is an id, of `CHILD_IDS` or owned by the key. An upstream has it without /v1.
    path: str
    #: One line for people.
    help: str
    #: The request body: a "form" is passed on as it comes, of a "file" the lines of a batch are rewritten.
    body: BodyKind = "none"
    #: Whether a `model` may be in the body, an alias of the key's; "must": a request without it is refused.
    model: Literal["none", "may", "must"] = "none"
    response: ResponseKind = "json"
    #: What the response creates: (path of the id, kind of resource).
    creates: tuple[tuple[str, str], ...] = ()
    #: Names anywhere in the response whose values are ids of files and the like that the upstream made for this key.
    adopts: frozenset[str] = frozenset()
    #: The response is the account's list of all resources of this kind, of which a key gets its own; and further kinds
    #: that are in the list.
    lists: str = ""
    lists_too: tuple[str, ...] = ()
    #: Most resources in one page of the list, and how many where the client does not say.
    max_page: int = 100
    default_page: int = 20
    #: The name of the id in the path whose resource is deleted.
    deletes: str = ""
    #: The usage in the response is billed: only where it is made, never where it is shown again.
    bills: bool = False
    #: It starts work that costs something and is counted nowhere here.
    starts: bool = False
    #: Files that the body names must be batch input files, whose lines were checked when they were uploaded.
    takes_batches: bool = False
    #: A `purpose` that is refused.
    refuses: str = ""
    #: Names of an upstream's models are in the response's texts too.
    scrubs: bool = False
    #: Query parameters that are forwarded.
    query: frozenset[str] = frozenset()

    @property
    def ids(self) -> tuple[str, ...]:
        """The names of the ids in the path, in their order."""
        return tuple(_PARAMETER.findall(self.path))

    def upstream_path(self, ids: dict[str, str]) -> str:
        """The path below an upstream's base URL with these ids, which are safe to stand there."""
        return _PARAMETER.sub(lambda match: ids[match[1]], self.path.removeprefix("/v1"))
