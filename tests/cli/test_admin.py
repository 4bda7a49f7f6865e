"""`admin token`: where it is, what it is, and another one."""

import json
from pathlib import Path

from tests.cli.conftest import Run


def test_it_says_where_the_token_is_and_not_what_it_is(folder: Path, run: Run) -> None:
    missing = run("admin", "token")
    assert (missing.exit_code, missing.stdout) == (0, "")
    assert "no admin token in data/admin.token yet" in missing.stderr
    made = run("admin", "token", "--rotate")
    secret = (folder / "data" / "admin.token").read_text().strip()
    assert (made.exit_code, made.stdout) == (0, "data/admin.token\n")
    assert secret not in made.stdout + made.stderr
    assert run("admin", "token").stdout == "data/admin.token\n"


def test_it_prints_the_token_where_that_is_asked_for(folder: Path, run: Run) -> None:
    made = run("admin", "token", "--rotate", "--show")
    secret = (folder / "data" / "admin.token").read_text().strip()
    assert made.stdout == f"{secret}\n"
    assert run("admin", "token", "--show").stdout == f"{secret}\n"
    assert run("admin", "token", "--rotate", "--show").stdout != f"{secret}\n"


def test_json_has_the_token_only_where_that_is_asked_for(folder: Path, run: Run) -> None:
    run("admin", "token", "--rotate")
    secret = (folder / "data" / "admin.token").read_text().strip()
    assert json.loads(run("admin", "token", "--json").stdout) == {"path": "data/admin.token", "exists": True}
    assert json.loads(run("admin", "token", "--json", "--show").stdout)["token"] == secret


def test_a_setting_owns_the_token(folder: Path, run: Run) -> None:
    (folder / "prometheus.toml").write_text('[admin]\ntoken = "${ADMIN_TOKEN}"\n')
    assert run("admin", "token").stdout == "${ADMIN_TOKEN}\n"
    refused = run("admin", "token", "--rotate")
    assert refused.exit_code == 1
    assert "admin.token in the configuration" in refused.stderr
    (folder / "prometheus.toml").write_text('[admin]\ntoken = "a-literal-token-of-more-than-32-characters"\n')
    assert "a-literal" not in run("admin", "token").stdout


def test_it_says_where_there_is_no_admin_api(folder: Path, run: Run) -> None:
    (folder / "prometheus.toml").write_text("[admin]\nenabled = false\n")
    assert "there is no admin API" in run("admin", "token").stderr
