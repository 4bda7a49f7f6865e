"""Whether an upstream gets requests, by the outcome of its last ones: passive outlier ejection, with Envoy's numbers.

Pure: the clock is passed in, nothing runs in the background, and no one is notified. What counts as a failure is
decided by the caller. An upstream that fails so many times in a row is ejected for a while, which grows each time; then
one request probes it, and a good response ends the ejection.
"""

from collections.abc import Callable

from proxy.config.tree import Upstream
from proxy.upstream.traffic import Traffic


class Health:
    """The health of one upstream. Times are in monotonic seconds."""

    __slots__ = (
        "_ejections",
        "_gateway_failures",
        "_may_eject",
        "_next_probe",
        "_returned",
        "_server_failures",
        "_until",
        "_upstream",
        "ejected",
        "last_failed",
        "since",
        "traffic",
    )

    def __init__(self, upstream: Upstream, may_eject: Callable[[], bool]) -> None:
        """`may_eject` says whether one more upstream may be ejected."""
        self._upstream = upstream
        self._may_eject = may_eject
        self._server_failures = self._gateway_failures = 0
        self._ejections = 0
        self._until = self._next_probe = self._returned = 0.0
        #: Ejected, without a good response since.
        self.ejected = False
        #: Its last request failed.
        self.last_failed = False
        #: When it was ejected, or came back; 0.0 where it never was.
        self.since = 0.0
        self.traffic = Traffic()

    @property
    def ejections(self) -> int:
        """How often it was ejected one time after the other, as far as that still counts."""
        return self._ejections

    def may_try(self, now: float) -> bool:
        """Whether it may get a request; ejected, it may once its time is over and no probe is running."""
        return not self.ejected or (now >= self._until and now >= self._next_probe)

    def probe(self, now: float) -> None:
        """A request probes it while it is ejected; the next one waits for the outcome, but not for ever."""
        self._next_probe = now + self._upstream.ejection_interval

    def failed(self, now: float, *, gateway: bool) -> float:
        """Count a failure; `gateway` where no response of its own came (502, 503, 504 and 529 are of that kind too).

        Returns the seconds for which it is ejected by this one, 0.0 where it is not.
        """
        upstream = self._upstream
        self.last_failed = True
        self._server_failures += 1
        self._gateway_failures = self._gateway_failures + 1 if gateway else 0
        if self.ejected:
            return self._eject(now) if now >= self._until else 0.0
        if 0 < upstream.consecutive_5xx <= self._server_failures or (
            0 < upstream.consecutive_gateway_failures <= self._gateway_failures
        ):
            return self._eject(now) if self._may_eject() else 0.0
        return 0.0

    def succeeded(self, now: float) -> bool:
        """Note a good response; whether that ended an ejection."""
        returned, self.ejected = self.ejected, False
        self.last_failed = False
        self._server_failures = self._gateway_failures = 0
        if returned:
            self._returned = self.since = now
        return returned

    def _eject(self, now: float) -> float:
        upstream = self._upstream
        if not self.ejected:
            # Every interval in good health takes one of its earlier ejections back.
            calm = int((now - self._returned) / upstream.ejection_interval)
            self._ejections = max(self._ejections - calm, 0)
            self.since = now
        self._ejections += 1
        self.ejected = True
        seconds = min(upstream.base_ejection_time * self._ejections, upstream.max_ejection_time)
        self._until = now + seconds
        return seconds
