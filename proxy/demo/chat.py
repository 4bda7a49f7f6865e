"""`POST /v1/chat/completions` of the demo provider: plans an answer, and writes it whole or as a stream.

The plan is made before the first byte is sent and says the same either way; sending is the exchange's work.
"""

import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import msgspec

from proxy.demo.answers import CHARACTERS_A_TOKEN, answer_to, count_tokens, filler, fragments, pieces
from proxy.demo.exchange import DONE, Event, Exchange, event
from proxy.demo.faults import failure
from proxy.demo.phrases import Orders, read_orders, without_phrases
from proxy.demo.requests import ChatRequest, Function, ImageUrl
from proxy.demo.schema import sample


@dataclass(frozen=True)
class Choice:
    """One answer: a text, or the arguments of a call of `function`."""

    text: str
    finish_reason: str
    function: str | None = None
    call_id: str = ""

    @property
    def tokens(self) -> int:
        """Its output tokens."""
        return count_tokens(self.text) + (count_tokens(self.function) if self.function else 0)


@dataclass(frozen=True)
class Head:
    """What every chunk of one answer repeats."""

    id: str
    created: int
    model: str

    def chunk(self, choices: list[Any], usage: Any) -> dict[str, Any]:
        """One chunk; `usage` is a list of nothing, or of the one value of the key."""
        return {
            "id": self.id,
            "object": "chat.completion.chunk",
            "created": self.created,
            "model": self.model,
            "service_tier": "default",
            "system_fingerprint": fingerprint(self.model),
            "choices": choices,
            **usage,
        }


async def chat_completions(exchange: Exchange) -> None:
    """Answer one chat request."""
    request = await exchange.read(ChatRequest)
    model = request.check("v1/chat/completions")
    orders = read_orders(request.last_user_message.text)
    choices = [plan(request, orders, index) for index in range(request.choices)]
    head = Head(f"chatcmpl-{secrets.token_hex(14)}", int(time.time()), model.name)
    usage = usage_of(request.input_tokens, sum(choice.tokens for choice in choices))
    if not await wait_for_first_token(exchange, orders, [] if request.stream else [choice.text for choice in choices]):
        return
    if orders.error:
        raise failure(orders.error, model.name)
    if request.stream:
        events = stream(head, choices, usage if request.include_usage else None, orders)
        await exchange.send_events(events, orders, model.name)
        return
    await exchange.send_json(whole(head, choices, None if orders.no_usage else usage), orders=orders)


async def wait_for_first_token(exchange: Exchange, orders: Orders, whole_texts: list[str]) -> bool:
    """Think, and for an answer that is sent whole also write; False when the client left meanwhile."""
    if orders.error:
        return await exchange.pause(orders.delay or 0)
    delay = exchange.settings.first_token_delay if orders.delay is None else orders.delay
    pace = exchange.settings.token_interval if orders.pace is None else orders.pace
    longest = max((sum(1 for _ in pieces(text)) for text in whole_texts), default=0) if pace else 0
    return await exchange.pause(delay + pace * longest)


def plan(request: ChatRequest, orders: Orders, index: int) -> Choice:
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
    kinds = [image.url.partition(";")[0].removeprefix("data:") for image in images if image.url.startswith("data:")]
    what = f" ({', '.join(kinds[:MOST_KINDS])})" if kinds else ""
    count = "one image" if len(images) == 1 else f"{len(images)} images"
    asked = f" to go with “{words[:200]}”" if words else ""
    return (
        f"You sent {count}{what}{asked}. The built-in demo model cannot see, but the picture made its way here whole, "
        "and it was counted as input tokens like any other part of the message."
    )


MOST_KINDS = 4


def cut_text(text: str, stops: list[str], limit: int | None) -> tuple[str, str]:
    """The text up to the first stop and within `limit` tokens, and the finish reason that goes with it."""
    ends = [found for stop in stops if (found := text.find(stop)) >= 0]
    text = text[: min(ends)] if ends else text
    if limit is not None and count_tokens(text) > limit:
        return text[: limit * CHARACTERS_A_TOKEN], "length"
    return text, "stop"


def whole(head: Head, choices: list[Choice], usage: Any) -> dict[str, Any]:
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
        "system_fingerprint": fingerprint(head.model),
    }


def _message(choice: Choice) -> dict[str, Any]:
    if choice.function is None:
        return {"role": "assistant", "content": choice.text, "refusal": None, "annotations": []}
    function = {"name": choice.function, "arguments": choice.text}
    calls = [{"id": choice.call_id, "type": "function", "function": function}]
    return {"role": "assistant", "content": None, "tool_calls": calls, "refusal": None, "annotations": []}


def stream(head: Head, choices: list[Choice], usage: Any, orders: Orders) -> Iterator[Event]:
    """The answer as events. With `usage` each chunk has the key: null, but for the extra one before the end."""
    empty = {} if usage is None else {"usage": None}
    for index, choice in enumerate(choices):
        yield event(head.chunk([_delta(index, _first_delta(choice))], empty))
    for index, choice in enumerate(choices):
        for delta in _deltas(choice):
            yield event(head.chunk([_delta(index, delta)], empty), content=True)
        yield event(head.chunk([_delta(index, {}, choice.finish_reason)], empty))
    if usage is not None and not orders.no_usage:
        yield event(head.chunk([], {"usage": usage}))
    if not orders.no_done:
        yield Event(DONE)


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


def usage_of(input_tokens: int, output_tokens: int) -> dict[str, Any]:
    """OpenAI's usage object."""
    return {
        "prompt_tokens": input_tokens,
        "completion_tokens": output_tokens,
        "total_tokens": input_tokens + output_tokens,
        "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": 0,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def fingerprint(model: str) -> str:
    """What stands for the configuration a model runs with: the same for one model, another for each."""
    return f"fp_{sum(model.encode()) * 2654435761 % 2**40:010x}"
