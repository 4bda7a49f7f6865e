"""The small endpoints of the demo provider that read text: moderations, rerank, search, and documents (OCR).

What they find is made up, but follows from the words: the same input gets the same answer.
"""

import re
import secrets
from typing import Any, Final

import msgspec

from proxy.demo.answers import answer_to, count_tokens
from proxy.demo.exchange import Exchange
from proxy.demo.phrases import read_orders, without_phrases
from proxy.demo.replies import begin
from proxy.demo.settings import TEXT, find_model
from proxy.errors import InvalidRequest

_MOST_DOCUMENTS = 1_000
_MOST_RESULTS = 20

#: Each category, and the words by which it is recognised.
_CATEGORIES: Final[dict[str, tuple[str, ...]]] = {
    "harassment": ("idiot", "stupid"),
    "harassment/threatening": ("threaten",),
    "hate": ("hate",),
    "hate/threatening": (),
    "illicit": ("steal", "drugs"),
    "illicit/violent": ("bomb", "weapon"),
    "self-harm": ("suicide",),
    "self-harm/instructions": (),
    "self-harm/intent": (),
    "sexual": ("porn",),
    "sexual/minors": (),
    "violence": ("kill", "attack", "murder"),
    "violence/graphic": ("gore",),
}


class ModerationRequest(msgspec.Struct, frozen=True, kw_only=True):
    """The request; `input` is a text, several, or parts of text and images."""

    model: str = "demo-guard"
    input: str | list[str | dict[str, Any]]


class RerankRequest(msgspec.Struct, frozen=True, kw_only=True):
    """The request; a document is a text, or an object with one."""

    model: str
    query: str
    documents: list[str | dict[str, Any]]
    top_n: int | None = None
    return_documents: bool | None = None


class SearchRequest(msgspec.Struct, frozen=True, kw_only=True):
    """The request; several queries may be asked at once."""

    query: str | list[str]
    model: str | None = None
    max_results: int = 5


class OcrRequest(msgspec.Struct, frozen=True, kw_only=True):
    """The request for the text of a document; it is named, never fetched."""

    model: str
    document: dict[str, Any]


async def moderations(exchange: Exchange) -> None:
    """`POST /v1/moderations`."""
    request = await exchange.read(ModerationRequest)
    model = find_model(request.model, ("moderation",), "v1/moderations")
    given = [request.input] if isinstance(request.input, str) else request.input
    texts = [one for one in given if isinstance(one, str)]
    if len(texts) < len(given):
        # Parts of one input: texts and images together.
        texts = ["\n".join(str(one.get("text") or "") for one in given if isinstance(one, dict))]
    orders = read_orders(texts[-1] if texts else "")
    if await begin(exchange, orders, model.name):
        results = [_judged(text) for text in texts]
        answer = {"id": f"modr-{secrets.token_hex(16)}", "model": model.name, "results": results}
        await exchange.send_json(answer, orders=orders)


def _judged(text: str) -> dict[str, Any]:
    words = _words(text)
    found = {name: any(mark in words for mark in marks) for name, marks in _CATEGORIES.items()}
    return {
        "flagged": any(found.values()),
        "categories": found,
        "category_scores": {name: 0.97 if hit else 0.0001 for name, hit in found.items()},
        "category_applied_input_types": {name: ["text"] if hit else [] for name, hit in found.items()},
    }


async def rerank(exchange: Exchange) -> None:
    """`POST /v1/rerank`."""
    request = await exchange.read(RerankRequest)
    model = find_model(request.model, ("rerank",), "v1/rerank")
    if not 1 <= len(request.documents) <= _MOST_DOCUMENTS:
        message = f"'documents' takes 1 to {_MOST_DOCUMENTS} of them."
        raise InvalidRequest(message, param="documents", code="invalid_value")
    texts = [one if isinstance(one, str) else str(one.get("text", "")) for one in request.documents]
    orders = read_orders(request.query)
    if not await begin(exchange, orders, model.name):
        return
    wanted = without_phrases(request.query)
    scores = {index: likeness(wanted, text) for index, text in enumerate(texts)}
    order = sorted(scores, key=lambda index: -scores[index])[: request.top_n]
    tokens = sum(map(count_tokens, texts)) + count_tokens(request.query)
    answer = {
        "id": f"rerank-{secrets.token_hex(12)}",
        "model": model.name,
        "results": [
            {
                "index": index,
                "relevance_score": scores[index],
                **({"document": {"text": texts[index]}} if request.return_documents else {}),
            }
            for index in order
        ],
        "meta": {"billed_units": {"search_units": 1}},
        **({} if orders.no_usage else {"usage": {"prompt_tokens": tokens, "total_tokens": tokens}}),
    }
    await exchange.send_json(answer, orders=orders)


async def search(exchange: Exchange) -> None:
    """`POST /v1/search`: pages that do not exist, under a domain that never will."""
    request = await exchange.read(SearchRequest)
    queries = [request.query] if isinstance(request.query, str) else request.query
    model = find_model(request.model or "demo-quest", ("search", *TEXT), "v1/search").name
    if not queries or not 1 <= request.max_results <= _MOST_RESULTS:
        raise InvalidRequest(f"Send a query, and 1 to {_MOST_RESULTS} for max_results.", code="invalid_value")
    orders = read_orders(queries[-1])
    if not await begin(exchange, orders, model):
        return
    wanted = without_phrases(" ".join(queries))
    results = [
        {
            "title": f"{wanted[:80] or 'Nothing'}, part {number}",
            "url": f"https://example.invalid/{number}",
            "snippet": answer_to(wanted)[:200],
            "date": "2026-11-20",
        }
        for number in range(1, request.max_results + 1)
    ]
    await exchange.send_json(
        {"object": "search", "id": secrets.token_hex(16), "model": model, "results": results}, orders=orders
    )


async def ocr(exchange: Exchange) -> None:
    """`POST /v1/ocr`: one page that names the document."""
    request = await exchange.read(OcrRequest)
    model = find_model(request.model, ("ocr", *TEXT), "v1/ocr")
    document = request.document
    named = document.get("document_url") or document.get("image_url") or document.get("file_id")
    address = str(named.get("url") if isinstance(named, dict) else named or "")
    if not address:
        raise InvalidRequest("'document' names no document.", param="document", code="invalid_value")
    orders = read_orders(str(document.get("document_name", "")))
    if not await begin(exchange, orders, model.name):
        return
    shown = address if len(address) <= 100 else f"{address[:100]}…"
    page = {
        "index": 0,
        "markdown": f"# Demo page\n\nThe demo provider cannot read; it was given {shown}.",
        "images": [],
        "dimensions": {"dpi": 200, "height": 2200, "width": 1700},
    }
    usage = {} if orders.no_usage else {"usage_info": {"pages_processed": 1, "doc_size_bytes": len(address)}}
    await exchange.send_json({"pages": [page], "model": model.name, **usage}, orders=orders)


def likeness(query: str, text: str) -> float:
    """How much of a query's words a text has, from 0 to 1; of two that have the same, the shorter is more alike."""
    wanted, held = _words(query), _words(text)
    if not wanted or not held:
        return 0.0
    shared = len(wanted & held)
    return round(0.9 * shared / len(wanted) + 0.1 * shared / len(held), 6)


def _words(text: str) -> frozenset[str]:
    return frozenset(re.findall(r"\w+", text.lower()))


ROUTES: Final = (
    ("POST", "/v1/moderations", moderations),
    ("POST", "/v1/rerank", rerank),
    ("POST", "/v1/search", search),
    ("POST", "/v1/ocr", ocr),
)
