"""`keys create|list|revoke|rotate`: changes keys in the store, beside a running gateway or without one.

A secret goes to stdout, alone, and nowhere else; what there is to say about it goes to stderr.
"""

import asyncio
from collections.abc import Coroutine, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import click

from proxy.auth.keys import Key, KeyStore
from proxy.cli import demo_key, time_options
from proxy.cli.options import as_json, config_file, configured, data_directory, store_directory
from proxy.cli.output import minute, print_json, print_line, print_note, print_table, utc
from proxy.cli.usage_errors import Group, Number
from proxy.config.problems import did_you_mean
from proxy.errors import InvalidRequest
from proxy.ledger.ledger import prepare

T = TypeVar("T")
_MAX_KEYS = 500


@click.group(cls=Group)
def command() -> None:
    """Create, list, revoke and rotate keys.

    A running gateway accepts a new one at once, and refuses a revoked one within a second.
    """


@command.command()
@click.argument("name")
@click.option("--models", metavar="A,B", help="The aliases it may use, with commas between them. Default: all.")
@click.option(
    "--expires",
    callback=time_options.future,
    metavar="TIME",
    help="When it ends: 30d, 2026-12-31 or an ISO timestamp (UTC). Default: never.",
)
@config_file
@data_directory
@as_json
def create(
    name: str,
    models: str | None,
    expires: datetime | None,
    config_path: Path | None,
    data_dir: Path | None,
    as_json: bool,
) -> None:
    """Create the key NAME and print its secret, which is shown this once."""
    aliases = None if models is None else [alias.strip() for alias in models.split(",") if alias.strip()]
    if aliases == []:
        raise click.BadParameter("names no alias; leave it out to allow all", param_hint="--models")
    config = configured(config_path)
    directory = data_dir or Path(config.server.data_dir)
    key, secret = asyncio.run(_create(directory, config.server.key_prefix, name, aliases, expires))
    for alias in aliases or ():
        if config.models and alias not in config.models:
            print_note(f'Note: no alias is named "{alias}" in the configuration; {did_you_mean(alias, config.models)}')
    ends = f" It ends {utc(key.expires * 1_000_000)}." if key.expires is not None else ""
    _print_secret(key, secret, f"Key {key.name} ({key.id}) was created.{ends}", as_json)


@command.command("list")
@click.option("--all", "with_revoked", is_flag=True, help="Show revoked keys too.")
@click.option("--limit", type=Number(1, _MAX_KEYS), default=_MAX_KEYS, show_default=True, help="Most keys.")
@click.option("--after", metavar="ID", help="Go on after this key, the last one of the page before.")
@config_file
@data_directory
@as_json
def list_command(
    with_revoked: bool,
    limit: int,
    after: str | None,
    config_path: Path | None,
    data_dir: Path | None,
    as_json: bool,
) -> None:
    """List keys, without their secrets."""
    directory = store_directory(config_path, data_dir)
    demo = demo_key.load(directory) if after is None else None
    found = [*filter(None, [demo]), *asyncio.run(_list(directory, limit + 1, after, with_revoked))]
    keys = found[:limit]
    if as_json:
        print_json([_as_data(key) for key in keys])
    elif keys:
        headings = ("id", "name", "ends in", "models", "created", "expires", *(["revoked"] if with_revoked else []))
        print_table(headings, [_row(key, with_revoked) for key in keys], ("created", "ends in"), ("models",))
        if demo is not None:
            print_note(f'"{demo.name}" is the demo\'s key: it works only where serve runs without a configuration.')
    else:
        print_note(f"There are no keys in {directory}. Create one with: prometheus-gateway keys create NAME")
    if len(found) > limit:
        print_note(f"There are more: --after {keys[-1].id}")


@command.command()
@click.argument("name")
@config_file
@data_directory
@as_json
def revoke(name: str, config_path: Path | None, data_dir: Path | None, as_json: bool) -> None:
    """End the key NAME (or id) for good."""
    directory = store_directory(config_path, data_dir)
    key = asyncio.run(_changed(directory, name, _revoke(directory, name)))
    if as_json:
        print_json(_as_data(key))
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
@config_file
@data_directory
@as_json
def rotate(name: str, grace: timedelta, config_path: Path | None, data_dir: Path | None, as_json: bool) -> None:
    """Give the key NAME (or id) a new secret and print it; it is shown this once."""
    server = configured(config_path).server
    directory = data_dir or Path(server.data_dir)
    key, secret = asyncio.run(_changed(directory, name, _rotate(directory, server.key_prefix, name, grace)))
    old = f"works for another {grace}" if grace else "works no longer"
    _print_secret(key, secret, f"Key {key.name} ({key.id}) has a new secret; the old one {old}.", as_json)


def _print_secret(key: Key, secret: str, what: str, as_json: bool) -> None:
    if as_json:
        print_json({**_as_data(key), "secret": secret})
        return
    print_line(secret)
    print_note(f"{what} Its secret, on stdout, is not shown again. A running gateway accepts it at once.")


def _as_data(key: Key) -> dict[str, object]:
    return {
        "id": key.id,
        "name": key.name,
        "hint": key.hint,
        "models": None if key.models is None else sorted(key.models),
        "created": _time(key.created),
        "expires": _time(key.expires),
        "revoked": _time(key.revoked),
    }


def _row(key: Key, with_revoked: bool) -> tuple[object, ...]:
    models = "all" if key.models is None else ", ".join(sorted(key.models))
    row = (key.id, key.name, key.hint, models, _minute(key.created)[:10], _minute(key.expires))
    return (*row, _minute(key.revoked)) if with_revoked else row


def _time(seconds: int | None) -> str | None:
    return None if seconds is None else utc(seconds * 1_000_000)


def _minute(seconds: int | None) -> str:
    return "" if seconds is None else minute(seconds * 1_000_000)


async def _changed(directory: Path, name: str, change: Coroutine[Any, Any, T]) -> T:
    """Make a change; where there is no such key because it is the demo's, say what to do with that one."""
    try:
        return await change
    except InvalidRequest as error:
        if error.code == "key_not_found" and name in (demo_key.NAME, demo_key.key_id()):
            raise click.ClickException(
                f"The demo's key is not in the store: stop the demo, delete {directory / demo_key.FILE_NAME}, and its "
                "next start creates another one."
            ) from error
        raise


def _store(directory: Path, prefix: str = "prom_sk_") -> KeyStore:
    prepare(directory)
    return KeyStore(directory, prefix=prefix)


async def _create(
    directory: Path, prefix: str, name: str, aliases: list[str] | None, expires: datetime | None
) -> tuple[Key, str]:
    async with _store(directory, prefix) as store:
        return await store.create(name, aliases, expires)


async def _list(directory: Path, limit: int, after: str | None, with_revoked: bool) -> Sequence[Key]:
    # Looking must not make a data directory where there is none.
    if not (directory / "keys.db").exists():
        return []
    async with _store(directory) as store:
        return await store.list(limit=limit, after=after, revoked=with_revoked)


async def _revoke(directory: Path, name: str) -> Key:
    async with _store(directory) as store:
        return await store.revoke(name)


async def _rotate(directory: Path, prefix: str, name: str, grace: timedelta) -> tuple[Key, str]:
    async with _store(directory, prefix) as store:
        secret = await store.rotate(name, int(grace.total_seconds()))
        key = await store.find(name)
    if key is None:
        raise click.ClickException(f"The key {name} was revoked at the same moment.")
    return key, secret
