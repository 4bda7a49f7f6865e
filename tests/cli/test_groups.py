"""What teams and organisations have alike on the command line, and what teams alone have."""

import click
import pytest

from proxy.cli import orgs, teams


def _options(group: click.Group, name: str) -> set[str]:
    return {option for parameter in group.commands[name].params for option in parameter.opts}


def test_both_have_the_same_commands() -> None:
    assert list(teams.command.commands) == list(orgs.command.commands) == ["create", "update", "list", "show", "delete"]


@pytest.mark.parametrize(
    ("name", "only"), [("create", {"--org"}), ("update", {"--org", "--no-org"}), ("list", {"--org"}), ("show", set())]
)
def test_only_a_team_has_an_organisation(name: str, only: set[str]) -> None:
    assert _options(teams.command, name) - _options(orgs.command, name) == only
    assert _options(orgs.command, name) <= _options(teams.command, name)


@pytest.mark.parametrize(("group", "word"), [(teams.command, "team"), (orgs.command, "organisation")])
def test_each_command_names_its_kind(group: click.Group, word: str) -> None:
    assert all(word in str(command.help) for command in group.commands.values())
