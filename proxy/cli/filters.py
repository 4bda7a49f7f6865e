"""The filter options of reports: --key, --alias, --upstream and --outcome."""

import asyncio
import re
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any, get_args

import click
import msgspec

from proxy.auth.keys import KeyStore
from proxy.cli import demo_key
from proxy.ledger.record import Outcome
from proxy.ledger.selection import Selection

_ID = re.compile(r"key_[0-9a-f]{12}")


class ReportFilter(msgspec.Struct, frozen=True, kw_only=True):
    """The filters given on the command line; keys by name or id."""

    keys: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()
    upstreams: tuple[str, ...] = ()
    outcomes: tuple[str, ...] = ()

    @property
    def is_set(self) -> bool:
        """Whether any filter was given."""
        return self != ReportFilter()

    async def selection(self, data_dir: Path) -> Selection:
        """The filters as the ledger has them. Raises click.ClickException for an unknown key."""
        keys = await _ids(data_dir, self.keys) if self.keys else ()
        return Selection(keys=keys, aliases=self.aliases, upstreams=self.upstreams, outcomes=self.outcomes)


def filter_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options to a command, which gets them as `wanted`."""

    @click.option("--key", "keys", multiple=True, metavar="NAME", help="Only this key, by name or id.")
    @click.option("--alias", "--model", "aliases", multiple=True, metavar="ALIAS", help="Only this alias.")
    @click.option("--upstream", "upstreams", multiple=True, metavar="NAME", help="Only what this upstream served.")
    @click.option(
        "--outcome",
        "outcomes",
        multiple=True,
        type=click.Choice(get_args(Outcome)),
        metavar="OUTCOME",
        help=f"Only requests with this outcome: {', '.join(get_args(Outcome))}.",
    )
    @wraps(command)
    def with_filters(
        *args: Any,
        keys: tuple[str, ...],
        aliases: tuple[str, ...],
        upstreams: tuple[str, ...],
        outcomes: tuple[str, ...],
        **options: Any,
    ) -> None:
        wanted = ReportFilter(keys=keys, aliases=aliases, upstreams=upstreams, outcomes=outcomes)
        command(*args, wanted=wanted, **options)

    return with_filters


async def _ids(data_dir: Path, wanted: tuple[str, ...]) -> tuple[str, ...]:
    """The ids of keys that are named by name or id: a name is that of the live key, else of the revoked ones."""
    names = {name for name in wanted if not _ID.fullmatch(name)}
    if not names:
        return wanted
    known: dict[str, list[str]] = {demo_key.NAME: [demo_key.key_id()]}
    if await asyncio.to_thread((data_dir / "keys.db").exists):
        async with KeyStore(data_dir) as store:
            for name in names:
                key = await store.find(name)
                if key is not None:
                    known.setdefault(name, []).append(key.id)
            live = set(known)
            if names - live:
                async for key in store.all(revoked=True):
                    if key.name not in live:
                        known.setdefault(key.name, []).append(key.id)
    for name in sorted(names - known.keys()):
        raise click.ClickException(
            f'There is no key named "{name}"; those there are, revoked ones too: prometheus-gateway keys list --all'
        )
    ids = {name for name in wanted if name not in names}
    return tuple(sorted(ids.union(*(known[name] for name in names))))
