"""What the demo provider answers to a conversation: a tool call, JSON in a wanted form, or text.

One plan serves all formats: each reads its request into a ChatRequest and writes the planned choice in its own shape.
Pure but for the random id of a call.
"""

import secrets
from typing import Any

import msgspec

from proxy.demo.answers import answer_to, count_tokens, filler
from proxy.demo.phrases import Orders, without_phrases
from proxy.demo.replies import Choice, cut_text
from proxy.demo.requests import ChatRequest, Function, ImageUrl
from proxy.demo.schema import sample

_MOST_KINDS = 4


def plan(request: ChatRequest, orders: Orders, index: int) -> Choice:
    """Decide on one choice: a tool call, JSON in the wanted form, or text."""
    message = request.last_user_message
    words = without_phrases(message.text)
    function = request.ordered_function(orders.call) if orders.call else request.wanted_function
    if function is not None:
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
