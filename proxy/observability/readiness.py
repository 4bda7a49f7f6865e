"""Whether the gateway takes new work, and if not, why: what the readiness endpoint tells an orchestrator.

It asks when it is asked, and keeps no answer. It refuses nothing: that is done where each request comes in.
"""

import math
import time
from collections.abc import Callable

Check = Callable[[], str | None]

#: Longer than any load balancer waits between two looks.
WATCHED_SECONDS = 60.0
SHUTTING_DOWN = "the gateway is shutting down"


class Readiness:
    """The reasons of one gateway."""

    def __init__(self) -> None:
        #: The gateway was told to stop: load balancers must send nothing more, what runs goes on.
        self.draining = False
        #: Monotonic seconds of the last time that somebody looked.
        self.asked = -math.inf
        self._checks: list[Check] = []
        self._concerns: list[Check] = []

    def watch(self, check: Check) -> None:
        """Ask `check` from now on; what it answers, unless None, is a reason not to be ready."""
        self._checks.append(check)

    def watch_for_warning(self, check: Check) -> None:
        """Ask `check` from now on; what it answers, unless None, is told, but the gateway stays ready."""
        self._concerns.append(check)

    @property
    def is_watched(self) -> bool:
        """Whether somebody, such as a load balancer, has looked in the last minute and will probably look again."""
        return time.monotonic() - self.asked < WATCHED_SECONDS

    def reasons(self) -> list[str]:
        """Why new work should go elsewhere; empty while the gateway is ready."""
        return [SHUTTING_DOWN] * self.draining + _answers(self._checks)

    def warnings(self) -> list[str]:
        """What somebody should look at, while work goes on."""
        return _answers(self._concerns)


def _answers(checks: list[Check]) -> list[str]:
    return [answer for check in checks if (answer := check()) is not None]
