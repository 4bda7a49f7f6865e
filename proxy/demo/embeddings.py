"""`POST /v1/embeddings` of the demo provider: vectors that are made up, but not useless.

A text always gets the same unit vector, and texts that share words get vectors that are near each other, so that a
search over them finds something. Nothing is learned and no model is loaded.
"""

import base64
import hashlib
import math
import re
import struct
from typing import Any

import msgspec

from proxy.demo.answers import count_tokens
from proxy.demo.exchange import Exchange
from proxy.demo.faults import failure
from proxy.demo.phrases import Orders, read_orders
from proxy.demo.settings import find_model
from proxy.errors import InvalidRequest

FULL_DIMENSIONS = 1536
_MOST_INPUTS = 2048
_MOST_TOKENS = 8192
_MOST_TOKENS_IN_ALL = 300_000
_NOISE = 1 / 32768 / 16


class EmbeddingRequest(msgspec.Struct, frozen=True, kw_only=True):
    """The request; `input` is a text, texts, one list of tokens, or several."""

    model: str
    input: str | list[str | int | list[int]]
    dimensions: int | None = None
    encoding_format: str | None = None


async def embeddings(exchange: Exchange) -> None:
    """Answer one embeddings request."""
    request = await exchange.read(EmbeddingRequest)
    model = find_model(request.model, ("embeddings",), "v1/embeddings")
    dimensions = FULL_DIMENSIONS if request.dimensions is None else request.dimensions
    if not 1 <= dimensions <= FULL_DIMENSIONS:
        raise _refusal("dimensions", f"'dimensions' must be from 1 to {FULL_DIMENSIONS}, not {dimensions}.")
    if request.encoding_format not in (None, "float", "base64"):
        raise _refusal("encoding_format", "'encoding_format' must be 'float' or 'base64'.")
    inputs = _inputs(request.input)
    tokens = _count(inputs)
    orders = read_orders(inputs[-1]) if isinstance(inputs[-1], str) else Orders()
    if not await exchange.pause(orders.delay or 0):
        return
    if orders.error:
        raise failure(orders.error, model.name)
    data: list[Any] = []
    for index, one in enumerate(inputs):
        values = vector(one if isinstance(one, str) else " ".join(map(str, one)), dimensions)
        embedding = _packed(values) if request.encoding_format == "base64" else values
        data.append({"object": "embedding", "index": index, "embedding": embedding})
        # A large batch takes a while, and others share this loop.
        await exchange.pause(0)
    usage = {} if orders.no_usage else {"usage": {"prompt_tokens": tokens, "total_tokens": tokens}}
    body = {"object": "list", "data": data, "model": model.name, **usage}
    await exchange.send_json(body, headers=((b"openai-model", model.name.encode()),), orders=orders)


def embedding_answer(body: msgspec.Raw) -> dict[str, Any]:
    """The whole answer to a request body, at once, in numbers of the full length."""
    request = msgspec.json.decode(body, type=EmbeddingRequest)
    model = find_model(request.model, ("embeddings",), "v1/embeddings")
    inputs = _inputs(request.input)
    tokens = _count(inputs)
    texts = [one if isinstance(one, str) else " ".join(map(str, one)) for one in inputs]
    data = [
        {"object": "embedding", "index": index, "embedding": vector(text, FULL_DIMENSIONS)}
        for index, text in enumerate(texts)
    ]
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return {"object": "list", "data": data, "model": model.name, "usage": usage}


def _inputs(given: str | list[str | int | list[int]]) -> list[str | list[int]]:
    if isinstance(given, str):
        given = [given]
    numbers = [one for one in given if isinstance(one, int)]
    texts = [one for one in given if not isinstance(one, int)]
    if numbers and texts:
        raise _refusal("input", "'input' mixes token numbers with texts or lists; send one kind.")
    inputs: list[str | list[int]] = [numbers] if numbers else texts
    if not inputs or not all(inputs):
        raise _refusal("input", "'input' is empty or has an empty entry; send text or tokens.")
    if len(inputs) > _MOST_INPUTS:
        raise _refusal("input", f"'input' takes at most {_MOST_INPUTS} entries; send several requests.")
    return inputs


def _count(inputs: list[str | list[int]]) -> int:
    counts = [count_tokens(one) if isinstance(one, str) else len(one) for one in inputs]
    if max(counts) > _MOST_TOKENS:
        raise _refusal("input", f"An entry has {max(counts)} tokens, the limit is {_MOST_TOKENS}; make it shorter.")
    if sum(counts) > _MOST_TOKENS_IN_ALL:
        raise _refusal("input", f"{sum(counts)} tokens in one request, the limit is {_MOST_TOKENS_IN_ALL}.")
    return sum(counts)


def vector(text: str, dimensions: int) -> list[float]:
    """The unit vector of a text: each word moves eight places, and a little noise of the whole text moves the rest."""
    noise = hashlib.shake_256(text.encode("utf-8", "replace")).digest(FULL_DIMENSIONS * 2)
    values = [number * _NOISE for number in struct.unpack(f"<{FULL_DIMENSIONS}h", noise)]
    for word in re.findall(r"\w+", text.lower()):
        for place in struct.unpack("<8H", hashlib.blake2b(word.encode("utf-8", "replace"), digest_size=16).digest()):
            values[(place >> 1) % FULL_DIMENSIONS] += 1.0 if place & 1 else -1.0
    values = values[:dimensions]
    length = math.sqrt(sum(value * value for value in values)) or 1.0
    return [round(value / length, 8) for value in values]


def _packed(values: list[float]) -> str:
    return base64.b64encode(struct.pack(f"<{len(values)}f", *values)).decode()


def _refusal(param: str, message: str) -> InvalidRequest:
    return InvalidRequest(message, param=param, code="invalid_value")
