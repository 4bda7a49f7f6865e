"""References: which objects at an upstream a request names, wherever in its body they stand.

It only finds them; whose they are is asked, outside the policies, of the ledger. A body that names none costs a few
searches for a word; only one that may name some is read to its leaves. Every repeated key counts, and a key written
with escapes too, because another reader may take the one that this one would not.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

import msgspec

from proxy.errors import InvalidRequest
from proxy.policies.base import NESTED, Call
from proxy.policies.pairs import Pairs, read
from proxy.wire.scan import holds

#: Fields whose value is an id, a list of ids, or an object with one.
NAMES: Final = frozenset(
    {
        "assistant_id",
        "container",
        "container_id",
        "conversation",
        "file_id",
        "file_ids",
        "input_file_id",
        "part_ids",
        "previous_response_id",
        "thread_id",
        "training_file",
        "upload_id",
        "validation_file",
        "vector_store_id",
        "vector_store_ids",
        "video_id",
    }
)
#: A body names at most so many.
MOST: Final = 2_000
ID: Final = re.compile(r"[A-Za-z0-9_-]{1,128}")
#: Parts of a body that belong to its author alone: no upstream takes an id from there.
_PRIVATE: Final = frozenset({"metadata", "parameters", "schema"})
# A letter, or the underscore, of a name written as an escape.
_ESCAPED: Final = re.compile(rb"\\u00[4-7]")

_BACKSLASH: Final = 0x5C
_UNDERSCORE: Final = 0x5F

#: The field, and the id in it.
Reference = tuple[str, str]


class References:
    """Notes what a call names; what is named and is not the key's own is refused by whoever serves the call."""

    def admit(self, call: Call) -> None:
        body = call.body
        if not call.naming:
            return
        if body.data and NAMES.isdisjoint(body.fields) and not _may_name(body.data, call.naming, call.large):
            return
        call.references = find(body.fields)


def find(fields: Mapping[str, msgspec.Raw]) -> tuple[Reference, ...]:
    """The references in a body's top-level fields. Raises `InvalidRequest` for more than a body may name."""
    found: list[Reference] = []
    for name, raw in fields.items():
        if name in _PRIVATE:
            continue
        value = bytes(raw)
        if name in NAMES:
            found += _ids(name, _read(value))
        if value[:1] in (b"{", b"[") and _may_name(value):
            found += _walk(_read(value))
    if len(found) > MOST:
        raise InvalidRequest(f"The request names more than {MOST} objects.")
    return tuple(dict.fromkeys(found))


def _may_name(value: bytes, words: tuple[bytes, ...] = NESTED, large: bool = False) -> bool:
    """Whether nested values may name anything; the other names stand at the top only, but for a container."""
    # A byte is found much sooner than a word.
    has_underscore = _UNDERSCORE in value
    for word in words:
        if not has_underscore and _UNDERSCORE in word:
            continue
        # From the end: in a long text that is several times the speed of a search from the beginning.
        if holds(value, word, b"_") if large and b"_" in word else value.rfind(word) >= 0:
            return True
    return _BACKSLASH in value and value.rfind(b"\\u00") >= 0 and _ESCAPED.search(value) is not None


def _read(value: bytes) -> Any:
    try:
        return read(value)
    except (ValueError, RecursionError) as error:
        raise InvalidRequest("The request body could not be read.") from error


def _walk(value: Any) -> Iterator[Reference]:
    if isinstance(value, Pairs):
        for name, inner in value:
            if name in NAMES:
                yield from _ids(name, inner)
            if name not in _PRIVATE:
                yield from _walk(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _walk(inner)


def _ids(name: str, value: Any) -> Iterable[Reference]:
    """The ids in a field's value."""
    if isinstance(value, str):
        return [(name, value)]
    if isinstance(value, Pairs):
        return [(name, inner) for key, inner in value if key == "id" and isinstance(inner, str)]
    if isinstance(value, list):
        return [(name, inner) for inner in value if isinstance(inner, str)]
    return []
