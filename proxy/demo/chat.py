"""`POST /v1/chat/completions` of the demo provider: writes a planned answer whole or as a stream.

The plan is made before the first byte is sent and says the same either way; sending is the exchange's work.
"""

from collections.abc import Iterator
from typing import Any

import msgspec

from proxy.demo.answers import fragments, pieces
from proxy.demo.exchange import DONE, Event, Exchange, event
from proxy.demo.faults import failure
from proxy.demo.phrases import Orders, read_orders
from proxy.demo.plans import plan
from proxy.demo.replies import Choice, Head, new_head, usage_of, wait_for_first_byte
from proxy.demo.requests import ChatRequest


async def chat_completions(exchange: Exchange) -> None:
    """Answer one chat request."""
    request = await exchange.read(ChatRequest)
    model = request.check("v1/chat/completions")
    orders = read_orders(request.last_user_message.text)
    choices = [plan(request, orders, index) for index in range(request.choices)]
    head = new_head("chatcmpl-", model.name)
    usage = usage_of(request.input_tokens, choices)
    if not await wait_for_first_byte(exchange, orders, choices, stream=bool(request.stream)):
        return
    if orders.error:
        raise failure(orders.error, model.name)
    if request.stream:
        events = _stream(head, choices, usage if request.include_usage else None, orders)
        await exchange.send_events(events, orders, model.name)
        return
    await exchange.send_json(_whole(head, choices, None if orders.no_usage else usage), orders=orders)


def chat_answer(body: msgspec.Raw) -> dict[str, Any]:
    """The whole answer to a request body, at once and without the wait."""
    request = msgspec.json.decode(body, type=ChatRequest)
    model = request.check("v1/chat/completions")
    orders = read_orders(request.last_user_message.text)
    if orders.error:
        raise failure(orders.error, model.name)
    choices = [plan(request, orders, index) for index in range(request.choices)]
    return _whole(new_head("chatcmpl-", model.name), choices, usage_of(request.input_tokens, choices))


def _whole(head: Head, choices: list[Choice], usage: Any) -> dict[str, Any]:
    """The answer as one object; without `usage` the key is left out."""
    return {
        "id": head.id,
        "object": "chat.completion",
        "created": head.created,
        "model": head.model,
        "choices": [
            {"index": index, "message": _message(choice), "logprobs": None, "finish_reason": choice.finish_reason}
            for index, choice in enumerate(choices)
        ],
        **({"usage": usage} if usage else {}),
        "service_tier": "default",
        "system_fingerprint": head.fingerprint,
    }


def _message(choice: Choice) -> dict[str, Any]:
    if choice.function is None:
        return {"role": "assistant", "content": choice.text, "refusal": None, "annotations": []}
    function = {"name": choice.function, "arguments": choice.text}
    calls = [{"id": choice.call_id, "type": "function", "function": function}]
    return {"role": "assistant", "content": None, "tool_calls": calls, "refusal": None, "annotations": []}


def _stream(head: Head, choices: list[Choice], usage: Any, orders: Orders) -> Iterator[Event]:
    """The answer as events. With `usage` each chunk has the key: null, but for the extra one before the end."""
    empty = {} if usage is None else {"usage": None}
    for index, choice in enumerate(choices):
        yield event(_chunk(head, [_delta(index, _first_delta(choice))], empty))
    for index, choice in enumerate(choices):
        for delta in _deltas(choice):
            yield event(_chunk(head, [_delta(index, delta)], empty), content=True)
        yield event(_chunk(head, [_delta(index, {}, choice.finish_reason)], empty))
    if usage is not None and not orders.no_usage:
        yield event(_chunk(head, [], {"usage": usage}))
    if not orders.no_done:
        yield Event(DONE)


def _chunk(head: Head, choices: list[Any], usage: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": head.id,
        "object": "chat.completion.chunk",
        "created": head.created,
        "model": head.model,
        "service_tier": "default",
        "system_fingerprint": head.fingerprint,
        "choices": choices,
        **usage,
    }


def _delta(index: int, delta: dict[str, Any], finish_reason: str | None = None) -> dict[str, Any]:
    return {"index": index, "delta": delta, "logprobs": None, "finish_reason": finish_reason}


def _first_delta(choice: Choice) -> dict[str, Any]:
    if choice.function is None:
        return {"role": "assistant", "content": "", "refusal": None}
    function = {"name": choice.function, "arguments": ""}
    calls = [{"index": 0, "id": choice.call_id, "type": "function", "function": function}]
    return {"role": "assistant", "content": None, "tool_calls": calls, "refusal": None}


def _deltas(choice: Choice) -> Iterator[dict[str, Any]]:
    if choice.function is None:
        return ({"content": piece} for piece in pieces(choice.text))
    return ({"tool_calls": [{"index": 0, "function": {"arguments": part}}]} for part in fragments(choice.text))
