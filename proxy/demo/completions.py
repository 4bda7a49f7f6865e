"""`POST /v1/completions` of the demo provider: the older text endpoint, whole or as a stream.

Its chunks have `model` behind `choices`, and its usage chunk before, as OpenAI's do.
"""

from collections.abc import Iterator
from typing import Any

import msgspec

from proxy.demo.answers import answer_to, count_tokens, filler, pieces
from proxy.demo.exchange import DONE, Event, Exchange, event
from proxy.demo.faults import failure
from proxy.demo.phrases import Orders, read_orders
from proxy.demo.replies import Choice, Head, cut_text, new_head, usage_of, wait_for_first_byte
from proxy.demo.requests import CompletionRequest
from proxy.errors import InvalidRequest

_DEFAULT_TOKENS = 16
_MOST_PROMPTS = 20


async def completions(exchange: Exchange) -> None:
    """Answer one completion request; each prompt gets `n` choices."""
    request = await exchange.read(CompletionRequest)
    model = request.check("v1/completions")
    prompts = [request.prompt] if isinstance(request.prompt, str) else request.prompt
    if not 1 <= len(prompts) <= _MOST_PROMPTS:
        raise InvalidRequest(f"'prompt' takes 1 to {_MOST_PROMPTS} texts.", param="prompt", code="invalid_value")
    orders = read_orders(prompts[-1])
    choices = [_choice(request, prompt, orders) for prompt in prompts for _ in range(request.choices)]
    head = new_head("cmpl-", model.name)
    usage = usage_of(sum(map(count_tokens, prompts)), choices)
    if not await wait_for_first_byte(exchange, orders, choices, stream=bool(request.stream)):
        return
    if orders.error:
        raise failure(orders.error, model.name)
    headers = ((b"openai-model", model.name.encode()),)
    if request.stream:
        events = _stream(head, choices, usage if request.include_usage else None, orders)
        await exchange.send_events(events, orders, model.name, headers)
        return
    await exchange.send_json(_whole(head, choices, None if orders.no_usage else usage), headers=headers, orders=orders)


def completion_answer(body: msgspec.Raw) -> dict[str, Any]:
    """The whole answer to a request body, at once and without the wait."""
    request = msgspec.json.decode(body, type=CompletionRequest)
    model = request.check("v1/completions")
    prompts = [request.prompt] if isinstance(request.prompt, str) else request.prompt
    choices = [_choice(request, prompt, read_orders(prompt)) for prompt in prompts[:_MOST_PROMPTS]]
    return _whole(new_head("cmpl-", model.name), choices, usage_of(sum(map(count_tokens, prompts)), choices))


def _choice(request: CompletionRequest, prompt: str, orders: Orders) -> Choice:
    text = filler(orders.tokens) if orders.tokens else answer_to(prompt)
    limit = request.max_tokens or orders.tokens or _DEFAULT_TOKENS
    return Choice(*cut_text(text, request.stops, limit))


def _whole(head: Head, choices: list[Choice], usage: Any) -> dict[str, Any]:
    body = [_entry(index, choice.text, choice.finish_reason) for index, choice in enumerate(choices)]
    return {**_opening(head), "model": head.model, "choices": body, **({"usage": usage} if usage else {})}


def _stream(head: Head, choices: list[Choice], usage: Any, orders: Orders) -> Iterator[Event]:
    empty = {} if usage is None else {"usage": None}
    opening, closing = _opening(head), {"model": head.model, **empty}
    for index, choice in enumerate(choices):
        for piece in pieces(choice.text):
            yield event({**opening, "choices": [_entry(index, piece, None)], **closing}, content=True)
        yield event({**opening, "choices": [_entry(index, "", choice.finish_reason)], **closing})
    if usage is not None and not orders.no_usage:
        yield event({**opening, "model": head.model, "usage": usage, "choices": []})
    if not orders.no_done:
        yield Event(DONE)


def _opening(head: Head) -> dict[str, Any]:
    return {"id": head.id, "object": "text_completion", "created": head.created}


def _entry(index: int, text: str, finish_reason: str | None) -> dict[str, Any]:
    return {"text": text, "index": index, "logprobs": None, "finish_reason": finish_reason}
