"""What the requests to an upstream say of it: counts, the time to the first byte, the last error. It decides nothing.

Attempts of this process since it began. The clock is passed in.
"""

from typing import Final

#: The part that a new time to the first byte has in the moving average.
LATENCY_WEIGHT: Final = 0.1


class Traffic:
    """The requests to one upstream. Times are in monotonic seconds, 0.0 where there was none."""

    __slots__ = ("failed_at", "failures", "last_error", "latency", "responded_at", "responses")

    def __init__(self) -> None:
        #: Good responses, and attempts that failed by the upstream's fault.
        self.responses = 0
        self.failures = 0
        #: Seconds to the first byte of good responses: an exponentially weighted moving average.
        self.latency = 0.0
        self.responded_at = 0.0
        self.failed_at = 0.0
        #: Why the last one failed: no address, key or word of a provider's is in it.
        self.last_error = ""

    def responded(self, latency: float, now: float) -> None:
        """Count a good response; `latency` are the seconds to its first byte."""
        self.latency = latency if not self.responses else self.latency + (latency - self.latency) * LATENCY_WEIGHT
        self.responses += 1
        self.responded_at = now

    def failed(self, why: str, now: float) -> None:
        """Count a failure."""
        self.failures += 1
        self.failed_at = now
        self.last_error = why
