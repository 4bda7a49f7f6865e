"""`teams`: what is printed where, and what the store holds afterwards."""

import json

from tests.cli.conftest import Run


def test_a_team_with_all_of_it(run: Run) -> None:
    run("orgs", "create", "acme")
    made = run(
        "teams",
        "create",
        "web",
        *("--org", "acme", "--limit", "requests=600/min", "--limit", "core:tokens=5/d"),
        *("--budget", "500/month zone=Europe/Berlin warn=80,100", "--json"),
    )
    team = json.loads(made.stdout)
    assert (team["name"], team["org"], team["keys"], team["version"]) == ("web", "acme", 0, 1)
    assert team["limits"] == {"requests": "600/min", "models": {"core": {"tokens": "5/d"}}}
    assert team["budgets"] == [{"limit": "500", "zone": "Europe/Berlin", "warn": [80, 100]}]
    assert json.loads(run("teams", "show", "web", "--json").stdout) == team
    shown = run("teams", "show", "web").stdout
    assert "requests=600/min, core:tokens=5/d" in shown
    assert "500/month zone=Europe/Berlin warn=80,100" in shown


def test_an_update_changes_what_it_names(run: Run) -> None:
    run("teams", "create", "web", "--limit", "requests=600/min", "--limit", "tokens=5/d", "--budget", "5/day")
    result = run("teams", "update", "web", "--limit", "requests=", "--limit", "concurrent=3")
    assert (result.exit_code, result.stdout) == (0, "")
    team = json.loads(run("teams", "show", "web", "--json").stdout)
    assert (team["limits"], team["budgets"]) == ({"tokens": "5/d", "concurrent": 3}, [{"limit": "5", "window": "day"}])
    run("teams", "update", "web", "--no-limits", "--no-budgets", "--name", "net")
    team = json.loads(run("teams", "show", "net", "--json").stdout)
    assert (team["limits"], team["budgets"], team["version"]) == (None, [], 3)


def test_teams_are_listed_and_filtered(run: Run) -> None:
    run("orgs", "create", "acme")
    run("teams", "create", "one", "--org", "acme")
    run("teams", "create", "two")
    assert [team["name"] for team in json.loads(run("teams", "list", "--json").stdout)] == ["one", "two"]
    assert [team["name"] for team in json.loads(run("teams", "list", "--org", "acme", "--json").stdout)] == ["one"]
    page = run("teams", "list", "--limit", "1")
    assert "one" in page.stdout
    assert "--after team_" in page.stderr


def test_one_with_keys_is_not_deleted(run: Run) -> None:
    run("teams", "create", "web")
    run("keys", "create", "app", "--team", "web")
    result = run("teams", "delete", "web")
    assert (result.exit_code, "1 live key;" in result.stderr) == (1, True)
    run("keys", "update", "app", "--no-team")
    assert run("teams", "delete", "web").exit_code == 0
    assert run("teams", "list", "--json").stdout == "[]\n"


def test_nothing_to_change_and_contradictions_are_wrong_use(run: Run) -> None:
    run("teams", "create", "web")
    assert run("teams", "update", "web").exit_code == 2
    assert run("teams", "update", "web", "--org", "acme", "--no-org").exit_code == 2
    assert run("teams", "update", "web", "--budget", "5/day", "--no-budgets").exit_code == 2
