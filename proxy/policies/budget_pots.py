"""Which budgets a request spends from: those of the configuration, and those of its key, team and organisation.

Compiled once for each key and alias. It reads no ledger and counts nothing.
"""

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Final

from proxy.auth.accounts import Account
from proxy.auth.grants import Grant
from proxy.auth.keys import Key
from proxy.config.tree import Budget
from proxy.errors import ConfigFault
from proxy.ledger.spending import Payers
from proxy.limits.budget import MODES, REFUSE, Pot, Rule
from proxy.limits.calendar import Calendar
from proxy.limits.counters import SharedCounters

NANO: Final = 1_000_000_000
#: Keys and aliases, and budgets of accounts, that are kept compiled.
MAX_COMPILED: Final = 20_000
#: How the budget of an account is called in an error.
_LABELS: Final = {
    "key": "The budget of this key",
    "team": "The budget of this key's team",
    "org": "The budget of this key's organisation",
}
#: As `[budgets.NAME]` has it; what prepaid credits warn at.
_CREDIT_WARNINGS: Final = (50, 80, 100)


class Pots:
    """The budgets of one gateway."""

    def __init__(self, counters: SharedCounters) -> None:
        self._counters = counters
        #: Those of the configuration, by name.
        self.of_file: dict[str, Pot] = {}
        self._budgets: Mapping[str, Budget] = {}
        #: By name: what an account's pot was made of, and the pot.
        self._of_accounts: dict[str, tuple[Budget | None, Pot]] = {}
        #: The grants of the keys with prepaid credits, by the name of the pot.
        self.grants: dict[str, tuple[Grant, ...]] = {}
        self._compiled: dict[tuple[str, str | None], tuple[Key, tuple[Pot, ...]]] = {}

    def reconfigure(self, budgets: Mapping[str, Budget]) -> None:
        """Follow another configuration, or changes of the keys."""
        self._compiled.clear()
        pots: dict[str, Pot] = {}
        for name, budget in budgets.items():
            known = self.of_file.get(name)
            if known is not None and self._budgets.get(name) == budget:
                pots[name] = known
                continue
            payers = Payers(tuple(budget.keys), tuple(budget.teams), tuple(budget.orgs), tuple(budget.models))
            pots[name] = self._pot(f"file {name}", f"The budget `{name}`", budget, payers, f"budget {name}")
        self.of_file, self._budgets = pots, dict(budgets)

    def of(self, key: Key, alias: str | None) -> tuple[Pot, ...]:
        """Those of a key and an alias; without an alias those that count every alias."""
        found = self._compiled.get((key.id, alias))
        if found is not None and found[0] is key:
            return found[1]
        if len(self._compiled) >= MAX_COMPILED:
            self._compiled.clear()
        pots = tuple(self._all(key, alias))
        self._compiled[(key.id, alias)] = (key, pots)
        return pots

    def _all(self, key: Key, alias: str | None) -> Iterator[Pot]:
        for name, budget in self._budgets.items():
            if _counts(budget, alias) and _is_for(budget, key):
                yield self.of_file[name]
        for account in key.accounts:
            for place, budget in enumerate(account.budgets):
                if _counts(budget, alias):
                    yield self._of_account(account, place, budget)
            if account.credits is not None:
                grants = account.grants or (Grant(account.credits, account.credits_since),)
                yield self._of_credits(account, grants)

    def _of_account(self, account: Account, place: int, budget: Budget) -> Pot:
        models = ",".join(sorted(budget.models))
        name = f"{account.kind} {account.id} {place} {budget.window} {budget.zone} {models}"
        known = self._of_accounts.get(name)
        if known is not None and known[0] == budget:
            return known[1]
        payers = Payers(
            keys=(account.id,) if account.kind == "key" else (),
            teams=(account.id,) if account.kind == "team" else (),
            orgs=(account.id,) if account.kind == "org" else (),
            models=tuple(budget.models),
        )
        return self._remember(
            name, budget, self._pot(name, _LABELS[account.kind], budget, payers, f"{account.kind} {account.name}")
        )

    def _of_credits(self, account: Account, grants: tuple[Grant, ...]) -> Pot:
        name = f"{account.kind} {account.id} credits"
        known = self._of_accounts.get(name)
        if known is not None and self.grants.get(name) == grants:
            return known[1]
        self.grants[name] = grants
        rule = Rule("The prepaid credit of this key", 0, REFUSE, _CREDIT_WARNINGS)
        return self._remember(
            name, None, Pot(name, rule, Payers(keys=(account.id,)), None, self._counters, f"credits {account.name}")
        )

    def _remember(self, name: str, budget: Budget | None, pot: Pot) -> Pot:
        if len(self._of_accounts) >= MAX_COMPILED:
            # What is counted stands in the shared counters.
            self._of_accounts.clear()
            self.grants = {name: self.grants[name]} if name in self.grants else {}
        self._of_accounts[name] = (budget, pot)
        return pot

    def _pot(self, name: str, label: str, budget: Budget, payers: Payers, owner: str) -> Pot:
        # What it counts is a part of the name, so that one that counts something else begins by the ledger.
        counted = f"{name} {budget.window} {budget.zone} {payers}"
        return Pot(counted, rule_of(label, budget), payers, calendar_of(budget), self._counters, owner)


def rule_of(label: str, budget: Budget) -> Rule:
    """What an operator has decided of a budget."""
    return Rule(
        label,
        nanos_of(budget.limit),
        MODES.index(budget.on_exceed),
        tuple(budget.warn),
        allows_unpriced=budget.unpriced == "allow",
        output_tokens=budget.output_tokens or 0,
    )


def calendar_of(budget: Budget) -> Calendar:
    """The windows of a budget; those of an account that cannot be understood any more count for ever."""
    try:
        return Calendar(budget.window, budget.zone)
    except ConfigFault:
        # It was checked when it was stored; a zone may have gone from the system since.
        return Calendar("total", "UTC")


def nanos_of(dollars: Decimal) -> int:
    """A limit in nano-dollars, rounded down."""
    return int(dollars * NANO)


def _counts(budget: Budget, alias: str | None) -> bool:
    return not budget.models or alias in budget.models


def _is_for(budget: Budget, key: Key) -> bool:
    """Whether a budget of the configuration is for a key: by the name or id of it, its team or organisation."""
    if not (budget.keys or budget.teams or budget.orgs):
        return True
    if key.name in budget.keys or key.id in budget.keys or key.team in budget.teams or key.org in budget.orgs:
        return True
    for account in key.accounts:
        if account.name in (budget.teams if account.kind == "team" else budget.orgs if account.kind == "org" else ()):
            return True
    return False
