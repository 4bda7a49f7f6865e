"""How the Responses API writes an answer: as one object, and as numbered events. Pure but for ids and the clock."""

import secrets
import time
from collections.abc import Iterator
from typing import Any

from proxy.demo.answers import fragments, pieces
from proxy.demo.exchange import Event, named_event
from proxy.demo.replies import Choice


def whole(model: str, choice: Choice, input_tokens: int, settings: dict[str, Any]) -> dict[str, Any]:
    """The answer as one object; `settings` are the fields that repeat the request."""
    cut = choice.finish_reason == "length"
    return {
        "id": f"resp_{secrets.token_hex(24)}",
        "object": "response",
        "created_at": int(time.time()),
        "status": "incomplete" if cut else "completed",
        "error": None,
        "incomplete_details": {"reason": "max_output_tokens"} if cut else None,
        "model": model,
        "output": [output_of(choice)],
        "parallel_tool_calls": True,
        "reasoning": {"effort": None, "summary": None},
        "temperature": 1.0,
        "text": {"format": {"type": "text"}},
        "top_p": 1.0,
        "truncation": "disabled",
        **settings,
        "usage": {
            "input_tokens": input_tokens,
            "input_tokens_details": {"cached_tokens": 0},
            "output_tokens": choice.tokens,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": input_tokens + choice.tokens,
        },
    }


def output_of(choice: Choice) -> dict[str, Any]:
    """The choice as an item: a message, or the call of a function."""
    status = "incomplete" if choice.finish_reason == "length" else "completed"
    if choice.function is not None:
        return {
            "id": f"fc_{secrets.token_hex(24)}",
            "type": "function_call",
            "status": status,
            "arguments": choice.text,
            "call_id": choice.call_id,
            "name": choice.function,
        }
    return {
        "id": f"msg_{secrets.token_hex(24)}",
        "type": "message",
        "status": status,
        "role": "assistant",
        "content": [_text_part(choice.text)],
    }


def events(answer: dict[str, Any], *, after: int = -1, no_done: bool = False) -> Iterator[Event]:
    """The answer as events with numbers from 0; those up to `after` are left out, and with `no_done` the last."""
    begun = {**answer, "status": "in_progress", "output": [], "usage": None, "incomplete_details": None}
    parts = [
        ("response.created", {"response": begun}, False),
        ("response.in_progress", {"response": begun}, False),
        *_item_events(answer["output"][0]),
    ]
    if not no_done:
        parts.append((f"response.{answer['status']}", {"response": answer}, False))
    for number, (name, fields, content) in enumerate(parts):
        if number > after:
            yield named_event(name, {"type": name, "sequence_number": number, **fields}, content=content)


def _item_events(item: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any], bool]]:
    place = {"item_id": item["id"], "output_index": 0}
    if item["type"] == "function_call":
        added = {**item, "status": "in_progress", "arguments": ""}
        yield "response.output_item.added", {"output_index": 0, "item": added}, False
        for part in fragments(item["arguments"]):
            yield "response.function_call_arguments.delta", {**place, "delta": part}, True
        done = {**place, "name": item["name"], "arguments": item["arguments"]}
        yield "response.function_call_arguments.done", done, False
    else:
        added = {**item, "status": "in_progress", "content": []}
        yield "response.output_item.added", {"output_index": 0, "item": added}, False
        text = item["content"][0]["text"]
        place = {**place, "content_index": 0}
        yield "response.content_part.added", {**place, "part": _text_part("")}, False
        for piece in pieces(text):
            delta = {**place, "delta": piece, "logprobs": [], "obfuscation": secrets.token_urlsafe(6)}
            yield "response.output_text.delta", delta, True
        yield "response.output_text.done", {**place, "text": text, "logprobs": []}, False
        yield "response.content_part.done", {**place, "part": item["content"][0]}, False
    yield "response.output_item.done", {"output_index": 0, "item": item}, False


def _text_part(text: str) -> dict[str, Any]:
    return {"type": "output_text", "annotations": [], "logprobs": [], "text": text}
