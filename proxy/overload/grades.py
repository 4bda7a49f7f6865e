"""How bad a reading is: grades with hysteresis, and the share of new work that a busy loop refuses. Pure arithmetic."""

from collections import deque
from typing import Final

#: What a grade means, for those that connections and their requests take up: memory and descriptors.
CLOSE, REFUSE, PAUSE = 1, 2, 3
NEVER: Final = float("inf")
#: The parts of memory and of descriptors at which the three begin.
BEGINS: Final = (0.80, 0.90, 0.95)
#: A grade is left below this part of the value at which it was reached, and only after so many seconds there.
FALL: Final = 0.95
HOLD: Final = 0.5
#: Sweeps that must all be late: one pause of the collector, or one large body, is no overload.
LATE_SWEEPS: Final = 5
#: How the refused share follows the lag, per sweep; some work always goes on, so that its end is seen.
MORE, LESS, MOST = 0.05, 0.01, 0.95
#: The refused share from which on new work should go elsewhere altogether.
UNREADY_SHARE: Final = 0.5


class Gauge:
    """One reading against the values at which its grades begin."""

    def __init__(self, close: float, refuse: float, pause: float) -> None:
        self._begins = (close, refuse, pause)
        self._low_since = NEVER
        self.value = 0.0
        self.grade = 0

    def see(self, value: float, now: float) -> None:
        """Take a reading; `now` is in monotonic seconds. A grade rises at once, and falls when it has been low."""
        self.value = value
        reached = sum(value >= begin for begin in self._begins)
        kept = sum(value >= begin * FALL for begin in self._begins)
        if reached > self.grade:
            self.grade = reached
        if kept >= self.grade:
            self._low_since = NEVER
        elif self._low_since == NEVER:
            self._low_since = now
        elif now - self._low_since >= HOLD:
            self.grade = kept
            self._low_since = NEVER


class Shedder:
    """The share of new requests to refuse so that the loop comes round in time: more while it is late, less after.

    All or nothing would swing between a gateway that is swamped and one that idles.
    """

    def __init__(self) -> None:
        self._recent: deque[float] = deque(maxlen=LATE_SWEEPS)
        self._grades = Gauge(MORE, UNREADY_SHARE, NEVER)
        #: Seconds by which the loop comes round too late.
        self.lag = 0.0
        self.share = 0.0

    @property
    def grade(self) -> int:
        """That of the share."""
        return self._grades.grade

    def see(self, late: float, bound: float, now: float) -> None:
        """A sweep was so many seconds late; `bound` is the most that is all right."""
        self._recent.append(late)
        self.lag = min(self._recent) if len(self._recent) == LATE_SWEEPS else 0.0
        if self.lag > bound:
            self.share = min(MOST, self.share + MORE)
        elif self.share:
            self.share = max(0.0, self.share - LESS)
        self._grades.see(self.share, now)
