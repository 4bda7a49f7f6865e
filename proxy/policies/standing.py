"""KeyStanding: what a key may still use of its limits and budgets, for pages. It takes nothing and refuses nothing.

What other keys use too (a limit of a team, a budget of the whole gateway) is named and not counted out: how much of it
is left would say what they have used.
"""

import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from proxy.auth.keys import Key
from proxy.config.tree import Config
from proxy.limits.budget import MODES, Pot, Spending
from proxy.limits.calendar import NEVER
from proxy.limits.counters import UNTIL
from proxy.limits.limiter import AUDIO, CONCURRENT, Limit
from proxy.limits.rules import MINUTE, Scope, alias_limits, request_limits, token_limits
from proxy.policies.base import GatewayState
from proxy.policies.budget_loading import BudgetLoader
from proxy.policies.budget_pots import Pots
from proxy.policies.limits import model_limits, scopes_of


@dataclass(frozen=True)
class LimitStanding:
    """One limit of a key."""

    #: What is limited, and for whom: "requests per minute of this key".
    words: str
    amount: int
    #: How many may come at once.
    burst: int
    #: How many could be used now, and the seconds until all are back; None where other keys use it too, and for
    #: requests that run.
    left: int | None
    reset: float | None


@dataclass(frozen=True)
class BudgetStanding:
    """One budget of a key, or its prepaid credits. Money is nano-dollars, times are microseconds since 1970."""

    #: Whose it is: "The budget of this key".
    label: str
    #: Aliases that it counts; all of them where there is none.
    models: tuple[str, ...]
    #: As `[budgets.NAME]` calls it; "credits" for prepaid ones.
    window: str
    on_exceed: str
    limit: int
    #: None where other keys spend it too.
    spent: int | None
    reserved: int | None
    #: When its window ends, and the zone in which that is midnight; None for never.
    reset: int | None
    zone: str

    @property
    def left(self) -> int | None:
        """What neither is spent nor reserved, at least 0."""
        if self.spent is None or self.reserved is None:
            return None
        return max(self.limit - self.spent - self.reserved, 0)


class KeyStanding:
    """Reads the counters that the policies of limits and budgets write, and the ledger for what they have not read."""

    def __init__(self, state: GatewayState) -> None:
        self._state = state
        self._pots = Pots(state.counters)
        self._loader = BudgetLoader(
            state.counters, Path(state.config.server.data_dir), self._pots.grants, _warn_of_nothing
        )
        self._config: Config | None = None

    def limits(self, key: Key, aliases: Iterable[str]) -> list[LimitStanding]:
        """The limits that hold for a key: those for everything, and then those of these aliases."""
        config = self._state.config
        scopes = scopes_of(key, config.limits)
        found = [
            (scope, limit)
            for scope, one in scopes
            for limit in (*request_limits(one, scope), *token_limits(one, scope))
        ]
        for alias in aliases:
            found += [(scope, limit) for scope, one in scopes for limit in alias_limits(one, scope, alias)]
            if alias in config.models:
                shared = Scope("model", "", "")
                found += [(shared, limit) for limit in model_limits(alias, config.models[alias])]
        return [self._limit(limit, is_own=scope.label == "key") for scope, limit in found]

    async def budgets(self, key: Key, aliases: Iterable[str]) -> list[BudgetStanding]:
        """The budgets that a key spends from with these aliases, and its credits. Raises `StoreFailed`."""
        config = self._state.config
        if self._config is not config:
            self._config = config
            self._pots.reconfigure(config.budgets)
        pots = {pot.name: pot for alias in (None, *aliases) for pot in self._pots.of(key, alias)}
        return [await self._budget(pot, key) for pot in pots.values()]

    def _limit(self, limit: Limit, *, is_own: bool) -> LimitStanding:
        left, reset = self._left(limit) if is_own else (None, None)
        each = MINUTE if limit.unit == AUDIO else 1
        words = f"requests at once of {limit.words}" if limit.unit == CONCURRENT else limit.words
        return LimitStanding(
            words,
            limit.amount // each,
            limit.burst // each,
            None if left is None else left // each,
            None if reset is None else reset / 1e9,
        )

    def _left(self, limit: Limit) -> tuple[int, int | None]:
        """How many could be used now, and the nanoseconds until all are back."""
        counters = self._state.counters
        counters.lock()
        try:
            at, now = counters.lookup(limit.digest), time.monotonic_ns()
            if limit.unit == CONCURRENT:
                return max(limit.amount - (counters.held(at) if at >= 0 else 0), 0), None
            end = counters.cells[at + UNTIL] if at >= 0 else now
        finally:
            counters.unlock()
        return limit.remaining(end, now), max(end - now, 0)

    async def _budget(self, pot: Pot, key: Key) -> BudgetStanding:
        now = time.time_ns() // 1_000
        spent: int | None = None
        reserved: int | None = None
        if _is_own(pot, key):
            spending, spent, reserved = await self._loader.look_up(pot, now)
        else:
            spending = pot.spending(now)
        return BudgetStanding(
            pot.rule.label,
            pot.payers.models,
            "credits" if pot.calendar is None else pot.calendar.window,
            MODES[pot.rule.mode],
            spending.limit,
            spent,
            reserved,
            None if spending.end >= NEVER else spending.end,
            "UTC" if pot.calendar is None else pot.calendar.zone,
        )


def _is_own(pot: Pot, key: Key) -> bool:
    """Whether a key is the only one that spends from a budget."""
    payers = pot.payers
    return not payers.teams and not payers.orgs and payers.keys in ((key.id,), (key.name,))


def _warn_of_nothing(spending: Spending) -> None:
    """Warnings are of the policy."""
