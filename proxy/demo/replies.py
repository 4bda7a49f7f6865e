"""What the endpoints that write have in common: a planned choice, the head of an answer, limits, usage, waiting.

The shapes on the wire differ and are not here.
"""

import hashlib
import secrets
import time
from dataclasses import dataclass
from typing import Any

from proxy.demo.answers import CHARACTERS_A_TOKEN, count_tokens, pieces
from proxy.demo.exchange import Exchange
from proxy.demo.faults import failure
from proxy.demo.phrases import Orders


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
    fingerprint: str


def new_head(prefix: str, model: str) -> Head:
    """The head of a new answer of this model; the fingerprint is the same for all answers of one model."""
    digest = hashlib.sha256(model.encode()).hexdigest()
    return Head(prefix + secrets.token_hex(14), int(time.time()), model, f"fp_{digest[:10]}")


def cut_text(text: str, stops: list[str], limit: int | None) -> tuple[str, str]:
    """The text up to the first stop and within `limit` tokens, and the finish reason that goes with it."""
    ends = [found for stop in stops if (found := text.find(stop)) >= 0]
    text = text[: min(ends)] if ends else text
    if limit is not None and count_tokens(text) > limit:
        return text[: limit * CHARACTERS_A_TOKEN], "length"
    return text, "stop"


def usage_of(input_tokens: int, choices: list[Choice]) -> dict[str, Any]:
    """OpenAI's usage object."""
    output_tokens = sum(choice.tokens for choice in choices)
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


async def wait_for_first_byte(exchange: Exchange, orders: Orders, choices: list[Choice], *, stream: bool) -> bool:
    """Think, and where the answer is sent whole also write it; False when the client left meanwhile."""
    if orders.error:
        return await exchange.pause(orders.delay or 0)
    seconds = exchange.settings.first_token_delay if orders.delay is None else orders.delay
    pace = exchange.settings.token_interval if orders.pace is None else orders.pace
    if pace and not stream:
        seconds += pace * max(sum(1 for _ in pieces(choice.text)) for choice in choices)
    return await exchange.pause(seconds)


async def begin(exchange: Exchange, orders: Orders, model: str, text: str = "", *, stream: bool = False) -> bool:
    """Wait as above for an answer that is `text`; False when the client left. Raises the error that was ordered."""
    if not await wait_for_first_byte(exchange, orders, [Choice(text, "stop")], stream=stream):
        return False
    if orders.error:
        raise failure(orders.error, model)
    return True
