"""`usage`: requests, tokens and cost, summed up by key, model, day or hour. It reads the store and changes nothing."""

import asyncio
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import click
import msgspec

from proxy.cli import moments
from proxy.cli.options import as_json, config_file, data_directory, store_directory
from proxy.cli.output import print_json, print_table, talk, usd
from proxy.ledger.reports import PAGE, By, Usage, UsageLine
from proxy.ledger.store import open_reports

_HEADINGS = ("requests", "errors", "input", "cached", "output", "cost USD", "unpriced", "estimated", "TTFT p50 ms")


@click.command()
@click.option("--by", type=click.Choice(["key", "model", "day", "hour"]), default="model", show_default=True)
@click.option(
    "--since", callback=moments.past, metavar="TIME", help="From then on: 24h, 7d, 2026-11-01, an ISO timestamp."
)
@click.option(
    "--until", callback=moments.past, metavar="TIME", help="To before then. Both are rounded out to whole hours."
)
@click.option("--limit", type=click.IntRange(1, PAGE), default=100, show_default=True, help="Most lines.")
@click.option("--cursor", metavar="CURSOR", help="Go on after the page that ended with this cursor.")
@config_file
@data_directory
@as_json
def command(
    by: By,
    since: datetime | None,
    until: datetime | None,
    limit: int,
    cursor: str | None,
    config_path: Path | None,
    data_dir: Path | None,
    as_json: bool,
) -> None:
    """Sum up requests, tokens and cost."""
    if since is not None and until is not None and since >= until:
        raise click.UsageError("--since must lie before --until.")
    usage = asyncio.run(_usage(store_directory(config_path, data_dir), by, since, until, limit, cursor))
    if as_json:
        print_json(_as_data(usage))
        return
    rows = [(line.group, *_numbers(line)) for line in usage.lines]
    print_table((by, *_HEADINGS), [*rows, ("total", *_numbers(usage.totals))])
    if usage.cursor is not None:
        talk(f"There is more: --cursor '{usage.cursor}'. The totals are those of all lines.")


async def _usage(
    directory: Path, by: By, since: datetime | None, until: datetime | None, limit: int, cursor: str | None
) -> Usage:
    async with open_reports(directory) as reports:
        return await reports.usage(by=by, since=since, until=until, limit=limit, cursor=cursor)


def _numbers(line: UsageLine) -> tuple[object, ...]:
    return (
        line.requests,
        line.errors,
        line.input_tokens,
        line.cached_input_tokens,
        line.output_tokens,
        _cost(line),
        line.unpriced,
        line.estimated,
        None if line.ttft.p50 is None else f"{line.ttft.p50 / 1000:.1f}",
    )


def _cost(line: UsageLine) -> str:
    """A sum over requests none of which has a price is not 0: it is not known."""
    return usd(None if line.unpriced and line.unpriced == line.requests else line.cost)


def _as_data(usage: Usage) -> Mapping[str, Any]:
    """The report in plain types, with the cost also as the exact decimal string that people are shown."""
    document: dict[str, Any] = msgspec.to_builtins(usage)
    lines = zip((*document["lines"], document["totals"]), (*usage.lines, usage.totals), strict=True)
    for plain, line in lines:
        plain["cost_nano_usd"] = plain.pop("cost")
        plain["cost_usd"] = _cost(line)
    return document
