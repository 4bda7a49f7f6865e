"""`top`: what goes through the gateway now, over all workers: in flight, rates, tokens a second, spend. Reads only.

It reads the ledger, a fraction of a second behind: requests in flight are those at an upstream whose row is still to
come; rates are of requests that have ended. It takes no lock, so a gateway may start and stop beside it.
"""

import asyncio
import sys
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import click
import msgspec

from proxy.auth.names import read_names
from proxy.cli import demo_key
from proxy.cli.options import Place, store_options
from proxy.cli.output import print_json, print_line, print_note, print_table, usd
from proxy.cli.usage_errors import Number
from proxy.ledger.live import COLUMNS, Live, LiveLine, read_live

_HEADINGS = ("in flight", "req/s", "errors", "tok/s", "TTFT ms", "USD/min", "USD today")
_OPTIONAL = ("errors", "USD/min", "TTFT ms")
#: Goes to the top of the terminal and clears it.
_CLEAR = "\x1b[H\x1b[2J"


@click.command()
@click.option(
    "--by", type=click.Choice(list(COLUMNS)), default="alias", show_default=True, help="A line for each of these."
)
@click.option("--window", type=Number(1, 3_600), default=10, show_default=True, help="Seconds that rates are made of.")
@click.option("--interval", type=Number(1, 3_600), default=2, show_default=True, help="Seconds between two looks.")
@click.option("--once", is_flag=True, help="Print once and end, as where stdout is no terminal.")
@store_options
def command(
    by: str,
    window: int,
    interval: int,
    once: bool,
    place: Place,
    as_json: bool,
) -> None:
    """Show what goes through the gateway now; Ctrl-C ends it.

    Requests in flight are those that are at an upstream. Rates, times and tokens are of requests that ended in the last
    seconds; a running stream's tokens count when it ends. Spend of today is since midnight, UTC.
    """
    directory = place.directory()
    if as_json or once or not sys.stdout.isatty():
        live, names = asyncio.run(_look(directory, by, window))
        if as_json:
            print_json(_as_data(live, names))
        else:
            _print(by, live, names)
        return
    try:
        while True:
            live, names = asyncio.run(_look(directory, by, window))
            click.echo(_CLEAR, nl=False)
            _print(by, live, names)
            time.sleep(interval)
    except KeyboardInterrupt:
        print_line("")


async def _look(directory: Path, by: str, window: int) -> tuple[Live, Mapping[str, str]]:
    live = await read_live(directory / "ledger.db", by, window, time.time())
    if by not in ("key", "team"):
        return live, {}
    names = await read_names(directory)
    return live, names.teams if by == "team" else {demo_key.key_id(): demo_key.NAME, **names.keys}


def _print(by: str, live: Live, names: Mapping[str, str]) -> None:
    now = datetime.fromtimestamp(live.time, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
    lines: Sequence[LiveLine] = (*live.lines, live.total)
    print_line(f"{now}, rates of the last {live.window} s")
    print_table(
        (by, *_HEADINGS),
        [
            ("total" if line is live.total else _label(line.group, names), *_numbers(line, live.window))
            for line in lines
        ],
        _OPTIONAL,
    )
    if not live.lines:
        print_note("Nothing went through today.")


def _label(group: str, names: Mapping[str, str]) -> str:
    return names.get(group, group) or "(none)"


def _numbers(line: LiveLine, window: int) -> tuple[object, ...]:
    return (
        line.in_flight,
        f"{line.requests / window:.1f}",
        line.errors,
        f"{line.tokens / window:.0f}",
        None if line.ttft is None else f"{line.ttft / 1_000:.0f}",
        usd(line.cost * 60 // window // 1_000 * 1_000),
        usd(line.cost_today),
    )


def _as_data(live: Live, names: Mapping[str, str]) -> dict[str, object]:
    document: dict[str, object] = msgspec.to_builtins(live)
    document["names"] = {line.group: names[line.group] for line in live.lines if line.group in names}
    return document
