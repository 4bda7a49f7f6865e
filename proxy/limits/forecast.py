"""What a budget will have spent at the end of its window, and when it will be used up: arithmetic over past hours.

A forecast says that the coming hours cost what the recent ones have cost on average. It decides nothing: no request is
refused for it.
"""

from typing import Final

import msgspec

#: Whole hours that are needed. Fewer say nothing of the hours to come.
MIN_HOURS: Final = 6
#: The hours that count, the last ones: a week, so that nights and weekends count as they are.
MAX_HOURS: Final = 168
_HOUR: Final = 3_600


class Forecast(msgspec.Struct, frozen=True):
    """How a budget goes on. Money is nano-dollars, times are seconds since 1970."""

    #: An hour, on average; None where there is not enough data, and then all are None.
    rate: int | None = None
    #: What will have been spent at the end of the window; None for a budget without an end.
    projected: int | None = None
    #: When the limit is reached; None if it is not reached in the window.
    used_up: int | None = None

    @property
    def is_known(self) -> bool:
        """Whether there was enough data."""
        return self.rate is not None


def forecast(*, spent: int, limit: int, now: int, end: int | None, past: int, hours: int) -> Forecast:
    """The forecast of a window that has spent so much of its limit and ends at `end`.

    `past` is what the last whole `hours` in which the payer could spend have cost together, before the window's begin
    too; there should be no more than `MAX_HOURS`. With fewer than `MIN_HOURS` there is no forecast, but for a limit
    that is reached already.
    """
    if hours < MIN_HOURS:
        return Forecast(used_up=now if spent >= limit else None)
    left = None if end is None else max(end - now, 0)
    projected = None if left is None else spent + past * left // (hours * _HOUR)
    used_up = None
    if spent >= limit:
        used_up = now
    elif past:
        # Rounded up: at that second the limit is reached.
        seconds = -(-(limit - spent) * hours * _HOUR // past)
        if left is None or seconds <= left:
            used_up = now + seconds
    return Forecast(past // hours, projected, used_up)
