"""The resources that the demo provider keeps in memory. Bounded in number and bytes: the oldest are evicted first."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from proxy.errors import InvalidRequest

MAX_RESOURCES: Final = 2_000
MAX_STORE_BYTES: Final = 64 * 1024 * 1024
Place = tuple[str, str, str]


@dataclass
class DemoResource:
    """One resource: its JSON, its content if it is a file, and the id of the resource that it belongs to."""

    kind: str
    value: dict[str, Any]
    content: bytes = b""
    parent: str = ""

    @property
    def id(self) -> str:
        """Its id."""
        return str(self.value["id"])


class DemoStore:
    """All resources of one provider, by kind, parent and id."""

    def __init__(self, max_resources: int = MAX_RESOURCES, max_bytes: int = MAX_STORE_BYTES) -> None:
        self._max_resources = max_resources
        self._max_bytes = max_bytes
        self._resources: dict[Place, DemoResource] = {}
        self._sizes: dict[Place, int] = {}

    def put(self, kind: str, value: dict[str, Any], content: bytes = b"", parent: str = "") -> DemoResource:
        """Store a resource, in place of an older one with its id. Raises InvalidRequest for one that is too large."""
        resource = DemoResource(kind, value, content, parent)
        size = len(content) + len(msgspec.json.encode(value))
        if size > self._max_bytes:
            raise InvalidRequest("This is more than the demo provider can keep; send something smaller.", status=413)
        place = (kind, parent, resource.id)
        self._resources[place] = resource
        self._sizes[place] = size
        while len(self._sizes) > self._max_resources or sum(self._sizes.values()) > self._max_bytes:
            self._remove(next(one for one in self._sizes if one != place))
        return resource

    def get(self, kind: str, resource_id: str, parent: str = "") -> DemoResource:
        """Find a resource. Raises InvalidRequest, a 404, for an unknown one."""
        resource = self._resources.get((kind, parent, resource_id))
        if resource is None:
            raise InvalidRequest(f"No {kind} found with id '{resource_id}'.", status=404, param="id")
        return resource

    def update(self, resource: DemoResource, changes: Mapping[str, Any]) -> DemoResource:
        """Store a resource with changed fields."""
        return self.put(resource.kind, {**resource.value, **changes}, resource.content, resource.parent)

    def all(self, kind: str, parent: str = "") -> list[DemoResource]:
        """All resources of a kind that belong to `parent`, the oldest first."""
        return [one for one in self._resources.values() if one.kind == kind and one.parent == parent]

    def delete(self, kind: str, resource_id: str, parent: str = "") -> None:
        """Remove a resource. Raises InvalidRequest, a 404, for an unknown one."""
        self.get(kind, resource_id, parent)
        self._remove((kind, parent, resource_id))

    def _remove(self, place: Place) -> None:
        del self._resources[place], self._sizes[place]
