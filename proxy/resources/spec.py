"""What one endpoint for objects is: a row says which ids it takes and gives, and everything else follows from that.

The rows themselves are in `endpoints.object_table`; nothing is served here.
"""

import re
from typing import Final, Literal

import msgspec

#: Ids in a path that must be the key's own: every one of them was made through the gateway.
OWNED_IDS: Final = frozenset(
    {
        "response_id",
        "conversation_id",
        "file_id",
        "upload_id",
        "batch_id",
        "vector_store_id",
        "file_batch_id",
        "assistant_id",
        "thread_id",
        "run_id",
        "video_id",
        "job_id",
    }
)
#: Ids in a path below an owned one that an upstream may have made by itself: they must only not be another key's.
CHILD_IDS: Final = frozenset({"message_id", "step_id", "item_id"})
_PARAMETER: Final = re.compile(r"\{(\w+)\}")

BodyKind = Literal["none", "json", "form", "form or json", "file"]
ReplyKind = Literal["json", "json or events", "bytes"]


class ObjectRow(msgspec.Struct, frozen=True, kw_only=True):
    """One endpoint for objects."""

    method: str
    #: As clients call it; each `{…}` is an id, by a name of `OWNED_IDS` or `CHILD_IDS`. An upstream has it without /v1.
    path: str
    #: The request's body: "form" goes on as it comes, in "file" the lines of a batch are looked at.
    body: BodyKind = "none"
    #: The fields of the body that name objects, which must be the key's own.
    body_ids: tuple[str, ...] = ()
    #: A `model` may stand in the body: an alias of the key's. "must": without it the request makes no sense.
    model: Literal["none", "may", "must"] = "none"
    reply: ReplyKind = "json"
    #: What the answer creates: where its id stands, and what it is.
    creates: tuple[tuple[str, str], ...] = ()
    #: Keys anywhere in the answer under which files and the like stand that the upstream made for this key.
    adopts: frozenset[str] = frozenset()
    #: The answer is the list of all objects of this kind, of which a key sees its own; and further kinds in it.
    lists: str = ""
    lists_too: tuple[str, ...] = ()
    #: Most objects in one page of the list, and how many where the client does not say.
    most: int = 100
    usual: int = 20
    #: The id in the path whose object is gone after this.
    deletes: str = ""
    #: The usage in the answer is billed; only where it is made, never where it is shown again.
    bills: bool = False
    #: It starts work that is paid for and counted nowhere here.
    starts: bool = False
    #: Files in the body must be batches, which are uploaded as such: their lines have been looked at.
    takes_batches: bool = False
    #: A `purpose` that this is not for.
    refuses: str = ""
    #: Names of an upstream's models stand in the answer's texts too.
    scrubs: bool = False
    #: Query parameters that go to the upstream.
    query: frozenset[str] = frozenset()
    #: One line for people.
    help: str

    @property
    def ids(self) -> tuple[str, ...]:
        """The names of the ids in the path, in their order."""
        return tuple(_PARAMETER.findall(self.path))

    def upstream_path(self, ids: dict[str, str]) -> str:
        """The path below an upstream's base URL with these ids, which are safe to stand there."""
        return _PARAMETER.sub(lambda match: ids[match[1]], self.path.removeprefix("/v1"))
