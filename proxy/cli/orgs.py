"""`orgs create|update|list|show|delete`: organisations in the store, beside a running gateway or without one."""

from pathlib import Path

import click
from msgspec import UNSET

from proxy.auth.groups import MAX_PAGE
from proxy.auth.orgs import Org
from proxy.auth.store import Store
from proxy.auth.values import OrgFields
from proxy.cli.key_view import group_data, print_group, print_groups
from proxy.cli.options import as_json, config_file, data_directory
from proxy.cli.output import print_json, print_note
from proxy.cli.subjects import (
    actor,
    budget_option,
    budgets_of,
    changed_budgets,
    changed_limits,
    in_existing_store,
    in_store,
    limit_option,
    limits_of,
    looked_up,
    no_budgets,
    no_limits,
    note_unknown_aliases,
)
from proxy.cli.usage_errors import Group, Number


@click.group(cls=Group)
def command() -> None:
    """Create, change, list and delete organisations.

    An organisation's limits and budgets bind all keys of all its teams together.
    """


@command.command(epilog="Example: orgs create acme --limit requests=6000/min --budget '2000/month zone=Europe/Berlin'")
@click.argument("name")
@limit_option
@budget_option
@config_file
@data_directory
@as_json
def create(
    name: str,
    limits: tuple[str, ...],
    budgets: tuple[str, ...],
    config_path: Path | None,
    data_dir: Path | None,
    as_json: bool,
) -> None:
    """Create the organisation NAME."""
    fields = OrgFields(name=name, limits=limits_of(limits), budgets=budgets_of(budgets))

    async def work(store: Store) -> Org:
        return await store.orgs.create(fields, actor=actor())

    org = in_store(config_path, data_dir, work)
    note_unknown_aliases(org, config_path)
    if as_json:
        print_json(group_data(org))
    else:
        print_note(
            f"Organisation {org.name} ({org.id}) was created. Give it teams with: teams create NAME --org {org.name}"
        )


@command.command(epilog="Example: orgs update acme --budget 3000/month --limit requests=")
@click.argument("name")
@click.option("--name", "new_name", metavar="NAME", help="Another name.")
@limit_option
@no_limits
@budget_option
@no_budgets
@config_file
@data_directory
@as_json
def update(
    name: str,
    new_name: str | None,
    limits: tuple[str, ...],
    no_limits: bool,
    budgets: tuple[str, ...],
    no_budgets: bool,
    config_path: Path | None,
    data_dir: Path | None,
    as_json: bool,
) -> None:
    """Change the organisation NAME (or id): what is not named stays.

    --limit changes the limits that it names, and takes one away where it has no rate; --budget takes the place of all
    budgets that there were.
    """

    async def work(store: Store) -> Org:
        async with store.database.transaction():
            before = await store.orgs.get(name)
            fields = OrgFields(
                name=new_name or UNSET,
                limits=changed_limits(limits, no_limits, before.limits),
                budgets=changed_budgets(budgets, no_budgets),
            )
            if fields == OrgFields():
                raise click.UsageError("Nothing is to be changed: name at least one option.")
            return await store.orgs.update(name, fields, actor=actor())

    org = in_store(config_path, data_dir, work)
    note_unknown_aliases(org, config_path)
    if as_json:
        print_json(group_data(org))
    else:
        what = f"Organisation {org.name} ({org.id}) is at version {org.version}"
        print_note(f"{what}. A running gateway follows within a second.")


@command.command("list")
@click.option("--name", metavar="PART", help="Only those with this in their names.")
@click.option("--limit", type=Number(1, MAX_PAGE - 1), default=500, show_default=True, help="Most organisations.")
@click.option("--after", metavar="ID", help="Go on after this one, the last one of the page before.")
@config_file
@data_directory
@as_json
def list_command(
    name: str | None,
    limit: int,
    after: str | None,
    config_path: Path | None,
    data_dir: Path | None,
    as_json: bool,
) -> None:
    """List organisations, by name."""

    async def work(store: Store) -> list[Org]:
        return await store.orgs.list(limit=limit + 1, after=after, name=name)

    found = in_existing_store(config_path, data_dir, work) or []
    nothing = "There are none. Create one with: prometheus-gateway orgs create NAME"
    print_groups(found, limit, as_json, "teams", nothing)


@command.command()
@click.argument("name")
@config_file
@data_directory
@as_json
def show(name: str, config_path: Path | None, data_dir: Path | None, as_json: bool) -> None:
    """Show all of the organisation NAME (or id)."""

    async def work(store: Store) -> Org:
        return await store.orgs.get(name)

    org = looked_up(config_path, data_dir, work)
    if as_json:
        print_json(group_data(org))
    else:
        print_group(org, "teams")


@command.command()
@click.argument("name")
@config_file
@data_directory
@as_json
def delete(name: str, config_path: Path | None, data_dir: Path | None, as_json: bool) -> None:
    """Delete the organisation NAME (or id), which must have no teams."""

    async def work(store: Store) -> Org:
        return await store.orgs.delete(name, actor=actor())

    org = in_store(config_path, data_dir, work)
    if as_json:
        print_json(group_data(org))
    else:
        print_note(f"Organisation {org.name} ({org.id}) is deleted. Its past requests stay in the reports.")
