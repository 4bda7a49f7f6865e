"""`POST /v1/chat/completions` of the demo provider: plans an answer, and writes it whole or as a stream.

The plan is made before the first byte is sent and says the same either way; sending is the exchange's work.
"""

import secrets
from collections.abc import Iterator
from typing import Any

import msgspec

from proxy.demo.answers import answer_to, count_tokens, filler, fragments, pieces
from proxy.demo.exchange import DONE, Event, Exchange, event
from proxy.demo.faults import failure
from proxy.demo.phrases import Orders, read_orders, without_phrases
from proxy.demo.replies import Choice, Head, cut_text, new_head, usage_of, wait_for_first_byte
from proxy.demo.requests import ChatRequest, Function, ImageUrl
from proxy.demo.schema import sample

_MOST_KINDS = 4


async def chat_completions(exchange: Exchange) -> None:
    """Answer one chat request."""
    request = await exchange.read(ChatRequest)
    model = request.check("v1/chat/completions")
    orders = read_orders(request.last_user_message.text)
    choices = [_plan(request, orders, index) for index in range(request.choices)]
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


def _plan(request: ChatRequest, orders: Orders, index: int) -> Choice:
    """Decide on one choice: a tool call, JSON in the wanted form, or text."""
    message = request.last_user_message
    words = without_phrases(message.text)
    if function := request.wanted_function:
        return _call(request, function, words)
    if orders.tokens:
        text = filler(orders.tokens)
    elif formatted := _formatted(request.response_format, words):
        text = formatted
    elif request.messages[-1].role == "tool":
        text = f"The tool answered: {request.messages[-1].text[:400]} That settles it; nothing else is needed."
    elif message.images:
        text = _seen(message.images, words)
    else:
        text = answer_to(message.text)
    if index and not request.response_format:
        text = f"Answer {index + 1}. {text}"
    text, finish_reason = cut_text(text, request.stops, request.limit)
    return Choice(text, finish_reason)


def _call(request: ChatRequest, function: Function, words: str) -> Choice:
    arguments = msgspec.json.encode(sample(function.parameters or {"type": "object"}, words)).decode()
    room = None if request.limit is None else max(request.limit - count_tokens(function.name), 0)
    arguments, finish_reason = cut_text(arguments, [], room)
    reason = "tool_calls" if finish_reason == "stop" else finish_reason
    return Choice(arguments, reason, function.name, f"call_{secrets.token_hex(12)}")


def _formatted(response_format: Any, words: str) -> str | None:
    if not isinstance(response_format, dict):
        return None
    if response_format.get("type") == "json_object":
        return msgspec.json.encode({"answer": answer_to(words), "question": words}).decode()
    wanted = response_format.get("json_schema")
    if response_format.get("type") == "json_schema" and isinstance(wanted, dict):
        return msgspec.json.encode(sample(wanted.get("schema", {}), words)).decode()
    return None


def _seen(images: list[ImageUrl], words: str) -> str:
    held = [image.url[5:40] for image in images[:_MOST_KINDS] if image.url.startswith("data:image/")]
    what = f" ({', '.join(url.partition(';')[0] for url in held)})" if held else ""
    count = "one image" if len(images) == 1 else f"{len(images)} images"
    asked = f" to go with “{words[:200]}”" if words else ""
    return (
        f"You sent {count}{what}{asked}. The built-in demo model cannot see, but the picture made its way here whole, "
        "and it was counted as input tokens like any other part of the message."
    )


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
