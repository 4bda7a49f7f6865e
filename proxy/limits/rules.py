"""Limits as they are configured, compiled: one `Limit` for each rate, and for a number of running requests."""

from typing import Final

from proxy.config.rates import PERIODS, parse_rates
from proxy.config.tree import Limits
from proxy.limits.limiter import AUDIO, CONCURRENT, INPUT_TOKENS, OUTPUT_TOKENS, REQUESTS, TOKENS, Limit

#: Milliseconds in a minute of audio, which is counted in milliseconds.
MINUTE: Final = 60_000
#: The field of `Limits`, its unit, how messages call it, and how many of the unit one of the field is.
_TOKEN_RATES: Final = (
    ("tokens", TOKENS, "tokens", 1),
    ("input_tokens", INPUT_TOKENS, "input tokens", 1),
    ("output_tokens", OUTPUT_TOKENS, "output tokens", 1),
    ("audio_minutes", AUDIO, "minutes of audio", MINUTE),
)
_NO_LIMITS: Final = Limits()


class Scope:
    """Whom limits are for."""

    def __init__(self, label: str, subject: str, words: str) -> None:
        """`label` is for metrics, `subject` names the counters, `words` are for messages."""
        self.label = label
        self.subject = subject
        self.words = words

    def of_alias(self, alias: str) -> "Scope":
        """The same for one alias alone. No id of a key, a team or an organisation has a space."""
        return Scope(f"{self.label}_model", f"{self.subject} {alias}", f"{self.words} for the model `{alias}`")


def request_limits(limits: Limits, scope: Scope) -> list[Limit]:
    """Those of requests and of running requests. Raises `ValueError` for a text that is no rate."""
    found = _rates(limits, scope, "requests", REQUESTS, "requests", 1)
    if limits.concurrent:
        label = f"{scope.label}_concurrent"
        found.append(Limit(scope.subject, CONCURRENT, limits.concurrent, 0, limits.concurrent, scope.words, label))
    return found


def token_limits(limits: Limits, scope: Scope) -> list[Limit]:
    """Those of tokens and of audio. Raises `ValueError` for a text that is no rate."""
    return [limit for rate in _TOKEN_RATES for limit in _rates(limits, scope, *rate)]


def alias_limits(limits: Limits, scope: Scope, alias: str) -> list[Limit]:
    """All those that `limits` has for one alias. Raises `ValueError` for a text that is no rate."""
    inner = limits.models.get(alias, _NO_LIMITS)
    scope = scope.of_alias(alias)
    return request_limits(inner, scope) + token_limits(inner, scope)


def _rates(limits: Limits, scope: Scope, field: str, unit: int, name: str, each: int) -> list[Limit]:
    return [
        Limit(
            scope.subject,
            unit,
            rate.amount * each,
            PERIODS[rate.period],
            rate.burst * each,
            f"{name} per {rate.period} of {scope.words}",
            f"{scope.label}_{field}",
        )
        for rate in parse_rates(getattr(limits, field))
    ]
