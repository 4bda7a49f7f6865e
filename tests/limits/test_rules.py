"""Limits as configured become one limit for each rate, with a counter of its own and words for messages."""

import pytest

from proxy.config.tree import Limits
from proxy.limits.limiter import AUDIO, CONCURRENT, REQUESTS, TOKENS
from proxy.limits.rules import Scope, alias_limits, request_limits, token_limits

SCOPE = Scope("key", "key:key_1", "this key")


def test_each_rate_is_a_limit() -> None:
    limits = request_limits(Limits(requests="20/s, 600/min burst 50", concurrent=3), SCOPE)
    assert [(one.unit, one.amount, one.burst, one.period) for one in limits] == [
        (REQUESTS, 20, 20, 10**9),
        (REQUESTS, 600, 50, 60 * 10**9),
        (CONCURRENT, 3, 3, 0),
    ]
    assert [one.words for one in limits] == [
        "requests per second of this key",
        "requests per minute of this key",
        "this key",
    ]
    assert [one.label for one in limits] == ["key_requests", "key_requests", "key_concurrent"]
    assert len({one.digest for one in limits}) == 3


def test_minutes_of_audio_are_counted_in_milliseconds() -> None:
    (tokens, audio) = token_limits(Limits(tokens="5/min", audio_minutes="90/h"), SCOPE)
    assert (tokens.unit, audio.unit, audio.amount) == (TOKENS, AUDIO, 90 * 60_000)


def test_limits_of_an_alias_have_counters_of_their_own() -> None:
    limits = Limits(requests="5/s", models={"a b": Limits(requests="5/s", tokens="9/s")})
    of_alias = alias_limits(limits, SCOPE, "a b")
    assert [one.label for one in of_alias] == ["key_model_requests", "key_model_tokens"]
    assert of_alias[0].words == "requests per second of this key for the model `a b`"
    assert of_alias[0].digest != request_limits(limits, SCOPE)[0].digest
    assert alias_limits(limits, SCOPE, "other") == []


def test_a_rate_that_cannot_be_read_is_no_limit_of_nothing() -> None:
    with pytest.raises(ValueError, match="is no rate"):
        request_limits(Limits(requests="many"), SCOPE)
