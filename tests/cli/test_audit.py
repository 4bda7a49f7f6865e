"""`audit`: the table says what has changed, and JSON has it before and after."""

import json

from tests.cli.conftest import Run


def test_changes_are_listed_the_newest_first(run: Run) -> None:
    secret = run("keys", "create", "app", "--tag", "a").stdout.strip()
    run("keys", "update", "app", "--tag", "b")
    result = run("audit", COLUMNS="200")
    assert result.stdout.splitlines()[1].split()[-4:] == ["tags", '["a"]', "->", '["b"]']
    rows = json.loads(run("audit", "--json").stdout)
    assert [row["action"] for row in rows] == ["key.update", "key.create"]
    assert (rows[0]["before"]["tags"], rows[0]["after"]["tags"]) == (["a"], ["b"])
    assert rows[0]["actor"].startswith("cli:")
    assert secret not in result.output + json.dumps(rows)


def test_changes_are_filtered_and_paged(run: Run) -> None:
    for name in ("one", "two"):
        run("keys", "create", name)
    run("keys", "revoke", "one")
    assert len(json.loads(run("audit", "--object", "one", "--json").stdout)) == 2
    assert len(json.loads(run("audit", "--action", "key.revoke", "--json").stdout)) == 1
    assert json.loads(run("audit", "--actor", "admin", "--json").stdout) == []
    assert len(json.loads(run("audit", "--actor", "cli", "--json").stdout)) == 3
    page = run("audit", "--limit", "2")
    assert "--before 2" in page.stderr
    assert len(json.loads(run("audit", "--before", "2", "--json").stdout)) == 1


def test_without_a_store_there_is_nothing(run: Run) -> None:
    result = run("audit")
    assert (result.exit_code, result.stdout) == (0, "")
