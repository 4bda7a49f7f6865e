"""`teams create|update|list|show|delete`: teams in the store, beside a running gateway or without one."""

import click

from proxy.auth.values import TeamFields
from proxy.cli.groups import Kind, add_commands
from proxy.cli.usage_errors import Group


@click.group(cls=Group)
def command() -> None:
    """Create, change, list and delete teams.

    A team's limits and budgets bind all of its keys together, beside those that each key has of its own.
    """


add_commands(
    command,
    Kind(
        name="teams",
        word="team",
        members="keys",
        keeping="live keys",
        next_step="keys with: keys create NAME --team {name}",
        example="web",
        fields=TeamFields,
        store=lambda store: store.teams,
    ),
)
