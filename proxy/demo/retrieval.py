"""Endpoints that read texts and generate none: embeddings (OpenAI's and Gemini's), moderations, rerank, search, OCR.

What they find is made up but follows from the words: texts that share words get vectors that are near each other.
"""

import base64
import hashlib
import math
import re
import secrets
import struct
from dataclasses import replace
from typing import Annotated, Any, Final, Literal

import msgspec

from proxy.config.tree import Capability
from proxy.demo.engine import plain_text
from proxy.demo.exchange import DemoExchange
from proxy.demo.faults import parse_faults, without_phrases
from proxy.demo.generate_content import parts_of
from proxy.demo.settings import TEXT, find_model
from proxy.demo.words import count_tokens, similarity, text_for, words_of
from proxy.errors import InvalidRequest

FULL_DIMENSIONS: Final = 1536
_NOISE: Final = 1 / 32768 / 16
_EMBEDDINGS: Final[tuple[Capability, ...]] = ("embeddings",)
Dimensions = Annotated[int, msgspec.Meta(ge=1, le=FULL_DIMENSIONS)] | None
TokenNumbers = Annotated[list[int], msgspec.Meta(min_length=1)]
NonEmptyText = Annotated[str, msgspec.Meta(min_length=1)]
Inputs = Annotated[list[NonEmptyText | int | TokenNumbers], msgspec.Meta(min_length=1, max_length=2048)]
#: The categories of moderations, and the words by which they are recognised.
_CATEGORIES: Final = {
    "harassment": frozenset({"idiot", "stupid"}),
    "hate": frozenset({"hate"}),
    "illicit": frozenset({"steal", "drugs", "bomb", "weapon"}),
    "self-harm": frozenset({"suicide"}),
    "sexual": frozenset({"porn"}),
    "violence": frozenset({"kill", "attack", "murder"}),
}


class EmbeddingRequest(msgspec.Struct, frozen=True, kw_only=True):
    """`POST /v1/embeddings`; the input is a text, texts, a list of token numbers, or several."""

    model: str
    input: NonEmptyText | Inputs
    dimensions: Dimensions = None
    encoding_format: Literal["float", "base64"] | None = None


class EmbedContentRequest(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Gemini's `:embedContent`."""

    content: dict[str, Any]
    output_dimensionality: Dimensions = None


class ModerationRequest(msgspec.Struct, frozen=True, kw_only=True):
    """`POST /v1/moderations`; the input is a text, several, or parts of text and images."""

    model: str = "demo-guard"
    input: str | list[str | dict[str, Any]]


class RerankRequest(msgspec.Struct, frozen=True, kw_only=True):
    """`POST /v1/rerank`; a document is a text, or an object with one."""

    model: str
    query: str
    documents: Annotated[list[str | dict[str, Any]], msgspec.Meta(min_length=1, max_length=1000)]
    top_n: int | None = None
    return_documents: bool | None = None


class SearchRequest(msgspec.Struct, frozen=True, kw_only=True):
    """`POST /v1/search`."""

    query: str | Annotated[list[str], msgspec.Meta(min_length=1)]
    model: str = "demo-quest"
    max_results: Annotated[int, msgspec.Meta(ge=1, le=20)] = 5


class OcrRequest(msgspec.Struct, frozen=True, kw_only=True):
    """`POST /v1/ocr`; the document is named, never fetched."""

    model: str
    document: Annotated[dict[str, Any], msgspec.Meta(min_length=1)]


async def embeddings(exchange: DemoExchange) -> None:
    request = await exchange.read(EmbeddingRequest)
    model = find_model(request.model, _EMBEDDINGS, "v1/embeddings").name
    given = [request.input] if isinstance(request.input, str) else request.input
    numbers = [one for one in given if isinstance(one, int)]
    if numbers and len(numbers) < len(given):
        raise InvalidRequest("'input' mixes token numbers with texts; send one kind.", param="input")
    inputs = [numbers] if numbers else [one for one in given if not isinstance(one, int)]
    texts = [one if isinstance(one, str) else " ".join(map(str, one)) for one in inputs]
    faults = parse_faults(texts[-1])
    # A vector takes no time but what the phrases ask for.
    await exchange.think(replace(faults, delay=faults.delay or 0), model)
    dimensions = request.dimensions or FULL_DIMENSIONS
    data: list[Any] = []
    for index, text in enumerate(texts):
        values: Any = vector(text, dimensions)
        if request.encoding_format == "base64":
            values = base64.b64encode(struct.pack(f"<{dimensions}f", *values)).decode()
        data.append({"object": "embedding", "index": index, "embedding": values})
        # A large batch takes a while, and other requests share the event loop.
        await exchange.pause(0)
    tokens = sum(count_tokens(one) if isinstance(one, str) else len(one) for one in inputs)
    usage = {} if faults.no_usage else {"usage": {"prompt_tokens": tokens, "total_tokens": tokens}}
    await exchange.send_json({"object": "list", "data": data, "model": model, **usage}, faults)


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


async def embed_contents(exchange: DemoExchange) -> None:
    """Gemini's `:embedContent` of one content, and `:batchEmbedContents` of several."""
    single = exchange.scope["path"].endswith(":embedContent")
    if single:
        requests = [await exchange.read(EmbedContentRequest)]
    else:
        requests = (await exchange.read(dict[str, list[EmbedContentRequest]])).get("requests", [])
    texts = [plain_text(parts_of(request.content)) for request in requests]
    _, faults = await exchange.begin(exchange.path("model"), _EMBEDDINGS, " ".join(texts))
    embedded = [
        {"values": vector(text, request.output_dimensionality or FULL_DIMENSIONS)}
        for text, request in zip(texts, requests, strict=True)
    ]
    usage = {} if faults.no_usage else {"usageMetadata": {"promptTokenCount": count_tokens(" ".join(texts))}}
    await exchange.send_json({**({"embedding": embedded[0]} if single else {"embeddings": embedded}), **usage}, faults)


async def moderations(exchange: DemoExchange) -> None:
    request = await exchange.read(ModerationRequest)
    # Objects are the parts of one input.
    parts = [] if isinstance(request.input, str) else request.input
    texts = [one for one in parts if isinstance(one, str)] or [plain_text(request.input)]
    model, faults = await exchange.begin(request.model, ("moderation",), texts[-1])
    results = []
    for text in texts:
        found = {name: bool(marks & words_of(text)) for name, marks in _CATEGORIES.items()}
        scores = {name: 0.97 if hit else 0.0001 for name, hit in found.items()}
        results.append({"flagged": any(found.values()), "categories": found, "category_scores": scores})
    await exchange.send_json({"id": f"modr-{secrets.token_hex(16)}", "model": model, "results": results}, faults)


async def rerank(exchange: DemoExchange) -> None:
    request = await exchange.read(RerankRequest)
    model, faults = await exchange.begin(request.model, ("rerank",), request.query)
    texts = [one if isinstance(one, str) else str(one.get("text", "")) for one in request.documents]
    query = without_phrases(request.query)
    scores = sorted(((similarity(query, text), -index) for index, text in enumerate(texts)), reverse=True)
    results = [
        {
            "index": -at,
            "relevance_score": score,
            **({"document": {"text": texts[-at]}} if request.return_documents else {}),
        }
        for score, at in scores[: request.top_n]
    ]
    tokens = sum(map(count_tokens, texts)) + count_tokens(request.query)
    usage = {} if faults.no_usage else {"usage": {"prompt_tokens": tokens, "total_tokens": tokens}}
    body = {"id": f"rerank-{secrets.token_hex(12)}", "model": model, "results": results}
    await exchange.send_json({**body, "meta": {"billed_units": {"search_units": 1}}, **usage}, faults)


async def search(exchange: DemoExchange) -> None:
    """`POST /v1/search`: pages that do not exist, under a domain that never will."""
    request = await exchange.read(SearchRequest)
    query = request.query if isinstance(request.query, str) else " ".join(request.query)
    model, faults = await exchange.begin(request.model, ("search", *TEXT), query)
    title, snippet = without_phrases(query)[:80], text_for(query)[:200]
    results = [
        {"title": f"{title}, part {number}", "url": f"https://example.invalid/{number}", "snippet": snippet}
        for number in range(1, request.max_results + 1)
    ]
    body = {"object": "search", "id": secrets.token_hex(16), "model": model, "results": results}
    await exchange.send_json(body, faults)


async def ocr(exchange: DemoExchange) -> None:
    """`POST /v1/ocr`: one page that names the document. Phrases stand in `document_name`."""
    request = await exchange.read(OcrRequest)
    name = str(request.document.get("document_name", ""))
    model, faults = await exchange.begin(request.model, ("ocr", *TEXT), name)
    source = request.document.get("document_url") or request.document.get("image_url")
    address = str(source.get("url") if isinstance(source, dict) else source)[:100]
    page = {"index": 0, "markdown": f"# Demo page\n\nThe demo provider cannot read; it was given {address}."}
    usage = {} if faults.no_usage else {"usage_info": {"pages_processed": 1}}
    await exchange.send_json({"pages": [page], "model": model, **usage}, faults)
