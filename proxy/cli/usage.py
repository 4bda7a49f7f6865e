"""`usage`: requests, tokens and cost, summed up by key, alias, day or hour. It reads the store and changes nothing."""

import asyncio
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, cast

import click
import msgspec

from proxy.auth.keys import KeyStore
from proxy.cli import demo_key, time_options
from proxy.cli.filters import ReportFilter, filter_options
from proxy.cli.options import as_json, config_file, data_directory, store_directory
from proxy.cli.output import print_json, print_note, print_table, usd
from proxy.cli.usage_errors import Number
from proxy.ledger.grouping import By
from proxy.ledger.ledger import open_reports
from proxy.ledger.reports import PAGE, UsageLine, UsageReport

_HEADINGS = ("requests", "errors", "input", "cached", "output", "cost USD", "unpriced", "estimated", "TTFT p50 ms")
#: Those that go first where there is no room for all.
_OPTIONAL = ("cached", "TTFT p50 ms", "estimated", "unpriced", "errors")


@click.command()
@click.option(
    "--by", "by_name", type=click.Choice(["key", "model", "alias", "day", "hour"]), default="model", show_default=True
)
@click.option(
    "--since", callback=time_options.past, metavar="TIME", help="From then on: 24h, 7d, 2026-11-01, an ISO timestamp."
)
@click.option(
    "--until", callback=time_options.past, metavar="TIME", help="To before then. Both are rounded out to whole hours."
)
@filter_options
@click.option("--limit", type=Number(1, PAGE), default=100, show_default=True, help="Most lines.")
@click.option("--cursor", metavar="CURSOR", help="Go on after the page that ended with this cursor.")
@config_file
@data_directory
@as_json
def command(
    by_name: str,
    since: datetime | None,
    until: datetime | None,
    wanted: ReportFilter,
    limit: int,
    cursor: str | None,
    config_path: Path | None,
    data_dir: Path | None,
    as_json: bool,
) -> None:
    """Sum up requests, tokens and cost.

    A filter that is given twice takes both. Filters by upstream or outcome read every row of the time, which takes
    seconds for millions of them; all others do not.
    """
    if since is not None and until is not None and since >= until:
        raise click.UsageError("--since must lie before --until.")
    by: By = "model" if by_name == "alias" else cast(By, by_name)
    directory = store_directory(config_path, data_dir)
    usage = asyncio.run(_usage(directory, by, since, until, wanted, limit, cursor))
    names = asyncio.run(_names(directory, [line.group for line in usage.lines])) if by == "key" else {}
    if as_json:
        print_json(_as_data(usage, names))
        return
    rows = [(_label(line.group, names), *_numbers(line)) for line in usage.lines]
    print_table((by_name, *_HEADINGS), [*rows, ("total", *_numbers(usage.totals))], _OPTIONAL)
    if usage.cursor is not None:
        print_note(f"There is more: --cursor '{usage.cursor}'. The totals are those of all lines.")
    elif not usage.lines and wanted.is_set:
        print_note("No request of this time passes these filters.")


async def _usage(
    directory: Path,
    by: By,
    since: datetime | None,
    until: datetime | None,
    wanted: ReportFilter,
    limit: int,
    cursor: str | None,
) -> UsageReport:
    async with open_reports(directory) as reports:
        only = await wanted.selection(directory)
        return await reports.usage(by=by, since=since, until=until, only=only, limit=limit, cursor=cursor)


async def _names(directory: Path, ids: list[str]) -> Mapping[str, str]:
    """The names of keys by id, of those that are known here: the store's, and the demo's, which is not in it."""
    names = {id_: demo_key.NAME for id_ in ids if id_ == demo_key.key_id()}
    if not ids or not await asyncio.to_thread((directory / "keys.db").exists):
        return names
    async with KeyStore(directory) as store:
        return names | {id_: key.name for id_ in ids if (key := await store.find(id_)) is not None}


def _label(group: str, names: Mapping[str, str]) -> str:
    return f"{names[group]} ({group})" if group in names else group


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


def _as_data(usage: UsageReport, names: Mapping[str, str]) -> Mapping[str, Any]:
    """The report in plain types, with keys' names, and the cost also as the exact decimal string that people see."""
    document: dict[str, Any] = msgspec.to_builtins(usage)
    lines = zip((*document["lines"], document["totals"]), (*usage.lines, usage.totals), strict=True)
    for plain, line in lines:
        plain["cost_nano_usd"] = plain.pop("cost")
        plain["cost_usd"] = _cost(line)
        if line.group in names:
            plain["name"] = names[line.group]
    return document
