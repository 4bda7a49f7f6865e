"""Rates as they are written in limits: "600/min", "20/s, 600/min, 10000/day", "600/min burst 50". Pure."""

import re
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from proxy.config.rules import Violation

#: The period of a rate, as messages call it; and its nanoseconds.
PERIODS: Final = MappingProxyType({"second": 10**9, "minute": 60 * 10**9, "hour": 3_600 * 10**9, "day": 86_400 * 10**9})
#: Fields of `Limits` that are rates.
RATES: Final = ("requests", "tokens", "input_tokens", "output_tokens", "audio_minutes")
MAX_AMOUNT: Final = 10**12
#: How much more than its amount a rate may let through at once: what 366 of its periods bring.
MAX_BURST_PERIODS: Final = 366
_WORDS: Final = MappingProxyType(
    {
        **dict.fromkeys(("s", "sec", "second"), "second"),
        **dict.fromkeys(("m", "min", "minute"), "minute"),
        **dict.fromkeys(("h", "hour"), "hour"),
        **dict.fromkeys(("d", "day"), "day"),
    }
)
_RATE: Final = re.compile(r"([0-9][0-9_]*)\s*/\s*([a-z]+)(?:\s+burst\s+([0-9][0-9_]*))?")
_FORM: Final = 'write it as "600/min", or several as "20/s, 600/min"'


class Rate(NamedTuple):
    """So many of something in a period."""

    amount: int
    #: One of `PERIODS`.
    period: str
    #: How many of it may come at once; the amount, where that is not written.
    burst: int


def parse_rates(text: str) -> tuple[Rate, ...]:
    """The rates in a text, none in an empty one. Raises `ValueError` for one that has `violations`."""
    rates, faults = _read(text)
    if faults:
        raise ValueError(f'"{text}" {faults[0][0]}: {faults[0][1]}')
    return rates


def violations(text: str) -> Iterator[Violation]:
    """What is wrong with a text of rates."""
    yield from _read(text)[1]


def limits_violations(limits: Mapping[str, Any]) -> Iterator[tuple[tuple[str, ...], str, str]]:
    """What is wrong with `Limits` as a mapping, as files and `msgspec.to_builtins` have them: the path of the field,
    the message and the hint."""
    for name in RATES:
        for message, hint in violations(limits.get(name, "")):
            yield (name,), message, hint
    for alias, inner in limits.get("models", {}).items():
        if inner.get("models"):
            yield ("models", alias, "models"), "stands inside the limits of an alias", "write it one level above"
        for path, message, hint in limits_violations({**inner, "models": {}}):
            yield ("models", alias, *path), message, hint


def _read(text: str) -> tuple[tuple[Rate, ...], list[Violation]]:
    rates: list[Rate] = []
    faults: list[Violation] = []
    for part in text.split(",") if text.strip() else ():
        found = _RATE.fullmatch(part.strip().lower())
        if found is None:
            faults.append((f'is no rate: "{part.strip()}"', _FORM))
            continue
        number, word, burst_text = found.groups()
        amount = int(number)
        burst = int(burst_text) if burst_text is not None else amount
        period = _WORDS.get(word)
        if period is None:
            faults.append((f'has no period that is known: "{word}"', "use s, min, h or d"))
        elif not amount or not burst:
            faults.append(("allows nothing", "leave the limit out, or take the right to the model away"))
        elif amount > MAX_AMOUNT:
            faults.append((f"is more than {MAX_AMOUNT}", "leave the limit out"))
        elif burst > MAX_BURST_PERIODS * amount:
            faults.append(
                (f"has a burst of more than {MAX_BURST_PERIODS} periods", "raise the rate, or lower its burst")
            )
        elif any(rate.period == period for rate in rates):
            faults.append((f"has two rates for a {period}", "keep the smaller one"))
        else:
            rates.append(Rate(amount, period, burst))
    return tuple(rates), faults
