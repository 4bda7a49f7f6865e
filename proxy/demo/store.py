"""What the demo provider was given to keep: files, responses, threads and the like.

In memory only, and bounded in number and size: the oldest things are forgotten first. It knows no endpoint.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from proxy.errors import InvalidRequest

MOST_THINGS = 2_000
MOST_BYTES = 64 * 1024 * 1024


@dataclass
class Thing:
    """One thing that was kept: what is shown of it, what it holds, and what it belongs to."""

    kind: str
    value: dict[str, Any]
    content: bytes = b""
    parent: str = ""

    @property
    def id(self) -> str:
        """Its id."""
        name = self.value["id"]
        assert isinstance(name, str)
        return name


class Store:
    """See the module."""

    def __init__(self, most_things: int = MOST_THINGS, most_bytes: int = MOST_BYTES) -> None:
        self._most_things = most_things
        self._most_bytes = most_bytes
        self._things: dict[tuple[str, str, str], Thing] = {}
        self._sizes: dict[tuple[str, str, str], int] = {}
        self._bytes = 0

    def put(self, kind: str, value: dict[str, Any], content: bytes = b"", parent: str = "") -> Thing:
        """Keep a thing under its id, of which there is one below each parent.

        Raises InvalidRequest for one that is larger than the whole store.
        """
        thing = Thing(kind, value, content, parent)
        size = len(content) + len(msgspec.json.encode(value))
        if size > self._most_bytes:
            raise InvalidRequest("This is more than the demo provider can keep; send something smaller.", status=413)
        place = (kind, parent, thing.id)
        # A thing that is there already keeps its place among the others.
        self._bytes += size - self._sizes.get(place, 0)
        self._things[place] = thing
        self._sizes[place] = size
        while len(self._things) > self._most_things or self._bytes > self._most_bytes:
            self._drop(next(one for one in self._things if one != place))
        return thing

    def get(self, kind: str, name: str, parent: str = "") -> Thing:
        """Find a thing. Raises InvalidRequest, a 404, for one that is not there."""
        thing = self._things.get((kind, parent, name))
        if thing is None:
            raise InvalidRequest(f"No {kind} found with id '{name}'.", status=404, param="id")
        return thing

    def change(self, thing: Thing, changes: Mapping[str, Any]) -> Thing:
        """Keep a thing with other values."""
        return self.put(thing.kind, {**thing.value, **changes}, thing.content, thing.parent)

    def all(self, kind: str, parent: str = "") -> list[Thing]:
        """All things of a kind, or those of them that belong to `parent`; the oldest first."""
        return [thing for thing in self._things.values() if thing.kind == kind and thing.parent == parent]

    def delete(self, kind: str, name: str, parent: str = "") -> None:
        """Forget a thing. Raises InvalidRequest, a 404, for one that is not there."""
        self.get(kind, name, parent)
        self._drop((kind, parent, name))

    def _drop(self, place: tuple[str, str, str]) -> None:
        if self._things.pop(place, None) is not None:
            self._bytes -= self._sizes.pop(place)
