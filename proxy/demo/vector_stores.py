"""`/v1/vector_stores` of the demo provider: files are searched by the words that they share with the question."""

from typing import Any, Final

import msgspec

from proxy.demo.exchange import Exchange
from proxy.demo.lists import page
from proxy.demo.resources import Resource, Routes, now
from proxy.demo.store import Thing
from proxy.demo.texts import likeness
from proxy.errors import InvalidRequest

STORES: Final = Resource("vector_store", "vs_")
FILES: Final = Resource(
    "vector_store.file", "file-", parameter="file_id", parent="id", deleted="vector_store.file.deleted"
)
BATCHES: Final = Resource("vector_store.files_batch", "vsfb_", parameter="batch_id", parent="id")
_MOST_FILES: Final = 100
_MOST_RESULTS: Final = 50
_SHOWN: Final = 1_000
_SEARCHED: Final = 100_000


class StoreRequest(msgspec.Struct, frozen=True, kw_only=True):
    """The request for a new one."""

    name: str | None = None
    file_ids: list[str] = []
    expires_after: Any = None
    metadata: dict[str, Any] | None = None


class FileRequest(msgspec.Struct, frozen=True, kw_only=True):
    """The request to add a file, or several."""

    file_id: str = ""
    file_ids: list[str] = []
    attributes: dict[str, Any] | None = None


class SearchRequest(msgspec.Struct, frozen=True, kw_only=True):
    """The request to search."""

    query: str | list[str]
    max_num_results: int = 10


async def create(exchange: Exchange) -> None:
    """`POST /v1/vector_stores`."""
    request = await exchange.read(StoreRequest)
    _check(exchange, request.file_ids)
    fields = {
        "name": request.name,
        "usage_bytes": 0,
        "file_counts": _counts(0),
        "status": "completed",
        "expires_after": request.expires_after,
        "expires_at": None,
        "last_active_at": now(),
        "metadata": request.metadata or {},
    }
    store = STORES.keep(exchange, fields)
    for file_id in request.file_ids:
        _add(exchange, store.id, file_id, None)
    await exchange.send_json(_counted(exchange, store.id).value)


async def add_file(exchange: Exchange) -> None:
    """`POST /v1/vector_stores/{id}/files`."""
    request = await exchange.read(FileRequest)
    store = STORES.find(exchange)
    _check(exchange, [request.file_id])
    added = _add(exchange, store.id, request.file_id, request.attributes)
    _counted(exchange, store.id)
    await exchange.send_json(added.value)


async def add_batch(exchange: Exchange) -> None:
    """`POST /v1/vector_stores/{id}/file_batches`."""
    request = await exchange.read(FileRequest)
    store = STORES.find(exchange)
    _check(exchange, request.file_ids)
    for file_id in request.file_ids:
        _add(exchange, store.id, file_id, request.attributes)
    _counted(exchange, store.id)
    counts = _counts(len(request.file_ids))
    fields = {"vector_store_id": store.id, "status": "completed", "file_counts": counts}
    await exchange.send_json(BATCHES.keep(exchange, fields, msgspec.json.encode(request.file_ids), store.id).value)


async def change_file(exchange: Exchange) -> None:
    """`POST /v1/vector_stores/{id}/files/{file_id}`: its attributes."""
    request = await exchange.read(FileRequest)
    held = FILES.find(exchange)
    await exchange.send_json(exchange.store.change(held, {"attributes": request.attributes or {}}).value)


async def file_content(exchange: Exchange) -> None:
    """`GET /v1/vector_stores/{id}/files/{file_id}/content`: its text."""
    file = exchange.store.get("file", FILES.find(exchange).id)
    text = file.content[:_SEARCHED].decode("utf-8", "replace")
    data = [{"type": "text", "text": text}]
    await exchange.send_json(
        {"object": "vector_store.file_content.page", "data": data, "has_more": False, "next_page": None}
    )


async def batch_files(exchange: Exchange) -> None:
    """`GET /v1/vector_stores/{id}/file_batches/{batch_id}/files`."""
    added = msgspec.json.decode(BATCHES.find(exchange).content, type=list[str])
    held = exchange.store.all("vector_store.file", exchange.path("id"))
    await page(exchange, [thing.value for thing in held if thing.id in added])


async def cancel_batch(exchange: Exchange) -> None:
    """`POST /v1/vector_stores/{id}/file_batches/{batch_id}/cancel`: it always comes too late."""
    await exchange.send_json(BATCHES.find(exchange).value)


async def remove_file(exchange: Exchange) -> None:
    """`DELETE /v1/vector_stores/{id}/files/{file_id}`; the file itself stays."""
    await FILES.delete(exchange)
    _counted(exchange, exchange.path("id"))


async def search(exchange: Exchange) -> None:
    """`POST /v1/vector_stores/{id}/search`."""
    request = await exchange.read(SearchRequest)
    store = STORES.find(exchange)
    if not 1 <= request.max_num_results <= _MOST_RESULTS:
        message = f"'max_num_results' takes 1 to {_MOST_RESULTS}."
        raise InvalidRequest(message, param="max_num_results", code="invalid_value")
    query = request.query if isinstance(request.query, str) else " ".join(request.query)
    files = {thing.id: thing for thing in exchange.store.all("file")}
    held = [one for one in exchange.store.all("vector_store.file", store.id) if one.id in files]
    found = [_found(query, one, files[one.id]) for one in held]
    best = sorted((one for one in found if one["score"] > 0), key=lambda one: -float(one["score"]))
    await exchange.send_json(
        {
            "object": "vector_store.search_results.page",
            "search_query": [query],
            "data": best[: request.max_num_results],
            "has_more": len(best) > request.max_num_results,
            "next_page": None,
        }
    )


def _found(query: str, held: Thing, file: Thing) -> dict[str, Any]:
    text = file.content[:_SEARCHED].decode("utf-8", "replace")
    return {
        "file_id": file.id,
        "filename": file.value["filename"],
        "score": likeness(query, text),
        "attributes": held.value["attributes"],
        "content": [{"type": "text", "text": text[:_SHOWN]}],
    }


def _check(exchange: Exchange, file_ids: list[str]) -> None:
    """Raises a 404 for a file that is not there."""
    if len(file_ids) > _MOST_FILES:
        raise InvalidRequest(f"At most {_MOST_FILES} files at a time.", param="file_ids", code="invalid_value")
    for file_id in file_ids:
        exchange.store.get("file", file_id)


def _add(exchange: Exchange, store_id: str, file_id: str, attributes: dict[str, Any] | None) -> Thing:
    fields = {
        "id": file_id,
        "vector_store_id": store_id,
        "usage_bytes": len(exchange.store.get("file", file_id).content),
        "status": "completed",
        "last_error": None,
        "attributes": attributes or {},
    }
    return FILES.keep(exchange, fields, parent=store_id)


def _counted(exchange: Exchange, store_id: str) -> Thing:
    """The store, with its files counted again."""
    files = exchange.store.all("vector_store.file", store_id)
    size = sum(file.value["usage_bytes"] for file in files)
    store = exchange.store.get("vector_store", store_id)
    return exchange.store.change(store, {"file_counts": _counts(len(files)), "usage_bytes": size})


def _counts(count: int) -> dict[str, int]:
    return {"in_progress": 0, "completed": count, "failed": 0, "cancelled": 0, "total": count}


ROUTES: Final[Routes] = (
    ("POST", "/v1/vector_stores", create),
    ("GET", "/v1/vector_stores", STORES.listing),
    ("GET", "/v1/vector_stores/{id}", STORES.retrieve),
    ("POST", "/v1/vector_stores/{id}", STORES.modify),
    ("DELETE", "/v1/vector_stores/{id}", STORES.delete),
    ("POST", "/v1/vector_stores/{id}/search", search),
    ("POST", "/v1/vector_stores/{id}/files", add_file),
    ("GET", "/v1/vector_stores/{id}/files", FILES.listing),
    ("GET", "/v1/vector_stores/{id}/files/{file_id}", FILES.retrieve),
    ("POST", "/v1/vector_stores/{id}/files/{file_id}", change_file),
    ("DELETE", "/v1/vector_stores/{id}/files/{file_id}", remove_file),
    ("GET", "/v1/vector_stores/{id}/files/{file_id}/content", file_content),
    ("POST", "/v1/vector_stores/{id}/file_batches", add_batch),
    ("GET", "/v1/vector_stores/{id}/file_batches/{batch_id}", BATCHES.retrieve),
    ("GET", "/v1/vector_stores/{id}/file_batches/{batch_id}/files", batch_files),
    ("POST", "/v1/vector_stores/{id}/file_batches/{batch_id}/cancel", cancel_batch),
)
