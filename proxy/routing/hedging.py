"""When a second attempt of a request may begin beside the first one: the delay before it, and how many there may be.

Pure: times are passed in. It starts and cancels nothing, and knows no exchange.
"""

from collections.abc import Callable, Mapping
from typing import Final, Literal

from proxy.config.tree import Hedge, Price
from proxy.upstream.target import Target

#: First contents that are remembered of an alias, streams and others apart; and how many must be known before they say
#: anything.
MAX_TIMES: Final = 200
MIN_TIMES: Final = 20
#: The share of requests, in percent, that are faster than the delay.
PERCENTILE: Final = 90
#: First contents after which the percentile is taken anew.
TIMES_PER_UPDATE: Final = 10
#: Second attempts that may be saved up for a bad moment.
MAX_BURST: Final = 3
#: The share of an upstream's bound on requests, in percent, from which on it gets no second attempts.
MAX_BUSY_PERCENT: Final = 80
#: What one second attempt costs: each request earns as many of these as the percentage says.
_ONE: Final = 100

#: What became of a second attempt: it responded, the first one did, or it was due and not made.
Result = Literal["won", "lost", "suppressed"]


class RecentTimes:
    """The last times to the first content, and their 90th percentile. Seconds."""

    def __init__(self) -> None:
        self._times: list[float] = []
        #: Where the next one is kept, once there are as many as are remembered.
        self._next = 0
        self._until_update = MIN_TIMES
        #: 0 while too few are known.
        self.percentile = 0.0

    def add(self, seconds: float) -> None:
        """Remember one, in place of the oldest."""
        if len(self._times) < MAX_TIMES:
            self._times.append(seconds)
        else:
            self._times[self._next] = seconds
            self._next = (self._next + 1) % MAX_TIMES
        self._until_update -= 1
        if self._until_update == 0:
            self._until_update = TIMES_PER_UPDATE
            self.percentile = sorted(self._times)[len(self._times) * PERCENTILE // 100]


class HedgeBudget:
    """A token bucket that requests fill: at most so many percent of them get a second attempt. It begins empty."""

    def __init__(self, percent: int) -> None:
        self.percent = percent
        self._level = 0

    def earn(self) -> None:
        """A request that could have a second attempt has come."""
        self._level = min(self._level + self.percent, MAX_BURST * _ONE)

    def try_spend(self) -> bool:
        """Take what a second attempt costs, if it is there."""
        if self._level < _ONE:
            return False
        self._level -= _ONE
        return True

    def give_back(self) -> None:
        """The second attempt that was taken for is not made after all."""
        self._level += _ONE


class AliasHedging:
    """The hedging of one alias: its settings, its recent times and its budget. It outlives a reload."""

    def __init__(self, settings: Hedge, is_calm: Callable[[], bool], count: Callable[[Result], None]) -> None:
        """`is_calm`: the gateway is not overloaded; `count` is called with the result of each second attempt."""
        self.is_calm = is_calm
        self.count = count
        self.settings = settings
        #: What targets cost the operator, by "upstream/model", where that is configured.
        self.costs: Mapping[str, Price] = {}
        self.budget = HedgeBudget(settings.max_percent)
        #: Apart, since the first content of what is no stream is all of it.
        self._streamed = RecentTimes()
        self._whole = RecentTimes()

    def configure(self, settings: Hedge, costs: Mapping[str, Price]) -> None:
        """Go on by other settings; what is known of the alias stays."""
        self.settings, self.costs = settings, costs
        self.budget.percent = settings.max_percent

    def delay(self, stream: bool) -> float:
        """Seconds without content after which a second attempt begins."""
        times = self._streamed if stream else self._whole
        return max(times.percentile, self.settings.floor)

    def note_first_content(self, seconds: float, stream: bool) -> None:
        """The first content of a request without a second attempt came after so many seconds."""
        (self._streamed if stream else self._whole).add(seconds)

    def may_use(self, first: Target, second: Target) -> bool:
        """Whether a target may have the second attempt beside one at `first`: it is well, has room, and costs the same
        unless it may cost something else."""
        pool = second.pool
        if pool.health.ejected or second.state.condition.out:
            return False
        if not self.settings.across_prices and self._cost(first) != self._cost(second):
            return False
        return pool.busy * 100 < pool.max_requests * MAX_BUSY_PERCENT

    def _cost(self, target: Target) -> Price | None:
        return self.costs.get(f"{target.pool.name}/{target.model}")
