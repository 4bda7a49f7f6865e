"""`orgs create|update|list|show|delete`: organisations in the store, beside a running gateway or without one."""

import click

from proxy.auth.values import OrgFields
from proxy.cli.groups import Kind, add_commands
from proxy.cli.usage_errors import Group


@click.group(cls=Group)
def command() -> None:
    """Create, change, list and delete organisations.

    An organisation's limits and budgets bind all keys of all its teams together.
    """


add_commands(
    command,
    Kind(
        name="orgs",
        word="organisation",
        members="teams",
        keeping="teams",
        next_step="teams with: teams create NAME --org {name}",
        example="acme",
        fields=OrgFields,
        store=lambda store: store.orgs,
    ),
)
