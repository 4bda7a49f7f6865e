"""`POST /v1/images/generations`, `/edits` and `/variations` of the demo provider: small coloured squares.

The colours follow from the prompt. Edits and variations take forms, edits JSON too; pictures that are sent are not
looked at.
"""

import base64
import hashlib
import struct
import time
import zlib
from collections.abc import Iterator
from typing import Any, Final

import msgspec

from proxy.demo.answers import count_tokens
from proxy.demo.exchange import Event, Exchange, named_event
from proxy.demo.phrases import read_orders, without_phrases
from proxy.demo.replies import begin
from proxy.demo.settings import find_model
from proxy.errors import InvalidRequest

_SIDE: Final = 64
_MOST_IMAGES: Final = 4
_MOST_PARTIAL: Final = 3
_OUTPUT_TOKENS: Final = 272
_INPUT_IMAGE_TOKENS: Final = 65


class ImageRequest(msgspec.Struct, frozen=True, kw_only=True):
    """The request; the same whether it came as JSON or as a form."""

    model: str = "demo-canvas"
    prompt: str = ""
    n: int | None = None
    size: str | None = None
    response_format: str | None = None
    stream: bool | None = None
    partial_images: int | None = None
    images: list[Any] = []

    @property
    def count(self) -> int:
        """How many pictures are wanted."""
        return 1 if self.n is None else self.n


async def generations(exchange: Exchange) -> None:
    """`POST /v1/images/generations`."""
    await _answer(exchange, await exchange.read(ImageRequest), "image_generation")


async def edits(exchange: Exchange) -> None:
    """`POST /v1/images/edits`."""
    if exchange.has_form:
        request = await _from_form(exchange)
    else:
        request = await exchange.read(ImageRequest)
        if not request.images:
            raise InvalidRequest("'images' names no picture.", param="images", code="missing_required_parameter")
    await _answer(exchange, request, "image_edit")


async def variations(exchange: Exchange) -> None:
    """`POST /v1/images/variations`."""
    await _answer(exchange, await _from_form(exchange), "image_variation")


async def _from_form(exchange: Exchange) -> ImageRequest:
    form = await exchange.read_form()
    form.upload("image")
    fields: dict[str, Any] = {name: values[-1] for name, values in form.fields.items()}
    fields["images"] = [upload.filename for upload in form.uploads]
    try:
        return msgspec.convert(fields, ImageRequest, strict=False)
    except msgspec.ValidationError as error:
        raise InvalidRequest(f"Invalid form: {error}.", code="invalid_value") from error


async def _answer(exchange: Exchange, request: ImageRequest, task: str) -> None:
    model = find_model(request.model, ("image",), "v1/images")
    if not request.prompt and task != "image_variation":
        raise InvalidRequest("'prompt' is missing.", param="prompt", code="missing_required_parameter")
    partial = request.partial_images or 0
    if not 1 <= request.count <= _MOST_IMAGES or not 0 <= partial <= _MOST_PARTIAL:
        message = f"'n' takes 1 to {_MOST_IMAGES}, 'partial_images' 0 to {_MOST_PARTIAL}."
        raise InvalidRequest(message, code="invalid_value")
    orders = read_orders(request.prompt)
    stream = bool(request.stream)
    if not await begin(exchange, orders, model.name, stream=stream):
        return
    usage = {} if orders.no_usage else {"usage": _usage(request)}
    if stream:
        await exchange.send_events(_stream(request, task, partial, usage), orders, model.name)
        return
    data = [_shown(request, picture(request.prompt, number)) for number in range(request.count)]
    shared = {"background": "opaque", "output_format": "png", "quality": "low", "size": request.size or "1024x1024"}
    await exchange.send_json({"created": int(time.time()), "data": data, **shared, **usage}, orders=orders)


def _stream(request: ImageRequest, task: str, partial: int, usage: dict[str, Any]) -> Iterator[Event]:
    shared = {
        "created_at": int(time.time()),
        "size": request.size or "1024x1024",
        "quality": "low",
        "background": "opaque",
        "output_format": "png",
    }
    for number in range(partial):
        sketch = {"b64_json": _base64(picture(request.prompt, 100 + number)), "partial_image_index": number}
        yield _event(f"{task}.partial_image", {**shared, **sketch})
    yield _event(f"{task}.completed", {**shared, "b64_json": _base64(picture(request.prompt, 0)), **usage})


def _event(name: str, fields: dict[str, Any]) -> Event:
    return named_event(name, {"type": name, **fields}, content=True)


def _shown(request: ImageRequest, data: bytes) -> dict[str, str]:
    encoded = _base64(data)
    return {"url": f"data:image/png;base64,{encoded}"} if request.response_format == "url" else {"b64_json": encoded}


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _usage(request: ImageRequest) -> dict[str, Any]:
    texts, images = count_tokens(request.prompt), _INPUT_IMAGE_TOKENS * len(request.images)
    output = _OUTPUT_TOKENS * request.count
    return {
        "total_tokens": texts + images + output,
        "input_tokens": texts + images,
        "output_tokens": output,
        "input_tokens_details": {"text_tokens": texts, "image_tokens": images},
        "output_tokens_details": {"text_tokens": 0, "image_tokens": output},
    }


def picture(prompt: str, number: int) -> bytes:
    """A square in PNG that runs from one colour into another."""
    seed = hashlib.sha256(f"{without_phrases(prompt)}/{number}".encode("utf-8", "replace")).digest()
    first, last = seed[:3], seed[3:6]
    row = bytes(
        first[part] + (last[part] - first[part]) * at // (_SIDE - 1) for at in range(_SIDE) for part in range(3)
    )
    lines = (b"\x00" + row) * _SIDE
    head = struct.pack(">IIBBBBB", _SIDE, _SIDE, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", head), (b"IDAT", zlib.compress(lines)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(name, data) for name, data in chunks)


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


ROUTES: Final = (
    ("POST", "/v1/images/generations", generations),
    ("POST", "/v1/images/edits", edits),
    ("POST", "/v1/images/variations", variations),
)
