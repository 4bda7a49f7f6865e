"""The attempts of one exchange: which target is asked, how often, how long each took. It opens and sends nothing."""

import time

from proxy.ledger.record import Opened
from proxy.policies.base import Call
from proxy.upstream.target import Target

MAX_ATTEMPTS = 3


class Attempts:
    """Walks through a call's targets in their order. Times are monotonic seconds, 0 where it never came."""

    __slots__ = ("_call", "_lost", "_place", "began", "count", "sent", "target")

    def __init__(self, call: Call) -> None:
        self._call = call
        self._place = 0
        #: The seconds that failed attempts took.
        self._lost = 0.0
        self.target: Target = call.targets[0]
        self.count = 0
        #: When the running attempt began, and when a request was last sent.
        self.began = 0.0
        self.sent = 0.0

    @property
    def fell_back(self) -> bool:
        """Another target than the first one is asked."""
        return self._place > 0

    @property
    def sent_without_losses(self) -> float:
        """When the request would have been sent without the failed attempts: their time is no doing of the gateway."""
        return max(self.sent - self._lost, self._call.arrived) if self.sent else 0.0

    def begin(self) -> Opened:
        """Count an attempt; return its record."""
        call, target = self._call, self.target
        alias = call.alias
        assert alias is not None
        self.count += 1
        self.began = time.monotonic()
        return Opened(
            id=call.id,
            started=call.started,
            key=call.key.id,
            alias=alias.name,
            endpoint=call.endpoint,
            upstream=target.pool.name,
            upstream_model=target.model,
            stream=call.body.stream,
            attempt=self.count,
        )

    def again(self, same_target: bool) -> bool:
        """Choose the target of another attempt, the same one at most once more; False when none is left."""
        targets = self._call.targets
        if self.count >= MAX_ATTEMPTS:
            return False
        if not (same_target and self.count == self._place + 1):
            if self._place + 1 >= len(targets):
                return False
            self._place += 1
            self.target = targets[self._place]
        self._lost += time.monotonic() - self.began
        return True
