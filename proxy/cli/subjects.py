"""The options of limits and budgets that `keys`, `teams` and `orgs` share, and how limits and budgets are shown.

What is wrong in a text is a wrong use; what is wrong in a value, the store says.
"""

import os
import pwd
from collections.abc import Callable, Sequence
from decimal import Decimal, InvalidOperation
from functools import wraps
from typing import Any, Final, NamedTuple

import click
import msgspec
from msgspec import UNSET, UnsetType

from proxy.auth.groups import Group
from proxy.auth.keys import StoredKey
from proxy.auth.values import plain_limits
from proxy.cli.options import Place
from proxy.cli.output import print_note
from proxy.cli.usage_errors import unknown
from proxy.config.faults import explain
from proxy.config.problems import did_you_mean
from proxy.config.tree import Budget, Limits

_FIELDS: Final = ("requests", "tokens", "input_tokens", "output_tokens", "audio_minutes", "concurrent")
_LISTS: Final = frozenset({"warn", "models"})
#: Settings of a budget beside its limit and its window, but for those of the file only.
_SETTINGS: Final = tuple(
    name for name in Budget.__struct_fields__ if name not in {"limit", "window", "keys", "teams", "orgs"}
)

_limit_option = click.option(
    "--limit",
    "limits",
    multiple=True,
    metavar="[ALIAS:]WHAT=RATE",
    help="A limit: requests=600/min, tokens=200000/min, input_tokens, output_tokens, audio_minutes, concurrent=20; for "
    "one alias core:tokens=5000/h. Repeatable.",
)
_budget_option = click.option(
    "--budget",
    "budgets",
    multiple=True,
    metavar="USD/WINDOW",
    help='A budget: 500/month, 20/day, 100/week:sun, 9.99/total; with settings "500/month zone=Europe/Berlin '
    'on_exceed=soft_cap warn=80,100 models=core". Repeatable.',
)
_no_limits = click.option("--no-limits", is_flag=True, help="Take all limits away, but for those of --limit.")
_no_budgets = click.option("--no-budgets", is_flag=True, help="Take all budgets away.")


class Bounds(NamedTuple):
    """What the options say of limits and budgets."""

    limits: tuple[str, ...] = ()
    budgets: tuple[str, ...] = ()
    no_limits: bool = False
    no_budgets: bool = False

    def changed_limits(self, before: Limits | None) -> Limits | UnsetType | None:
        """What an update makes of the limits: UNSET where nothing was said of them."""
        if not self.limits:
            return None if self.no_limits else UNSET
        return limits_of(self.limits, None if self.no_limits else before)

    def changed_budgets(self) -> Sequence[Budget] | UnsetType | None:
        """What an update makes of the budgets: those that are given take the place of all."""
        if self.budgets and self.no_budgets:
            message = "--budget and --no-budgets exclude one another: --budget replaces all budgets anyway."
            raise click.UsageError(message)
        if not self.budgets:
            return None if self.no_budgets else UNSET
        return budgets_of(self.budgets)


def bounds_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add --limit and --budget to a command, which gets them as `bounds`."""
    return _limit_option(_budget_option(_with_bounds(command)))


def changed_bounds_options(command: Callable[..., None]) -> Callable[..., None]:
    """The same for an update, with options that take limits and budgets away."""
    return _limit_option(_no_limits(_budget_option(_no_budgets(_with_bounds(command)))))


def _with_bounds(command: Callable[..., None]) -> Callable[..., None]:
    @wraps(command)
    def with_bounds(*args: Any, **options: Any) -> None:
        bounds = Bounds(**{name: options.pop(name) for name in Bounds._fields if name in options})
        command(*args, bounds=bounds, **options)

    return with_bounds


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


def note_unknown_aliases(changed: StoredKey | Group, place: Place) -> None:
    """Note which aliases of a key, a team or an organisation, of its limits or its budgets are not configured."""
    known = place.config().models
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
