"""`/v1/files` of the demo provider: uploads that are kept in memory until they are pushed out."""

from typing import Any, Final

from proxy.demo.exchange import Exchange
from proxy.demo.lists import page
from proxy.demo.resources import Resource, Routes
from proxy.demo.store import Thing
from proxy.errors import InvalidRequest

FILES: Final = Resource("file", "file-", deleted="file")
_DOWNLOAD: Final = b"application/octet-stream"


async def create(exchange: Exchange) -> None:
    """`POST /v1/files`."""
    form = await exchange.read_form()
    upload = form.upload("file")
    purpose = form.get("purpose")
    if not purpose:
        raise InvalidRequest("'purpose' is missing.", param="purpose", code="missing_required_parameter")
    await exchange.send_json(add_file(exchange, upload.filename, upload.data, purpose).value)


def add_file(exchange: Exchange, filename: str, data: bytes, purpose: str) -> Thing:
    """Keep a file."""
    fields: dict[str, Any] = {"bytes": len(data), "filename": filename, "purpose": purpose, "status": "processed"}
    return FILES.keep(exchange, {**fields, "expires_at": None, "status_details": None}, data)


async def listing(exchange: Exchange) -> None:
    """`GET /v1/files`, of one purpose where the query says so."""
    purpose = exchange.query("purpose")
    values = [thing.value for thing in exchange.store.all("file")]
    shown = [value for value in values if purpose in ("", value["purpose"])]
    await page(exchange, shown, default=100)


async def content(exchange: Exchange) -> None:
    """`GET /v1/files/{id}/content`."""
    await exchange.send_bytes(FILES.find(exchange).content, _DOWNLOAD)


ROUTES: Final[Routes] = (
    ("POST", "/v1/files", create),
    ("GET", "/v1/files", listing),
    ("GET", "/v1/files/{id}", FILES.retrieve),
    ("DELETE", "/v1/files/{id}", FILES.delete),
    ("GET", "/v1/files/{id}/content", content),
)
