"""What limits say to clients: header lines as OpenAI's and Anthropic's SDKs read them, durations, and words.

Of several limits for the same thing a header has the tightest one: the one of which the least is left. Sources:
https://platform.openai.com/docs/guides/rate-limits and https://docs.anthropic.com/en/api/rate-limits.
"""

import time
from collections.abc import Sequence
from typing import Final

from proxy.limits.limiter import AUDIO, INPUT_TOKENS, OUTPUT_TOKENS, REQUESTS, TOKENS, Held, Limit

#: Nanoseconds.
_MILLISECOND: Final = 1_000_000
_SECOND: Final = 1_000_000_000
#: What Anthropic's lines are about, and the units of which the tightest limit counts for it.
_ANTHROPIC: Final = (
    ("requests", REQUESTS, REQUESTS),
    ("tokens", TOKENS, OUTPUT_TOKENS),
    ("input-tokens", INPUT_TOKENS, INPUT_TOKENS),
    ("output-tokens", OUTPUT_TOKENS, OUTPUT_TOKENS),
)


def limit_lines(held: Held, at: float, dialect: str) -> str:
    """The header lines of a response about requests and tokens. `at` is the time in seconds since 1970 where the reset
    of requests is one, else 0."""
    limits, ends, now = held.limits, held.ends, held.now
    if held.refusal is not None:
        limits, ends = limits + held.refusal.limits, ends + held.refusal.levels
    requests: Limit | None = None
    tokens: Limit | None = None
    requests_left = requests_end = tokens_left = tokens_end = 0
    for place, limit in enumerate(limits):
        unit = limit.unit
        if unit == REQUESTS:
            left = limit.remaining(ends[place], now)
            if requests is None or left < requests_left:
                requests, requests_left, requests_end = limit, left, ends[place]
        elif TOKENS <= unit <= OUTPUT_TOKENS:
            left = limit.remaining(ends[place], now)
            if tokens is None or left < tokens_left:
                tokens, tokens_left, tokens_end = limit, left, ends[place]
    text = ""
    if requests is not None:
        reset = max(requests_end - now, 0)
        when = str(-int(-(at + reset / _SECOND) // 1)) if at else duration(reset)
        text = (
            f"x-ratelimit-limit-requests: {requests.amount}\r\nx-ratelimit-remaining-requests: {requests_left}\r\n"
            f"x-ratelimit-reset-requests: {when}\r\n"
        )
    if tokens is not None:
        text += (
            f"x-ratelimit-limit-tokens: {tokens.amount}\r\nx-ratelimit-remaining-tokens: {tokens_left}\r\n"
            f"x-ratelimit-reset-tokens: {duration(tokens_end - now)}\r\n"
        )
    return text if dialect != "anthropic" else text + _anthropic_lines(limits, ends, now)


def duration(nanoseconds: int) -> str:
    """A duration as Go writes it, rounded up to a millisecond: `6m0s`, `1.2s`, `250ms`, `0s`."""
    milliseconds = -(-nanoseconds // _MILLISECOND)
    if milliseconds < 1_000:
        return f"{milliseconds}ms" if milliseconds > 0 else "0s"
    minutes, milliseconds = divmod(milliseconds, 60_000)
    text = seconds(milliseconds)
    if minutes:
        hours, minutes = divmod(minutes, 60)
        text = f"{hours}h{minutes}m{text}" if hours else f"{minutes}m{text}"
    return text


def seconds(milliseconds: int) -> str:
    """Milliseconds as seconds, without zeros at the end: `1.2s`."""
    whole, part = divmod(milliseconds, 1_000)
    return f"{whole}.{str(1_000 + part)[1:].rstrip('0')}s" if part else f"{whole}s"


def refusal_words(limit: Limit, remaining: int, reset: int, wait: int, needed: int) -> str:
    """The message of a refusal by a rate; `reset` and `wait` in nanoseconds. Clients parse `try again in 1.2s`."""
    amount = limit.amount
    if limit.unit == AUDIO:
        amount, remaining, needed = amount // 60_000, remaining // 60_000, -(-needed // 60_000)
    burst = f" ({limit.burst} at once)" if limit.burst != limit.amount and limit.unit != AUDIO else ""
    requested = f" and {needed} requested" if limit.unit != REQUESTS else ""
    return (
        f"Rate limit reached for {limit.words}: limit {amount}{burst}, {remaining} left{requested}; all of it is back "
        f"in {duration(reset)}. Please try again in {seconds(-(-wait // _MILLISECOND))}."
    )


def running_words(limit: Limit) -> str:
    """The message of a refusal by a number of running requests."""
    are = "is" if limit.amount == 1 else "are"
    return (
        f"Too many requests at once for {limit.words}: limit {limit.amount}, which {are} running. A place is free when "
        "one of them has ended. Please try again in 1s."
    )


def _anthropic_lines(limits: Sequence[Limit], ends: Sequence[int], now: int) -> str:
    text = ""
    for name, least, most in _ANTHROPIC:
        found: Limit | None = None
        left = end = 0
        for place, limit in enumerate(limits):
            if least <= limit.unit <= most:
                remaining = limit.remaining(ends[place], now)
                if found is None or remaining < left:
                    found, left, end = limit, remaining, ends[place]
        if found is not None:
            moment = -int(-(time.time() + max(end - now, 0) / _SECOND) // 1)
            when = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(moment))
            begin = f"anthropic-ratelimit-{name}"
            text += f"{begin}-limit: {found.amount}\r\n{begin}-remaining: {left}\r\n{begin}-reset: {when}\r\n"
    return text
