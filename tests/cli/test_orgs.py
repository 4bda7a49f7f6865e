"""`orgs`: what is printed where, and what the store holds afterwards."""

import json
from pathlib import Path

from tests.cli.conftest import Run


def test_an_organisation_from_its_making_to_its_end(run: Run) -> None:
    assert run("orgs", "create", "acme", "--budget", "100/year").exit_code == 0
    run("teams", "create", "web", "--org", "acme")
    org = json.loads(run("orgs", "show", "acme", "--json").stdout)
    assert (org["name"], org["teams"], org["budgets"]) == ("acme", 1, [{"limit": "100", "window": "year"}])
    assert "teams:" in run("orgs", "show", "acme").stdout
    assert run("orgs", "update", "acme", "--budget", "200/year", "--budget", "5/day").exit_code == 0
    assert len(json.loads(run("orgs", "list", "--json").stdout)[0]["budgets"]) == 2
    assert "1 team;" in run("orgs", "delete", "acme").stderr
    run("teams", "delete", "web")
    assert run("orgs", "delete", "acme").exit_code == 0
    assert "There are none" in run("orgs", "list").stderr


def test_looking_makes_no_data_directory(run: Run, folder: Path) -> None:
    assert run("orgs", "list").exit_code == 0
    assert run("orgs", "show", "acme").exit_code == 1
    assert list(folder.iterdir()) == []


def test_a_budget_of_the_file_cannot_be_set_here(run: Run, folder: Path) -> None:
    (folder / "prometheus.toml").write_text('[budgets.big]\nlimit = "5"\norgs = ["acme"]\n')
    run("orgs", "create", "acme")
    result = run("orgs", "update", "acme", "--budget", "5/day")
    assert result.exit_code == 1
    assert "prometheus.toml:1: budgets.big sets the budget of org 'acme'" in result.stderr
