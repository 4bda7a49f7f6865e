"""`ledger export`: every row, one a request, for other programs. It reads the store and changes nothing."""

import asyncio
import csv
import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import IO, Any

import click
import msgspec

from proxy.cli import time_options
from proxy.cli.filters import ReportFilter, filter_options
from proxy.cli.options import Place, store_options
from proxy.cli.output import print_note, usd, utc
from proxy.cli.usage_errors import Group
from proxy.ledger.csv_cell import inert
from proxy.ledger.ledger import open_reports
from proxy.ledger.record import UsageRecord

#: Writes one row.
Write = Callable[[dict[str, Any]], None]


@click.group(cls=Group)
def command() -> None:
    """Export the ledger, one row a request."""


@command.command()
@click.option(
    "--format", "format_name", type=click.Choice(["jsonl", "csv"]), help="One JSON object a line (the default), or CSV."
)
@click.option(
    "--since", callback=time_options.past, metavar="TIME", help="From then on: 24h, 7d, 2026-11-01, an ISO timestamp."
)
@click.option("--until", callback=time_options.past, metavar="TIME", help="To before then.")
@filter_options
@click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write to a file (mode 0600) and not to stdout; it appears when it is complete.",
)
@store_options
def export(
    format_name: str | None,
    since: datetime | None,
    until: datetime | None,
    wanted: ReportFilter,
    output: Path | None,
    place: Place,
    as_json: bool,
) -> None:
    """Write the rows that started in a time, the oldest first. A filter that is given twice takes both.

    Costs are exact USD, empty where the price is not known; durations are microseconds; `started` is UTC. --json is
    the same as --format jsonl.
    """
    if as_json and format_name == "csv":
        raise click.UsageError("--json and --format csv exclude each other.")
    if since is not None and until is not None and since >= until:
        raise click.UsageError("--since must lie before --until.")
    directory = place.directory()
    with _opened(output) as stream:
        count = asyncio.run(_export(directory, since, until, wanted, _writer(format_name or "jsonl", stream)))
    print_note(f"{count} rows exported")


async def _export(
    directory: Path, since: datetime | None, until: datetime | None, wanted: ReportFilter, write: Write
) -> int:
    count = 0
    async with open_reports(directory) as reports:
        only = await wanted.selection(directory)
        async for row in reports.export(since=since, until=until, only=only):
            write(_as_data(row))
            count += 1
    return count


def _as_data(row: UsageRecord) -> dict[str, Any]:
    """A row in plain types, under the names that the ledger uses."""
    fields = msgspec.structs.asdict(row)
    fields["started"] = f"{utc(row.started)[:-1]}.{row.started % 1_000_000:06d}Z"
    fields["cost"] = None if row.cost is None else usd(row.cost)
    fields["provider_cost"] = None if row.provider_cost is None else usd(row.provider_cost)
    fields["target_cost"] = None if row.target_cost is None else usd(row.target_cost)
    fields["requested_model"] = row.requested_model or row.alias
    return fields


def _writer(format_name: str, stream: IO[str]) -> Write:
    if format_name == "jsonl":
        return lambda row: print(json.dumps(row, ensure_ascii=False), file=stream)
    rows = csv.writer(stream)
    rows.writerow(UsageRecord.__struct_fields__)
    return lambda row: rows.writerow([inert(row[name]) for name in UsageRecord.__struct_fields__])


@contextmanager
def _opened(output: Path | None) -> Iterator[IO[str]]:
    """Stdout, or a file that is renamed into place when everything was written."""
    if output is None:
        yield sys.stdout
        return
    part = output.with_name(f".{output.name}.{os.getpid()}.part")
    try:
        with open(
            os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8", newline=""
        ) as file:
            yield file
        part.replace(output)
    except OSError as error:
        raise click.ClickException(f"{output} cannot be written: {error.strerror}.") from error
    finally:
        part.unlink(missing_ok=True)
