"""What all kinds of kept things have in common: one is shown, changed and deleted, and all are listed.

A kind's own file makes the things, and says in its routes which of these it has.
"""

import secrets
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import msgspec

from proxy.demo.exchange import Exchange
from proxy.demo.lists import page
from proxy.demo.store import Thing

Handler = Callable[[Exchange], Awaitable[None]]
Routes = tuple[tuple[str, str, Handler], ...]


class Changes(msgspec.Struct, frozen=True, kw_only=True):
    """What may be changed of any thing; each kind takes what it has."""

    metadata: dict[str, Any] | None = None
    name: str | None = None
    instructions: str | None = None
    description: str | None = None
    expires_after: Any = None


@dataclass(frozen=True)
class Resource:
    """One kind of thing: its name in the store and on the wire, and the parameters of the path."""

    kind: str
    prefix: str
    #: The parameter that holds the id, and the one that holds what it belongs to, if anything.
    parameter: str = "id"
    parent: str = ""
    #: What `object` says of a deleted one.
    deleted: str = ""

    def keep(self, exchange: Exchange, fields: dict[str, Any], content: bytes = b"", parent: str = "") -> Thing:
        """Keep a new thing, under an id of its own."""
        value = {"id": self.prefix + secrets.token_hex(12), "object": self.kind, "created_at": now(), **fields}
        return exchange.store.put(self.kind, value, content, parent)

    def find(self, exchange: Exchange) -> Thing:
        """The thing that the path names. Raises a 404."""
        return exchange.store.get(self.kind, exchange.path(self.parameter), self._parent(exchange))

    def _parent(self, exchange: Exchange) -> str:
        return exchange.path(self.parent) if self.parent else ""

    async def retrieve(self, exchange: Exchange) -> None:
        """Show one."""
        await exchange.send_json(self.find(exchange).value)

    async def listing(self, exchange: Exchange) -> None:
        """Show all, a page at a time."""
        await page(exchange, [thing.value for thing in exchange.store.all(self.kind, self._parent(exchange))])

    async def modify(self, exchange: Exchange) -> None:
        """Change one: its metadata, and what it has of a name and the like."""
        changes = msgspec.structs.asdict(await exchange.read(Changes))
        thing = self.find(exchange)
        taken = {name: value for name, value in changes.items() if value is not None and name in thing.value}
        await exchange.send_json(exchange.store.change(thing, taken).value)

    async def delete(self, exchange: Exchange) -> None:
        """Forget one."""
        thing = self.find(exchange)
        exchange.store.delete(self.kind, thing.id, thing.parent)
        await exchange.send_json({"id": thing.id, "object": self.deleted or f"{self.kind}.deleted", "deleted": True})


def now() -> int:
    """Seconds since 1970."""
    return int(time.time())
