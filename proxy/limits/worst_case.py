"""What a request may cost at most, as an estimate from its body: what budgets reserve before it is sent.

The input is estimated from its bytes, as bills are where no usage is reported. The output is the request's own cap, or
what nine of ten responses of the alias have stayed under. It is no bound: a bill may be higher.
"""

import math
import re
from collections.abc import Mapping
from typing import Any, Final

from proxy.ledger.estimator import Estimator
from proxy.ledger.pricing import CompiledPrice, cost_of
from proxy.wire.request_body import MIN_CHUNKED_BYTES, text_bytes
from proxy.wire.schemas import MAX_COUNT, MAX_NANO_DOLLARS, Body
from proxy.wire.usage import tier_in

#: Output tokens before anything is learned of an alias.
INITIAL_OUTPUT_TOKENS: Final = 1_024
#: Bytes of a stream for each output token before anything is learned: an event of OpenAI's for one token.
INITIAL_BYTES_PER_TOKEN: Final = 220.0
#: Tokens that an image, a file or a sound in a body counts as.
MEDIA_TOKENS: Final = 2_000
#: Bytes of text that a large body with such in it is taken to have at most, where they are not in data URLs.
MAX_TEXT_AROUND_MEDIA: Final = 65_536
#: Bytes of an audio file for a millisecond: 64 kbit/s.
AUDIO_BYTES_PER_MILLISECOND: Final = 8
#: Tokens of a second of audio, for models that count it so.
AUDIO_TOKENS_PER_SECOND: Final = 10
MAX_CHOICES: Final = 128
#: Digits of a number that is below `MAX_COUNT`, and bytes of one that is looked at.
MAX_DIGITS: Final = 12
MAX_NUMBER_BYTES: Final = 400

#: Fields of a request that cap its output, in all dialects.
CAPS: Final = ("max_completion_tokens", "max_tokens", "max_output_tokens")
#: Fields that say how many choices or images are made.
_COUNTS: Final = ("n", "best_of")
_NESTED_CAP: Final = re.compile(rb'"(?:maxOutputTokens|max_output_tokens)"\s*:\s*("?[\d.eE+-]+"?)')
_NESTED_COUNT: Final = re.compile(rb'"(?:candidateCount|candidate_count)"\s*:\s*("?[\d.eE+-]+"?)')
CONFIGS: Final = ("generationConfig", "generation_config")
#: How a list of prompts begins, and what stands between two texts; bytes of it that are looked at.
_PROMPTS: Final = re.compile(rb'\[\s*(["\[])')
_BETWEEN: Final = re.compile(rb'"\s*,\s*"')
_LOOKED_AT: Final = 65_536
#: All fields that say something about the size of the output.
_SIZING: Final = frozenset((*CAPS, *_COUNTS, *CONFIGS, "prompt"))
#: Capabilities without output that is billed.
_OUTPUTLESS: Final = frozenset({"embeddings", "rerank", "moderation"})
_MARKS: Final = (b'"base64"', b'nlineData"', b'nline_data"', b'"input_audio"')
#: How far the estimate of the ninetieth percentile moves by one observation.
_STEP: Final = 0.05
_DECAY: Final = 0.98


class OutputSizes:
    """What is learned of an alias's responses: how long nine of ten are at most, and the bytes of a streamed token."""

    def __init__(self) -> None:
        self.tokens = float(INITIAL_OUTPUT_TOKENS)
        self._stream_bytes = INITIAL_BYTES_PER_TOKEN * 1_000
        self._stream_tokens = 1_000.0

    def observe(self, output_tokens: int, bytes_out: int, *, stream: bool) -> None:
        """Learn from one whole response."""
        step = max(self.tokens, 64.0) * _STEP
        # In balance where one of ten is above.
        self.tokens += step * 0.9 if output_tokens > self.tokens else -step * 0.1
        if stream and output_tokens:
            self._stream_bytes = self._stream_bytes * _DECAY + bytes_out
            self._stream_tokens = self._stream_tokens * _DECAY + output_tokens

    def tokens_of_stream(self, sent: int) -> int:
        """The output tokens in so many bytes of a stream."""
        return int(sent * self._stream_tokens / self._stream_bytes)


class RequestSize:
    """What a request says about its size, which limits and budgets need alike."""

    def __init__(self, alias: str, input_tokens: int, output_cap: int, choices: int) -> None:
        """`input_tokens` are estimated by what is known of the alias; `output_cap` is that of each choice, 0 where
        there is none."""
        self.alias = alias
        self.input_tokens = input_tokens
        self.output_cap = output_cap
        self.choices = choices


def size_of(body: Body, estimator: Estimator, key: str, alias: str) -> RequestSize:
    """The size of a request for an alias."""
    fields = body.fields
    tokens = input_tokens_of(body.data, estimator, key, alias)
    if _SIZING.isdisjoint(fields):
        return RequestSize(alias, tokens, 0, 1)
    return RequestSize(alias, tokens, output_cap_of(fields), choices_of(fields))


def input_tokens_of(data: bytes, estimator: Estimator, key: str, alias: str) -> int:
    """The input tokens of a body, as an estimate; what is no text in it counts by the piece."""
    size, media = len(data), 0
    if size >= MIN_CHUNKED_BYTES:
        media = data.count(b";base64,")
        if media:
            size = text_bytes(data)
        else:
            media = sum([data.count(mark) for mark in _MARKS])
            if media:
                size = min(size, MAX_TEXT_AROUND_MEDIA)
    tokens = estimator.estimate(key, alias, size, 0)[0] + media * MEDIA_TOKENS
    return tokens if tokens < MAX_COUNT else MAX_COUNT


def output_cap_of(fields: Mapping[str, Any]) -> int:
    """The cap of output tokens that a request has for each of its choices; 0 where it has none."""
    cap = 0
    for name in CAPS:
        if name in fields:
            found = number_in(bytes(fields[name]))
            if found > cap:
                cap = found
    if not cap and (CONFIGS[0] in fields or CONFIGS[1] in fields):
        cap = _nested(fields, _NESTED_CAP)
    return cap if cap < MAX_COUNT else MAX_COUNT


def choices_of(fields: Mapping[str, Any]) -> int:
    """How many choices or images a request wants."""
    count = 1
    for name in _COUNTS:
        if name in fields:
            count = max(count, number_in(bytes(fields[name])))
    count = min(max(count, _nested(fields, _NESTED_COUNT)), MAX_CHOICES)
    return count * _prompts_of(bytes(fields["prompt"])) if "prompt" in fields else count


def worst_cost(
    price: CompiledPrice | None,
    capability: str,
    fields: Mapping[str, Any],
    size: RequestSize,
    output_tokens: int,
    audio_bytes: int,
) -> int | None:
    """Nano-dollars that a request may cost; None for one whose alias has no price for it.

    `output_tokens` are those of one choice where the request has no cap of its own; `audio_bytes` the length of a form.
    """
    if price is None:
        return None
    if "service_tier" in fields and price.tiers:
        price = price.tiers.get(tier_in(fields["service_tier"]), price)
    input_tokens, count = size.input_tokens, size.choices
    output = 0 if capability in _OUTPUTLESS else (size.output_cap or output_tokens) * count
    milliseconds = images = 0
    if audio_bytes and capability == "audio":
        milliseconds = audio_bytes // AUDIO_BYTES_PER_MILLISECOND + 1
        input_tokens = milliseconds * AUDIO_TOKENS_PER_SECOND // 1_000 + 1
    if capability == "image":
        images = count
    if price.input is None and price.output is None:
        # By the minute, the image or the search: tokens cost nothing.
        if price.parts.search and capability in ("rerank", "search"):
            return max(price.parts.search // price.scale, 1)
        if not milliseconds and not images:
            # Such as speech or pages that are priced by a unit that only the response names.
            return None if price.millisecond is None and price.image is None else 1
        input_tokens = output = 0
    elif price.output is None and price.parts.audio_output:
        output = 0
    cost = cost_of(price, min(input_tokens, MAX_COUNT), 0, 0, min(output, MAX_COUNT), milliseconds, images)
    return None if cost is None else min(cost, MAX_NANO_DOLLARS)


def _nested(fields: Mapping[str, Any], pattern: "re.Pattern[bytes]") -> int:
    """A number of the object in which Gemini's requests have their settings; 0 without one."""
    found = 0
    for name in CONFIGS:
        if name in fields:
            for match in pattern.findall(bytes(fields[name])):
                found = max(found, number_in(match))
    return found


def _prompts_of(raw: bytes) -> int:
    """How many prompts a completion has, each of which makes choices of its own: a list of texts, or of token lists."""
    begins = _PROMPTS.match(raw)
    if begins is None:
        return 1
    if begins[1] == b"[":
        return raw.count(b"[") - 1
    # Of a long one about as many as its beginning has.
    found = len(_BETWEEN.findall(raw[:_LOOKED_AT])) + 1
    return found if len(raw) <= _LOOKED_AT else found * len(raw) // _LOOKED_AT


def number_in(raw: bytes) -> int:
    """A number above 0 as it stands in a body, rounded up to a whole one and at most `MAX_COUNT`; 0 for what is none.

    Providers read `1e6`, `5.0` and `"5"` as numbers too: what they take for a cap must not be none here.
    """
    if raw.isdigit() and len(raw) <= MAX_DIGITS:
        return int(raw)
    if len(raw) > MAX_NUMBER_BYTES:
        return MAX_COUNT if raw.isdigit() else 0
    try:
        value = float(raw.strip(b'"'))
    except ValueError:
        return 0
    # Also false for what is no number.
    if not value > 0:
        return 0
    return MAX_COUNT if value >= MAX_COUNT else math.ceil(value)
