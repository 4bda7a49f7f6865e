"""`keys create|update|list|show|revoke|rotate|credits`: changes keys in the store, beside a running gateway or without.

A secret goes to stdout, alone, and nowhere else; what there is to say about it goes to stderr.
"""

from datetime import datetime, timedelta
from typing import Any, TypeVar

import click
from msgspec import UNSET, UnsetType

from proxy.auth.keys import Key, StoredKey
from proxy.auth.store import Store
from proxy.auth.values import KeyFields
from proxy.cli import credits, demo_key, time_options
from proxy.cli.key_view import KEY_HEADINGS, key_data, key_row, minute_text, print_key
from proxy.cli.options import Place, Work, store_options
from proxy.cli.output import print_json, print_line, print_note, print_table, utc
from proxy.cli.subjects import (
    Bounds,
    actor,
    bounds_options,
    budgets_of,
    changed_bounds_options,
    limits_of,
    note_unknown_aliases,
)
from proxy.cli.usage_errors import Group, Number
from proxy.errors import InvalidRequest

T = TypeVar("T")
_MAX_KEYS = 500
#: Columns of the list that stand there even if they are empty.
_ALWAYS = frozenset({"id", "name", "ends in", "models", "created", "expires", "revoked"})

_models = click.option("--models", metavar="A,B", help="The aliases it may use, with commas between them.")
_expires = click.option(
    "--expires",
    callback=time_options.future,
    metavar="TIME",
    help="When it ends: 30d, 2026-12-31 or an ISO timestamp (UTC).",
)
_team = click.option("--team", metavar="NAME", help="The team that it belongs to (teams create).")
_tags = click.option("--tag", "tags", multiple=True, metavar="TAG", help="A tag for reports. Repeatable.")
_metadata = click.option("--metadata", multiple=True, metavar="NAME=TEXT", help="A note of your own. Repeatable.")


@click.group(cls=Group)
def command() -> None:
    """Create, change, list, revoke and rotate keys.

    A running gateway accepts a new one at once, and refuses a revoked one within a second; a change of one acts as
    fast.
    """


command.add_command(credits.command, "credits")


@command.command(
    epilog="Example: keys create web-prod --team web --tag prod --limit requests=600/min --budget 500/month"
)
@click.argument("name")
@_models
@_expires
@_team
@_tags
@bounds_options
@_metadata
@store_options
def create(
    name: str,
    models: str | None,
    expires: datetime | None,
    team: str | None,
    tags: tuple[str, ...],
    bounds: Bounds,
    metadata: tuple[str, ...],
    place: Place,
    as_json: bool,
) -> None:
    """Create the key NAME and print its secret, which is shown this once.

    By default it may use all aliases, never ends, and has no limits of its own.
    """
    fields = KeyFields(
        name=name,
        models=None if models is None else _aliases(models),
        expires=expires,
        team=team,
        tags=tags,
        limits=limits_of(bounds.limits),
        budgets=budgets_of(bounds.budgets),
        metadata=_notes(metadata),
    )
    key, secret = place.in_store(lambda store: store.keys.add(fields, actor=actor()))
    note_unknown_aliases(key, place)
    ends = f" It ends {utc(key.expires * 1_000_000)}." if key.expires is not None else ""
    _print_secret(key, secret, f"Key {key.name} ({key.id}) was created.{ends}", as_json)


@command.command(epilog="Example: keys update web-prod --budget 800/month --limit requests=")
@click.argument("name")
@click.option("--name", "new_name", metavar="NAME", help="Another name.")
@_models
@click.option("--all-models", is_flag=True, help="Allow all aliases.")
@_expires
@click.option("--no-expiry", is_flag=True, help="Let it never end.")
@_team
@click.option("--no-team", is_flag=True, help="Take it out of its team.")
@_tags
@click.option("--no-tags", is_flag=True, help="Take all tags away.")
@changed_bounds_options
@_metadata
@click.option("--no-metadata", is_flag=True, help="Take all notes away.")
@store_options
def update(
    name: str,
    new_name: str | None,
    models: str | None,
    all_models: bool,
    expires: datetime | None,
    no_expiry: bool,
    team: str | None,
    no_team: bool,
    tags: tuple[str, ...],
    no_tags: bool,
    bounds: Bounds,
    metadata: tuple[str, ...],
    no_metadata: bool,
    place: Place,
    as_json: bool,
) -> None:
    """Change the key NAME (or id): what is not named stays.

    --limit changes the limits that it names, and takes one away where it has no rate; --budget, --tag and --metadata
    take the place of all that there were. Its secret stays.
    """
    for word, value, flag, is_set in (
        ("models", models, "all-models", all_models),
        ("expires", expires, "no-expiry", no_expiry),
        ("team", team, "no-team", no_team),
        ("tag", tags, "no-tags", no_tags),
        ("metadata", metadata, "no-metadata", no_metadata),
    ):
        if value and is_set:
            raise click.UsageError(f"--{word} and --{flag} exclude one another.")

    async def work(store: Store) -> StoredKey:
        async with store.database.transaction():
            before = await store.keys.get(name)
            fields = KeyFields(
                name=new_name or UNSET,
                models=_aliases(models) if models is not None else _taken_away(all_models),
                expires=expires or _taken_away(no_expiry),
                team=team or _taken_away(no_team),
                tags=tags or _taken_away(no_tags),
                limits=bounds.changed_limits(before.limits),
                budgets=bounds.changed_budgets(),
                metadata=_notes(metadata) if metadata else _taken_away(no_metadata),
            )
            if fields == KeyFields():
                raise click.UsageError("Nothing is to be changed: name at least one option.")
            return await store.keys.update(name, fields, actor=actor())

    key = _of_key(name, place, work)
    note_unknown_aliases(key, place)
    if as_json:
        print_json(key_data(key))
    else:
        print_note(f"Key {key.name} ({key.id}) is at version {key.version}. A running gateway follows within a second.")


@command.command("list")
@click.option("--all", "with_revoked", is_flag=True, help="Show revoked keys too.")
@click.option("--team", metavar="NAME", help="Only those of this team.")
@click.option("--org", metavar="NAME", help="Only those of this organisation.")
@click.option("--tag", metavar="TAG", help="Only those with this tag.")
@click.option("--name", metavar="PART", help="Only those with this in their names.")
@click.option("--limit", type=Number(1, _MAX_KEYS), default=_MAX_KEYS, show_default=True, help="Most keys.")
@click.option("--after", metavar="ID", help="Go on after this key, the last one of the page before.")
@store_options
def list_command(
    with_revoked: bool,
    team: str | None,
    org: str | None,
    tag: str | None,
    name: str | None,
    limit: int,
    after: str | None,
    place: Place,
    as_json: bool,
) -> None:
    """List keys, without their secrets."""
    directory = place.directory()
    is_filtered = any((team, org, tag, name))
    demo = demo_key.load(directory) if after is None and not is_filtered else None
    stored = place.in_existing_store(
        lambda store: store.keys.list(
            limit=limit + 1, after=after, revoked=with_revoked, team=team, org=org, tag=tag, name=name
        )
    )
    found: list[Key] = [*filter(None, [demo]), *(stored or [])]
    keys = found[:limit]
    if as_json:
        print_json([key_data(key) for key in keys])
    elif keys:
        headings = (*KEY_HEADINGS, *(["revoked"] if with_revoked else []))
        rows = [(*key_row(key), *([minute_text(key.revoked)] if with_revoked else [])) for key in keys]
        # Columns of which nothing is known take no room.
        kept = [
            place for place, heading in enumerate(headings) if heading in _ALWAYS or any(row[place] for row in rows)
        ]
        print_table(
            [headings[at] for at in kept],
            [[row[at] for at in kept] for row in rows],
            ("created", "ends in", "tags", "limits", "budgets", "team"),
            ("models", "limits", "budgets", "tags"),
        )
        if demo is not None:
            print_note(f'"{demo.name}" is the demo\'s key: it works only where serve runs without a configuration.')
    elif is_filtered:
        print_note("No key passes these filters.")
    else:
        print_note(f"There are no keys in {directory}. Create one with: prometheus-gateway keys create NAME")
    if len(found) > limit:
        print_note(f"There are more: --after {keys[-1].id}")


@command.command()
@click.argument("name")
@store_options
def show(name: str, place: Place, as_json: bool) -> None:
    """Show all of the key NAME (or id), but for its secret."""
    key = _of_key(name, place, lambda store: store.keys.get(name))
    if as_json:
        print_json(key_data(key))
    else:
        print_key(key)


@command.command()
@click.argument("name")
@store_options
def revoke(name: str, place: Place, as_json: bool) -> None:
    """End the key NAME (or id) for good."""
    key = _of_key(name, place, lambda store: store.keys.revoke(name, actor=actor()))
    if as_json:
        print_json(key_data(key))
    else:
        print_note(f"Key {key.name} ({key.id}) is revoked.")


@command.command()
@click.argument("name")
@click.option(
    "--grace",
    callback=time_options.span,
    default="0",
    show_default=True,
    metavar="SPAN",
    help="How long the old secret still works: 30m, 24h, 7d.",
)
@store_options
def rotate(name: str, grace: timedelta, place: Place, as_json: bool) -> None:
    """Give the key NAME (or id) a new secret and print it; it is shown this once."""

    async def work(store: Store) -> tuple[StoredKey, str]:
        async with store.database.transaction():
            secret = await store.keys.rotate(name, int(grace.total_seconds()), actor=actor())
            return await store.keys.get(name), secret

    key, secret = _of_key(name, place, work)
    old = f"works for another {grace}" if grace else "works no longer"
    _print_secret(key, secret, f"Key {key.name} ({key.id}) has a new secret; the old one {old}.", as_json)


def _print_secret(key: Key, secret: str, what: str, as_json: bool) -> None:
    if as_json:
        print_json({**key_data(key), "secret": secret})
        return
    print_line(secret)
    print_note(f"{what} Its secret, on stdout, is not shown again. A running gateway accepts it at once.")


def _aliases(models: str) -> list[str]:
    """The aliases of `--models`."""
    aliases = [alias.strip() for alias in models.split(",") if alias.strip()]
    if not aliases:
        raise click.BadParameter("names no alias; leave it out to allow all", param_hint="--models")
    return aliases


def _notes(texts: tuple[str, ...]) -> dict[str, Any]:
    """The notes of `--metadata`."""
    found = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise click.BadParameter(f"'{text}': write it as NAME=TEXT", param_hint="--metadata")
        found[name] = value
    return found


def _taken_away(flag: bool) -> UnsetType | None:
    """None, which takes a value away, where the flag for that is set."""
    return None if flag else UNSET


def _of_key(name: str, place: Place, work: Work[T]) -> T:
    """The result of work on a key; where there is no such key because it is the demo's, say what to do with that."""
    try:
        return place.in_store(work)
    except InvalidRequest as error:
        if error.code == "key_not_found" and name in (demo_key.NAME, demo_key.key_id()):
            file = place.directory() / demo_key.FILE_NAME
            raise click.ClickException(
                f"The demo's key is not in the store: stop the demo, delete {file}, and its next start creates another "
                "one."
            ) from error
        raise
