"""Sticky sessions: the requests of a session or a conversation go to one target, whose prompt cache has its beginning.

Rendezvous hashing: each target has a score for each session, and the highest one is chosen. Nothing is stored, each
worker process and each restart chooses the same, and one target more takes over its share and moves nothing else.
"""

import math
from collections.abc import Mapping
from hashlib import sha256
from typing import Final, Literal

from proxy.upstream.target import Target
from proxy.upstream.target_state import TargetState

#: A target may have so many times the mean of the requests in flight, and so many in any case, before its sessions
#: overflow to their next one.
MAX_LOAD: Final = 1.25
LEAST_LOAD: Final = 8
#: Sessions that failed over whose new target is remembered, and the seconds since their last request: about the life of
#: a provider's cache.
MAX_MOVED: Final = 10_000
MOVED_SECONDS: Final = 600.0
_MASK: Final = (1 << 64) - 1
_SPREAD: Final = 0x9E3779B97F4A7C15


class Affinity:
    """Chooses the target of a session among those of one alias."""

    def __init__(
        self,
        weights: Mapping[TargetState, int],
        names: Mapping[TargetState, str],
        sticky: Literal["session", "prefix"],
    ) -> None:
        """`weights` are the shares of the targets, 1 for each where they are alike; `names` what they are called, which
        must be the same in all workers and after a restart."""
        self._by_prefix = sticky == "prefix"
        self._seeds = {
            state: int.from_bytes(sha256(name.encode()).digest()[:8], "big") for state, name in names.items()
        }
        self._weights = weights
        #: (target, until when) of sessions that failed over, the one that was used last at the end.
        self._moved: dict[int, tuple[TargetState, float]] = {}

    def choose(self, targets: tuple[Target, ...], session: int, now: float) -> Target:
        """The target of a session, of those that may be tried."""
        moved = self._moved
        if moved:
            found = moved.pop(session, None)
            if found is not None and now < found[1]:
                moved[session] = (found[0], now + MOVED_SECONDS)
                for target in targets:
                    if target.state is found[0]:
                        return target
        total = 1
        for target in targets:
            total += target.state.in_flight
        most = max(math.ceil(MAX_LOAD * total / len(targets)), LEAST_LOAD)
        # With room: the highest score. If none has room, which cannot be, the highest of all.
        chosen, highest = targets[0], -1.0
        for target in targets:
            if target.state.in_flight < most:
                score = self._score(target.state, session)
                if score > highest:
                    chosen, highest = target, score
        return chosen

    def _score(self, state: TargetState, session: int) -> float:
        mixed = ((session ^ self._seeds[state]) * _SPREAD) & _MASK
        mixed = ((mixed ^ (mixed >> 29)) * _SPREAD) & _MASK
        # As probable as its weight to be the highest.
        return -self._weights[state] / math.log((mixed + 1) / (_MASK + 2))

    def move(self, session: int, target: Target, now: float) -> None:
        """A request of the session failed over to this target: the next ones go there too, where its cache is now."""
        moved = self._moved
        moved.pop(session, None)
        if len(moved) >= MAX_MOVED:
            del moved[next(iter(moved))]
        moved[session] = (target.state, now + MOVED_SECONDS)
