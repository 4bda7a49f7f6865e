"""The queue of requests that wait for room at a target: bounded, fair between keys, and by priority.

Pure: times are passed in, and whether a request can start is asked of it. It starts no timer, and knows no exchange.
"""

from collections import deque
from collections.abc import Callable, Iterable
from typing import Final

from proxy.upstream.target import Target

#: Priorities are from 0 to this one, which is served first; and the one of a key for which none is configured.
MAX_PRIORITY: Final = 9
DEFAULT_PRIORITY: Final = 5
#: Seconds of waiting that raise a request by one priority, so that those below others are served in the end.
SECONDS_PER_PRIORITY: Final = 5.0
#: Turns of keys that no longer wait are kept for so many keys more than wait.
MAX_SPARE_TURNS: Final = 64

Lane = tuple[str, str, int]


class Waiter:
    """One request that waits. `since` is in monotonic seconds."""

    __slots__ = ("alias", "key", "priority", "since", "targets", "try_start")

    def __init__(
        self,
        alias: str,
        key: str,
        priority: int,
        since: float,
        targets: tuple[Target, ...],
        try_start: Callable[[float], bool],
    ) -> None:
        """`try_start` starts the request if one of its targets has room now, and says whether it did."""
        self.alias = alias
        self.key = key
        self.priority = priority
        self.since = since
        self.targets = targets
        self.try_start = try_start

    @property
    def lane(self) -> Lane:
        """Those of one lane are served in the order in which they came."""
        return self.alias, self.key, self.priority

    def urgency(self, now: float) -> int:
        """Its priority, raised by the time that it has waited."""
        return min(self.priority + int((now - self.since) / SECONDS_PER_PRIORITY), MAX_PRIORITY)


def never(now: float) -> bool:
    """The `try_start` of one that is over."""
    return False


class FairQueue:
    """Serves the most urgent first; among these each key in its turn, however many requests of one wait."""

    def __init__(self) -> None:
        self._lanes: dict[Lane, deque[Waiter]] = {}
        #: How often each key was served, those that came later from the lowest of the others on.
        self._turns: dict[str, int] = {}
        #: The turn of the key that was served last.
        self._turn = 0
        self._size = 0
        self._of_alias: dict[str, int] = {}

    def __len__(self) -> int:
        return self._size

    def count(self, alias: str) -> int:
        """How many requests for an alias wait."""
        return self._of_alias.get(alias, 0)

    def by_upstream(self) -> dict[str, int]:
        """How many requests wait for each upstream; one that waits for several counts for each."""
        found: dict[str, int] = {}
        for waiter in self._waiters():
            for name in {target.pool.name for target in waiter.targets}:
                found[name] = found.get(name, 0) + 1
        return found

    def is_waited_for(self, targets: Iterable[Target]) -> bool:
        """Whether a request waits for the upstream of one of these targets, so that another one is not to pass it."""
        pools = {target.pool for target in targets}
        return any([target.pool in pools for waiter in self._waiters() for target in waiter.targets])  # noqa: C419

    def push(self, waiter: Waiter) -> None:
        """Let a request wait."""
        lane = self._lanes.get(waiter.lane)
        if lane is None:
            lane = self._lanes[waiter.lane] = deque()
        lane.append(waiter)
        self._size += 1
        self._of_alias[waiter.alias] = self.count(waiter.alias) + 1
        self._turns[waiter.key] = max(self._turns.get(waiter.key, 0), self._turn)

    def discard(self, waiter: Waiter) -> bool:
        """It waits no longer; whether it did."""
        lane = self._lanes.get(waiter.lane)
        if lane is None or waiter not in lane:
            return False
        lane.remove(waiter)
        if not lane:
            del self._lanes[waiter.lane]
        self._size -= 1
        left = self._of_alias[waiter.alias] = self._of_alias[waiter.alias] - 1
        if not left:
            del self._of_alias[waiter.alias]
        self._forget_turns()
        return True

    def serve(self, now: float) -> int:
        """Start all that can be started, in their order; returns how many."""
        started = 0
        while self._serve_one(now):
            started += 1
        return started

    def _serve_one(self, now: float) -> bool:
        turns = self._turns
        heads = [lane[0] for lane in self._lanes.values()]
        order = sorted([(-one.urgency(now), turns[one.key], one.since, at) for at, one in enumerate(heads)])
        for _, turn, _, at in order:
            waiter = heads[at]
            if waiter.try_start(now):
                self._turn = max(self._turn, turn)
                turns[waiter.key] = turn + 1
                self.discard(waiter)
                return True
        return False

    def _forget_turns(self) -> None:
        """Of keys that do not wait, those that would begin at the present turn anyway."""
        if not self._size:
            self._turns.clear()
            self._turn = 0
        elif len(self._turns) > len(self._lanes) + MAX_SPARE_TURNS:
            waiting = {lane[1] for lane in self._lanes}
            self._turns = {key: turn for key, turn in self._turns.items() if key in waiting or turn > self._turn}

    def _waiters(self) -> list[Waiter]:
        return [waiter for lane in self._lanes.values() for waiter in lane]


def is_full(target: Target) -> bool:
    """Whether the upstream has as many requests as it takes at once."""
    pool = target.pool
    return 0 < pool.upstream.max_requests <= pool.busy


def has_room(target: Target, now: float) -> bool:
    """Whether a request may be sent to the target now: it is neither full, nor over the rate limit of its provider."""
    return not is_full(target) and target.state.condition.limited_until <= now


def with_room_first(targets: tuple[Target, ...], now: float) -> tuple[Target, ...]:
    """The targets in their order, but those without room last; none at all where a request should wait.

    It does not wait while a target that is well has room, nor for those that are out for other causes than a limit.
    """
    room = [has_room(target, now) for target in targets]
    if all(room):
        return targets
    first = tuple([target for target, one in zip(targets, room, strict=True) if one])
    if not [target for target in first if _is_well(target, now)]:
        return ()
    return (*first, *[target for target, one in zip(targets, room, strict=True) if not one])


def _is_well(target: Target, now: float) -> bool:
    """Whether it is out for nothing, or for a rate limit that is over."""
    condition = target.state.condition
    is_out = condition.out and not condition.limited_until
    return target.pool.health.may_try(now) and (not is_out or condition.may_try(now))


def reset_of(targets: tuple[Target, ...], now: float) -> float:
    """When the first of the rate limits ends that a request waits for, in monotonic seconds; 0.0 where it waits for
    running requests too, which may end at any time."""
    resets = [target.state.condition.limited_until for target in targets if not is_full(target)]
    waited_for = [reset for reset in resets if reset > now]
    if len(waited_for) < len([target for target in targets if not has_room(target, now)]):
        return 0.0
    return min(waited_for) if waited_for else 0.0
