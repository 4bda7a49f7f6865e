"""`config check|show|schema|reload|export|apply`: checks, prints, describes and reloads a configuration."""

import os
from pathlib import Path

import click
import msgspec

from proxy.admin.provider_keys import ProviderKeys, with_promoted
from proxy.cli import store_document
from proxy.cli.options import Place, as_json, chosen_file, config_file, configured, resolved, store_options
from proxy.cli.output import print_json, print_line, print_note, utc
from proxy.cli.usage_errors import Group
from proxy.config.load import examine
from proxy.config.problems import ConfigProblems, Problem
from proxy.config.schema import schema
from proxy.config.show import masked, show
from proxy.process.control_socket import send_command
from proxy.process.reload import RELOAD_COMMAND, ReloadResult

#: Longer than the slowest reload.
_RELOAD_SECONDS = 60.0


@click.group(cls=Group)
def command() -> None:
    """Check, show, describe and reload the configuration; export and apply keys, teams and organisations."""


command.add_command(store_document.export)
command.add_command(store_document.apply_command)


@command.command()
@click.argument("file", type=click.Path(path_type=Path), required=False)
@config_file
@as_json
@click.pass_context
def check(ctx: click.Context, file: Path | None, config_path: Path | None, as_json: bool) -> None:
    """Name every fault of the configuration (of FILE, or of --config), and warn of what is odd."""
    if file is not None and config_path is not None:
        raise click.UsageError("Name the file once: as FILE or with --config.")
    path = chosen_file(file or config_path)
    if path is None:
        raise click.UsageError(
            "There is no prometheus.toml here: name a file, or write one with prometheus-gateway init."
        )
    try:
        loaded = examine(path, os.environ)
    except ConfigProblems as faults:
        if not as_json:
            raise
        print_json({"ok": False, "problems": msgspec.to_builtins(faults.problems), "warnings": []})
        ctx.exit(1)
    config = loaded.config
    warnings = loaded.warnings
    if not config.models and not config.upstreams:
        hint = "prometheus-gateway init writes an example"
        what = "has no upstreams and no aliases, so that every request will be refused"
        warnings += (Problem(str(path), None, "", what, hint),)
    if as_json:
        print_json({"ok": True, "problems": [], "warnings": msgspec.to_builtins(warnings)})
    else:
        for warning in warnings:
            print_note(f"warning: {warning}")
        print_line(f"{path}: no faults; upstreams: {len(config.upstreams)}, aliases: {len(config.models)}")


@command.command("show")
@config_file
@as_json
def show_command(config_path: Path | None, as_json: bool) -> None:
    """Print the configuration in force, with every default and without secrets."""
    config, written = resolved(config_path), configured(config_path)
    keys = ProviderKeys(Path(config.server.data_dir))
    rotations = keys.current(config)
    config = with_promoted(config, rotations)
    for name, rotation in rotations.items():
        if rotation.promoted:
            since = utc(rotation.updated_at * 1_000_000)
            print_note(
                f"Note: api_key of [upstreams.{name}] is not the file's. It was rotated at {since}, and is in force "
                f"until the file has another one (kept in {keys.path})."
            )
    if as_json:
        print_json(msgspec.to_builtins(masked(config, written)))
    else:
        print_line(show(config, written).rstrip("\n"))


@command.command("schema")
@as_json
def schema_command(as_json: bool) -> None:
    """Print the JSON Schema of the configuration, for editors. It is JSON with and without --json."""
    print_json(schema())


@command.command("reload")
@store_options
@click.pass_context
def reload_command(ctx: click.Context, place: Place, as_json: bool) -> None:
    """Have the gateway that runs in the data directory reload its configuration, and print the result.

    A faulty one is not applied, and the one in force stays. Running requests are not touched.
    """
    response = send_command(place.directory(), RELOAD_COMMAND, _RELOAD_SECONDS)
    result = msgspec.json.decode(response, type=ReloadResult)
    if as_json:
        print_json(msgspec.to_builtins(result))
    elif result.ok:
        for warning in result.warnings:
            print_note(f"warning: {warning}")
        print_line(str(result))
    else:
        print_note(str(result))
    ctx.exit(0 if result.ok else 1)
