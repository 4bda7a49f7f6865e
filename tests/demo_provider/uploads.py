"""Uploads that become a file of their parts."""

from typing import Final

import msgspec

from proxy.demo.exchange import DemoExchange
from proxy.demo.resources import PART, UPLOAD, DemoRoutes, add_file
from proxy.errors import InvalidRequest


async def add_part(exchange: DemoExchange) -> None:
    form = await exchange.read_form()
    upload = exchange.store.get(UPLOAD.object, exchange.path("parent"))
    await exchange.send_json(PART.store(exchange, {"upload_id": upload.id}, form.file("data").data, upload.id).value)


class CompleteRequest(msgspec.Struct, frozen=True, kw_only=True):
    """`POST /v1/uploads/{id}/complete`: the parts in their order."""

    part_ids: list[str]


async def complete_upload(exchange: DemoExchange) -> None:
    """`POST /v1/uploads/{id}/complete`: a file of the parts."""
    request = await exchange.read(CompleteRequest)
    upload = UPLOAD.find(exchange)
    content = b"".join(exchange.store.get(PART.object, one, upload.id).content for one in request.part_ids)
    if len(content) != upload.value["bytes"]:
        message = f"The parts have {len(content)} bytes, {upload.value['bytes']} were announced."
        raise InvalidRequest(message, param="part_ids", code="invalid_value")
    file = add_file(exchange, str(upload.value["filename"]), content, str(upload.value["purpose"]))
    await exchange.send_json(exchange.store.update(upload, {"status": "completed", "file": file.value}).value)


ROUTES: Final[DemoRoutes] = (
    ("POST", PART.path, add_part),
    ("POST", "/v1/uploads/{id}/complete", complete_upload),
)
