"""A request that waits for room at one of its targets, as an `Origin`: it has the upstreams respond once there is some.

It must not send anything but heartbeats, and those only where the alias has them.
"""

import time
from typing import ClassVar, Final

from proxy.errors import GatewayError
from proxy.exchange.context import RequestContext
from proxy.exchange.interfaces import SETTLED, Origin, ResponseWriter
from proxy.exchange.services import Services
from proxy.exchange.settlement import local_record
from proxy.exchange.upstream_origin import UpstreamOrigin
from proxy.ledger.record import Outcome, UsageRecord
from proxy.native import mypyc_attr
from proxy.routing.queue import Waiter, never, with_room_first

_now: Final = time.monotonic


@mypyc_attr(allow_interpreted_subclasses=True)
class WaitingRoom:
    """Where requests wait, as one of them sees it."""

    def enter(self, waiter: Waiter) -> None:
        """Let it wait until `Waiter.try_start` says that it has started."""
        raise NotImplementedError

    def leave(self, waiter: Waiter) -> None:
        """It does not wait any longer, if it still does."""
        raise NotImplementedError

    def swept(self) -> None:
        """Time has passed: what was without room may have some."""
        raise NotImplementedError

    def started(self, alias: str, seconds: float) -> None:
        """A request has waited for so long."""
        raise NotImplementedError

    def timed_out(self, context: RequestContext) -> GatewayError:
        """The error for a request that has waited for as long as it may."""
        raise NotImplementedError


class QueuedOrigin(Origin):
    """One request that waits. A member of the timeout sweeper until it is served."""

    is_timed: ClassVar[bool] = True
    done = False

    def __init__(
        self, services: Services, context: RequestContext, room: WaitingRoom, priority: int, max_wait: float
    ) -> None:
        """`max_wait` is in seconds from now on."""
        alias = context.alias
        assert alias is not None
        now = _now()
        self._services = services
        self._context = context
        self._room = room
        self._until = now + max_wait
        self._waiter = Waiter(alias.name, context.key.id, priority, now, context.targets, self._try_start)
        self.provider, self.model = context.targets[0].pool.name, context.targets[0].model
        self.first_byte_limit = context.targets[0].first_byte_timeout

    def start(self, exchange: ResponseWriter) -> None:
        self._exchange = exchange
        self._services.deadlines.add(self)
        self._room.enter(self._waiter)

    def _try_start(self, now: float) -> bool:
        context = self._context
        targets = with_room_first(context.targets, now)
        if not targets:
            return False
        # So that the two no longer hold each other.
        self._waiter.try_start = never
        self._services.deadlines.discard(self)
        self._room.started(self._waiter.alias, now - self._waiter.since)
        context.targets = targets
        self._exchange.hand_over(UpstreamOrigin(self._services, context))
        return True

    # for the sweeper

    def overdue(self, now: float) -> bool:
        """Whether it has waited for as long as it may."""
        context, exchange = self._context, self._exchange
        if context.alias is not None and context.alias.heartbeat_interval > 0 and context.dialect.heartbeat:
            exchange.heartbeat(now, True)
        self._room.swept()
        return now >= self._until

    def expire(self) -> None:
        """It has waited for as long as it may."""
        self._stop()
        if self._exchange.state != SETTLED:
            self._exchange.fail(self._room.timed_out(self._context))

    def interrupt(self) -> None:
        """The gateway is shutting down."""
        self._exchange.interrupt()

    # settlement, right behind whatever ends the wait

    def final(
        self, outcome: Outcome, error_code: str | None, status: int, first_write: float, bytes_out: int
    ) -> UsageRecord:
        self._stop()
        return local_record(self._context, outcome, error_code, status, first_write, bytes_out)

    def _stop(self) -> None:
        self._services.deadlines.discard(self)
        self._room.leave(self._waiter)
        self._waiter.try_start = never
