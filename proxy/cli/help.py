"""`help`: what `--help` says, for those who write it as a word. Imports no command but the one that is explained."""

import json

import click

from proxy.cli.usage_errors import unknown


@click.command()
@click.argument("names", nargs=-1, metavar="[COMMAND]...")
@click.option("--json", "as_json", is_flag=True, help="Print JSON on stdout.")
@click.pass_context
def command(ctx: click.Context, names: tuple[str, ...], as_json: bool) -> None:
    """Explain the gateway, or a COMMAND of it."""
    explained = ctx.find_root()
    for name in names:
        group = explained.command
        if not isinstance(group, click.Group):
            ctx.fail(f"'{explained.command_path}' has no commands of its own.")
        found = group.get_command(explained, name)
        if found is None:
            ctx.fail(unknown("command", name, group.list_commands(explained)))
        explained = found.make_context(name, [], parent=explained, resilient_parsing=True)
    text = explained.get_help()
    click.echo(json.dumps({"command": explained.command_path, "help": text}) if as_json else text)
