"""`budgets`: of each budget and of prepaid credits, what is spent, reserved and left. It changes nothing."""

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import click

from proxy.auth.store import Store
from proxy.cli.options import Place, in_scratch_store, store_options
from proxy.cli.output import print_json, print_note, print_table, usd, utc
from proxy.config.tree import Budget
from proxy.limits.calendar import zone_of
from proxy.policies.budget_report import BudgetLine, budget_lines, budget_pots

_MICROSECONDS = 1_000_000


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


async def _lines(store: Store, directory: Path, of_file: Mapping[str, Budget]) -> list[BudgetLine]:
    return [line async for line in budget_lines(await budget_pots(store, of_file), directory)]


def _row(line: BudgetLine) -> tuple[object, ...]:
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


def _as_data(line: BudgetLine) -> dict[str, object]:
    return {
        "payer": line.payer,
        "name": line.name or None,
        "window": line.window,
        "zone": line.zone,
        "limit": usd(line.limit),
        "spent": usd(line.spent),
        "reserved": usd(line.reserved),
        "left": usd(line.left),
        "percent": line.percent,
        "reset": None if line.reset is None else utc(line.reset),
        "on_exceed": line.on_exceed,
        "state": line.state,
        "projected": usd(line.forecast.projected),
        "used_up": None if line.forecast.used_up is None else utc(line.forecast.used_up * _MICROSECONDS),
    }
