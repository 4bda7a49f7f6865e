"""The filter options of reports: who made the requests, for what, and how they ended."""

import re
from collections.abc import Callable, Mapping
from functools import wraps
from pathlib import Path
from typing import Any, get_args

import click
import msgspec

from proxy.auth.names import Names, read_names
from proxy.cli import demo_key
from proxy.errors import InvalidRequest
from proxy.ledger.record import Outcome
from proxy.ledger.selection import Selection

_KEY_ID = re.compile(r"key_[0-9a-f]{12}")


class ReportFilter(msgspec.Struct, frozen=True, kw_only=True):
    """The filters given on the command line; keys, teams and organisations by name or id."""

    keys: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    teams: tuple[str, ...] = ()
    orgs: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()
    endpoints: tuple[str, ...] = ()
    upstreams: tuple[str, ...] = ()
    outcomes: tuple[str, ...] = ()
    statuses: tuple[str, ...] = ()
    sessions: tuple[str, ...] = ()
    users: tuple[str, ...] = ()
    metadata: tuple[str, ...] = ()

    @property
    def is_set(self) -> bool:
        """Whether any filter was given."""
        return self != ReportFilter()

    async def selection(self, data_dir: Path) -> Selection:
        """The filters as the ledger has them. Raises click.ClickException for an unknown key, tag, team or status."""
        names = await read_names(data_dir) if self.keys or self.tags or self.teams or self.orgs else Names()
        try:
            return Selection(
                keys=tuple(sorted({id_ for key in self.keys for id_ in _key_ids(names, key)})),
                tagged=tuple({id_ for tag in self.tags for id_ in _tagged(names, tag)}) if self.tags else None,
                teams=tuple(_group_id(names.teams, "team", team) for team in self.teams),
                orgs=tuple(_group_id(names.orgs, "organisation", org) for org in self.orgs),
                aliases=self.aliases,
                endpoints=self.endpoints,
                upstreams=self.upstreams,
                outcomes=self.outcomes,
                statuses=self.statuses,
                sessions=self.sessions,
                users=self.users,
                metadata=tuple(_pair(text) for text in self.metadata),
            )
        except InvalidRequest as error:
            raise click.ClickException(error.message) from error


def filter_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options to a command, which gets them as `wanted`."""

    @click.option("--key", "keys", multiple=True, metavar="NAME", help="Only this key, by name or id.")
    @click.option("--tag", "tags", multiple=True, metavar="TAG", help="Only keys that have this tag now.")
    @click.option("--team", "teams", multiple=True, metavar="NAME", help="Only this team, by name or id.")
    @click.option("--org", "orgs", multiple=True, metavar="NAME", help="Only this organisation, by name or id.")
    @click.option("--alias", "--model", "aliases", multiple=True, metavar="ALIAS", help="Only this alias.")
    @click.option("--endpoint", "endpoints", multiple=True, metavar="PATH", help="Only this one: /v1/embeddings.")
    @click.option("--upstream", "upstreams", multiple=True, metavar="NAME", help="Only what this upstream served.")
    @click.option(
        "--outcome",
        "outcomes",
        multiple=True,
        type=click.Choice(get_args(Outcome)),
        metavar="OUTCOME",
        help=f"Only requests with this outcome: {', '.join(get_args(Outcome))}.",
    )
    @click.option("--status", "statuses", multiple=True, metavar="STATUS", help="Only this status, as 429 or 5xx.")
    @click.option("--session", "sessions", multiple=True, metavar="ID", help="Only this session of a client.")
    @click.option("--user", "users", multiple=True, metavar="ID", help="Only this user of a client.")
    @click.option("--metadata", multiple=True, metavar="KEY=VALUE", help="Only requests with this in their metadata.")
    @wraps(command)
    def with_filters(*args: Any, **options: Any) -> None:
        wanted = ReportFilter(**{name: options.pop(name) for name in ReportFilter.__struct_fields__})
        command(*args, wanted=wanted, **options)

    return with_filters


def _key_ids(names: Names, wanted: str) -> tuple[str, ...]:
    """The ids of a key that is named by name or id."""
    if _KEY_ID.fullmatch(wanted):
        return (wanted,)
    # The demo's key is in no store, and its name may be in one too.
    own = (demo_key.key_id(),) if wanted == demo_key.NAME else ()
    found = (*own, *names.key_ids(wanted))
    if not found:
        raise click.ClickException(
            f'There is no key named "{wanted}"; those there are, revoked ones too: prometheus-gateway keys list --all'
        )
    return found


def _tagged(names: Names, tag: str) -> tuple[str, ...]:
    found = names.tagged(tag)
    if not found:
        known = ", ".join(sorted({one for tags in names.tags.values() for one in tags})[:20]) or "none"
        raise click.ClickException(f'No key has the tag "{tag}". Tags that there are: {known}.')
    return found


def _group_id(known: Mapping[str, str], kind: str, wanted: str) -> str:
    """The id of a team or organisation; an id that is not known may be that of one that was deleted."""
    for id_, name in known.items():
        if wanted in (id_, name):
            return id_
    if wanted.startswith(("team_", "org_")):
        return wanted
    names = ", ".join(sorted(known.values())[:20]) or "none"
    raise click.ClickException(f'There is no {kind} named "{wanted}". Those that there are: {names}.')


def _pair(text: str) -> tuple[str, str]:
    key, mark, value = text.partition("=")
    if not mark or not key:
        raise click.ClickException(f'--metadata "{text}" is no KEY=VALUE, such as project=web.')
    return key, value
