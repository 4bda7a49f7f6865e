"""`config export` and `config apply`: keys, teams and organisations as one document, and a store like that document."""

from pathlib import Path
from typing import Any

import click
import msgspec

from proxy.auth import export as documents
from proxy.auth.apply import Applied, Change, apply, read_document
from proxy.auth.export import exported
from proxy.auth.store import Store
from proxy.cli.options import Place, chosen_file, in_scratch_store, store_options
from proxy.cli.output import print_json, print_line, print_note
from proxy.cli.subjects import actor
from proxy.config.file_budgets import owner_in_file
from proxy.config.load import read_text

_WORDS = {"orgs": "organisation", "teams": "team", "keys": "key"}


@click.command(epilog="Example: config export > store.toml")
@store_options
def export(place: Place, as_json: bool) -> None:
    """Print keys, teams and organisations with their limits and budgets as TOML (or JSON), without secrets.

    The same store prints the same text, so that it can be kept under version control.
    """
    document = place.in_existing_store(exported) or {"orgs": {}, "teams": {}, "keys": {}}
    text = documents.as_json(document) if as_json else documents.as_toml(document)
    print_line(text.rstrip("\n"))


@click.command("apply", epilog="Example: config apply store.toml --dry-run")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--dry-run", is_flag=True, help="Show what would be changed, and change nothing.")
@click.option("--prune", is_flag=True, help="Revoke keys and delete teams and organisations that FILE does not name.")
@store_options
def apply_command(file: Path, dry_run: bool, prune: bool, place: Place, as_json: bool) -> None:
    """Make keys, teams and organisations be as FILE says, which config export wrote: all of it, or nothing.

    Of what FILE names, a setting that it leaves out goes back to its default. What it does not name stays, without
    --prune. A new key gets a secret, which is shown this once: NAME and secret, a line each, on stdout. What the
    configuration file names wins, and is said. Applying the same FILE again changes nothing.
    """
    wanted = read_document(read_text(file), str(file))
    owner = owner_in_file(chosen_file(place.config_path))

    async def work(store: Store) -> Applied:
        return await apply(store, wanted, owner=owner, actor=actor(), prune=prune, dry_run=dry_run)

    # Looking must not make a data directory where there is none.
    is_scratch = dry_run and not place.has_store()
    applied = in_scratch_store(work) if is_scratch else place.in_store(work)
    if as_json:
        print_json({"dry_run": dry_run, **msgspec.to_builtins(applied)})
        return
    print_ = print_line if dry_run else print_note
    for change in applied.changes:
        for line in _difference(change):
            print_(line)
    for note in applied.notes:
        print_note(f"note: {note}")
    print_note(_summary(applied, dry_run))
    for name, secret in applied.secrets.items():
        print_line(f"{name}\t{secret}")


def _summary(applied: Applied, dry_run: bool) -> str:
    if not applied.changes:
        return "Nothing is to be changed: the store is so already."
    kinds = {"created": 0, "changed": 0, "removed": 0}
    for change in applied.changes:
        kinds["created" if change.before is None else "removed" if change.after is None else "changed"] += 1
    counted = ", ".join(f"{count} {word}" for word, count in kinds.items() if count)
    if dry_run:
        return f"To be {counted}. Nothing was changed."
    secrets = " The secrets of new keys, on stdout, are not shown again." if applied.secrets else ""
    return f"Done: {counted}.{secrets}"


def _difference(change: Change) -> list[str]:
    """A change as lines: + is new, - is gone, ~ has changed."""
    sign = "+" if change.before is None else "-" if change.after is None else "~"
    lines = [f"{sign} {_WORDS[change.kind]} {change.name}"]
    before, after = change.before or {}, change.after or {}
    for name in {**before, **after}:
        old, new = before.get(name), after.get(name)
        if old != new and change.after is not None:
            was = "" if change.before is None else f"{_plain(old)} -> "
            lines.append(f"    {name}: {was}{_plain(new)}")
    return lines


def _plain(value: Any) -> str:
    if value is None:
        return "none"
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()
