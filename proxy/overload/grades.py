"""Grades of overload with hysteresis, and the ratio of new requests to shed while the event loop is late.

Arithmetic only: nothing is measured here, and no request refused.
"""

from collections import deque
from typing import Final

#: Grades of memory and descriptors: close idle connections, refuse new requests, pause accepting.
CLOSE, REFUSE, PAUSE = 1, 2, 3
NEVER: Final = float("inf")
#: Ratios of memory and descriptors at which the three grades begin.
GRADE_RATIOS: Final = (0.80, 0.90, 0.95)
#: A grade ends below this ratio of the value at which it begins, and only after this time there.
RELEASE_RATIO: Final = 0.95
RELEASE_SECONDS: Final = 0.5
#: Sweeps that must all be late: one garbage collection, or one large body, is no overload.
LAG_SWEEPS: Final = 5
#: Change of the shed ratio per sweep. Some requests are always served, so that the end of the overload is noticed.
SHED_STEP_UP: Final = 0.05
SHED_STEP_DOWN: Final = 0.01
MAX_SHED_RATIO: Final = 0.95
#: Shed ratio from which on the gateway is not ready.
UNREADY_SHED_RATIO: Final = 0.5


class Gauge:
    """The grade of one value, which rises at once and falls only when the value has been low for a while."""

    def __init__(self, close: float, refuse: float, pause: float) -> None:
        """The arguments are the values at which the three grades begin."""
        self._thresholds = (close, refuse, pause)
        self._low_since = NEVER
        self.value = 0.0
        self.grade = 0

    def update(self, value: float, now: float) -> None:
        """Set a new value at `now`, in monotonic seconds."""
        self.value = value
        reached = sum(value >= threshold for threshold in self._thresholds)
        kept = sum(value >= threshold * RELEASE_RATIO for threshold in self._thresholds)
        if reached > self.grade:
            self.grade = reached
        if kept >= self.grade:
            self._low_since = NEVER
        elif self._low_since == NEVER:
            self._low_since = now
        elif now - self._low_since >= RELEASE_SECONDS:
            self.grade = kept
            self._low_since = NEVER


class LoadShedder:
    """The ratio of new requests to refuse so that the event loop is in time: rises while it is late, falls after.

    All or nothing would oscillate between an overloaded gateway and an idle one.
    """

    def __init__(self) -> None:
        self._recent: deque[float] = deque(maxlen=LAG_SWEEPS)
        self._gauge = Gauge(SHED_STEP_UP, UNREADY_SHED_RATIO, NEVER)
        self._swept_at = 0.0
        #: Seconds by which the event loop is late.
        self.lag = 0.0
        #: Maximum of that lag that is no overload; it is configured.
        self.max_lag = 0.0
        self.ratio = 0.0

    @property
    def grade(self) -> int:
        """The grade of the ratio."""
        return self._gauge.grade

    def sweep(self, now: float, interval: float) -> None:
        """A sweep runs at `now`, in monotonic seconds, and should run every `interval` seconds."""
        if self._swept_at:
            self.update(max(0.0, now - self._swept_at - interval), now)
        self._swept_at = now

    def update(self, lag: float, now: float) -> None:
        """A sweep was `lag` seconds late."""
        self._recent.append(lag)
        self.lag = min(self._recent) if len(self._recent) == LAG_SWEEPS else 0.0
        if self.lag > self.max_lag:
            self.ratio = min(MAX_SHED_RATIO, self.ratio + SHED_STEP_UP)
        elif self.ratio:
            self.ratio = max(0.0, self.ratio - SHED_STEP_DOWN)
        self._gauge.update(self.ratio, now)


class EvenRefusal:
    """Refuses a ratio of requests, spread evenly and not by chance."""

    def __init__(self) -> None:
        self.ratio = 0.0
        self._carry = 0.0

    def refuses_next(self) -> bool:
        """Whether the next request is to be refused."""
        self._carry += self.ratio
        if self._carry < 1.0:
            return False
        self._carry -= 1.0
        return True
