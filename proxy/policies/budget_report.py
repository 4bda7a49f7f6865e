"""BudgetReport: every budget and all prepaid credits with what is spent, reserved and to be expected of them.

The sums are those of the ledger with its journal, as the gateway counts. It changes nothing, and refuses nothing.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec

from proxy.auth.export import all_groups
from proxy.auth.grants import Grant, credit_limit
from proxy.auth.groups import Group
from proxy.auth.store import Store
from proxy.auth.values import valid_nano
from proxy.config.tree import Budget
from proxy.ledger.spending import Payers, SpendingReader, Spent
from proxy.limits.calendar import NEVER, Calendar
from proxy.limits.forecast import MAX_HOURS, Forecast, forecast

_MICROSECONDS: Final = 1_000_000
_HOUR: Final = 3_600
#: Of the limit that is spent, in per cent, from which on a budget is nearly used up.
WARNING_PERCENT: Final = 80


class BudgetPot(msgspec.Struct, frozen=True):
    """One budget, or the credits of a key: whose it is, before anything of it is read."""

    #: Whom it is for: "key app", "team web", "org acme", several of them, or "everything".
    payer: str
    payers: Payers
    #: None for credits, which have `grants`.
    budget: Budget | None
    #: When those whom it is for began to be able to spend, in seconds since 1970; 0 where that is not known.
    since: int = 0
    #: Its name in the configuration file; empty for one of the store.
    name: str = ""
    grants: tuple[Grant, ...] = ()


class BudgetLine(msgspec.Struct, frozen=True, kw_only=True):
    """One budget as it stands. Money is nano-dollars; times are microseconds since 1970."""

    payer: str
    name: str
    #: Aliases that it counts; all of them where there is none.
    models: tuple[str, ...] = ()
    window: str
    limit: int
    #: None where other keys spend it too, of which the reader may not know.
    spent: int | None
    reserved: int | None
    #: When its window ends, and the zone in which that is midnight; None for never.
    reset: int | None
    zone: str
    on_exceed: str
    #: Its times are seconds since 1970.
    forecast: Forecast = Forecast()

    @property
    def percent(self) -> float | None:
        """Of the limit that is spent; None where nothing may be spent, or it is not known."""
        return round(self.spent * 100 / self.limit, 1) if self.limit > 0 and self.spent is not None else None

    @property
    def left(self) -> int | None:
        """What neither is spent nor reserved; below 0 where more was spent than the limit."""
        return None if self.spent is None or self.reserved is None else self.limit - self.spent - self.reserved

    @property
    def state(self) -> str:
        """ "used up", "nearly used up" or "available"; "shared" where what is spent is not known."""
        if self.spent is None or self.left is None:
            return "shared"
        if self.left <= 0:
            return "used up"
        return "nearly used up" if self.spent * 100 >= self.limit * WARNING_PERCENT else "available"


async def budget_pots(store: Store, of_file: Mapping[str, Budget]) -> list[BudgetPot]:
    """All budgets: those of the file, of organisations, teams and keys, and then the credits."""
    keys = [key async for key in store.keys.all()]
    teams, orgs = await all_groups(store.teams), await all_groups(store.orgs)
    ids = {
        "key": {key.name: key.id for key in keys},
        "team": {team.name: team.id for team in teams},
        "org": {org.name: org.id for org in orgs},
    }
    since = min([key.created for key in keys], default=0)
    groups: list[tuple[str, Group, Payers]] = [("org", org, Payers(orgs=(org.id,))) for org in orgs]
    groups += [("team", team, Payers(teams=(team.id,))) for team in teams]
    return [
        *_pots_of_file(of_file, ids, since),
        *(
            BudgetPot(f"{kind} {group.name}", payers, budget, group.created)
            for kind, group, payers in groups
            for budget in group.budgets
        ),
        *(
            BudgetPot(f"key {key.name}", Payers(keys=(key.id,)), budget, key.created)
            for key in keys
            for budget in key.budgets
        ),
        *[
            BudgetPot(
                f"key {key.name}",
                Payers(keys=(key.id,)),
                None,
                key.created,
                grants=tuple(await store.credits.grants(key.id)),
            )
            for key in keys
            if key.credits is not None
        ],
    ]


def _pots_of_file(
    budgets: Mapping[str, Budget], ids: Mapping[str, Mapping[str, str]], since: int
) -> Iterator[BudgetPot]:
    """Those of the file, each for all that it names together; a name that nothing has yet spends nothing."""
    for name, budget in budgets.items():
        named = (("key", budget.keys), ("team", budget.teams), ("org", budget.orgs))
        of_all = ", ".join(f"{kind} {one}" for kind, names in named for one in names)
        found = [tuple(ids[kind].get(one, f"{kind} {one}") for one in names) for kind, names in named]
        yield BudgetPot(of_all or "everything", Payers(*found), budget, since, name)


async def budget_lines(pots: Sequence[BudgetPot], data_dir: Path) -> AsyncIterator[BudgetLine]:
    """The budgets as they stand now, one after the other, each read in a thread. Raises StoreFailed."""
    reader = SpendingReader(data_dir) if (data_dir / "ledger.db").exists() else None
    for pot in pots:
        yield await asyncio.to_thread(_line, pot, reader, time.time_ns() // 1_000)


def _line(pot: BudgetPot, reader: SpendingReader | None, now: int) -> BudgetLine:
    return _credit_line(pot, reader, now) if pot.budget is None else _budget_line(pot, pot.budget, reader, now)


def _budget_line(pot: BudgetPot, budget: Budget, reader: SpendingReader | None, now: int) -> BudgetLine:
    window = Calendar(budget.window, budget.zone).at(now)
    payers = msgspec.structs.replace(pot.payers, models=tuple(budget.models))
    spent = Spent() if reader is None else reader.read(payers, window.start, window.end)
    limit = valid_nano(budget.limit, "limit")
    end = None if window.end >= NEVER else window.end
    return BudgetLine(
        payer=pot.payer,
        name=pot.name,
        models=tuple(budget.models),
        window=budget.window,
        limit=limit,
        spent=spent.spent,
        reserved=spent.reserved,
        reset=end,
        zone=budget.zone,
        on_exceed=budget.on_exceed,
        forecast=read_forecast(reader, payers, spent=spent.spent, limit=limit, now=now, end=end, since=pot.since),
    )


def _credit_line(pot: BudgetPot, reader: SpendingReader | None, now: int) -> BudgetLine:
    """Credits of which some have expired: the limit is without what was left of them then."""
    since = min([grant.created for grant in pot.grants]) * _MICROSECONDS

    def spent_until(second: int) -> int:
        return 0 if reader is None else reader.read(pot.payers, since, second * _MICROSECONDS).spent

    found = credit_limit(pot.grants, spent_until, now // _MICROSECONDS)
    spent = Spent() if reader is None else reader.read(pot.payers, since)
    end = None if found.until is None else found.until * _MICROSECONDS
    return BudgetLine(
        payer=pot.payer,
        name="",
        window="credits",
        limit=found.limit,
        spent=spent.spent,
        reserved=spent.reserved,
        reset=end,
        zone="UTC",
        on_exceed="refuse",
        forecast=read_forecast(
            reader, pot.payers, spent=spent.spent, limit=found.limit, now=now, end=end, since=pot.since
        ),
    )


def read_forecast(
    reader: SpendingReader | None, payers: Payers, *, spent: int, limit: int, now: int, end: int | None, since: int
) -> Forecast:
    """The forecast by the whole hours of the last week in which these could spend. Raises StoreFailed.

    `since` is in seconds, `now` and `end` are in microseconds since 1970.
    """
    last = now // _MICROSECONDS // _HOUR
    hours = min(max(last - -(-since // _HOUR), 0), MAX_HOURS)
    past = 0
    if reader is not None and hours:
        past = reader.read(payers, (last - hours) * _HOUR * _MICROSECONDS, last * _HOUR * _MICROSECONDS).spent
    return forecast(
        spent=spent,
        limit=limit,
        now=now // _MICROSECONDS,
        end=None if end is None else end // _MICROSECONDS,
        past=past,
        hours=hours,
    )
