"""Calendar windows of budgets: a day, a week, a month, a year or all time, beginning at midnight in a named time zone.

Pure arithmetic on moments in microseconds since 1970: no clock and no timer. A window is computed from a moment, so
nothing has to run when one begins. A day may have 23 or 25 hours, and midnight may be missing or come twice.
"""

import calendar
from datetime import UTC, date, datetime, timedelta
from typing import Final, Literal, NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from proxy.config.budget_rules import WINDOW, WINDOW_FORMS, ZONE_HINT
from proxy.errors import ConfigFault

WEEKDAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
#: The end of a window that has none, in microseconds: after every record.
NEVER: Final = 10**16
_MICROSECONDS: Final = 1_000_000
_MINUTE: Final = 60
_HOUR: Final = 3_600
_DAY: Final = 86_400


class Window(NamedTuple):
    """One window, from `start` to before `end`; its id is unique among those of a calendar."""

    id: str
    #: Microseconds since 1970, UTC.
    start: int
    end: int


class Calendar:
    """The windows of one kind in one time zone."""

    def __init__(self, window: str, zone: str) -> None:
        """`window` and `zone` are as in `[budgets.NAME]`. Raises ConfigFault for what is neither."""
        match = WINDOW.fullmatch(window)
        if match is None:
            raise ConfigFault(f'window = "{window}": a window is {WINDOW_FORMS}')
        self._zone = zone_of(zone)
        self.zone = zone
        self.window = window
        self._kind: Literal["day", "week", "month", "year", "total"] = window.partition(":")[0]  # type: ignore[assignment]
        self._weekday = WEEKDAYS.index(match[1]) if match[1] else 0
        self._day = int(match[2]) if match[2] else 1

    def at(self, moment: int) -> Window:
        """The window of a moment, in microseconds since 1970."""
        if self._kind == "total":
            return Window("total", 0, NEVER)
        first = self._first_day(datetime.fromtimestamp(moment // _MICROSECONDS, self._zone).date())
        start, end = self._begin(first), self._begin(self._next(first))
        # Where the clock goes back over midnight a day's name comes again after its end.
        while moment >= end:
            first = self._next(first)
            start, end = end, self._begin(self._next(first))
        while moment < start:
            first = self._first_day(first - timedelta(days=1))
            start, end = self._begin(first), start
        return Window(self._name(first), start, end)

    def _begin(self, day: date) -> int:
        """The first moment of a day. Where midnight is missing it is that at which the clock is put forward."""
        local = datetime(day.year, day.month, day.day, tzinfo=self._zone)
        return int(local.timestamp()) * _MICROSECONDS

    def _first_day(self, day: date) -> date:
        """The day on which the window of a day begins."""
        if self._kind == "day":
            return day
        if self._kind == "week":
            return day - timedelta(days=(day.weekday() - self._weekday) % 7)
        if self._kind == "year":
            return date(day.year, 1, 1)
        first = _clipped(day.year, day.month, self._day)
        if first <= day:
            return first
        before = day.replace(day=1) - timedelta(days=1)
        return _clipped(before.year, before.month, self._day)

    def _next(self, first: date) -> date:
        """The first day of the window after that which begins on a day."""
        if self._kind == "day":
            return first + timedelta(days=1)
        if self._kind == "week":
            return first + timedelta(days=7)
        if self._kind == "year":
            return date(first.year + 1, 1, 1)
        year, month = (first.year, first.month + 1) if first.month < 12 else (first.year + 1, 1)
        return _clipped(year, month, self._day)

    def _name(self, first: date) -> str:
        if self._kind == "year":
            return f"{first.year:04}"
        if self._kind == "month" and self._day == 1:
            return f"{first.year:04}-{first.month:02}"
        return first.isoformat()


def _clipped(year: int, month: int, day: int) -> date:
    """A day of a month, or its last one where the month is shorter."""
    return date(year, month, min(day, calendar.monthrange(year, month)[1]))


def zone_of(name: str) -> ZoneInfo:
    """A time zone by its IANA name. Raises ConfigFault."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ConfigFault(f'zone = "{name}": no such time zone is known here; {ZONE_HINT}') from error


def reset_words(window: Window, zone: str, moment: int) -> str:
    """When a window ends, in words for an error: "at 2026-12-01 00:00 (Europe/Berlin), in 3 h 20 min"."""
    if window.end >= NEVER:
        return "never"
    local = datetime.fromtimestamp(window.end // _MICROSECONDS, zone_of(zone) if zone != "UTC" else UTC)
    return f"at {local:%Y-%m-%d %H:%M} ({zone}), in {duration_words((window.end - moment) // _MICROSECONDS)}"


def duration_words(seconds: int) -> str:
    """A duration in the two largest units that it has, rounded up to whole minutes from one minute on."""
    if seconds < _MINUTE:
        return f"{max(seconds, 0) + 1} s"
    seconds += _MINUTE - 1
    days, hours, minutes = seconds // _DAY, seconds % _DAY // _HOUR, seconds % _HOUR // _MINUTE
    if days:
        return f"{days} d {hours} h" if hours else f"{days} d"
    if hours:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    return f"{minutes} min"
