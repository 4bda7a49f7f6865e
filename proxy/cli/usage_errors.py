"""Groups of commands whose usage errors read alike: what was wrong, and the nearest known name.

`--help` and `version` come through here: nothing but click may be imported.
"""

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from types import MappingProxyType
from typing import Any

import click

#: Words that people try, and the command that does what they mean.
SYNONYMS: Mapping[str, str] = MappingProxyType(
    {
        "run": "serve",
        "start": "serve",
        "up": "serve",
        "stats": "usage",
        "check": "config check",
        "reload": "config reload",
        "export": "ledger export",
        "ls": "list",
        "add": "create",
        "new": "create",
        "delete": "revoke",
        "remove": "revoke",
        "rm": "revoke",
    }
)


def unknown(what: str, word: str, known: Iterable[str], synonym: str | None = None) -> str:
    """The message about an unknown name: the known one it was probably meant to be, else all of them."""
    names = list(known)
    close = [synonym] if synonym else get_close_matches(word, names, n=1)
    hint = f"Did you mean {close[0]}?" if close else f"There are {', '.join(names)}."
    return f"No such {what} '{word}'. {hint}"


class Group(click.Group):
    """A group that says which command or option was probably meant."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        known = self.list_commands(ctx)
        if args[0] not in known:
            synonym = SYNONYMS.get(args[0])
            meant = synonym if synonym is not None and synonym.split()[0] in known else None
            ctx.fail(unknown("command", args[0], known, meant))
        return super().resolve_command(ctx, args)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            raise _no_such_option(error) from error

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except click.NoSuchOption as error:
            raise _no_such_option(error) from error


def _no_such_option(error: click.NoSuchOption) -> click.UsageError:
    ctx = error.ctx
    known = [] if ctx is None else [name for param in ctx.command.get_params(ctx) for name in param.opts]
    options = [name for name in known if name.startswith("--")]
    return click.UsageError(unknown("option", error.option_name, options), ctx)


class Number(click.IntRange):
    """A whole number in a range, whose refusals say so."""

    name = "number"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        try:
            number = int(value)
        except (TypeError, ValueError):
            number = None
        low, high = self.min, self.max
        if number is None or (low is not None and number < low) or (high is not None and number > high):
            bounds = f" from {low} to {high}" if high is not None else f", {low} or more"
            self.fail(f"'{value}' is not a whole number{bounds}.", param, ctx)
        return number
