"""How access lines read: text for people, JSON for machines. They hold no key, no prompt, no answer.

Made for several requests at a time; nothing here knows where they are written.
"""

import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Final

import msgspec

from proxy.access.shapes import Access, BilledLine, Line

_encode: Final = msgspec.json.Encoder().encode


class _Seconds:
    """Makes a text of a second once for all the lines of it: most are of the same second as the one before."""

    def __init__(self, make: Callable[[int], str]) -> None:
        self._make = make
        self._second = -1
        self._text = ""

    def text(self, second: int) -> str:
        if second != self._second:
            self._second, self._text = second, self._make(second)
        return self._text


def text_lines(batch: Iterable[Access]) -> list[str]:
    """The lines for people."""
    clock = _Seconds(_clock)
    return [f"{clock.text(access.time // 1_000_000)}  {_text(access)}" for access in batch]


def json_lines(batch: Iterable[Access]) -> list[str]:
    """The lines for machines: one JSON object each."""
    date = _Seconds(_date)
    return [_encode(_line(access, date)).decode() for access in batch]


def text_line(access: Access) -> str:
    """The line of one request."""
    return text_lines([access])[0]


def json_line(access: Access) -> str:
    """The line of one request."""
    return json_lines([access])[0]


def lost_line(count: int, text: bool) -> str:
    """The line that stands for those that could not be written."""
    message = f"{count} access lines were lost: the output does not take them fast enough"
    return message if text else _encode({"lost": count, "message": message}).decode()


def dollars(nano: int) -> str:
    """Nano-dollars as USD, exactly, without needless zeros but with two decimals at least."""
    decimals = str(1_000_000_000 + nano % 1_000_000_000)[1:]
    return f"{nano // 1_000_000_000}.{decimals[:2]}{decimals[2:].rstrip('0')}"


def _text(access: Access) -> str:
    final = access.final
    line = f"{access.method}  {access.path}  {access.status}"
    key = f"  key {access.key}" if access.key else ""
    if final is None:
        return f"{line}  total {access.total / 1000:.1f} ms{key}"
    alias = f"  {final.alias}" if final.alias else ""
    estimated = "  (estimated)" if final.usage_source == "estimated" else ""
    price = "unpriced" if final.cost is None else f"${dollars(final.cost)}"
    ttft = "" if final.ttft is None else f"  ttft {final.ttft / 1000:.1f} ms"
    outcome = "" if final.outcome == "complete" else f"  {final.outcome}"
    return (
        f"{line}{alias}  in {final.input_tokens} out {final.output_tokens}{estimated}  {price}{ttft}"
        f"  total {final.total / 1000:.1f} ms  overhead {final.overhead / 1000:.2f} ms{key}{outcome}"
    )


def _clock(second: int) -> str:
    return time.strftime("%H:%M:%S", time.localtime(second))


def _date(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).isoformat()[:19]


def _line(access: Access, date: _Seconds) -> Line:
    # The thousand more gives the milliseconds their leading zeros.
    milliseconds = str(1000 + access.time // 1000 % 1000)[1:]
    moment = f"{date.text(access.time // 1_000_000)}.{milliseconds}+00:00"
    # By position, in the order of the fields: naming them costs more than the values.
    final = access.final
    if final is None:
        return Line(
            moment,
            access.method,
            access.path,
            access.status,
            access.request_id,
            access.key or None,
            access.total / 1000,
        )
    return BilledLine(
        moment,
        access.method,
        access.path,
        access.status,
        access.request_id,
        access.key or None,
        final.total / 1000,
        final.alias,
        final.stream,
        final.outcome,
        final.attempts,
        final.input_tokens,
        final.output_tokens,
        final.usage_source,
        None if final.cost is None else dollars(final.cost),
        None if final.ttft is None else final.ttft / 1000,
        final.overhead / 1000,
        final.error_code,
    )
