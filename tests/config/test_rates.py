"""Rates as they are written: what they mean, and what is said of those that mean nothing."""

import msgspec
import pytest

from proxy.config.rates import Rate, limits_violations, parse_rates, violations
from proxy.config.tree import Limits


@pytest.mark.parametrize(
    ("text", "rates"),
    [
        ("", ()),
        ("  ", ()),
        ("600/min", (Rate(600, "minute", 600),)),
        ("600 / Minute", (Rate(600, "minute", 600),)),
        ("1/s", (Rate(1, "second", 1),)),
        ("200_000/m", (Rate(200_000, "minute", 200_000),)),
        ("20/sec, 600/min,10000/day", (Rate(20, "second", 20), Rate(600, "minute", 600), Rate(10_000, "day", 10_000))),
        ("600/min burst 50", (Rate(600, "minute", 50),)),
        ("5/h burst 20, 9/d", (Rate(5, "hour", 20), Rate(9, "day", 9))),
    ],
)
def test_a_text_has_these_rates(text: str, rates: tuple[Rate, ...]) -> None:
    assert parse_rates(text) == rates
    assert list(violations(text)) == []


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("600", "is no rate"),
        ("/min", "is no rate"),
        ("-5/min", "is no rate"),
        ("1.5/min", "is no rate"),
        ("600/min,", "is no rate"),
        ("600 per minute", "is no rate"),
        ("600/min bursts 5", "is no rate"),
        ("600/week", "no period that is known"),
        ("0/min", "allows nothing"),
        ("5/min burst 0", "allows nothing"),
        ("1000000000001/s", "is more than"),
        ("1/min burst 367", "burst of more than 366 periods"),
        ("600/min, 700/m", "has two rates for a minute"),
    ],
)
def test_a_text_that_means_nothing_is_refused_with_a_hint(text: str, words: str) -> None:
    ((message, hint),) = violations(text)
    assert words in message
    assert hint
    with pytest.raises(ValueError, match=words):
        parse_rates(text)


def test_limits_name_the_field_that_is_wrong() -> None:
    limits = Limits(
        requests="many",
        audio_minutes="5/min",
        models={"a": Limits(tokens="5"), "b": Limits(models={"c": Limits()})},
    )
    found = {path for path, _, _ in limits_violations(msgspec.to_builtins(limits))}
    assert found == {("requests",), ("models", "a", "tokens"), ("models", "b", "models")}
