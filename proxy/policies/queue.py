"""QueuePolicy: requests for which no target has room wait, where their alias has a queue, or are refused."""

import asyncio
import math
from collections.abc import Mapping
from time import monotonic
from typing import ClassVar, Final

from proxy.config.tree import Queue
from proxy.errors import GatewayError, Overloaded, RateLimited
from proxy.exchange.context import RequestContext
from proxy.exchange.interfaces import Origin
from proxy.exchange.queued_origin import QueuedOrigin, WaitingRoom
from proxy.ledger.record import UsageRecord
from proxy.policies.base import GatewayState, Policy
from proxy.routing.queue import DEFAULT_PRIORITY, FairQueue, Waiter, reset_of, with_room_first
from proxy.routing.retry import seconds_to_respond

#: Before the name of a tag in `priorities`.
TAG: Final = "tag:"
#: Seconds after which a client may come again where nothing says when there is room.
RETRY_SECONDS: Final = 1
_FULL: Final = "The model has as many requests as it takes at once. Try again shortly."
_LIMITED: Final = "The model's provider takes no more requests for the moment. Try again in {} s."


class QueuePolicy(Policy):
    """Lets a request pass while one of its targets has room. It never waits for the client's own limit."""

    checks_resources: ClassVar[bool] = False

    def __init__(self, state: GatewayState) -> None:
        super().__init__(state)
        self._room = Room(state)
        #: By alias, of those that have one.
        self._settings: dict[str, Queue] = {}

    def is_enabled(self) -> bool:
        config = self.state.config
        self._settings = {
            name: model.routing.queue
            for name, model in config.models.items()
            if model.routing is not None and model.routing.queue is not None
        }
        return bool(self._settings) or any([upstream.max_requests for upstream in config.upstreams.values()])  # noqa: C419

    def admit(self, context: RequestContext) -> Origin | None:
        """Raises `Overloaded` and `RateLimited` for one that would have to wait and may not."""
        alias, targets, services = context.alias, context.targets, self.state.services
        if alias is None or services is None:
            return None
        now, queue = monotonic(), self._room.queue
        in_order = with_room_first(targets, now)
        if in_order:
            context.targets = in_order
            if not (len(queue) and queue.is_waited_for(in_order[:1])):
                return None
        settings = self._settings.get(alias.name)
        # Where there is room, no limit is waited for, but those who came before.
        reset = 0.0 if in_order else reset_of(targets, now)
        if context.upload is not None or context.references:
            # A form is on its way already, and an object is where it is.
            settings = None
        if settings is None:
            if in_order or reset:
                # The provider's limits are the provider's to tell.
                return None
            raise self._room.refused(alias.name, "full", 0.0)
        if reset and alias.routing is not None and "rate_limit" in alias.routing.fallbacks:
            # Another alias serves it as soon as the provider has refused it.
            return None
        max_wait = _max_wait(context, settings, now)
        if reset and reset > now + max_wait:
            raise self._room.refused(alias.name, "reset", reset - now)
        if max_wait <= 0 or queue.count(alias.name) >= settings.max_waiting:
            raise self._room.refused(alias.name, "full", reset - now if reset else 0.0)
        return QueuedOrigin(services, context, self._room, _priority(context, settings), max_wait)

    def settled(self, context: RequestContext, final: UsageRecord) -> None:
        if len(self._room.queue):
            # What has ended makes room, once its connection is free.
            self._room.serve_soon()


class Room(WaitingRoom):
    """The queue of a gateway, with its metrics. It outlives a reload: who waits goes on waiting."""

    def __init__(self, state: GatewayState) -> None:
        self.queue = FairQueue()
        self._is_due = False
        metrics = state.metrics
        metrics.gauge(
            "prometheus_gateway_queue_length", "Requests that wait for room at an upstream.", self._lengths, "upstream"
        )
        self._waits = metrics.histogram(
            "prometheus_gateway_queue_wait_seconds", "Waits of requests that were served in the end.", "alias"
        )
        self._refusals = metrics.counter(
            "prometheus_gateway_queue_refusals_total",
            "Requests refused because no target had room: the queue was full, the wait over, or the reset too late.",
            "alias",
            "reason",
        )

    def enter(self, waiter: Waiter) -> None:
        self.queue.push(waiter)
        self.serve_soon()

    def leave(self, waiter: Waiter) -> None:
        self.queue.discard(waiter)

    def swept(self) -> None:
        self.serve_soon()

    def started(self, alias: str, seconds: float) -> None:
        self._waits.observe(seconds, alias)

    def timed_out(self, context: RequestContext) -> GatewayError:
        now = monotonic()
        reset = reset_of(context.targets, now)
        alias = context.alias.name if context.alias is not None else ""
        return self.refused(alias, "timeout", reset - now if reset else 0.0)

    def refused(self, alias: str, reason: str, seconds: float) -> GatewayError:
        """Count a refusal and make its error; `seconds` until a provider's limit is reset, 0 if it waits for none."""
        self._refusals.add(1, alias, reason)
        after = max(math.ceil(seconds), RETRY_SECONDS)
        headers = {
            "retry-after": str(after),
            "retry-after-ms": str(max(math.ceil(seconds * 1000), RETRY_SECONDS * 1000)),
        }
        if seconds > 0:
            return RateLimited(_LIMITED.format(after), headers=headers)
        return Overloaded(_FULL, headers=headers)

    def serve_soon(self) -> None:
        """Start what can be started, in the next turn of the loop."""
        if not self._is_due:
            self._is_due = True
            asyncio.get_running_loop().call_soon(self._serve)

    def _serve(self) -> None:
        self._is_due = False
        self.queue.serve(monotonic())

    def _lengths(self) -> Mapping[tuple[str, ...], float]:
        return {(name,): float(count) for name, count in self.queue.by_upstream().items()}


def _max_wait(context: RequestContext, settings: Queue, now: float) -> float:
    """Seconds that a request may wait from now on: no longer than its client does, or than it may take in all."""
    assert context.alias is not None
    most = context.alias.total_timeout
    if context.patience < most:
        most = seconds_to_respond(context.patience)
    return min(settings.max_wait, context.arrived + most - now)


def _priority(context: RequestContext, settings: Queue) -> int:
    """That of the key's name, else the highest one of its tags."""
    priorities, key = settings.priorities, context.key
    own = priorities.get(key.name)
    if own is not None:
        return own
    return max([priorities[TAG + tag] for tag in key.tags if TAG + tag in priorities], default=DEFAULT_PRIORITY)
