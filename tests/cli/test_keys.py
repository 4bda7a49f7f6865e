"""`keys`: what is printed where, and what the store holds afterwards."""

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Run


def test_the_secret_is_alone_on_stdout(run: Run) -> None:
    result = run("keys", "create", "me")
    assert result.exit_code == 0
    assert result.stdout.startswith("prom_sk_")
    assert len(result.stdout.strip()) >= 40
    assert result.stdout.strip() not in result.stderr


def test_a_key_as_json(run: Run) -> None:
    made = json.loads(run("keys", "create", "me", "--models", "b, a", "--expires", "2999-01-01", "--json").stdout)
    assert made["secret"].endswith(made["hint"])
    assert (made["name"], made["models"], made["expires"]) == ("me", ["a", "b"], "2999-01-01T00:00:00Z")


def test_the_list_holds_no_secret(run: Run) -> None:
    secret = run("keys", "create", "me").stdout.strip()
    result = run("keys", "list")
    assert "me" in result.stdout.splitlines()[1]
    assert secret not in result.output
    assert secret not in run("keys", "list", "--json").output


def test_the_prefix_is_that_of_the_configuration(run: Run, folder: Path) -> None:
    (folder / "prometheus.toml").write_text('[server]\nkey_prefix = "own-"\n')
    assert run("keys", "create", "me").stdout.startswith("own-")
    assert run("keys", "rotate", "me").stdout.startswith("own-")


def test_a_name_is_given_once(run: Run) -> None:
    run("keys", "create", "me")
    result = run("keys", "create", "me")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "revoke or rotate it" in result.stderr


def test_a_revoked_key_is_only_in_the_list_of_all(run: Run) -> None:
    run("keys", "create", "me")
    assert run("keys", "revoke", "me").exit_code == 0
    assert json.loads(run("keys", "list", "--json").stdout) == []
    (key,) = json.loads(run("keys", "list", "--all", "--json").stdout)
    assert key["revoked"] is not None
    assert "REVOKED" in run("keys", "list", "--all").stdout


def test_revoking_as_json(run: Run) -> None:
    run("keys", "create", "me")
    assert json.loads(run("keys", "revoke", "me", "--json").stdout)["revoked"] is not None


@pytest.mark.parametrize("command", ["revoke", "rotate"])
def test_an_unknown_key_is_an_error(command: str, run: Run) -> None:
    result = run("keys", command, "nobody")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "no live key 'nobody'" in result.stderr


def test_rotation_gives_a_new_secret_to_the_same_key(run: Run) -> None:
    first = json.loads(run("keys", "create", "me", "--json").stdout)
    second = json.loads(run("keys", "rotate", "me", "--grace", "24h", "--json").stdout)
    assert first["id"] == second["id"]
    assert first["secret"] != second["secret"]
    assert second["secret"].endswith(second["hint"])


@pytest.mark.parametrize(
    ("grace", "words"), [("0", "the old one works no longer"), ("24h", "the old one works for another 1 day")]
)
def test_rotation_says_how_long_the_old_secret_lasts(grace: str, words: str, run: Run) -> None:
    run("keys", "create", "me")
    result = run("keys", "rotate", "me", "--grace", grace)
    assert result.stdout.count("\n") == 1
    assert words in result.stderr


def test_an_alias_that_is_not_configured_is_noted(run: Run) -> None:
    run("init")
    result = run("keys", "create", "me", "--models", "prometheus-cor,prometheus-lite")
    assert result.exit_code == 0
    assert 'no alias is named "prometheus-cor"' in result.stderr
    assert "prometheus-lite" not in result.stderr


@pytest.mark.parametrize(
    "args", [["--models", " , "], ["--expires", "2020-01-01"], ["--expires", "soon"], ["--no-such-option"]]
)
def test_wrong_use_makes_no_key(args: list[str], run: Run) -> None:
    assert run("keys", "create", "me", *args).exit_code == 2
    assert json.loads(run("keys", "list", "--json").stdout) == []


def test_looking_makes_no_data_directory(run: Run, folder: Path) -> None:
    assert "keys create NAME" in run("keys", "list").stderr
    assert not (folder / "data").exists()


def test_pages_follow_each_other(run: Run) -> None:
    for name in ("a", "b", "c"):
        run("keys", "create", name)
    first = run("keys", "list", "--limit", "2", "--json")
    keys = json.loads(first.stdout)
    assert first.stderr == f"There are more: --after {keys[-1]['id']}\n"
    rest = run("keys", "list", "--limit", "2", "--after", keys[-1]["id"], "--json")
    assert [key["name"] for key in keys + json.loads(rest.stdout)] == ["a", "b", "c"]
    assert rest.stderr == ""


def test_the_data_directory_may_be_named(run: Run, folder: Path) -> None:
    run("keys", "create", "me", "--data-dir", "elsewhere")
    assert (folder / "elsewhere" / "keys.db").exists()
    assert not (folder / "data").exists()


@pytest.mark.parametrize("more", [(), ("--all",)])
def test_the_list_fits_80_columns(more: tuple[str, ...], run: Run) -> None:
    run("keys", "create", "n" * 64, "--models", ",".join(f"prometheus-{n}" for n in range(20)), "--expires", "30d")
    run("keys", "create", "me")
    assert max(map(len, run("keys", "list", *more).stdout.splitlines())) <= 80


# the demo's key

SECRET = "prom_sk_" + "d" * 43


@pytest.fixture
def demo(folder: Path) -> Path:
    """The file of a demo's key."""
    (folder / "data").mkdir()
    file = folder / "data" / "demo-key"
    file.write_text(SECRET + "\n")
    return file


def test_the_demo_s_key_is_in_the_list_and_its_secret_is_not(demo: Path, run: Run) -> None:
    run("keys", "create", "me")
    result = run("keys", "list")
    assert [line.split()[1] for line in result.stdout.splitlines()] == ["NAME", "demo", "me"]
    assert "without a configuration" in result.stderr
    assert [key["name"] for key in json.loads(run("keys", "list", "--json").stdout)] == ["demo", "me"]
    assert SECRET not in result.output


def test_the_demo_s_key_is_on_the_first_page_alone(demo: Path, run: Run) -> None:
    run("keys", "create", "me")
    (first,) = json.loads(run("keys", "list", "--limit", "1", "--json").stdout)
    (second,) = json.loads(run("keys", "list", "--after", first["id"], "--json").stdout)
    assert (first["name"], second["name"]) == ("demo", "me")


@pytest.mark.parametrize("command", ["revoke", "rotate"])
@pytest.mark.parametrize("name", ["demo", "key_2a97516c354b"])
def test_how_to_be_rid_of_the_demo_s_key(command: str, name: str, demo: Path, run: Run) -> None:
    result = run("keys", command, name)
    assert result.exit_code == 1
    assert "delete data/demo-key" in result.stderr


def test_a_key_of_ones_own_may_be_called_demo(demo: Path, run: Run) -> None:
    run("keys", "create", "demo")
    assert run("keys", "revoke", "demo").exit_code == 0


def test_a_key_with_all_of_it_is_shown(run: Run) -> None:
    run("teams", "create", "web")
    made = run(
        *("keys", "create", "app", "--team", "web", "--tag", "b", "--tag", "a", "--limit", "requests=600/min"),
        *("--budget", "500/month", "--metadata", "owner=me", "--json"),
    )
    key = json.loads(made.stdout)
    assert (key["team"], key["tags"], key["metadata"]) == ("web", ["a", "b"], {"owner": "me"})
    del key["secret"]
    assert json.loads(run("keys", "show", "app", "--json").stdout) == key
    assert "budget:   500/month" in run("keys", "show", key["id"]).stdout
    assert "requests=600/min" in run("keys", "list", COLUMNS="200").stdout


def test_an_update_changes_what_it_names_and_keeps_the_secret(run: Run) -> None:
    run("keys", "create", "app", "--models", "core", "--tag", "a", "--budget", "5/day", "--expires", "30d")
    before = json.loads(run("keys", "show", "app", "--json").stdout)
    result = run("keys", "update", "app", "--name", "new", "--all-models", "--no-tags", "--no-expiry")
    assert (result.exit_code, result.stdout) == (0, "")
    after = json.loads(run("keys", "show", "new", "--json").stdout)
    changed: dict[str, object] = {"name": "new", "models": None, "tags": [], "expires": None, "version": 2}
    assert after == {**before, **changed}


def test_keys_are_filtered(run: Run) -> None:
    run("orgs", "create", "acme")
    run("teams", "create", "web", "--org", "acme")
    run("keys", "create", "app", "--team", "web", "--tag", "prod")
    run("keys", "create", "other")
    for wanted in (("--team", "web"), ("--org", "acme"), ("--tag", "prod"), ("--name", "pp")):
        assert [key["name"] for key in json.loads(run("keys", "list", *wanted, "--json").stdout)] == ["app"]
    assert "No key passes these filters." in run("keys", "list", "--tag", "x").stderr


@pytest.mark.parametrize(
    "options",
    [
        (),
        ("--team", "web", "--no-team"),
        ("--models", "core", "--all-models"),
        ("--limit", "x=1/s"),
        ("--budget", "5"),
        ("--metadata", "x"),
    ],
)
def test_a_wrong_update_is_wrong_use(run: Run, options: tuple[str, ...]) -> None:
    run("keys", "create", "app")
    assert run("keys", "update", "app", *options).exit_code == 2
