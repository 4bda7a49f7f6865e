"""`audit`: who changed keys, teams, organisations and credits, and what. It reads the store and changes nothing."""

from datetime import datetime
from typing import Any

import click
import msgspec

from proxy.auth.audit import MAX_PAGE_ROWS, AuditRow
from proxy.cli import time_options
from proxy.cli.key_view import minute_text, time_text
from proxy.cli.options import Place, store_options
from proxy.cli.output import print_json, print_note, print_table
from proxy.cli.usage_errors import Number

#: What every change changes.
_ALWAYS = frozenset({"version"})
#: What of a new or a removed object stands in other columns, or is no setting.
_SAID = frozenset({"id", "name", "version", "hint"})


@click.command(epilog="Example: audit --object web-prod --since 7d --json")
@click.option("--object", "object_", metavar="NAME", help="Only changes of this key, team or organisation, or its id.")
@click.option("--actor", metavar="NAME", help="Only changes by this one: cli:USER, or all of cli or admin.")
@click.option("--action", metavar="WHAT", help="Only these: key, team, org, credit, or one such as key.revoke.")
@click.option("--since", callback=time_options.past, metavar="TIME", help="From then on: 24h, 7d, 2026-11-01.")
@click.option("--limit", type=Number(1, MAX_PAGE_ROWS - 1), default=50, show_default=True, help="Most lines.")
@click.option("--before", type=Number(1, 2**62), metavar="ID", help="Go on before this line, the last of a page.")
@store_options
def command(
    object_: str | None,
    actor: str | None,
    action: str | None,
    since: datetime | None,
    limit: int,
    before: int | None,
    place: Place,
    as_json: bool,
) -> None:
    """List changes of keys, teams, organisations and credits, the newest first.

    The table names what has changed; --json has each object before and after. Secrets are in neither.
    """
    moment = None if since is None else int(since.timestamp())
    found = place.in_existing_store(
        lambda store: store.audit.list(
            limit=limit + 1, before=before, object=object_, actor=actor, action=action, since=moment
        )
    )
    found = found or []
    rows = found[:limit]
    if as_json:
        print_json([{**msgspec.to_builtins(row), "time": time_text(row.time)} for row in rows])
    elif rows:
        print_table(
            ("id", "time", "actor", "action", "name", "change"),
            [(row.id, minute_text(row.time), row.actor, row.action, row.name, _change(row)) for row in rows],
            ("id",),
            ("change",),
        )
    else:
        print_note("No change of these is recorded.")
    if len(found) > limit:
        print_note(f"There are more: --before {rows[-1].id}")


def _change(row: AuditRow) -> str:
    """What has changed, in one cell."""
    before, after = row.before or {}, row.after or {}
    if row.before is None or row.after is None:
        facts = {name: value for name, value in (after or before).items() if value and name not in _SAID}
        return ", ".join(f"{name} {_text(value)}" for name, value in facts.items())
    names = [name for name in {**before, **after} if name not in _ALWAYS and before.get(name) != after.get(name)]
    return ", ".join(f"{name} {_text(before.get(name))} -> {_text(after.get(name))}" for name in names)


def _text(value: Any) -> str:
    if value in (None, [], {}):
        return "none"
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()
