"""`usage`: requests, tokens, cost and latency, by who pays, by model or by time. Reads the store only."""

import asyncio
import csv
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, cast, get_args

import click
import msgspec

from proxy.auth.names import Names, read_names
from proxy.cli import demo_key, time_options
from proxy.cli.filters import ReportFilter, filter_options
from proxy.cli.options import Place, store_options
from proxy.cli.output import print_json, print_note, print_table, sparkline, usd
from proxy.cli.usage_errors import Number
from proxy.errors import InvalidRequest
from proxy.ledger.csv_cell import inert
from proxy.ledger.grouping import By
from proxy.ledger.ledger import open_reports
from proxy.ledger.reports import PAGE, UsageLine, UsageReport

_HEADINGS = (
    "requests",
    "errors",
    "input",
    "cached",
    "output",
    "cost USD",
    "unpriced",
    "estimated",
    "TTFT p50 ms",
    "TTFT p95 ms",
)
#: Where the cost of targets is known.
_MARGIN_HEADINGS = ("target USD", "margin USD")
_TREND = "trend"
#: Those that go first where there is no room for all.
_OPTIONAL = ("cached", "TTFT p95 ms", "TTFT p50 ms", "estimated", "unpriced", "target USD", "errors", _TREND)
#: Parts of a trend.
_TREND_PARTS = 12
_METADATA = "metadata:"


class _ByType(click.ParamType[str]):
    """What lines are by."""

    name = "by"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        names = ("alias", *(name for name in get_args(By) if name != "metadata"))
        if value not in names and not (value.startswith(_METADATA) and len(value) > len(_METADATA)):
            self.fail(f"'{value}' is none of {', '.join(names)}, {_METADATA}KEY.", param, ctx)
        return value


@click.command()
@click.option(
    "--by",
    "by_name",
    type=_ByType(),
    default="model",
    show_default=True,
    metavar="WHAT",
    help="A line for each key, alias, team, org, tag, endpoint, upstream, session, user, outcome, hour, day, week "
    "(ISO), month, or value of metadata:KEY.",
)
@click.option(
    "--since", callback=time_options.past, metavar="TIME", help="From then on: 24h, 7d, 2026-11-01, an ISO timestamp."
)
@click.option(
    "--until", callback=time_options.past, metavar="TIME", help="To before then. Both are rounded out to whole hours."
)
@click.option("--zone", default="UTC", show_default=True, metavar="ZONE", help="Time zone of days, weeks and months.")
@filter_options
@click.option("--limit", type=Number(1, PAGE), default=100, show_default=True, help="Most lines.")
@click.option("--cursor", metavar="CURSOR", help="Go on after the page that ended with this cursor.")
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV on stdout.")
@store_options
def command(
    by_name: str,
    since: datetime | None,
    until: datetime | None,
    zone: str,
    wanted: ReportFilter,
    limit: int,
    cursor: str | None,
    place: Place,
    as_csv: bool,
    as_json: bool,
) -> None:
    """Sum up requests, tokens, cost and margin.

    A filter that is given twice takes both. Lines by session, user, outcome or metadata, and filters by these or by
    status, read every row of the time, which takes seconds for millions of them; all others do not. A key with two tags
    is in two lines by tag, and once in the total. The trend has the requests in each part of the time; of a day its
    hours, of a week or month its days.
    """
    if since is not None and until is not None and since >= until:
        raise click.UsageError("--since must lie before --until.")
    if as_csv and as_json:
        raise click.UsageError("--json and --csv exclude each other.")
    directory = place.directory()
    options = {"since": since, "until": until, "zone": zone, "limit": limit, "cursor": cursor}
    usage, names = asyncio.run(_usage(directory, by_name, wanted, options))
    if as_json:
        print_json(_as_data(usage, names))
    elif as_csv:
        _print_csv(_as_data(usage, names))
    else:
        _print(by_name, usage, names)
    if usage.cursor is not None and not as_json:
        print_note(f"There is more: --cursor '{usage.cursor}'. The totals are those of all lines.")
    elif not usage.lines and wanted.is_set:
        print_note("No request of this time passes these filters.")


async def _usage(
    directory: Path, by_name: str, wanted: ReportFilter, options: Mapping[str, Any]
) -> tuple[UsageReport, Mapping[str, str]]:
    """The report, and the names of the ids in its lines."""
    by: By = "metadata" if by_name.startswith(_METADATA) else cast(By, {"alias": "model"}.get(by_name, by_name))
    async with open_reports(directory) as reports:
        only = await wanted.selection(directory)
        found = await read_names(directory) if by in ("key", "team", "org", "tag") else Names()
        try:
            usage = await reports.usage(
                by=by,
                metadata_key=by_name.removeprefix(_METADATA),
                tags=found.tags,
                only=only,
                parts=_TREND_PARTS,
                **options,
            )
        except InvalidRequest as error:
            raise click.ClickException(error.message) from error
    keys = {demo_key.key_id(): demo_key.NAME, **found.keys}
    return usage, {"key": keys, "team": found.teams, "org": found.orgs}.get(by, {})


def _print(by_name: str, usage: UsageReport, names: Mapping[str, str]) -> None:
    has_margin = usage.totals.has_margin
    has_trend = any(len(line.trend) > 1 for line in usage.lines)
    headings = (by_name, *_HEADINGS, *_MARGIN_HEADINGS * has_margin, *[_TREND] * has_trend)
    rows = [
        (
            _label(line.group, names) if line is not usage.totals else "total",
            *_numbers(line),
            *_margin(line) * has_margin,
            *[sparkline(line.trend) if line.trend else ""] * has_trend,
        )
        for line in (*usage.lines, usage.totals)
    ]
    print_table(headings, rows, _OPTIONAL)
    if usage.zone != "UTC":
        print_note(f"Times are those of {usage.zone}; an hour counts in the period in which it begins.")


def _label(group: str, names: Mapping[str, str]) -> str:
    if not group:
        return "(none)"
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
        None if line.ttft.p95 is None else f"{line.ttft.p95 / 1000:.1f}",
    )


def _cost(line: UsageLine) -> str:
    """A sum over requests none of which has a price is not 0: it is not known."""
    return usd(None if line.unpriced and line.unpriced >= line.requests else line.cost)


def _margin(line: UsageLine) -> tuple[str, ...]:
    """What targets cost, and the margin; none of them where it is known of no request."""
    return (usd(line.target_cost), usd(line.margin)) if line.has_margin else ("-", "-")


def _as_data(usage: UsageReport, names: Mapping[str, str]) -> dict[str, Any]:
    """The report in plain types, with names, and money also as the exact decimal strings that people see."""
    document: dict[str, Any] = msgspec.to_builtins(usage)
    lines = zip((*document["lines"], document["totals"]), (*usage.lines, usage.totals), strict=True)
    for plain, line in lines:
        plain["cost_nano_usd"] = plain.pop("cost")
        plain["cost_usd"] = _cost(line)
        target_cost, margin = _margin(line)
        plain["target_cost_nano_usd"], plain["margin_nano_usd"] = plain.pop("target_cost"), plain.pop("margin")
        plain["target_cost_usd"] = None if target_cost == "-" else target_cost
        plain["margin_usd"] = None if margin == "-" else margin
        if line.group in names:
            plain["name"] = names[line.group]
    return document


def _print_csv(document: Mapping[str, Any]) -> None:
    """A line of CSV for each line of the report, and the totals last; durations are microseconds."""
    lines = [_flat(line) for line in (*document["lines"], {**document["totals"], "group": "total"})]
    headings = list(lines[-1])
    rows = csv.writer(sys.stdout)
    rows.writerow(headings)
    rows.writerows([[inert(line.get(name)) for name in headings] for line in lines])


def _flat(line: Mapping[str, Any]) -> dict[str, object]:
    flat: dict[str, object] = {"group": line["group"], "name": line.get("name", "")}
    for name, value in line.items():
        if isinstance(value, dict):
            flat |= {f"{name}_{part}": one for part, one in value.items()}
        elif isinstance(value, Sequence) and not isinstance(value, str):
            flat[name] = " ".join(map(str, value))
        else:
            flat[name] = value
    return flat
