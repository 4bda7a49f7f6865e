"""`config export` and `config apply`: from one data directory to another, and back."""

import json
from pathlib import Path

from tests.cli.conftest import Run


def filled(run: Run) -> None:
    run("orgs", "create", "acme")
    run("teams", "create", "web", "--org", "acme", "--budget", "500/month")
    run("keys", "create", "app", "--team", "web", "--limit", "requests=600/min")


def test_an_export_is_applied_elsewhere_and_exported_the_same(run: Run, folder: Path) -> None:
    filled(run)
    text = run("config", "export").stdout
    (folder / "store.toml").write_text(text)
    applied = run("config", "apply", "store.toml", "--data-dir", "other")
    assert applied.exit_code == 0
    (line,) = applied.stdout.splitlines()
    assert line.startswith("app\tprom_sk_")
    assert line.split("\t")[1] not in applied.stderr
    assert "Done: 3 created." in applied.stderr
    assert run("config", "export", "--data-dir", "other").stdout == text
    again = run("config", "apply", "store.toml", "--data-dir", "other")
    assert (again.stdout, "Nothing is to be changed" in again.stderr) == ("", True)
    (folder / "store.json").write_text(run("config", "export", "--json").stdout)
    assert "Nothing is to be changed" in run("config", "apply", "store.json").stderr


def test_a_dry_run_shows_the_difference_on_stdout_and_makes_nothing(run: Run, folder: Path) -> None:
    (folder / "store.toml").write_text('[keys.app]\nlimits = { requests = "5/s" }\n')
    result = run("config", "apply", "store.toml", "--dry-run")
    assert result.stdout == '+ key app\n    limits: {"requests":"5/s"}\n'
    assert "Nothing was changed" in result.stderr
    assert [file.name for file in folder.iterdir()] == ["store.toml"]


def test_pruning_is_shown_before_it_is_done(run: Run, folder: Path) -> None:
    filled(run)
    (folder / "store.toml").write_text("[orgs.acme]\n")
    dry = run("config", "apply", "store.toml", "--prune", "--dry-run").stdout
    assert dry == "- key app\n- team web\n"
    done = json.loads(run("config", "apply", "store.toml", "--prune", "--json").stdout)
    assert [(change["kind"], change["name"]) for change in done["changes"]] == [("keys", "app"), ("teams", "web")]
    assert json.loads(run("keys", "list", "--json").stdout) == []


def test_faults_have_their_lines(run: Run, folder: Path) -> None:
    (folder / "store.toml").write_text('[keys.app]\n\nteam = "none"\n')
    result = run("config", "apply", "store.toml")
    assert (result.exit_code, "store.toml:3: keys.app.team: there is no team 'none'" in result.stderr) == (1, True)


def test_what_the_configuration_file_names_wins(run: Run, folder: Path) -> None:
    filled(run)
    text = run("config", "export").stdout
    (folder / "prometheus.toml").write_text('\n[budgets.big]\nlimit = "5"\nteams = ["web"]\n')
    (folder / "store.toml").write_text(text.replace('"500"', '"600"'))
    result = run("config", "apply", "store.toml")
    assert result.exit_code == 0
    assert "note: prometheus.toml:2: budgets.big sets the budget of team 'web' and wins" in result.stderr
    assert run("config", "export").stdout == text
