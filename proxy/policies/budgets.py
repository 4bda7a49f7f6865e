"""BudgetPolicy: a request is admitted while its budgets have the money for its worst case, and pays what it has cost.

Every budget that applies must have it: that of the key, its team and its organisation, the key's prepaid credits, and
those of the configuration. Reserved is before the request is sent, and in all of them or in none.
"""

import logging
import time
from pathlib import Path
from typing import Final

from proxy.errors import GatewayError, InvalidRequest, Overloaded
from proxy.exchange.context import RequestContext
from proxy.exchange.interfaces import Origin
from proxy.ledger.record import UsageRecord
from proxy.limits.budget import STOP_STREAM, BudgetReservation, Pot, Spending, reserve
from proxy.limits.worst_case import INITIAL_OUTPUT_TOKENS, OutputSizes, worst_cost
from proxy.policies.base import WAIT, GatewayState, Policy
from proxy.policies.budget_alerts import BudgetAlerts
from proxy.policies.budget_errors import SOMETHING, exceeded, unpriced
from proxy.policies.budget_loading import LOOK_SECONDS, BudgetLoader
from proxy.policies.budget_pots import Pots
from proxy.policies.stream_budget import StreamBudget
from proxy.routing.models import Alias

_log: Final = logging.getLogger(__name__)


class BudgetPolicy(Policy):
    """Reserves, refuses and settles. It must not let a reservation outlive its request."""

    def __init__(self, state: GatewayState) -> None:
        super().__init__(state)
        data_dir = state.config.server.data_dir
        self._counters = state.counters
        self._pots = Pots(state.counters)
        self._alerts = BudgetAlerts(state, self._pots)
        self._loader = BudgetLoader(state.counters, Path(data_dir), self._pots.grants, self._warn)
        #: By alias.
        self._sizes: dict[str, OutputSizes] = {}
        self._is_watching = False
        self._look_at = 0.0

    def is_enabled(self) -> bool:
        state = self.state
        self._pots.reconfigure(state.config.budgets)
        self._alerts.reconfigure(state.config.webhooks)
        enabled = bool(state.config.budgets) or state.has_accounts
        if enabled and state.services is not None and not self._is_watching:
            self._is_watching = True
            state.services.deadlines.every_sweep(self._sweep)
        return enabled

    # before the request

    def admit(self, context: RequestContext) -> Origin | None:
        alias = context.alias
        pots = self._pots.of(context.key, alias.name if alias is not None else None)
        if not pots and not context.spec.is_resource:
            return None
        return None if self._reserve(context, pots) else WAIT

    async def admit_async(self, context: RequestContext) -> Origin | None:
        """Wait for the ledger, and reserve then. Raises `BudgetExceeded`, `InvalidRequest` and `StoreFailed`."""
        alias = context.alias
        while True:
            pots = self._pots.of(context.key, alias.name if alias is not None else None)
            for pot in pots:
                await self._loader.load(pot, context.started)
            if self._reserve(context, pots):
                return None

    def _reserve(self, context: RequestContext, pots: tuple[Pot, ...]) -> bool:
        """Reserve the worst case; False where the ledger is to be read before.

        Raises `BudgetExceeded`, and `InvalidRequest` for an alias that has no price.
        """
        counters, started = self._counters, context.started
        alias = context.alias
        nanos, output_cost = self._worst(context, alias, pots)
        spendings = tuple([pot.spending(started) for pot in pots])
        now = int(context.arrived * 1_000_000_000)
        refused: Spending | None = None
        is_new = False
        counters.lock()
        try:
            for spending in spendings:
                if not spending.find(now):
                    return False
                if not spending.warn_at:
                    is_new = True
            refused = reserve(spendings, nanos, counters, now)
            if refused is not None:
                spent, reserved = refused.spent(), refused.reserved()
        finally:
            counters.unlock()
        if is_new:
            self._remember(spendings)
        if refused is not None:
            self._alerts.refused(refused)
            raise exceeded(refused, nanos, spent, reserved, started)
        reservation = BudgetReservation(nanos, spendings, alias.name if alias is not None else "")
        held = context.held or context.hold()
        held.budgets = reservation
        if context.body.stream and alias is not None:
            self._watch(context, alias, reservation, nanos - output_cost)
        return True

    def may_serve(self, context: RequestContext, alias: Alias) -> bool:
        """Reserve the worst case at another alias in place of that at its own: else an alias that costs nothing, or
        has money left, would spend without a bound what the other one has not.

        False where a budget does not have it, or has not been read yet: it is for the next request.
        """
        pots, holding = self._pots.of(context.key, alias.name), context.held
        held = holding.budgets if holding is not None else None
        if not pots and held is None:
            return True
        try:
            nanos, output_cost = self._worst(context, alias, pots)
        except InvalidRequest:
            return False
        started, counters = context.started, self._counters
        spendings = tuple([pot.spending(started) for pot in pots])
        if held is None:
            held = context.hold().budgets = BudgetReservation(0, ())
        now = time.monotonic_ns()
        refused: Spending | None = None
        counters.lock()
        try:
            missing = [spending.pot for spending in spendings if not spending.find(now)]
            if not missing:
                refused = held.exchange(BudgetReservation(nanos, spendings, alias.name), counters, now)
        except Overloaded:
            return False
        finally:
            counters.unlock()
        for pot in missing:
            self._loader.begin(pot, started)
        if missing:
            return False
        self._remember(spendings)
        if refused is not None:
            self._alerts.refused(refused)
            return False
        if context.body.stream:
            self._watch(context, alias, held, nanos - output_cost)
        return True

    def _watch(self, context: RequestContext, alias: Alias, reservation: BudgetReservation, input_cost: int) -> None:
        """Have a stream followed where a budget stops it, by the prices of this alias alone."""
        others = tuple([one for one in context.observers if not isinstance(one, StreamBudget)])
        if STOP_STREAM in [spending.pot.rule.mode for spending in reservation.spendings]:
            values = self._of_stream(alias)
            others += (StreamBudget(reservation, self._counters, context.started, input_cost, *values),)
        if others or context.observers:
            context.observers = others

    def _worst(self, context: RequestContext, alias: Alias | None, pots: tuple[Pot, ...]) -> tuple[int, int]:
        """The worst case in nano-dollars, and how much of it is for the output. Raises `InvalidRequest`."""
        if alias is None:
            return (SOMETHING if context.spec.method == "POST" else 0), 0
        if context.spec.unit == "nothing":
            return 0, 0
        size = context.size_at(alias.name, self.state.ledger.estimator)
        output_tokens = 0
        for pot in pots:
            output_tokens = max(output_tokens, pot.rule.output_tokens)
        if not output_tokens:
            sizes = self._sizes.get(alias.name)
            output_tokens = int(sizes.tokens) if sizes is not None else INITIAL_OUTPUT_TOKENS
        upload = context.upload
        audio = (upload.announced or 0) if upload is not None else 0
        worst = worst_cost(alias.price, alias.capability, context.body.fields, size, output_tokens, audio)
        if worst is None:
            for pot in pots:
                if not pot.rule.allows_unpriced:
                    raise unpriced(alias.name, pot)
            return 0, 0
        price = alias.price
        given = size.input_tokens * (price.input or 0) // price.scale if price is not None else 0
        return worst, max(worst - given, 0)

    def _of_stream(self, alias: Alias) -> tuple[OutputSizes, int, int]:
        """How many tokens a stream's bytes are, and what each costs: nano-dollars and their scale."""
        price = alias.price
        sizes = self._sizes.get(alias.name) or OutputSizes()
        return sizes, (price.output or 0) if price is not None else 0, price.scale if price is not None else 1

    # after it

    def attempt_lost(self, context: RequestContext, row: UsageRecord) -> None:
        if not row.cost:
            return
        pots = self._pots.of(context.key, row.alias)
        if not row.key:
            # The operator's: it counts where everything does.
            pots = tuple([pot for pot in pots if not (pot.payers.keys or pot.payers.teams or pot.payers.orgs)])
        spendings = tuple([pot.spending(context.started) for pot in pots])
        self._settle(BudgetReservation(0, spendings), row.cost, context.started)

    def settled(self, context: RequestContext, final: UsageRecord) -> None:
        held = context.held
        if held is None or held.budgets is None:
            return
        reservation, cost = held.budgets, final.cost
        if cost is None:
            # Not known, which is not nothing.
            cost = reservation.nanos
        if final.alias and reservation.alias != final.alias:
            reservation = self._moved(context, reservation, final.alias, cost)
        self._settle(reservation, cost, context.started)
        if final.outcome == "complete" and final.output_tokens:
            sizes = self._sizes.get(final.alias)
            if sizes is None:
                sizes = self._sizes[final.alias] = OutputSizes()
            sizes.observe(final.output_tokens, final.bytes_out, stream=final.stream)

    def _moved(
        self, context: RequestContext, reservation: BudgetReservation, alias: str, cost: int
    ) -> BudgetReservation:
        """Settle in the budgets that count another alias than the one that was known before, such as that of a resource
        or a fallback; what is reserved in those that count both.
        """
        nanos, started = reservation.nanos, context.started
        pots, reserved = self._pots.of(context.key, alias), reservation.pots()
        missing = tuple([pot.spending(started) for pot in pots if pot not in reserved])
        self._settle(BudgetReservation(0, missing), cost, started)
        left = tuple([spending for spending in reservation.spendings if spending.pot not in pots])
        self._settle(BudgetReservation(nanos, left), 0, started)
        return BudgetReservation(nanos, tuple([one for one in reservation.spendings if one.pot in pots]))

    def _settle(self, reservation: BudgetReservation, cost: int, started: int) -> None:
        stale, warned = reservation.settle(self._counters, cost, started)
        for spending in stale:
            self._loader.mark_stale(spending)
        for spending in warned:
            self._warn(spending)

    def _remember(self, spendings: tuple[Spending, ...]) -> None:
        """Keep those right that this worker counts in from now on."""
        for spending in spendings:
            if not spending.warn_at:
                self._warn(spending)
                self._loader.remember(spending)

    def _warn(self, spending: Spending) -> None:
        """Warn of what is reached, if no other worker has."""
        self._counters.lock()
        try:
            due = spending.due_warnings() if spending.find(time.monotonic_ns()) else []
            spent = spending.spent()
        finally:
            self._counters.unlock()
        for percent in due:
            self._alerts.warn(spending, percent, spent)

    def _sweep(self) -> None:
        """Notice workers that have died, and have budgets of the configuration loaded, so that they can be seen."""
        now = time.monotonic()
        if now < self._look_at:
            return
        self._look_at = now + LOOK_SECONDS
        try:
            self._loader.look()
            self._loader.preload(self._pots.of_file.values())
        except GatewayError as error:
            _log.error("budgets: %s", error.message)
