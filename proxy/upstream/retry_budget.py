"""How many retries an upstream may have at once, so that they never become the storm that keeps it down.

Counts only, and pure; after Envoy's retry budgets: a share of the requests that run, and a few in any case.
"""


class RetryBudget:
    """The retries of one upstream."""

    __slots__ = ("_least", "_share", "running")

    def __init__(self, percent: float, least: int) -> None:
        """`percent` of the first attempts that run may be added by retries; `least` of them may always run."""
        self._share = percent / 100
        self._least = least
        #: Retries that run, or wait until they do.
        self.running = 0

    def try_acquire(self, active: int) -> bool:
        """Begin a retry if it is within the budget, while `active` requests run, retries included."""
        first = max(active - self.running, 0)
        if self.running >= max(self._least, int(first * self._share)):
            return False
        self.running += 1
        return True

    def release(self) -> None:
        """A retry has ended."""
        self.running -= 1
