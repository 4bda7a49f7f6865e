"""`doctor`: runs all checks and prints what it found. What is looked at is in `checks`."""

import asyncio
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import msgspec

from proxy.cli import checks
from proxy.cli.checks import Check
from proxy.cli.options import Place, chosen_file, store_options
from proxy.cli.output import print_json, printable, wrapped
from proxy.cli.stream_check import check_stream
from proxy.config.load import Loaded, examine
from proxy.config.problems import ConfigProblems
from proxy.config.tree import Config
from proxy.errors import ConfigFault
from proxy.observability.colour import may_colour

_COLOURS = {"ok": "green", "warn": "yellow", "fail": "red"}
#: Characters that the state takes, and those that a line has at least beside it.
_INDENT = 6
_MIN_ROOM = 20


@click.command()
@click.option("--offline", is_flag=True, help="Send nothing to upstreams.")
@click.option(
    "--url", metavar="URL", help="The gateway's public address: whether a proxy in front of it buffers streams."
)
@store_options
@click.pass_context
def command(
    ctx: click.Context,
    offline: bool,
    url: str | None,
    place: Place,
    as_json: bool,
) -> None:
    """Look for what is wrong with this installation, and say how to mend it.

    Each upstream is asked for its models: how long that takes, and whether it refuses the credential.
    """
    found = list(_run(place, offline))
    if url is not None:
        found.append(Check("public address", *check_stream(url)))
    failed = any(check.state == "fail" for check in found)
    if as_json:
        print_json({"ok": not failed, "checks": msgspec.to_builtins(found)})
    else:
        for check in found:
            _print(check)
    ctx.exit(1 if failed else 0)


def _print(check: Check) -> None:
    """Print a line; on a terminal what does not fit goes on below the message, and the state has a colour."""
    # An upstream's own words can be among them.
    text = printable(f"{check.name}: {check.message}" + (f" ({check.hint})" if check.hint else ""))
    room = shutil.get_terminal_size().columns - _INDENT
    lines = wrapped(text, max(room, _MIN_ROOM)) if sys.stdout.isatty() else [text]
    state = click.style(f"{check.state:<{_INDENT}}", fg=_COLOURS[check.state])
    # Coloured or not, whatever the library thinks of this stream.
    click.echo(state + f"\n{' ' * _INDENT}".join(lines), color=may_colour(sys.stdout, os.environ))


def _run(place: Place, offline: bool) -> Iterator[Check]:
    yield checks.python()
    yield from checks.packages()
    yield checks.sqlite_version()
    yield checks.descriptors()
    path = chosen_file(place.config_path)
    config: Config | None = None
    try:
        loaded = Loaded(Config(), ()) if path is None else examine(path, os.environ)
    except ConfigProblems as faults:
        for problem in faults.problems:
            yield Check("configuration", "fail", str(problem))
    else:
        config = loaded.config
        yield _configuration(path, config)
        for warning in loaded.warnings:
            yield Check("configuration", "warn", str(warning))
    yield from _data(place)
    if config is not None and not offline:
        for check in asyncio.run(checks.upstreams(config.upstreams, config.models)):
            yield msgspec.structs.replace(check, message=loaded.hide(check.message), hint=loaded.hide(check.hint))


def _data(place: Place) -> Iterator[Check]:
    try:
        directory = place.directory()
    except ConfigFault:
        # Its faults are printed already; a credential that is not set here would not have been one.
        return
    yield from checks.data_directory(directory)
    yield from checks.store(directory)


def _configuration(path: Path | None, config: Config) -> Check:
    if path is None:
        return Check("configuration", "ok", "there is none: serve runs the demo")
    if not config.models:
        return Check("configuration", "warn", f"{path} has no aliases", "add a [models.ALIAS] section")
    return Check("configuration", "ok", f"{path}: upstreams: {len(config.upstreams)}, aliases: {len(config.models)}")
