"""Reads the `demo:` phrases out of a message: what the provider is to do wrong, or slowly, this time.

Pure: text in, orders out. What the orders do is decided where answers are sent.
"""

import re
from dataclasses import dataclass

from proxy.errors import InvalidRequest

_PHRASE = re.compile(r"(?<![\w:])demo:(?:(?P<flag>no-usage|no-done)\b|(?P<name>[a-z-]+)=(?P<value>[^\s,;\"'`<>()]*))")
_USAGE = (
    "known are demo:error=429, demo:delay=2.5, demo:pace=0.2, demo:tokens=500, demo:cut=5, demo:stall=5, "
    "demo:error-event=3, demo:call=NAME, demo:no-usage and demo:no-done."
)
_LONGEST_DELAY = 600.0
_EITHER_END = 10_000
_MOST_CHUNKS = 100_000


@dataclass(frozen=True)
class Orders:
    """What one message asks for; None or False is the ordinary behaviour. `delay` and `pace` are seconds."""

    error: int | None = None
    delay: float | None = None
    pace: float | None = None
    tokens: int | None = None
    cut: int | None = None
    stall: int | None = None
    error_event: int | None = None
    call: str | None = None
    no_usage: bool = False
    no_done: bool = False


def read_orders(text: str) -> Orders:
    """The orders in `text`; of two of a kind the last counts. A very long text is searched at its two ends only.

    Raises InvalidRequest for an unknown `demo:name=value` and for a value out of its range.
    """
    orders: dict[str, int | float | bool | str] = {}
    for match in _PHRASE.finditer(_ends(text)):
        name = match["flag"] or match["name"]
        orders[name.replace("-", "_")] = True if match["flag"] else _value(name, match["value"].rstrip(".!?:"))
    return Orders(**orders)  # type: ignore[arg-type]  # _value gives each name the type of its field


def without_phrases(text: str) -> str:
    """`text` as a person meant it, with the phrases taken out; of a very long text its two ends."""
    return " ".join(_PHRASE.sub(" ", _ends(text)).split())


def _ends(text: str) -> str:
    # Megabytes of prompt must not hold up a loop that others share.
    return text if len(text) <= 2 * _EITHER_END else f"{text[:_EITHER_END]} {text[-_EITHER_END:]}"


def _value(name: str, value: str) -> int | float | str:
    match name:
        case "error":
            return int(_number(name, value, 400, 599, whole=True))
        case "delay" | "pace":
            return _number(name, value, 0, _LONGEST_DELAY)
        case "tokens":
            return int(_number(name, value, 1, _MOST_CHUNKS, whole=True))
        case "cut" | "stall" | "error-event":
            return int(_number(name, value, 0, _MOST_CHUNKS, whole=True))
        case "call" if value:
            return value
    raise InvalidRequest(f"Unknown demo phrase demo:{name}; {_USAGE}", code="invalid_value")


def _number(name: str, value: str, low: float, high: float, *, whole: bool = False) -> float:
    pattern = r"\d{1,9}" if whole else r"\d{1,9}(\.\d{1,9})?"
    if re.fullmatch(pattern, value, re.ASCII) and low <= float(value) <= high:
        return float(value)
    kind = "a whole number" if whole else "a number"
    raise InvalidRequest(f"demo:{name} takes {kind} from {low:g} to {high:g}; {_USAGE}", code="invalid_value")
