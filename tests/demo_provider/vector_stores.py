"""Vector stores that count their files and are searched by the words that the files share with the query."""

from typing import Any, Final

import msgspec

from proxy.demo.exchange import DemoExchange
from proxy.demo.resources import FILE, FILE_BATCH, STORE_FILE, VECTOR_STORE, DemoRoutes, Values, send_page
from proxy.demo.store import DemoResource
from proxy.demo.words import similarity

_MAX_SEARCHED_BYTES: Final = 100_000


class VectorStoreRequest(msgspec.Struct, frozen=True, kw_only=True):
    """`POST /v1/vector_stores`."""

    name: str | None = None
    file_ids: list[str] = []
    expires_after: Any = None
    metadata: Values | None = None


class StoreFilesRequest(msgspec.Struct, frozen=True, kw_only=True):
    """The addition of a file, or of several."""

    file_id: str = ""
    file_ids: list[str] = []
    attributes: Values | None = None


class StoreSearchRequest(msgspec.Struct, frozen=True, kw_only=True):
    """`POST /v1/vector_stores/{id}/search`."""

    query: str | list[str]
    max_num_results: int = 10


async def create_vector_store(exchange: DemoExchange) -> None:
    """`POST /v1/vector_stores`."""
    request = await exchange.read(VectorStoreRequest)
    values = {"name": request.name, "expires_after": request.expires_after, "metadata": request.metadata or {}}
    store = VECTOR_STORE.store(exchange, values)
    _add_files(exchange, store.id, request.file_ids)
    await exchange.send_json(_recount(exchange, store.id))


def _add_files(
    exchange: DemoExchange, store_id: str, file_ids: list[str], attributes: Values | None = None
) -> list[DemoResource]:
    added = []
    for file_id in file_ids:
        size = len(exchange.store.get(FILE.object, file_id).content)
        values = {"file_id": file_id, "usage_bytes": size, "attributes": attributes or {}}
        added.append(STORE_FILE.store(exchange, values, parent=store_id))
    return added


def _recount(exchange: DemoExchange, store_id: str) -> Values:
    """The vector store, with its files counted again."""
    files = exchange.store.all(STORE_FILE.object, store_id)
    size = sum(file.value["usage_bytes"] for file in files)
    store = exchange.store.get(VECTOR_STORE.object, store_id)
    return exchange.store.update(store, {"file_counts": _counts(len(files)), "usage_bytes": size}).value


def _counts(count: int) -> dict[str, int]:
    return {"in_progress": 0, "completed": count, "failed": 0, "cancelled": 0, "total": count}


async def add_store_file(exchange: DemoExchange) -> None:
    """`POST /v1/vector_stores/{parent}/files`."""
    request = await exchange.read(StoreFilesRequest)
    store = exchange.store.get(VECTOR_STORE.object, exchange.path("parent"))
    (added,) = _add_files(exchange, store.id, [request.file_id], request.attributes)
    _recount(exchange, store.id)
    await exchange.send_json(added.value)


async def remove_store_file(exchange: DemoExchange) -> None:
    """`DELETE /v1/vector_stores/{parent}/files/{id}`; the file itself stays."""
    await STORE_FILE.delete(exchange)
    _recount(exchange, exchange.path("parent"))


async def store_file_content(exchange: DemoExchange) -> None:
    """`GET /v1/vector_stores/{parent}/files/{id}/content`: its text."""
    data = [{"type": "text", "text": _text_of(exchange.store.get(FILE.object, STORE_FILE.find(exchange).id))}]
    await exchange.send_json({"object": "vector_store.file_content.page", "data": data, "has_more": False})


def _text_of(file: DemoResource) -> str:
    return file.content[:_MAX_SEARCHED_BYTES].decode("utf-8", "replace")


async def create_file_batch(exchange: DemoExchange) -> None:
    """`POST /v1/vector_stores/{parent}/file_batches`."""
    request = await exchange.read(StoreFilesRequest)
    store = exchange.store.get(VECTOR_STORE.object, exchange.path("parent"))
    _add_files(exchange, store.id, request.file_ids, request.attributes)
    _recount(exchange, store.id)
    values = {"vector_store_id": store.id, "status": "completed", "file_counts": _counts(len(request.file_ids))}
    added = msgspec.json.encode(request.file_ids)
    await exchange.send_json(FILE_BATCH.store(exchange, values, added, store.id).value)


async def list_file_batch(exchange: DemoExchange) -> None:
    """`GET /v1/vector_stores/{parent}/file_batches/{id}/files`."""
    added = msgspec.json.decode(FILE_BATCH.find(exchange).content)
    files = exchange.store.all(STORE_FILE.object, exchange.path("parent"))
    await send_page(exchange, [file.value for file in files if file.id in added])


async def search_vector_store(exchange: DemoExchange) -> None:
    """`POST /v1/vector_stores/{id}/search`."""
    request = await exchange.read(StoreSearchRequest)
    store = VECTOR_STORE.find(exchange)
    query = request.query if isinstance(request.query, str) else " ".join(request.query)
    files = {file.id: file for file in exchange.store.all(FILE.object)}
    results = []
    for one in exchange.store.all(STORE_FILE.object, store.id):
        text = _text_of(files[one.id]) if one.id in files else ""
        if (score := similarity(query, text)) > 0:
            content = [{"type": "text", "text": text}]
            result = {"file_id": one.id, "filename": files[one.id].value["filename"], "score": score}
            results.append({**result, "attributes": one.value["attributes"], "content": content})
    results.sort(key=lambda result: -float(result["score"]))
    page = {"data": results[: request.max_num_results], "has_more": len(results) > request.max_num_results}
    await exchange.send_json({"object": "vector_store.search_results.page", "search_query": [query], **page})


ROUTES: Final[DemoRoutes] = (
    ("POST", VECTOR_STORE.path, create_vector_store),
    ("POST", "/v1/vector_stores/{id}/search", search_vector_store),
    ("POST", STORE_FILE.path, add_store_file),
    ("DELETE", STORE_FILE.path + "/{id}", remove_store_file),
    ("GET", STORE_FILE.path + "/{id}/content", store_file_content),
    ("POST", FILE_BATCH.path, create_file_batch),
    ("GET", FILE_BATCH.path + "/{id}/files", list_file_batch),
)
