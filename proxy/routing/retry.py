"""The attempts of one exchange: which target is asked, how often, how long it may take. It opens and sends nothing.

What is retried, and where, is decided here: by the targets' order, by the health and the retry budget of their
upstreams, and by the time that is left.
"""

import logging
import time
from typing import Final

from proxy.errors import GatewayError, UpstreamConnectFailed, UpstreamDropped, UpstreamTimeout
from proxy.exchange.context import RequestContext
from proxy.ledger.record import Opened
from proxy.upstream.retry_budget import RetryBudget
from proxy.upstream.target import Target

MAX_ATTEMPTS = 3
#: Statuses below 500 after which another target may do better; of 500 and above it is all.
RETRYABLE = frozenset({408, 409, 429})
#: Statuses that say when to come again.
RESTING = frozenset({429, 503, 529})
#: Seconds by which a client that says how long it waits is answered before it leaves.
AHEAD = 0.5
_log = logging.getLogger(__name__)
_now: Final = time.monotonic


class RetryPlan:
    """Walks through a call's targets. Times are monotonic seconds, 0 where it never came."""

    __slots__ = (
        "_call",
        "_lost",
        "_place",
        "_repeated",
        "_rested",
        "_targets",
        "answer_by",
        "began",
        "count",
        "held",
        "patience",
        "sent",
        "target",
        "until",
    )

    def __init__(self, call: RequestContext) -> None:
        alias = call.alias
        assert alias is not None
        self._call = call
        self._targets = call.targets
        self._place = 0
        #: The same target was asked again once; and that after a rest.
        self._repeated = self._rested = False
        #: The budget that the running attempt, a retry, is on.
        self.held: RetryBudget | None = None
        #: The seconds that failed attempts took, and the rest after them.
        self._lost = 0.0
        self.target: Target = call.targets[0]
        if self.target.pool.health.ejected:
            self._targets = _healthy_first(call.targets, _now())
            self.target = self._targets[0]
        self.count = 0
        #: When the running attempt began, and when a request was last sent.
        self.began = 0.0
        self.sent = 0.0
        #: When everything must have ended.
        self.until = call.arrived + alias.total_timeout
        #: How many seconds the client waits for its next byte, and by when its first one must be there.
        self.patience = patience = call.patience
        self.answer_by = self.until
        if patience < alias.total_timeout:
            # So that it hears of it, and does not leave as if the gateway were dead.
            self.patience = patience - min(AHEAD, patience / 4)
            if call.upload is None:
                # What comes of a form is waited for by the client's own pace.
                self.answer_by = call.arrived + self.patience

    @property
    def fell_back(self) -> bool:
        """Another target than the first one is asked."""
        return self.target is not self._call.targets[0]

    @property
    def has_next(self) -> bool:
        """Another target may still be asked."""
        return self._place + 1 < len(self._targets) and self.count < MAX_ATTEMPTS

    @property
    def sent_without_losses(self) -> float:
        """When the request would have been sent without the failed attempts: their time is no doing of the gateway."""
        return max(self.sent - self._lost, self._call.arrived) if self.sent else 0.0

    @property
    def first_byte_limit(self) -> float:
        """Seconds that the answer's first byte may take, as the client is told."""
        return min(self.target.first_byte_timeout, self._call.patience)

    def begin(self) -> Opened:
        """Count an attempt; return its record."""
        call, target = self._call, self.target
        alias = call.alias
        assert alias is not None
        now = _now()
        if self.count:
            self._lost += now - self.began
        self.count += 1
        self.began = now
        health = target.pool.health
        if health.ejected:
            health.probe(now)
        # In the order of its fields: a record that is made by their names costs several times as much.
        return Opened(
            call.id,
            call.started,
            call.key.id,
            alias.name,
            call.endpoint,
            target.pool.name,
            target.model,
            call.body.stream,
            self.count,
        )

    # what is tried again

    def after_race(self) -> bool:
        """The connection was closed as it was used: whether another one to the same target may be tried."""
        # Nothing was asked of the upstream yet, so this is on no budget.
        return self._once_more(_now())

    def after_status(self, status: int) -> bool:
        """Choose the target of another attempt after an upstream's error: the same one once after a 500, or the next.

        False when none is left, or when no other would do better.
        """
        now = _now()
        return (status == 500 and self._may_repeat(now) and self._once_more(now)) or (
            (status >= 500 or status in RETRYABLE) and self._turn(now)
        )

    def after_failure(self) -> bool:
        """Choose the target of another attempt after one that brought no answer: the next. False when none is left."""
        return self._turn(_now())

    def rest(self, status: int, seconds: float) -> float:
        """When the same target is to be asked again, which has said so; 0.0 when it is not."""
        now = _now()
        if status not in RESTING or self._rested or seconds > self.target.pool.upstream.retry_after_max:
            return 0.0
        if self.count >= MAX_ATTEMPTS or now + seconds >= self.answer_by or not self._may_repeat(now):
            return 0.0
        self._rested = True
        return now + seconds

    def _once_more(self, now: float) -> bool:
        if self._repeated or self.count >= MAX_ATTEMPTS or now >= self.answer_by:
            return False
        self._repeated = True
        return True

    def _turn(self, now: float) -> bool:
        """To the next target: those of ejected upstreams come last."""
        if self.count >= MAX_ATTEMPTS or now >= self.answer_by:
            return False
        done = self._targets[: self._place + 1]
        self._targets = done + _healthy_first(self._targets[self._place + 1 :], now)
        failed = self.target.pool
        for place in range(self._place + 1, len(self._targets)):
            target = self._targets[place]
            if target.pool is not failed or self._may_repeat(now):
                if target.pool is not failed:
                    self.release()
                self._place = place
                self.target = target
                return True
        return False

    def _may_repeat(self, now: float) -> bool:
        """Whether the upstream that failed may be asked again for this request: retries must not be its storm."""
        pool = self.target.pool
        if pool.health.ejected or self.count >= MAX_ATTEMPTS or now >= self.answer_by:
            return False
        if self.held is None:
            if not pool.retries.try_acquire(pool.busy):
                return False
            self.held = pool.retries
        return True

    def release(self) -> None:
        """The running attempt has ended: give back what it held of a budget."""
        if self.held is not None:
            self.held.release()
            self.held = None

    # what is learned of the upstream

    def failed(self, error: GatewayError) -> None:
        """An attempt came to nothing, or broke off: note what tells against the upstream."""
        if isinstance(error, UpstreamDropped):
            fault = not error.reused
        elif isinstance(error, UpstreamTimeout):
            fault = not error.early
        else:
            fault = isinstance(error, UpstreamConnectFailed)
        if fault:
            self._note_failure(gateway=True)

    def answered(self, status: int) -> None:
        """The upstream answered with an error of its own: note whether it is one of the upstream's or the request's."""
        if status >= 500:
            self._note_failure(gateway=status in (502, 503, 504, 529))
        elif self.target.pool.health.last_failed:
            self.succeeded()

    def succeeded(self) -> None:
        """The upstream, which was in trouble, answers."""
        pool = self.target.pool
        if pool.health.succeeded(_now()):
            _log.warning("upstream %s answers again", pool.name)

    def _note_failure(self, *, gateway: bool) -> None:
        pool = self.target.pool
        seconds = pool.health.failed(_now(), gateway=gateway)
        if seconds:
            _log.warning("upstream %s fails: others are asked first for %.0f seconds", pool.name, seconds)


def _healthy_first(targets: tuple[Target, ...], now: float) -> tuple[Target, ...]:
    """The targets in their order, but for those of ejected upstreams, which come last: better these than none."""
    there = [target.pool.health.may_try(now) for target in targets]
    first = [target for target, admitted in zip(targets, there, strict=True) if admitted]
    return (*first, *(target for target, admitted in zip(targets, there, strict=True) if not admitted))
