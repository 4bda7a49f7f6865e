"""The command `prometheus-gateway` and the table of its sub-commands.

Each sub-command's module is imported when it is called and not before, so that `--help` and `version` answer at once:
nothing but click and our errors may be imported here.
"""

from collections.abc import Mapping
from importlib import import_module
from types import MappingProxyType
from typing import NamedTuple

import click

from proxy import __version__
from proxy.cli.usage_errors import Group
from proxy.errors import GatewayError

PROGRAM = "prometheus-gateway"
_DEFAULT = "serve"
_OWN_OPTIONS = frozenset({"--help", "-h", "--version", "-V"})


class Entry(NamedTuple):
    """Where a sub-command lives (its module has it as `command`), and its line in the help."""

    module: str
    help: str


COMMANDS: Mapping[str, Entry] = MappingProxyType(
    {
        "serve": Entry("proxy.cli.serve", "Run the gateway; without a configuration, the demo. The default command."),
        "init": Entry("proxy.cli.init", "Write a configuration file to start from."),
        "config": Entry("proxy.cli.config", "Check, show, reload the configuration; export and apply keys and teams."),
        "models": Entry("proxy.cli.models", "List the configured aliases, their targets and prices."),
        "keys": Entry("proxy.cli.keys", "Create, change, list, revoke and rotate keys; add credits."),
        "teams": Entry("proxy.cli.teams", "Create, change, list and delete teams of keys."),
        "orgs": Entry("proxy.cli.orgs", "Create, change, list and delete organisations of teams."),
        "budgets": Entry("proxy.cli.budgets", "List budgets and credits: spent, reserved, limit, reset."),
        "audit": Entry("proxy.cli.audit", "List who changed what, and when."),
        "admin": Entry("proxy.cli.admin", "Say where the token of the admin API is, and replace it."),
        "dashboard": Entry("proxy.cli.dashboard", "Print a link that signs an admin in to the dashboard."),
        "usage": Entry("proxy.cli.usage", "Sum up requests, tokens, cost and margin."),
        "top": Entry("proxy.cli.top", "Show what goes through now."),
        "ledger": Entry("proxy.cli.ledger", "Export the ledger, one row a request."),
        "doctor": Entry("proxy.cli.doctor", "Look for what is wrong with this installation."),
        "version": Entry("proxy.cli.version", "Print the version."),
        "help": Entry("proxy.cli.help", "Explain a command: help keys create."),
    }
)


class LazyGroup(Group):
    """A group whose commands are imported when they are called; what names none is meant for `serve`."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        entry = COMMANDS.get(cmd_name)
        if entry is None:
            return None
        command: click.Command = import_module(entry.module).command
        return command

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if not args or (args[0].startswith("-") and args[0] not in _OWN_OPTIONS):
            args = [_DEFAULT, *args]
        return super().parse_args(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.help) for name, entry in COMMANDS.items()])

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except GatewayError as error:
            raise click.ClickException(str(error)) from error


@click.command(
    PROGRAM,
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Every command takes --json and --help. Exit codes: 0 done, 1 failed, 2 wrong use.",
)
@click.version_option(__version__, "-V", "--version", prog_name=PROGRAM, message="%(prog)s %(version)s")
def group() -> None:
    """Prometheus Gateway: an OpenAI-compatible gateway with one correct bill per request.

    Without a command it serves; without a configuration it serves a demo.
    """


def main() -> None:
    """Run the command line and exit the process: 0 done, 1 failed, 2 wrong use."""
    group.main(prog_name=PROGRAM)
