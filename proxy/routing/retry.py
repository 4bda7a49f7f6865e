"""The retry plan of one request: which target is tried first, and what is tried after an attempt has failed.

It decides by the order and health of the targets, the retry budgets of their upstreams and the time that is left. It
opens and sends nothing, and knows no exchange.
"""

import time
from dataclasses import dataclass
from typing import Final

from proxy.errors import GatewayError, UpstreamDropped
from proxy.routing.selection import healthy_first
from proxy.upstream.retry_budget import RetryBudget
from proxy.upstream.target import Target

MAX_ATTEMPTS: Final = 3
#: Statuses below 500 after which another target may do better; of 500 and above it is all.
RETRYABLE_STATUSES: Final = frozenset({408, 409, 429})
#: Statuses whose `Retry-After` is waited for.
WAITABLE_STATUSES: Final = frozenset({429, 503, 529})
#: Seconds by which a client that says how long it waits is sent an error before it leaves.
CLIENT_TIMEOUT_MARGIN_SECONDS: Final = 0.5
_now: Final = time.monotonic


@dataclass(frozen=True, slots=True)
class ErrorStatus:
    """An upstream responded with an error status; `retry_after` is its `Retry-After` in seconds, infinity for none."""

    status: int
    retry_after: float


@dataclass(frozen=True, slots=True)
class Retry:
    """Make another attempt now, at `RetryPlan.target`; `fresh` asks for a connection that has not been used."""

    fresh: bool = False


@dataclass(frozen=True, slots=True)
class Wait:
    """Make another attempt at the same target at this monotonic time."""

    until: float


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Make no other attempt."""


GIVE_UP: Final = GiveUp()
RETRY: Final = Retry()
RETRY_FRESH: Final = Retry(fresh=True)


class RetryPlan:
    """Chooses the target of each attempt of one request. Times are monotonic seconds."""

    __slots__ = (
        "_place",
        "_repeated",
        "_targets",
        "_waited",
        "attempts",
        "began",
        "budget",
        "deadline",
        "first_byte_deadline",
        "lost_seconds",
        "patience",
        "target",
    )

    def __init__(
        self, targets: tuple[Target, ...], arrived: float, total_timeout: float, patience: float, uploads: bool
    ) -> None:
        """`patience` is how many seconds the client says it waits for its next byte; `uploads` that its body is still
        on its way."""
        self._targets = targets
        self._place = 0
        #: The same target was tried again once; and once after waiting for its `Retry-After`.
        self._repeated = self._waited = False
        #: The retry budget that the running attempt counts on.
        self.budget: RetryBudget | None = None
        self.target: Target = targets[0]
        if self.target.pool.health.ejected:
            self._targets = healthy_first(targets, _now())
            self.target = self._targets[0]
        #: Attempts made, when the last one began, and the seconds that failed ones and the waits after them took.
        self.attempts = 0
        self.began = 0.0
        self.lost_seconds = 0.0
        #: When the request must have ended.
        self.deadline = self.first_byte_deadline = arrived + total_timeout
        self.patience = patience
        if patience < total_timeout:
            self.patience = seconds_to_respond(patience)
            if not uploads:
                # The response to an upload depends on the client's own pace.
                self.first_byte_deadline = arrived + self.patience

    @property
    def has_next(self) -> bool:
        """Another target may still be tried."""
        return self._place + 1 < len(self._targets) and self.attempts < MAX_ATTEMPTS

    def begin(self) -> None:
        """Count an attempt at `target` that is about to be made."""
        now = _now()
        if self.attempts:
            self.lost_seconds += now - self.began
        self.attempts += 1
        self.began = now
        health = self.target.pool.health
        if health.ejected:
            health.probe(now)

    def after(self, outcome: GatewayError | ErrorStatus) -> Retry | Wait | GiveUp:
        """What to do after an attempt that ended so, with nothing of a response sent to the client."""
        now = _now()
        if self.attempts >= MAX_ATTEMPTS or now >= self.first_byte_deadline:
            return GIVE_UP
        if isinstance(outcome, ErrorStatus):
            return self._after_status(outcome, now)
        if isinstance(outcome, UpstreamDropped) and outcome.reused and not self._repeated:
            # It closed an idle connection just as that was used: nothing was asked of it, so this is on no budget.
            self._repeated = True
            return RETRY_FRESH
        return RETRY if self._next_target(now) else GIVE_UP

    def _after_status(self, outcome: ErrorStatus, now: float) -> Retry | Wait | GiveUp:
        """A 500 once more at the same target; else the next target; else the same one when it says so."""
        status = outcome.status
        if status == 500 and not self._repeated and self._within_budget():
            self._repeated = True
            return RETRY
        if (status >= 500 or status in RETRYABLE_STATUSES) and self._next_target(now):
            return RETRY
        if (
            status in WAITABLE_STATUSES
            and not self._waited
            and outcome.retry_after <= self.target.pool.upstream.retry_after_max
            and now + outcome.retry_after < self.first_byte_deadline
            and self._within_budget()
        ):
            self._waited = True
            return Wait(now + outcome.retry_after)
        return GIVE_UP

    def _next_target(self, now: float) -> bool:
        """Move to the next target, those of ejected upstreams last; False when there is none."""
        tried = self._targets[: self._place + 1]
        self._targets = tried + healthy_first(self._targets[self._place + 1 :], now)
        failed = self.target.pool
        for place in range(self._place + 1, len(self._targets)):
            target = self._targets[place]
            if target.pool is not failed or self._within_budget():
                if target.pool is not failed:
                    self.release()
                self._place = place
                self.target = target
                return True
        return False

    def _within_budget(self) -> bool:
        """Whether the upstream that failed may be tried again for this request: retries must not keep it down."""
        pool = self.target.pool
        if pool.health.ejected:
            return False
        if self.budget is None:
            if not pool.retries.try_acquire(pool.busy):
                return False
            self.budget = pool.retries
        return True

    def release(self) -> None:
        """The running attempt has ended: free its place in the retry budget."""
        if self.budget is not None:
            self.budget.release()
            self.budget = None


def seconds_to_respond(patience: float) -> float:
    """The seconds in which a client that waits so long is sent an error, so that it does not leave without one."""
    return patience - min(CLIENT_TIMEOUT_MARGIN_SECONDS, patience / 4)
