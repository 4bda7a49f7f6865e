"""Figures: how numbers, money, durations and times are written on the pages, in one time zone.

A number that is not known is a dash, never 0. Money that is rounded has its exact digits beside it.
"""

from datetime import datetime
from typing import Final, NamedTuple

from proxy.admin.routes.pages import usd
from proxy.ledger import periods
from proxy.ledger.board_values import Totals

UNKNOWN: Final = "–"
_NANO: Final = 1_000_000_000
_CENT: Final = 10_000_000


class Money(NamedTuple):
    """An amount as it is written, and all of its digits."""

    text: str
    exact: str


class Change(NamedTuple):
    """How a figure differs from that of the period before: in words, and whether that is up, down or neither."""

    text: str
    direction: str


class Figures:
    """Writes figures in a time zone."""

    def __init__(self, zone: str) -> None:
        self.zone = zone
        self._place = periods.zone_of(zone)

    def money(self, nano: int | None) -> Money:
        """Dollars, to the cent from a dollar on, and with two significant digits below one."""
        exact = usd(nano)
        if nano is None or exact is None:
            return Money(UNKNOWN, "not known")
        sign, amount = "-" if nano < 0 else "", abs(nano)
        if amount >= _NANO or not amount:
            cents = (amount + _CENT // 2) // _CENT
            return Money(f"{sign}${cents // 100:,}.{cents % 100:02}", f"${exact} USD")
        digits = 2
        while amount < 10 ** (10 - digits) and digits < 9:
            digits += 1
        unit = 10 ** (9 - digits)
        rounded = (amount + unit // 2) // unit
        return Money(f"{sign}${rounded // 10**digits}.{rounded % 10**digits:0{digits}}", f"${exact} USD")

    def number(self, value: int | None) -> str:
        """A whole number with its digits in groups."""
        return UNKNOWN if value is None else f"{value:,}"

    def short(self, value: int | None) -> str:
        """A number in three digits and a unit: 1.24 M."""
        if value is None:
            return UNKNOWN
        size = float(abs(value))
        for unit in ("", " k", " M", " G", " T"):
            if size < 999.5 or unit == " T":
                break
            size /= 1_000
        if not unit:
            return f"{value:,}"
        decimals = 2 if size < 9.995 else 1 if size < 99.95 else 0
        return f"{'-' if value < 0 else ''}{size:.{decimals}f}{unit}"

    def duration(self, microseconds: int | None) -> str:
        """A duration with its unit, in three digits."""
        if microseconds is None:
            return UNKNOWN
        for size, unit in ((1_000_000, "s"), (1_000, "ms")):
            if microseconds >= size:
                value = microseconds / size
                return (
                    f"{value:.2f} {unit}"
                    if value < 10
                    else f"{value:.1f} {unit}"
                    if value < 100
                    else f"{value:,.0f} {unit}"
                )
        return f"{microseconds} µs"

    def share(self, part: int, whole: int) -> str:
        """A part of a whole in per cent."""
        return f"{part * 100 / whole:.2f} %" if whole else UNKNOWN

    def time(self, seconds: float | None) -> str:
        """A moment in the time zone, to the second."""
        return UNKNOWN if seconds is None else f"{self._local(seconds):%Y-%m-%d %H:%M:%S}"

    def minute(self, seconds: float | None) -> str:
        """A moment in the time zone, to the minute."""
        return UNKNOWN if seconds is None else f"{self._local(seconds):%Y-%m-%d %H:%M}"

    def iso(self, seconds: float) -> str:
        """A moment for machines."""
        return self._local(seconds).isoformat(timespec="seconds")

    def period(self, start: int, step: str) -> str:
        """What a period of a chart is called."""
        local = self._local(start)
        if step == "hour":
            return f"{local:%d %b %H:%M}"
        return f"{local:%G-W%V}" if step == "week" else f"{local:%a %d %b}"

    def change(self, now: int | None, before: int | None) -> Change:
        """By how many per cent a figure differs from that of the period before."""
        if now is None or before is None or (not now and not before):
            return Change(UNKNOWN, "none")
        if not before:
            return Change("new", "up")
        ratio = (now - before) * 100 / before
        if abs(ratio) < 0.05:
            return Change("±0 %", "none")
        text = f"{ratio:+.1f} %" if abs(ratio) < 1_000 else f"×{now / before:,.0f}"
        return Change(text.replace("-", "−"), "up" if ratio > 0 else "down")

    def _local(self, seconds: float) -> datetime:
        return datetime.fromtimestamp(seconds, self._place)


def cost_of(totals: Totals) -> int | None:
    """What requests have cost: None where there are some, and of none of them it is known."""
    return None if totals.requests and totals.unpriced >= totals.requests else totals.cost


def margin_of(totals: Totals) -> int | None:
    """The margin, where it is known of any request."""
    return totals.margin if totals.has_margin else None


def target_cost_of(totals: Totals) -> int | None:
    """What the targets have cost the operator, where that is known of any request."""
    return totals.target_cost if totals.has_margin else None


def per_mille(part: int, whole: int) -> int | None:
    """A ratio as a whole number that changes are computed of."""
    return part * 1_000_000 // whole if whole else None
