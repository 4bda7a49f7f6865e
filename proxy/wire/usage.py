"""What an answer says it used: one value, read from all the spellings that OpenAI-like servers have.

Only reads; which usage object of a stream counts (the last that is not null) is its caller's decision.
"""

from typing import Any, Final

import msgspec

from proxy.wire.shapes import LARGEST, PlainUsage, Usage, decode_plain

_decoder = msgspec.json.Decoder(dict[str, Any])
_UNSET: Final = msgspec.UNSET


def read_usage(raw: bytes) -> Usage | None:
    """Read a usage object; None when it is none, or says nothing that can be billed.

    Spellings: `prompt_tokens`/`completion_tokens` and `input_tokens`/`output_tokens`, details under `*_tokens_details`
    or `*_token_details`, flat `cached_tokens`, `prompt_cache_hit_tokens` (DeepSeek), `reasoning_tokens` (flat),
    `created_cache_tokens` (vLLM), `cache_creation_input_tokens`/`cache_read_input_tokens` (Anthropic, whose
    `input_tokens` leaves both out), `seconds` and `prompt_audio_seconds`.
    """
    try:
        plain = decode_plain(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _read_any(raw)
    return _usage_of(plain) or _read_any(raw)


def _usage_of(plain: PlainUsage) -> Usage | None:
    """The usage in OpenAI's own spelling, or None where it must be read with more care."""
    given, produced = plain.prompt_tokens, plain.completion_tokens
    if (
        plain.total_tokens != given + produced
        or not 0 <= given <= LARGEST
        or not 0 <= produced <= LARGEST
        or plain.input_tokens_details is not _UNSET
        or plain.input_token_details is not _UNSET
        or plain.output_tokens_details is not _UNSET
        or plain.output_token_details is not _UNSET
        or plain.cached_tokens is not _UNSET
        or plain.prompt_cache_hit_tokens is not _UNSET
        or plain.reasoning_tokens is not _UNSET
        or plain.cache_read_input_tokens is not _UNSET
        or plain.cache_creation_input_tokens is not _UNSET
        or plain.prompt_audio_seconds is not _UNSET
        or plain.seconds is not _UNSET
    ):
        return None
    cached = written = reasoning = 0
    asked = plain.prompt_tokens_details
    if asked is not None:
        cached = asked.cached_tokens or 0
        wrote = asked.cache_write_tokens
        if wrote is None:
            wrote = asked.created_cache_tokens
        if wrote is None:
            wrote = asked.cache_creation_tokens
        written = wrote or 0
    made = plain.completion_tokens_details
    if made is not None:
        thought = made.reasoning_tokens
        reasoning = (made.thinking_tokens if thought is None else thought) or 0
    if not (0 <= cached <= LARGEST and 0 <= written <= LARGEST and 0 <= reasoning <= LARGEST):
        return None
    return Usage(given, min(cached, given), min(written, given), produced, reasoning)


def _read_any(raw: bytes) -> Usage | None:
    """Read a usage object in any spelling, with values of any type."""
    try:
        usage = _decoder.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    top = _Reader(usage)
    given = top.first("prompt_tokens", "input_tokens")
    produced = top.first("completion_tokens", "output_tokens")
    total = top.first("total_tokens")
    asked = top.details("prompt_tokens_details", "input_tokens_details", "input_token_details")
    made = top.details("completion_tokens_details", "output_tokens_details", "output_token_details")
    read = asked.first("cached_tokens")
    written = asked.first("cache_write_tokens", "created_cache_tokens", "cache_creation_tokens")
    seconds = _seconds(usage.get("seconds")) or _seconds(usage.get("prompt_audio_seconds"))
    if "cache_read_input_tokens" in usage or "cache_creation_input_tokens" in usage:
        read = top.first("cache_read_input_tokens")
        written = top.first("cache_creation_input_tokens")
        if "prompt_tokens" not in usage and given is not None:
            given += (read or 0) + (written or 0)
    if read is None:
        read = top.first("cached_tokens", "prompt_cache_hit_tokens")
    if given is None and produced is None:
        if total is None and not seconds:
            return None
        given = total
    reasoning = made.first("reasoning_tokens", "thinking_tokens") or top.first("reasoning_tokens") or 0
    if produced is None and total is not None and given:
        produced = max(0, total - given)
    elif reasoning and total == (given or 0) + (produced or 0) + reasoning:
        # xAI leaves reasoning out of completion_tokens and counts it in the total, which is what it bills.
        produced = (produced or 0) + reasoning
    return Usage(
        input_tokens=given or 0,
        cached_input_tokens=min(read or 0, given or 0),
        cache_write_tokens=min(written or 0, given or 0),
        output_tokens=produced or 0,
        reasoning_tokens=reasoning,
        audio_milliseconds=seconds,
    )


class _Reader:
    """Reads counts out of a decoded object whose values may be anything."""

    __slots__ = ("_values",)

    def __init__(self, values: dict[str, Any]) -> None:
        self._values = values

    def first(self, *names: str) -> int | None:
        for name in names:
            found = count(self._values.get(name))
            if found is not None:
                return found
        return None

    def details(self, *names: str) -> "_Reader":
        for name in names:
            value = self._values.get(name)
            if isinstance(value, dict):
                return _Reader(value)
        return _Reader({})


def count(value: object) -> int | None:
    """A value as a token count, or None when it is none."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return int(value) if 0 <= value <= LARGEST else None


def _seconds(value: object) -> int:
    """Milliseconds of a number of seconds, rounded up; 0 for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 10**9:
        return 0
    return -int(-value * 1000 // 1)
