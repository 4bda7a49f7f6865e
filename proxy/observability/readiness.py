"""Readiness: whether the gateway takes new requests, and if not, why, for load balancers and orchestrators.

Checks run when readiness is probed, and no result is cached. No request is refused here.
"""

import math
import time
from collections.abc import Callable

#: Returns a reason, or None.
Check = Callable[[], str | None]

#: Longer than any load balancer waits between two probes.
PROBED_SECONDS = 60.0
SHUTTING_DOWN = "the gateway is shutting down"


class Readiness:
    """The readiness checks of one gateway."""

    def __init__(self) -> None:
        #: The gateway is shutting down: load balancers must send nothing more, running requests go on.
        self.draining = False
        #: Monotonic seconds of the last probe.
        self.probed_at = -math.inf
        #: Why the store cannot be used, or None; one of the checks says so too.
        self.store_failure: Check = _no_reason
        self._checks: list[Check] = []
        self._warning_checks: list[Check] = []

    def add_check(self, check: Check) -> None:
        """Add a check whose reason makes the gateway not ready."""
        self._checks.append(check)

    def add_warning_check(self, check: Check) -> None:
        """Add a check whose reason is reported while the gateway stays ready."""
        self._warning_checks.append(check)

    @property
    def is_probed(self) -> bool:
        """Whether a load balancer has probed within PROBED_SECONDS, and will probably do so again."""
        return time.monotonic() - self.probed_at < PROBED_SECONDS

    def reasons(self) -> list[str]:
        """Why the gateway is not ready; empty while it is."""
        return [SHUTTING_DOWN] * self.draining + _results(self._checks)

    def warnings(self) -> list[str]:
        """What an operator should look at while the gateway is ready."""
        return _results(self._warning_checks)


def _no_reason() -> str | None:
    return None


def _results(checks: list[Check]) -> list[str]:
    return [reason for check in checks if (reason := check()) is not None]
