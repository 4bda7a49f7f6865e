"""`budgets`: of each budget and of prepaid credits, what is spent, reserved and left. It changes nothing."""

import asyncio
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import click
import msgspec

from proxy.auth.export import all_groups
from proxy.auth.grants import Grant, credit_limit
from proxy.auth.keys import StoredKey
from proxy.auth.store import Store
from proxy.auth.values import valid_nano
from proxy.cli.options import Place, in_scratch_store, store_options
from proxy.cli.output import print_json, print_note, print_table, usd, utc
from proxy.config.tree import Budget
from proxy.ledger.spending import Payers, SpendingReader, Spent
from proxy.limits.calendar import NEVER, Calendar, zone_of

_MICROSECONDS = 1_000_000


class Line(msgspec.Struct, frozen=True):
    """One budget, or the credits of a key. Money is nano-dollars; times are microseconds since 1970."""

    #: Whom it is for: "key app", "team web", "org acme", several of them, or "everything".
    payer: str
    #: Its name in the configuration file; empty for one of the store.
    name: str
    window: str
    limit: int
    spent: int
    reserved: int
    #: When its window ends, and the zone in which that is midnight; None for never.
    reset: int | None
    zone: str
    on_exceed: str

    @property
    def percent(self) -> float | None:
        """Of the limit that is spent; None where nothing may be spent."""
        return round(self.spent * 100 / self.limit, 1) if self.limit > 0 else None


class _Pot(msgspec.Struct, frozen=True):
    """What is to be summed up for a line."""

    payer: str
    name: str
    payers: Payers
    budget: Budget


@click.command(epilog="Example: budgets --team web --json")
@click.option("--key", "keys", multiple=True, metavar="NAME", help="Only those of this key. Repeatable.")
@click.option("--team", "teams", multiple=True, metavar="NAME", help="Only those of this team. Repeatable.")
@click.option("--org", "orgs", multiple=True, metavar="NAME", help="Only those of this organisation. Repeatable.")
@click.option("--over", type=click.FloatRange(0), metavar="PERCENT", help="Only those with so much spent, or more.")
@store_options
def command(
    keys: tuple[str, ...],
    teams: tuple[str, ...],
    orgs: tuple[str, ...],
    over: float | None,
    place: Place,
    as_json: bool,
) -> None:
    """List budgets and prepaid credits: what is spent, what running requests have reserved, the limit and the reset.

    Those of the configuration file are listed by their names, those of keys, teams and organisations by whom they are
    for. The sums are those of the ledger with its journal, as the gateway counts.
    """
    budgets, directory = place.config().budgets, place.directory()
    wanted = {f"{kind} {name}" for kind, names in (("key", keys), ("team", teams), ("org", orgs)) for name in names}
    # Looking must not make a store where there is none; the file may have budgets all the same.
    run = place.in_store if place.has_store() else in_scratch_store
    found = run(lambda store: _lines(store, directory, budgets))
    lines = [
        line
        for line in found
        if (not wanted or wanted & set(line.payer.split(", "))) and (over is None or (line.percent or 0) >= over)
    ]
    if as_json:
        print_json([_as_data(line) for line in lines])
    elif lines:
        print_table(
            ("budget", "window", "spent", "reserved", "limit", "%", "resets", "on exceed"),
            [_row(line) for line in lines],
            ("on exceed", "reserved"),
            ("budget",),
        )
    elif found:
        print_note("No budget passes these filters.")
    else:
        print_note("There are no budgets. Set one with: prometheus-gateway keys update NAME --budget 500/month")


async def _lines(store: Store, directory: Path, of_file: Mapping[str, Budget]) -> list[Line]:
    keys = [key async for key in store.keys.all()]
    teams, orgs = await all_groups(store.teams), await all_groups(store.orgs)
    pots = [
        *_pots_of_file(of_file, _ids(keys), {team.name: team.id for team in teams}, {org.name: org.id for org in orgs}),
        *(_Pot(f"org {org.name}", "", Payers(orgs=(org.id,)), budget) for org in orgs for budget in org.budgets),
        *(_Pot(f"team {team.name}", "", Payers(teams=(team.id,)), budget) for team in teams for budget in team.budgets),
        *(_Pot(f"key {key.name}", "", Payers(keys=(key.id,)), budget) for key in keys for budget in key.budgets),
    ]
    now = time.time_ns() // 1_000
    reader = SpendingReader(directory) if (directory / "ledger.db").exists() else None
    lines = [await asyncio.to_thread(_line, pot, reader, now) for pot in pots]
    for key in keys:
        if key.credits is not None:
            lines.append(await asyncio.to_thread(_credit_line, key, await store.credits.grants(key.id), reader, now))
    return lines


def _pots_of_file(
    budgets: Mapping[str, Budget], keys: dict[str, str], teams: dict[str, str], orgs: dict[str, str]
) -> Iterator[_Pot]:
    """Those of the file, each for all that it names together; a name that nothing has yet spends nothing."""
    for name, budget in budgets.items():
        named = [("key", budget.keys, keys), ("team", budget.teams, teams), ("org", budget.orgs, orgs)]
        of_all = ", ".join(f"{kind} {one}" for kind, names, _ in named for one in names)
        ids = [tuple(known.get(one, f"{kind} {one}") for one in names) for kind, names, known in named]
        yield _Pot(of_all or "everything", name, Payers(*ids), budget)


def _ids(keys: Sequence[StoredKey]) -> dict[str, str]:
    return {key.name: key.id for key in keys}


def _line(pot: _Pot, reader: SpendingReader | None, now: int) -> Line:
    budget = pot.budget
    window = Calendar(budget.window, budget.zone).at(now)
    payers = msgspec.structs.replace(pot.payers, models=tuple(budget.models))
    spent = Spent() if reader is None else reader.read(payers, window.start, window.end)
    return Line(
        payer=pot.payer,
        name=pot.name,
        window=budget.window,
        limit=valid_nano(budget.limit, "limit"),
        spent=spent.spent,
        reserved=spent.reserved,
        reset=None if window.end >= NEVER else window.end,
        zone=budget.zone,
        on_exceed=budget.on_exceed,
    )


def _credit_line(key: StoredKey, grants: Sequence[Grant], reader: SpendingReader | None, now: int) -> Line:
    """Credits of which some have expired: the limit is without what was left of them then."""
    payers = Payers(keys=(key.id,))
    since = min([grant.created for grant in grants]) * _MICROSECONDS

    def spent_until(second: int) -> int:
        return 0 if reader is None else reader.read(payers, since, second * _MICROSECONDS).spent

    found = credit_limit(grants, spent_until, now // _MICROSECONDS)
    spent = Spent() if reader is None else reader.read(payers, since)
    return Line(
        payer=f"key {key.name}",
        name="",
        window="credits",
        limit=found.limit,
        spent=spent.spent,
        reserved=spent.reserved,
        reset=None if found.until is None else found.until * _MICROSECONDS,
        zone="UTC",
        on_exceed="refuse",
    )


def _row(line: Line) -> tuple[object, ...]:
    return (
        f"{line.name}: {line.payer}" if line.name else line.payer,
        line.window,
        usd(line.spent),
        usd(line.reserved),
        usd(line.limit),
        None if line.percent is None else f"{line.percent:g}",
        "never" if line.reset is None else _local(line.reset, line.zone),
        line.on_exceed,
    )


def _local(moment: int, zone: str) -> str:
    """A moment as the clocks of its zone show it."""
    local = datetime.fromtimestamp(moment // _MICROSECONDS, UTC).astimezone(zone_of(zone))
    return f"{local:%Y-%m-%d %H:%M} {local:%Z}"


def _as_data(line: Line) -> dict[str, object]:
    return {
        "payer": line.payer,
        "name": line.name or None,
        "window": line.window,
        "zone": line.zone,
        "limit": usd(line.limit),
        "spent": usd(line.spent),
        "reserved": usd(line.reserved),
        "left": usd(line.limit - line.spent - line.reserved),
        "percent": line.percent,
        "reset": None if line.reset is None else utc(line.reset),
        "on_exceed": line.on_exceed,
    }
