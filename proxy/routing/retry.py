"""The retry plan of one request: which target is tried first, and what is tried after an attempt has failed.

It decides by the order and health of the targets, the retry budgets of their upstreams and the time that is left. It
opens and sends nothing, and knows no exchange.
"""

import math
import time
from dataclasses import dataclass
from typing import Final

from proxy.errors import GatewayError, UpstreamDropped
from proxy.routing.models import Alias
from proxy.routing.selection import healthy_first
from proxy.upstream.condition import RATE_LIMIT_SECONDS
from proxy.upstream.target import Target

MAX_ATTEMPTS: Final = 3
#: Statuses below 500 after which another target may do better; of 500 and above it is all.
RETRYABLE_STATUSES: Final = frozenset({408, 409, 429})
#: Statuses whose `Retry-After` is waited for.
WAITABLE_STATUSES: Final = frozenset({429, 503, 529})
#: Seconds by which a client that says how long it waits is sent an error before it leaves.
CLIENT_TIMEOUT_MARGIN_SECONDS: Final = 0.5
#: Statuses that are about the key of the upstream: its other keys may be used, on no retry budget.
KEY_STATUSES: Final = frozenset({401, 403, 407, 429})
# What a plan has used, and holds, as bits.
#: The same target was tried again once.
_REPEATED: Final = 1
#: The same target was tried again after waiting for its `Retry-After`.
_WAITED: Final = 2
#: The running attempt is a retry on its upstream's retry budget.
_ON_BUDGET: Final = 4
#: The running attempt is counted among those in flight at its target.
COUNTED: Final = 8
#: Another alias may still serve the request.
_MAY_FALL_BACK: Final = 16
#: It runs beside another one, for the same request.
_HEDGED: Final = 32
_now: Final = time.monotonic


@dataclass(frozen=True, slots=True)
class ErrorStatus:
    """An upstream responded with an error status; `retry_after` is its `Retry-After` in seconds, infinity for none.

    `elsewhere` says that it is about the target and not about the request: another one may do better.
    """

    status: int
    retry_after: float
    elsewhere: bool = False


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
        "_left",
        "_rest",
        "alias",
        "attempts",
        "began",
        "deadline",
        "first_byte_deadline",
        "lost_seconds",
        "patience",
        "standby",
        "target",
        "used",
    )

    def __init__(
        self, targets: tuple[Target, ...], arrived: float, total_timeout: float, patience: float, uploads: bool
    ) -> None:
        """`patience` is how many seconds the client says it waits for its next byte; `uploads` that its body is still
        on its way."""
        #: What it has used, and holds, as bits: with 0 there is nothing to `end`.
        self.used = 0
        #: Attempts that may still be made.
        self._left = MAX_ATTEMPTS
        self.target: Target = targets[0]
        #: The targets that come after it.
        self._rest: tuple[Target, ...] = targets[1:]
        if self.target.pool.health.ejected or self.target.state.condition.out:
            self._use(healthy_first(targets, _now()))
        #: The alias that serves; None where that is not known.
        self.alias: Alias | None = None
        #: Names of aliases that are to serve if this one cannot, after one of its own fallbacks has not.
        self.standby: tuple[str, ...] = ()
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
        """Another target may still be tried, of this alias or of one that stands in for it."""
        return (bool(self._rest) and self._left > 0) or self.used & _MAY_FALL_BACK != 0

    @property
    def hedged(self) -> bool:
        """It runs beside another one, for the same request."""
        return self.used & _HEDGED != 0

    @property
    def may_fall_back(self) -> bool:
        """Another alias may still serve the request."""
        return self.used & _MAY_FALL_BACK != 0

    @may_fall_back.setter
    def may_fall_back(self, may: bool) -> None:
        self.used = self.used | _MAY_FALL_BACK if may else self.used & ~_MAY_FALL_BACK

    @property
    def on_budget(self) -> bool:
        """The running attempt is a retry on its upstream's retry budget."""
        return self.used & _ON_BUDGET != 0

    @property
    def rest(self) -> tuple[Target, ...]:
        """The targets that may still be tried after the present one."""
        return self._rest if self._left > 0 else ()

    def take_rest(self) -> tuple[Target, ...]:
        """Give away the targets that may still be tried: another plan for the same request tries them."""
        rest, self._rest = self._rest, ()
        self.used &= ~_MAY_FALL_BACK
        return rest

    def run_beside(self, first: "RetryPlan", now: float) -> bool:
        """Begin beside another plan for the same request; False, and nothing is changed, where the retry budget of the
        target's upstream has no place."""
        if not self._within_budget():
            return False
        self.used |= _HEDGED
        first.used |= _HEDGED
        # The time before it is not the gateway's own.
        self.lost_seconds = first.lost_seconds + now - first.began
        return True

    def begin(self) -> None:
        """Count an attempt at `target` that is about to be made."""
        now = _now()
        if self.attempts:
            self.lost_seconds += now - self.began
        self.attempts += 1
        self._left -= 1
        self.began = now
        target = self.target
        if self.alias is not None and self.alias.routing is not None and not self.used & COUNTED:
            self.used |= COUNTED
            target.state.in_flight += 1
        if target.pool.health.ejected:
            target.pool.health.probe(now)
        if target.state.condition.out:
            target.state.condition.probe(now)

    def end(self) -> None:
        """The last attempt has ended, however it did: nothing is held of its target any more."""
        used = self.used
        if used & COUNTED:
            self.target.state.in_flight -= 1
            self.used = used & ~COUNTED
        if used & _ON_BUDGET:
            self.release()

    def after(self, outcome: GatewayError | ErrorStatus) -> Retry | Wait | GiveUp:
        """What to do after an attempt that ended so, with nothing of a response sent to the client."""
        now = _now()
        if isinstance(outcome, ErrorStatus) and outcome.status in KEY_STATUSES and self._has_other_key():
            # The keys of an upstream are no more than one target to the bound on attempts.
            self._left += 1
        if self._left <= 0 or now >= self.first_byte_deadline:
            return GIVE_UP
        if isinstance(outcome, ErrorStatus):
            return self._after_status(outcome, now)
        if isinstance(outcome, UpstreamDropped) and outcome.reused and not self.used & _REPEATED:
            # It closed an idle connection just as that was used: nothing was asked of it, so this is on no budget.
            self.used |= _REPEATED
            return RETRY_FRESH
        return RETRY if self._next_target(now) else GIVE_UP

    @property
    def is_late(self) -> bool:
        """The time in which the client must have something has passed."""
        return _now() >= self.first_byte_deadline

    def fall_back(self, alias: Alias, targets: tuple[Target, ...], standby: tuple[str, ...]) -> None:
        """Go on with the targets of another alias, which has attempts of its own, in the time that is left.

        `standby` are the aliases that may serve after it.
        """
        self.end()
        self.alias, self.standby = alias, standby
        self.used &= _HEDGED
        self._left = MAX_ATTEMPTS
        self._use(healthy_first(targets, _now()))

    def _after_status(self, outcome: ErrorStatus, now: float) -> Retry | Wait | GiveUp:
        """A 500 once more at the same target; else the next target; else the same one when it says so."""
        status = outcome.status
        if status == 500 and not self.used & _REPEATED and self._within_budget():
            self.used |= _REPEATED
            return RETRY
        about_target = outcome.elsewhere or status >= 500 or status in RETRYABLE_STATUSES
        if about_target and self._next_target(now, of_key=status in KEY_STATUSES):
            return RETRY
        wait = outcome.retry_after
        if wait == math.inf and status == 429 and self._queues():
            wait = RATE_LIMIT_SECONDS
        if (
            status in WAITABLE_STATUSES
            and not self.used & _WAITED
            and wait <= self._max_wait()
            and now + wait < self.first_byte_deadline
            and self._within_budget()
        ):
            self.used |= _WAITED
            return Wait(now + wait)
        return GIVE_UP

    def _queues(self) -> bool:
        """Whether requests of the alias wait for a rate limit that says no time, and no other alias serves them."""
        routing = self.alias.routing if self.alias is not None else None
        return routing is not None and routing.max_wait >= RATE_LIMIT_SECONDS and "rate_limit" not in routing.fallbacks

    def _max_wait(self) -> float:
        """Seconds for which the target's `Retry-After` is waited for."""
        seconds = self.target.pool.upstream.retry_after_max
        routing = self.alias.routing if self.alias is not None else None
        return seconds if routing is None else max(seconds, routing.max_wait)

    def _next_target(self, now: float, of_key: bool = False) -> bool:
        """Move to the next target, those that are out last; False when there is none.

        `of_key` says that the failure was of the key alone.
        """
        rest = self._rest = healthy_first(self._rest, now)
        failed = self.target
        for place, target in enumerate(rest):
            same = target.pool is failed.pool
            if not same or (of_key and target.place != failed.place) or self._within_budget():
                if not same:
                    self.release()
                if self.used & COUNTED:
                    failed.state.in_flight -= 1
                    self.used &= ~COUNTED
                self.target = target
                self._rest = rest[place + 1 :]
                return True
        return False

    def _has_other_key(self) -> bool:
        """Whether the upstream that failed is still to be tried with another key."""
        failed = self.target
        return bool([one for one in self._rest if one.pool is failed.pool and one.place != failed.place])

    def _use(self, targets: tuple[Target, ...]) -> None:
        self.target, self._rest = targets[0], targets[1:]

    def _within_budget(self) -> bool:
        """Whether the upstream that failed may be tried again for this request: retries must not keep it down."""
        pool = self.target.pool
        if pool.health.ejected:
            return False
        if not self.used & _ON_BUDGET:
            if not pool.retries.try_acquire(pool.busy):
                return False
            self.used |= _ON_BUDGET
        return True

    def release(self) -> None:
        """The running attempt has ended: free its place in the retry budget."""
        if self.used & _ON_BUDGET:
            self.target.pool.retries.release()
            self.used &= ~_ON_BUDGET


def seconds_to_respond(patience: float) -> float:
    """The seconds in which a client that waits so long is sent an error, so that it does not leave without one."""
    return patience - min(CLIENT_TIMEOUT_MARGIN_SECONDS, patience / 4)
