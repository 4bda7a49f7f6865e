"""`/v1/conversations` of the demo provider: items that are kept, and to which the answers of `responses` are added."""

import secrets
from typing import Any, Final

import msgspec

from proxy.demo.exchange import Exchange
from proxy.demo.lists import page
from proxy.demo.resources import Resource, Routes
from proxy.demo.store import Thing
from proxy.errors import InvalidRequest

CONVERSATIONS: Final = Resource("conversation", "conv_", deleted="conversation.deleted")
_ITEM: Final = "conversation.item"
_MOST_ITEMS: Final = 100


class ConversationRequest(msgspec.Struct, frozen=True, kw_only=True):
    """The request for a new one."""

    items: list[dict[str, Any]] = []
    metadata: dict[str, Any] | None = None


class ItemsRequest(msgspec.Struct, frozen=True, kw_only=True):
    """The request to add items."""

    items: list[dict[str, Any]]


async def create(exchange: Exchange) -> None:
    """`POST /v1/conversations`."""
    request = await exchange.read(ConversationRequest)
    _check(request.items)
    conversation = CONVERSATIONS.keep(exchange, {"metadata": request.metadata or {}})
    add_items(exchange, conversation.id, request.items)
    await exchange.send_json(conversation.value)


def items_of(exchange: Exchange, conversation_id: str) -> list[dict[str, Any]]:
    """What was said in a conversation so far. Raises a 404."""
    exchange.store.get("conversation", conversation_id)
    return [thing.value for thing in exchange.store.all(_ITEM, conversation_id)]


def add_items(exchange: Exchange, conversation_id: str, items: list[dict[str, Any]]) -> list[Thing]:
    """Add items, each under an id of its own."""
    named = [{"type": "message", "status": "completed", **item} for item in items]
    return [
        exchange.store.put(_ITEM, {"id": f"msg_{secrets.token_hex(12)}", **item}, parent=conversation_id)
        for item in named
    ]


async def create_items(exchange: Exchange) -> None:
    """`POST /v1/conversations/{id}/items`."""
    request = await exchange.read(ItemsRequest)
    _check(request.items)
    added = [thing.value for thing in add_items(exchange, CONVERSATIONS.find(exchange).id, request.items)]
    ends = {"first_id": added[0]["id"] if added else None, "last_id": added[-1]["id"] if added else None}
    await exchange.send_json({"object": "list", "data": added, **ends, "has_more": False})


def _check(items: list[dict[str, Any]]) -> None:
    if len(items) > _MOST_ITEMS:
        raise InvalidRequest(f"At most {_MOST_ITEMS} items at a time.", param="items", code="invalid_value")
    if not all(isinstance(item.get("id", ""), str) for item in items):
        raise InvalidRequest("The id of an item is a text.", param="items", code="invalid_value")


async def list_items(exchange: Exchange) -> None:
    """`GET /v1/conversations/{id}/items`."""
    await page(exchange, items_of(exchange, exchange.path("id")))


async def retrieve_item(exchange: Exchange) -> None:
    """`GET /v1/conversations/{id}/items/{item_id}`."""
    await exchange.send_json(exchange.store.get(_ITEM, exchange.path("item_id"), exchange.path("id")).value)


async def delete_item(exchange: Exchange) -> None:
    """`DELETE /v1/conversations/{id}/items/{item_id}`: the answer is the conversation."""
    exchange.store.delete(_ITEM, exchange.path("item_id"), exchange.path("id"))
    await exchange.send_json(CONVERSATIONS.find(exchange).value)


_ITEMS: Final = "/v1/conversations/{id}/items"
ROUTES: Final[Routes] = (
    ("POST", "/v1/conversations", create),
    ("GET", "/v1/conversations/{id}", CONVERSATIONS.retrieve),
    ("POST", "/v1/conversations/{id}", CONVERSATIONS.modify),
    ("DELETE", "/v1/conversations/{id}", CONVERSATIONS.delete),
    ("POST", _ITEMS, create_items),
    ("GET", _ITEMS, list_items),
    ("GET", f"{_ITEMS}/{{item_id}}", retrieve_item),
    ("DELETE", f"{_ITEMS}/{{item_id}}", delete_item),
)
