"""`teams create|update|list|show|delete`: teams in the store, beside a running gateway or without one."""

from pathlib import Path

import click
from msgspec import UNSET

from proxy.auth.groups import MAX_PAGE
from proxy.auth.store import Store
from proxy.auth.teams import Team
from proxy.auth.values import TeamFields
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
    """Create, change, list and delete teams.

    A team's limits and budgets bind all of its keys together, beside those that each key has of its own.
    """


@command.command(epilog="Example: teams create web --limit requests=6000/min --budget '2000/month zone=Europe/Berlin'")
@click.argument("name")
@click.option("--org", metavar="NAME", help="The organisation that it belongs to (orgs create).")
@limit_option
@budget_option
@config_file
@data_directory
@as_json
def create(
    name: str,
    org: str | None,
    limits: tuple[str, ...],
    budgets: tuple[str, ...],
    config_path: Path | None,
    data_dir: Path | None,
    as_json: bool,
) -> None:
    """Create the team NAME."""
    fields = TeamFields(name=name, org=org, limits=limits_of(limits), budgets=budgets_of(budgets))

    async def work(store: Store) -> Team:
        return await store.teams.create(fields, actor=actor())

    team = in_store(config_path, data_dir, work)
    note_unknown_aliases(team, config_path)
    if as_json:
        print_json(group_data(team))
    else:
        print_note(f"Team {team.name} ({team.id}) was created. Give it keys with: keys create NAME --team {team.name}")


@command.command(epilog="Example: teams update web --budget 3000/month --limit requests=")
@click.argument("name")
@click.option("--name", "new_name", metavar="NAME", help="Another name.")
@click.option("--org", metavar="NAME", help="The organisation that it belongs to (orgs create).")
@click.option("--no-org", is_flag=True, help="Take it out of its organisation.")
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
    org: str | None,
    no_org: bool,
    limits: tuple[str, ...],
    no_limits: bool,
    budgets: tuple[str, ...],
    no_budgets: bool,
    config_path: Path | None,
    data_dir: Path | None,
    as_json: bool,
) -> None:
    """Change the team NAME (or id): what is not named stays.

    --limit changes the limits that it names, and takes one away where it has no rate; --budget takes the place of all
    budgets that there were.
    """
    if org and no_org:
        raise click.UsageError("--org and --no-org exclude one another.")

    async def work(store: Store) -> Team:
        async with store.database.transaction():
            before = await store.teams.get(name)
            fields = TeamFields(
                name=new_name or UNSET,
                org=org or (None if no_org else UNSET),
                limits=changed_limits(limits, no_limits, before.limits),
                budgets=changed_budgets(budgets, no_budgets),
            )
            if fields == TeamFields():
                raise click.UsageError("Nothing is to be changed: name at least one option.")
            return await store.teams.update(name, fields, actor=actor())

    team = in_store(config_path, data_dir, work)
    note_unknown_aliases(team, config_path)
    if as_json:
        print_json(group_data(team))
    else:
        what = f"Team {team.name} ({team.id}) is at version {team.version}"
        print_note(f"{what}. A running gateway follows within a second.")


@command.command("list")
@click.option("--org", metavar="NAME", help="Only those of this organisation.")
@click.option("--name", metavar="PART", help="Only those with this in their names.")
@click.option("--limit", type=Number(1, MAX_PAGE - 1), default=500, show_default=True, help="Most teams.")
@click.option("--after", metavar="ID", help="Go on after this one, the last one of the page before.")
@config_file
@data_directory
@as_json
def list_command(
    org: str | None,
    name: str | None,
    limit: int,
    after: str | None,
    config_path: Path | None,
    data_dir: Path | None,
    as_json: bool,
) -> None:
    """List teams, by name."""

    async def work(store: Store) -> list[Team]:
        return await store.teams.list(limit=limit + 1, after=after, name=name, org=org)

    found = in_existing_store(config_path, data_dir, work) or []
    nothing = "There are none. Create one with: prometheus-gateway teams create NAME"
    print_groups(found, limit, as_json, "keys", nothing)


@command.command()
@click.argument("name")
@config_file
@data_directory
@as_json
def show(name: str, config_path: Path | None, data_dir: Path | None, as_json: bool) -> None:
    """Show all of the team NAME (or id)."""

    async def work(store: Store) -> Team:
        return await store.teams.get(name)

    team = looked_up(config_path, data_dir, work)
    if as_json:
        print_json(group_data(team))
    else:
        print_group(team, "keys")


@command.command()
@click.argument("name")
@config_file
@data_directory
@as_json
def delete(name: str, config_path: Path | None, data_dir: Path | None, as_json: bool) -> None:
    """Delete the team NAME (or id), which must have no live keys."""

    async def work(store: Store) -> Team:
        return await store.teams.delete(name, actor=actor())

    team = in_store(config_path, data_dir, work)
    if as_json:
        print_json(group_data(team))
    else:
        print_note(f"Team {team.name} ({team.id}) is deleted. Its past requests stay in the reports.")
