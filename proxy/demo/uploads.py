"""`/v1/uploads` of the demo provider: files that come in parts."""

from typing import Final

import msgspec

from proxy.demo.exchange import Exchange
from proxy.demo.files import add_file
from proxy.demo.resources import Resource, Routes, now
from proxy.demo.store import MOST_BYTES, Thing
from proxy.errors import InvalidRequest

UPLOADS: Final = Resource("upload", "upload_")
PARTS: Final = Resource("upload.part", "part_", parent="id")


class UploadRequest(msgspec.Struct, frozen=True, kw_only=True):
    """The request for a new one."""

    filename: str
    purpose: str
    bytes: int
    mime_type: str


class CompleteRequest(msgspec.Struct, frozen=True, kw_only=True):
    """The request to put the parts together, in this order."""

    part_ids: list[str]


async def create(exchange: Exchange) -> None:
    """`POST /v1/uploads`."""
    request = await exchange.read(UploadRequest)
    if not 0 <= request.bytes <= MOST_BYTES:
        raise InvalidRequest(f"'bytes' takes 0 to {MOST_BYTES}.", param="bytes", code="invalid_value")
    fields = {**msgspec.to_builtins(request), "status": "pending", "expires_at": now() + 3_600, "file": None}
    await exchange.send_json(UPLOADS.keep(exchange, fields).value)


async def add_part(exchange: Exchange) -> None:
    """`POST /v1/uploads/{id}/parts`."""
    form = await exchange.read_form()
    upload = _pending(exchange)
    part = PARTS.keep(exchange, {"upload_id": upload.id}, form.upload("data").data, upload.id)
    await exchange.send_json(part.value)


async def complete(exchange: Exchange) -> None:
    """`POST /v1/uploads/{id}/complete`."""
    request = await exchange.read(CompleteRequest)
    upload = _pending(exchange)
    value = upload.value
    parts = {part.id: part.content for part in exchange.store.all("upload.part", upload.id)}
    unknown = [part_id for part_id in request.part_ids if part_id not in parts]
    if unknown or len(set(request.part_ids)) < len(request.part_ids):
        raise InvalidRequest("'part_ids' names a part twice, or one that is not there.", param="part_ids")
    content = b"".join(parts[part_id] for part_id in request.part_ids)
    if len(content) != value["bytes"]:
        message = f"The parts have {len(content)} bytes, {value['bytes']} were announced."
        raise InvalidRequest(message, param="part_ids", code="invalid_value")
    for part_id in parts:
        exchange.store.delete("upload.part", part_id, upload.id)
    file = add_file(exchange, value["filename"], content, value["purpose"])
    await exchange.send_json(exchange.store.change(upload, {"status": "completed", "file": file.value}).value)


async def cancel(exchange: Exchange) -> None:
    """`POST /v1/uploads/{id}/cancel`."""
    await exchange.send_json(exchange.store.change(_pending(exchange), {"status": "cancelled"}).value)


def _pending(exchange: Exchange) -> Thing:
    upload = UPLOADS.find(exchange)
    if upload.value["status"] != "pending":
        raise InvalidRequest(f"The upload is {upload.value['status']}.")
    return upload


ROUTES: Final[Routes] = (
    ("POST", "/v1/uploads", create),
    ("POST", "/v1/uploads/{id}/parts", add_part),
    ("POST", "/v1/uploads/{id}/complete", complete),
    ("POST", "/v1/uploads/{id}/cancel", cancel),
)
