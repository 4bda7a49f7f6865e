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
from typing import Any, Final

import msgspec

from proxy.demo.engine import plain_text
from proxy.demo.exchange import DemoExchange
from proxy.demo.faults import DemoFaults, parse_faults, without_phrases
from proxy.demo.generate_content import parts_of
from proxy.demo.settings import TEXT, find_model
from proxy.demo.words import count_tokens, similarity, text_for, words_of
from proxy.errors import InvalidRequest

FULL_DIMENSIONS: Final = 1536
_MAX_INPUTS: Final = 2048
_MAX_DOCUMENTS: Final = 1_000
_MAX_RESULTS: Final = 20
_NOISE: Final = 1 / 32768 / 16
#: The categories of moderations, and the words by which they are recognised.
_CATEGORIES: Final = {
    "harassment": {"idiot", "stupid"},
    "hate": {"hate"},
    "illicit": {"steal", "drugs", "bomb", "weapon"},
    "self-harm": {"suicide"},
    "sexual": {"porn"},
    "violence": {"kill", "attack", "murder"},
}


class EmbeddingRequest(msgspec.Struct, frozen=True, kw_only=True):
    """`POST /v1/embeddings`; the input is a text, texts, a list of token numbers, or several."""

    model: str
    input: str | list[str | int | list[int]]
    dimensions: int | None = None
    encoding_format: str | None = None


class EmbedContentRequest(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Gemini's `:embedContent`."""

    content: dict[str, Any]
    output_dimensionality: int | None = None


class BatchEmbedContentsRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Gemini's `:batchEmbedContents`."""

    requests: list[EmbedContentRequest]


class ModerationRequest(msgspec.Struct, frozen=True, kw_only=True):
    """`POST /v1/moderations`; the input is a text, several, or parts of text and images."""

    model: str = "demo-guard"
    input: str | list[str | dict[str, Any]]


class RerankRequest(msgspec.Struct, frozen=True, kw_only=True):
    """`POST /v1/rerank`; a document is a text, or an object with one."""

    model: str
    query: str
    documents: list[str | dict[str, Any]]
    top_n: int | None = None
    return_documents: bool | None = None


class SearchRequest(msgspec.Struct, frozen=True, kw_only=True):
    """`POST /v1/search`."""

    query: str | list[str]
    model: str = "demo-quest"
    max_results: int = 5


class OcrRequest(msgspec.Struct, frozen=True, kw_only=True):
    """`POST /v1/ocr`; the document is named, never fetched."""

    model: str
    document: dict[str, Any]


async def embeddings(exchange: DemoExchange) -> None:
    request = await exchange.read(EmbeddingRequest)
    model = find_model(request.model, ("embeddings",), "v1/embeddings").name
    dimensions = _dimensions(request.dimensions)
    if request.encoding_format not in (None, "float", "base64"):
        raise _invalid("encoding_format", "'encoding_format' must be 'float' or 'base64'.")
    inputs = _inputs(request.input)
    tokens = sum(count_tokens(one) if isinstance(one, str) else len(one) for one in inputs)
    faults = parse_faults(inputs[-1]) if isinstance(inputs[-1], str) else DemoFaults()
    # A vector takes no time but what the phrases ask for.
    await exchange.think(replace(faults, delay=faults.delay or 0), model)
    data: list[Any] = []
    for index, one in enumerate(inputs):
        values: Any = vector(one if isinstance(one, str) else " ".join(map(str, one)), dimensions)
        if request.encoding_format == "base64":
            values = base64.b64encode(struct.pack(f"<{dimensions}f", *values)).decode()
        data.append({"object": "embedding", "index": index, "embedding": values})
        # A large batch takes a while, and other requests share the event loop.
        await exchange.pause(0)
    usage = {} if faults.no_usage else {"usage": {"prompt_tokens": tokens, "total_tokens": tokens}}
    body = {"object": "list", "data": data, "model": model, **usage}
    await exchange.send_json(body, faults)


def _dimensions(given: int | None) -> int:
    dimensions = FULL_DIMENSIONS if given is None else given
    if not 1 <= dimensions <= FULL_DIMENSIONS:
        raise _invalid("dimensions", f"'dimensions' must be from 1 to {FULL_DIMENSIONS}, not {dimensions}.")
    return dimensions


def _inputs(given: str | list[str | int | list[int]]) -> list[str | list[int]]:
    given = [given] if isinstance(given, str) else given
    numbers = [one for one in given if isinstance(one, int)]
    texts = [one for one in given if not isinstance(one, int)]
    if numbers and texts:
        raise _invalid("input", "'input' mixes token numbers with texts or lists; send one kind.")
    inputs: list[str | list[int]] = [numbers] if numbers else texts
    if not inputs or not all(inputs):
        raise _invalid("input", "'input' is empty or has an empty entry; send text or tokens.")
    if len(inputs) > _MAX_INPUTS:
        raise _invalid("input", f"'input' takes at most {_MAX_INPUTS} entries; send several requests.")
    return inputs


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
    model = find_model(exchange.path("model"), ("embeddings",), "embedContent")
    single = exchange.scope["path"].endswith(":embedContent")
    if single:
        requests = [await exchange.read(EmbedContentRequest)]
    else:
        requests = (await exchange.read(BatchEmbedContentsRequest)).requests
    texts = [plain_text(parts_of(request.content)) for request in requests]
    if not all(texts):
        raise InvalidRequest("Each content needs text.")
    dimensions = [_dimensions(request.output_dimensionality) for request in requests]
    faults = parse_faults(" ".join(texts))
    await exchange.think(faults, model.name)
    embedded = [{"values": vector(text, count)} for text, count in zip(texts, dimensions, strict=True)]
    usage = {} if faults.no_usage else {"usageMetadata": {"promptTokenCount": count_tokens(" ".join(texts))}}
    await exchange.send_json({**({"embedding": embedded[0]} if single else {"embeddings": embedded}), **usage}, faults)


async def moderations(exchange: DemoExchange) -> None:
    request = await exchange.read(ModerationRequest)
    model = find_model(request.model, ("moderation",), "v1/moderations").name
    inputs = [request.input] if isinstance(request.input, str) else request.input
    texts = [one for one in inputs if isinstance(one, str)]
    if len(texts) < len(inputs):
        # Parts of one input: texts and images together.
        texts = [plain_text(inputs)]
    faults = parse_faults(texts[-1] if texts else "")
    await exchange.think(faults, model)
    results = []
    for text in texts:
        found = {name: bool(marks & words_of(text)) for name, marks in _CATEGORIES.items()}
        scores = {name: 0.97 if hit else 0.0001 for name, hit in found.items()}
        results.append({"flagged": any(found.values()), "categories": found, "category_scores": scores})
    await exchange.send_json({"id": f"modr-{secrets.token_hex(16)}", "model": model, "results": results}, faults)


async def rerank(exchange: DemoExchange) -> None:
    request = await exchange.read(RerankRequest)
    model = find_model(request.model, ("rerank",), "v1/rerank").name
    if not 1 <= len(request.documents) <= _MAX_DOCUMENTS:
        raise _invalid("documents", f"'documents' takes 1 to {_MAX_DOCUMENTS} of them.")
    texts = [one if isinstance(one, str) else str(one.get("text", "")) for one in request.documents]
    faults = parse_faults(request.query)
    await exchange.think(faults, model)
    query = without_phrases(request.query)
    results: list[dict[str, Any]] = [
        {"index": index, "relevance_score": similarity(query, text)} for index, text in enumerate(texts)
    ]
    results = sorted(results, key=lambda result: -float(result["relevance_score"]))[: request.top_n]
    if request.return_documents:
        results = [{**result, "document": {"text": texts[result["index"]]}} for result in results]
    tokens = sum(map(count_tokens, texts)) + count_tokens(request.query)
    usage = {} if faults.no_usage else {"usage": {"prompt_tokens": tokens, "total_tokens": tokens}}
    body = {"id": f"rerank-{secrets.token_hex(12)}", "model": model, "results": results}
    await exchange.send_json({**body, "meta": {"billed_units": {"search_units": 1}}, **usage}, faults)


async def search(exchange: DemoExchange) -> None:
    """`POST /v1/search`: pages that do not exist, under a domain that never will."""
    request = await exchange.read(SearchRequest)
    queries = [request.query] if isinstance(request.query, str) else request.query
    model = find_model(request.model, ("search", *TEXT), "v1/search").name
    if not queries or not 1 <= request.max_results <= _MAX_RESULTS:
        raise InvalidRequest(f"Send a query, and 1 to {_MAX_RESULTS} for max_results.", code="invalid_value")
    faults = parse_faults(queries[-1])
    await exchange.think(faults, model)
    query = without_phrases(" ".join(queries))
    title, snippet = query[:80] or "Nothing", text_for(query)[:200]
    results = [
        {"title": f"{title}, part {number}", "url": f"https://example.invalid/{number}", "snippet": snippet}
        for number in range(1, request.max_results + 1)
    ]
    body = {"object": "search", "id": secrets.token_hex(16), "model": model, "results": results}
    await exchange.send_json(body, faults)


async def ocr(exchange: DemoExchange) -> None:
    """`POST /v1/ocr`: one page that names the document. Phrases stand in `document_name`."""
    request = await exchange.read(OcrRequest)
    model = find_model(request.model, ("ocr", *TEXT), "v1/ocr").name
    document = request.document
    source = document.get("document_url") or document.get("image_url") or document.get("file_id")
    address = str(source.get("url") if isinstance(source, dict) else source or "")
    if not address:
        raise _invalid("document", "'document' names no document.")
    faults = parse_faults(str(document.get("document_name", "")))
    await exchange.think(faults, model)
    shown = address if len(address) <= 100 else f"{address[:100]}…"
    text = f"# Demo page\n\nThe demo provider cannot read; it was given {shown}."
    page = {"index": 0, "markdown": text, "images": [], "dimensions": {"dpi": 200, "height": 2200, "width": 1700}}
    usage = {} if faults.no_usage else {"usage_info": {"pages_processed": 1, "doc_size_bytes": len(address)}}
    await exchange.send_json({"pages": [page], "model": model, **usage}, faults)


def _invalid(param: str, message: str) -> InvalidRequest:
    return InvalidRequest(message, param=param, code="invalid_value")
