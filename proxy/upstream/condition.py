"""Whether one target of an alias, with one of its upstream's keys, gets requests: cooldowns by cause, and ejection.

Pure: the clock is passed in. Beside `Health`, which is about an upstream as a whole: a model, a deployment or an
account fails without its neighbours. What is out is tried last and never dropped, so that the last target of an alias
is tried all the same; when its time is over one request probes it.
"""

import math
from typing import Final

#: Longest cooldown after a 429, in seconds, whatever its `retry-after` says; and the one after a 429 that says nothing.
MAX_RATE_LIMIT_SECONDS: Final = 60.0
RATE_LIMIT_SECONDS: Final = 1.0
#: Seconds without the key, or the model, that the upstream refused. A reload that changes the upstream ends them.
REFUSED_SECONDS: Final = 600.0
#: Failures in a row after which it is ejected, and the seconds of the first ejection, doubled by each further one.
MAX_FAILURES_IN_ROW: Final = 5
EJECTION_SECONDS: Final = 5.0
MAX_EJECTION_SECONDS: Final = 60.0
#: It is ejected too when more than half of at least so many requests of a window of so many seconds failed.
MIN_WINDOW_REQUESTS: Final = 20
WINDOW_SECONDS: Final = 30.0
#: Seconds after which another request may probe it while the last probe has no outcome.
PROBE_SECONDS: Final = 10.0


class Condition:
    """The condition of one target. Times are monotonic seconds."""

    __slots__ = (
        "_bad",
        "_good",
        "_in_row",
        "_next_probe",
        "_until",
        "_window",
        "cause",
        "ejections",
        "out",
        "since",
        "watched",
    )

    def __init__(self) -> None:
        #: Out, without a good response since; for what cause, and since when.
        self.out = False
        self.cause = ""
        self.since = 0.0
        #: How often in a row it was ejected for failures.
        self.ejections = 0
        #: It has failed lately, so that successes are to be noted.
        self.watched = False
        self._until = self._next_probe = 0.0
        self._in_row = self._bad = self._good = 0
        self._window = -math.inf

    def may_try(self, now: float) -> bool:
        """Whether it may get a request: it is not out, or its time is over and no probe is running."""
        return not self.out or (now >= self._until and now >= self._next_probe)

    @property
    def limited_until(self) -> float:
        """When the rate limit ends for which it is out; 0.0 where it is out for none."""
        return self._until if self.out and self.cause == "rate_limit" else 0.0

    def probe(self, now: float) -> None:
        """A request goes to it while it is out; the next one waits for the outcome, but not for ever."""
        self._next_probe = now + PROBE_SECONDS

    def cool(self, cause: str, seconds: float, now: float) -> None:
        """Take it out for so long; a longer time that runs already stays."""
        until = now + seconds
        if not self.out:
            self.since = now
        if not self.out or until >= self._until:
            self.cause, self._until = cause, until
        self.out = self.watched = True
        self._next_probe = 0.0

    def failed(self, now: float) -> float:
        """Count a failure of its own. Returns the seconds for which it is ejected by this one, 0.0 where it is not."""
        self.watched = True
        self._in_row += 1
        self._count(now)
        self._bad += 1
        if self.out:
            return self._eject(now) if now >= self._until else 0.0
        total = self._bad + self._good
        if self._in_row >= MAX_FAILURES_IN_ROW or (total >= MIN_WINDOW_REQUESTS and self._bad * 2 > total):
            return self._eject(now)
        return 0.0

    def succeeded(self, now: float) -> bool:
        """Note a good response, where `watched`; whether that brought it back."""
        returned, self.out = self.out, False
        self._in_row = 0
        self._count(now)
        self._good += 1
        if returned:
            self.cause, self.since = "", now
            self._bad = self._good = 0
        elif not self._bad:
            # A window has passed without a failure.
            self.watched, self.ejections = False, 0
        return returned

    def _count(self, now: float) -> None:
        if now - self._window > WINDOW_SECONDS:
            self._window = now
            self._bad = self._good = 0

    def _eject(self, now: float) -> float:
        self.ejections += 1
        doublings = min(self.ejections - 1, 10)
        seconds = min(EJECTION_SECONDS * (1 << doublings), MAX_EJECTION_SECONDS)
        self.cool("failures", seconds, now)
        return seconds
