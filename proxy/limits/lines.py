"""What limits say to clients: header lines as OpenAI's and Anthropic's SDKs read them, durations, and words.

Of several limits for the same thing a header has the tightest one: the one of which the least is left. Sources:
https://platform.openai.com/docs/guides/rate-limits and https://docs.anthropic.com/en/api/rate-limits.
"""

import time
from collections.abc import Sequence
from typing import Final

from proxy.limits.limiter import AUDIO, CONCURRENT, INPUT_TOKENS, OUTPUT_TOKENS, REQUESTS, Limit

#: Nanoseconds.
_MILLISECOND: Final = 1_000_000
_SECOND: Final = 1_000_000_000


class Level:
    """A limit, how much of it is left, and when all of it will be."""

    def __init__(self, limit: Limit, remaining: int, reset: int) -> None:
        self.limit = limit
        self.remaining = remaining
        #: Nanoseconds from now.
        self.reset = reset


def tightest(limits: Sequence[Limit], tats: Sequence[int], now: int, least: int, most: int) -> Level | None:
    """The tightest of the limits whose unit is from `least` to `most`, by their TATs; None where there is none."""
    found: Level | None = None
    for at, limit in enumerate(limits):
        unit = limit.unit
        if unit < least or unit > most:
            continue
        remaining = limit.remaining(tats[at], now)
        if found is None or remaining < found.remaining:
            found = Level(limit, remaining, max(tats[at] - now, 0))
    return found


def request_lines(level: Level, at: float, dialect: str) -> bytes:
    """The header lines about requests. `at` is the time in seconds since 1970 where the reset is one, else 0."""
    amount, left, reset = level.limit.amount, level.remaining, level.reset
    when = str(-int(-(at + reset / _SECOND) // 1)) if at else duration(reset)
    text = (
        f"x-ratelimit-limit-requests: {amount}\r\nx-ratelimit-remaining-requests: {left}\r\n"
        f"x-ratelimit-reset-requests: {when}\r\n"
    )
    if dialect == "anthropic":
        text += _anthropic("requests", level)
    return text.encode()


def token_lines(limits: Sequence[Limit], tats: Sequence[int], now: int, dialect: str) -> bytes:
    """The header lines about tokens."""
    level = tightest(limits, tats, now, CONCURRENT + 1, OUTPUT_TOKENS)
    if level is None:
        return b""
    amount, left, reset = level.limit.amount, level.remaining, level.reset
    text = (
        f"x-ratelimit-limit-tokens: {amount}\r\nx-ratelimit-remaining-tokens: {left}\r\n"
        f"x-ratelimit-reset-tokens: {duration(reset)}\r\n"
    )
    if dialect == "anthropic":
        text += _anthropic("tokens", level)
        for unit, name in ((INPUT_TOKENS, "input-tokens"), (OUTPUT_TOKENS, "output-tokens")):
            part = tightest(limits, tats, now, unit, unit)
            if part is not None:
                text += _anthropic(name, part)
    return text.encode()


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


def _anthropic(name: str, level: Level) -> str:
    begin = f"anthropic-ratelimit-{name}"
    when = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(-int(-(time.time() + level.reset / _SECOND) // 1)))
    return f"{begin}-limit: {level.limit.amount}\r\n{begin}-remaining: {level.remaining}\r\n{begin}-reset: {when}\r\n"
