"""The options of limits and budgets that `keys`, `teams` and `orgs` share, and how limits and budgets are shown.

What is wrong in a text is a wrong use; what is wrong in a value, the store says.
"""

import asyncio
import os
import pwd
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, Final, TypeVar

import click
import msgspec
from msgspec import UNSET, UnsetType

from proxy.auth.keys import StoredKey
from proxy.auth.orgs import Org
from proxy.auth.store import Store
from proxy.auth.teams import Team
from proxy.auth.values import plain_limits
from proxy.cli.options import chosen_file, configured
from proxy.cli.output import print_note
from proxy.cli.usage_errors import unknown
from proxy.config.faults import explain
from proxy.config.file_budgets import owner_in_file
from proxy.config.problems import did_you_mean
from proxy.config.tree import Budget, Limits
from proxy.ledger.ledger import prepare

T = TypeVar("T")
_FIELDS: Final = ("requests", "tokens", "input_tokens", "output_tokens", "audio_minutes", "concurrent")
_LISTS: Final = frozenset({"warn", "models"})
#: Settings of a budget beside its limit and its window, but for those of the file only.
_SETTINGS: Final = tuple(
    name for name in Budget.__struct_fields__ if name not in {"limit", "window", "keys", "teams", "orgs"}
)

limit_option = click.option(
    "--limit",
    "limits",
    multiple=True,
    metavar="[ALIAS:]WHAT=RATE",
    help="A limit: requests=600/min, tokens=200000/min, input_tokens, output_tokens, audio_minutes, concurrent=20; for "
    "one alias core:tokens=5000/h. Repeatable.",
)
budget_option = click.option(
    "--budget",
    "budgets",
    multiple=True,
    metavar="USD/WINDOW",
    help='A budget: 500/month, 20/day, 100/week:sun, 9.99/total; with settings "500/month zone=Europe/Berlin '
    'on_exceed=soft_cap warn=80,100 models=core". Repeatable.',
)
no_limits = click.option("--no-limits", is_flag=True, help="Take all limits away, but for those of --limit.")
no_budgets = click.option("--no-budgets", is_flag=True, help="Take all budgets away.")


def limits_of(texts: Sequence[str], before: Limits | None = None) -> Limits:
    """The limits that were there, with those of `--limit` in their place; WHAT= without a rate takes one away."""
    plain: dict[str, Any] = plain_limits(before)
    for text in texts:
        left, equals, value = text.partition("=")
        alias, _, field = left.rpartition(":")
        if not equals:
            raise click.BadParameter(f"'{text}': write it as requests=600/min", param_hint="--limit")
        if field not in _FIELDS:
            raise click.BadParameter(unknown("limit", field, _FIELDS), param_hint="--limit")
        where = plain.setdefault("models", {}).setdefault(alias, {}) if alias else plain
        if field == "concurrent":
            if (value and not value.isascii()) or (value and not value.isdigit()):
                raise click.BadParameter(f"'{text}': concurrent is a whole number", param_hint="--limit")
            where[field] = int(value or 0)
        else:
            where[field] = value.strip()
    try:
        return msgspec.convert(plain, Limits)
    except msgspec.ValidationError as error:
        message, place = explain(error, Limits)
        raise click.BadParameter(f"{place}: {message}", param_hint="--limit") from error


def budgets_of(texts: Sequence[str]) -> list[Budget]:
    """The budgets of `--budget`."""
    return [_budget(text) for text in texts]


def changed_limits(texts: Sequence[str], none: bool, before: Limits | None) -> Limits | UnsetType | None:
    """What an update makes of the limits: UNSET where nothing was said of them."""
    if not texts:
        return None if none else UNSET
    return limits_of(texts, None if none else before)


def changed_budgets(texts: Sequence[str], none: bool) -> Sequence[Budget] | UnsetType | None:
    """What an update makes of the budgets: those that are given take the place of all."""
    if texts and none:
        raise click.UsageError("--budget and --no-budgets exclude one another: --budget replaces all budgets anyway.")
    if not texts:
        return None if none else UNSET
    return budgets_of(texts)


def _budget(text: str) -> Budget:
    amount, *settings = text.split()
    limit, slash, window = amount.partition("/")
    try:
        values: dict[str, Any] = {"limit": Decimal(limit.removeprefix("$"))}
    except InvalidOperation as error:
        raise click.BadParameter(f"'{text}': '{limit}' is no amount of USD", param_hint="--budget") from error
    if not slash or not window:
        raise click.BadParameter(f"'{text}' has no window: write it as {limit}/month", param_hint="--budget")
    values["window"] = window
    for setting in settings:
        name, equals, value = setting.partition("=")
        if name not in _SETTINGS or not equals:
            raise click.BadParameter(unknown("setting of a budget", name, _SETTINGS), param_hint="--budget")
        values[name] = [one for one in value.split(",") if one] if name in _LISTS else value
    try:
        return msgspec.convert(values, Budget, strict=False)
    except msgspec.ValidationError as error:
        message, place = explain(error, Budget)
        raise click.BadParameter(f"'{text}': {place} {message}", param_hint="--budget") from error


def note_unknown_aliases(changed: StoredKey | Team | Org, config_path: Path | None) -> None:
    """Note which aliases of a key, a team or an organisation, of its limits or its budgets are not configured."""
    known = configured(config_path).models
    named = set(changed.models or ()) if isinstance(changed, StoredKey) else set[str]()
    named.update(changed.limits.models if changed.limits is not None else ())
    named.update(alias for budget in changed.budgets for alias in budget.models)
    for alias in sorted(named.difference(known)) if known else ():
        print_note(f'Note: no alias is named "{alias}" in the configuration; {did_you_mean(alias, known)}')


def limits_text(limits: Limits | None, prefix: str = "") -> str:
    """Limits as `--limit` takes them, with commas between them."""
    plain = plain_limits(limits)
    of_aliases = plain.pop("models", {})
    found = [f"{prefix}{name}={str(value).replace(', ', ',')}" for name, value in plain.items()]
    if limits is not None:
        found += [limits_text(limits.models[alias], f"{alias}:") for alias in of_aliases]
    return ", ".join(found)


def budget_text(budget: Budget) -> str:
    """A budget as `--budget` takes it."""
    default = Budget(limit=Decimal(0))
    settings = [
        f"{name}={','.join(map(str, value)) if isinstance(value, list) else value}"
        for name in _SETTINGS
        if (value := getattr(budget, name)) != getattr(default, name)
    ]
    return " ".join([f"{budget.limit:f}/{budget.window}", *settings])


def budgets_text(budgets: Sequence[Budget]) -> str:
    """Budgets as `--budget` takes each, with commas between them."""
    return ", ".join(map(budget_text, budgets))


def actor() -> str:
    """Who runs this command, for the audit table."""
    try:
        return f"cli:{pwd.getpwuid(os.getuid()).pw_name}"
    except KeyError:
        # A container's user has no name.
        return f"cli:{os.getuid()}"


def in_store(config_path: Path | None, data_dir: Path | None, work: Callable[[Store], Awaitable[T]]) -> T:
    """The result of work in the store of the data directory, which is made where it is missing."""
    server = configured(config_path).server
    directory = data_dir or Path(server.data_dir)
    owner = owner_in_file(chosen_file(config_path))

    async def inner() -> T:
        prepare(directory)
        async with Store(directory, prefix=server.key_prefix, owner=owner) as store:
            return await work(store)

    return asyncio.run(inner())


def in_existing_store(
    config_path: Path | None, data_dir: Path | None, work: Callable[[Store], Awaitable[T]]
) -> T | None:
    """The same for work that only looks: None where there is no store, and none is made."""
    return in_store(config_path, data_dir, work) if store_exists(config_path, data_dir) else None


def looked_up(config_path: Path | None, data_dir: Path | None, work: Callable[[Store], Awaitable[T]]) -> T:
    """The same for work on what must be there."""
    found = in_existing_store(config_path, data_dir, work)
    if found is None:
        raise click.ClickException("Nothing was created in this data directory yet; --data-dir names another one.")
    return found


def in_scratch_store(work: Callable[[Store], Awaitable[T]]) -> T:
    """The result of work in an empty store that is removed afterwards."""

    async def inner() -> T:
        with tempfile.TemporaryDirectory() as directory:
            async with Store(Path(directory)) as store:
                return await work(store)

    return asyncio.run(inner())


def store_exists(config_path: Path | None, data_dir: Path | None) -> bool:
    """Whether anything was ever created in the data directory."""
    return ((data_dir or Path(configured(config_path).server.data_dir)) / "keys.db").exists()
