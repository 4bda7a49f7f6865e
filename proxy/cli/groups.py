"""The commands `create|update|list|show|delete` of teams and of organisations, which differ in their words.

A team belongs to an organisation, too.
"""

from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import click
from msgspec import UNSET

from proxy.auth.groups import MAX_PAGE, Group, GroupStore
from proxy.auth.store import Store
from proxy.auth.values import OrgFields, TeamFields
from proxy.cli.key_view import group_data, print_group, print_groups
from proxy.cli.options import Place, store_options
from proxy.cli.output import print_json, print_note
from proxy.cli.subjects import (
    Bounds,
    actor,
    bounds_options,
    budgets_of,
    changed_bounds_options,
    limits_of,
    note_unknown_aliases,
)
from proxy.cli.usage_errors import Number

C = TypeVar("C", bound=Callable[..., Any])


class Kind(NamedTuple):
    """What is not the same for teams and organisations."""

    #: Its command, and its word in texts.
    name: str
    word: str
    #: What belongs to it, which of that keeps it from being deleted, and how to give some to `{name}`.
    members: str
    keeping: str
    next_step: str
    example: str
    fields: type[TeamFields | OrgFields]
    store: Callable[[Store], GroupStore[Any, Any]]


def add_commands(group: click.Group, kind: Kind) -> None:
    """Add the commands of a kind to its group."""
    is_team = kind.name == "teams"
    word, words, title = kind.word, f"{kind.word}s", kind.word.capitalize()

    def of_teams(option: Callable[[C], C]) -> Callable[[C], C]:
        """An option that teams have, and organisations have not."""
        return option if is_team else lambda command: command

    org_option = of_teams(
        click.option("--org", metavar="NAME", help="The organisation that it belongs to (orgs create).")
    )

    @group.command(
        help=f"Create the {word} NAME.",
        epilog=f"Example: {kind.name} create {kind.example} --limit requests=6000/min "
        "--budget '2000/month zone=Europe/Berlin'",
    )
    @click.argument("name")
    @org_option
    @bounds_options
    @store_options
    def create(name: str, bounds: Bounds, place: Place, as_json: bool, **parent: str | None) -> None:
        fields = kind.fields(name=name, limits=limits_of(bounds.limits), budgets=budgets_of(bounds.budgets), **parent)
        made: Group = place.in_store(lambda store: kind.store(store).create(fields, actor=actor()))
        note_unknown_aliases(made, place)
        _print(made, as_json, f"was created. Give it {kind.next_step.format(name=made.name)}")

    @group.command(
        help=f"""Change the {word} NAME (or id): what is not named stays.

        --limit changes the limits that it names, and takes one away where it has no rate; --budget takes the place of
        all budgets that there were.
        """,
        epilog=f"Example: {kind.name} update {kind.example} --budget 3000/month --limit requests=",
    )
    @click.argument("name")
    @click.option("--name", "new_name", metavar="NAME", help="Another name.")
    @org_option
    @of_teams(click.option("--no-org", is_flag=True, help="Take it out of its organisation."))
    @changed_bounds_options
    @store_options
    def update(
        name: str,
        new_name: str | None,
        bounds: Bounds,
        place: Place,
        as_json: bool,
        org: str | None = None,
        no_org: bool = False,
    ) -> None:
        if org and no_org:
            raise click.UsageError("--org and --no-org exclude one another.")
        parent = {"org": org or (None if no_org else UNSET)} if is_team else {}

        async def work(store: Store) -> Group:
            groups = kind.store(store)
            async with store.database.transaction():
                before = await groups.get(name)
                limits, budgets = bounds.changed_limits(before.limits), bounds.changed_budgets()
                fields = kind.fields(name=new_name or UNSET, limits=limits, budgets=budgets, **parent)
                if fields == kind.fields():
                    raise click.UsageError("Nothing is to be changed: name at least one option.")
                changed: Group = await groups.update(name, fields, actor=actor())
                return changed

        changed = place.in_store(work)
        note_unknown_aliases(changed, place)
        _print(changed, as_json, f"is at version {changed.version}. A running gateway follows within a second.")

    @group.command("list", help=f"List {words}, by name.")
    @of_teams(click.option("--org", metavar="NAME", help="Only those of this organisation."))
    @click.option("--name", metavar="PART", help="Only those with this in their names.")
    @click.option("--limit", type=Number(1, MAX_PAGE - 1), default=500, show_default=True, help=f"Most {words}.")
    @click.option("--after", metavar="ID", help="Go on after this one, the last one of the page before.")
    @store_options
    def list_command(
        name: str | None, limit: int, after: str | None, place: Place, as_json: bool, **parent: str | None
    ) -> None:
        found: list[Group] | None = place.in_existing_store(
            lambda store: kind.store(store).list(limit=limit + 1, after=after, name=name, **parent)
        )
        nothing = f"There are none. Create one with: prometheus-gateway {kind.name} create NAME"
        print_groups(found or [], limit, as_json, kind.members, nothing)

    @group.command(help=f"Show all of the {word} NAME (or id).")
    @click.argument("name")
    @store_options
    def show(name: str, place: Place, as_json: bool) -> None:
        found: Group = place.looked_up(lambda store: kind.store(store).get(name))
        if as_json:
            print_json(group_data(found))
        else:
            print_group(found, kind.members)

    @group.command(help=f"Delete the {word} NAME (or id), which must have no {kind.keeping}.")
    @click.argument("name")
    @store_options
    def delete(name: str, place: Place, as_json: bool) -> None:
        deleted: Group = place.in_store(lambda store: kind.store(store).delete(name, actor=actor()))
        _print(deleted, as_json, "is deleted. Its past requests stay in the reports.")

    def _print(found: Group, as_json: bool, what: str) -> None:
        if as_json:
            print_json(group_data(found))
        else:
            print_note(f"{title} {found.name} ({found.id}) {what}")
