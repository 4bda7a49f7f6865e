"""`budgets`: the sums are the ledger's, for whom each budget is."""

import json
import sqlite3
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

from proxy.ledger.record import UsageRecord
from tests.cli.conftest import Run, row

Stored = Callable[[Sequence[UsageRecord]], None]
DOLLAR = 1_000_000_000


def ids(run: Run, kind: str) -> dict[str, str]:
    return {one["name"]: one["id"] for one in json.loads(run(kind, "list", "--json").stdout)}


def spend(run: Run, stored: Stored, *costs: int) -> None:
    """Requests of the key `app` now, in nano-dollars."""
    keys, teams, orgs = (ids(run, kind) for kind in ("keys", "teams", "orgs"))
    now = time.time_ns() // 1_000
    stored(
        [
            row(number, started=now, key=keys["app"], team=teams["web"], org=orgs["acme"], cost=cost)
            for number, cost in enumerate(costs)
        ]
    )


def make(run: Run) -> None:
    run("orgs", "create", "acme", "--budget", "1000/year")
    run("teams", "create", "web", "--org", "acme", "--budget", "20/total on_exceed=warn")
    run("keys", "create", "app", "--team", "web", "--budget", "4/month models=other", "--budget", "8/total")
    run("keys", "create", "idle", "--budget", "1/day zone=Europe/Berlin")


def test_each_budget_has_what_was_spent_of_it(run: Run, stored: Stored) -> None:
    make(run)
    spend(run, stored, 2 * DOLLAR, DOLLAR // 2)
    lines = json.loads(run("budgets", "--json").stdout)
    assert [(line["payer"], line["window"], line["spent"], line["left"], line["percent"]) for line in lines] == [
        ("org acme", "year", "2.50", "997.50", 0.2),
        ("team web", "total", "2.50", "17.50", 12.5),
        ("key app", "month", "0.00", "4.00", 0.0),
        ("key app", "total", "2.50", "5.50", 31.2),
        ("key idle", "day", "0.00", "1.00", 0.0),
    ]
    assert [line["reset"] is None for line in lines] == [False, True, False, True, False]
    table = run("budgets", "--key", "idle", COLUMNS="200").stdout.splitlines()
    assert len(table) == 2
    assert table[1].endswith(("00:00 CET  refuse", "00:00 CEST  refuse"))


def test_credits_count_what_was_spent_since_the_first_ones(run: Run, stored: Stored) -> None:
    make(run)
    run("keys", "credits", "add", "app", "3")
    spend(run, stored, DOLLAR)
    (line,) = [one for one in json.loads(run("budgets", "--json").stdout) if one["window"] == "credits"]
    assert (line["payer"], line["limit"], line["spent"], line["left"]) == ("key app", "3.00", "1.00", "2.00")


def test_what_was_left_of_expired_credits_is_lost(run: Run, stored: Stored, folder: Path) -> None:
    make(run)
    run("keys", "credits", "add", "app", "3", "--expires", "1d")
    run("keys", "credits", "add", "app", "10")
    with closing(sqlite3.connect(folder / "data" / "keys.db")) as connection, connection:
        connection.execute("UPDATE credits SET created = created - 90000, expires = expires - 90000")
    spend(run, stored, DOLLAR)
    (line,) = [one for one in json.loads(run("budgets", "--json").stdout) if one["window"] == "credits"]
    # The request was made after the first ones had expired.
    assert (line["limit"], line["spent"], line["left"]) == ("10.00", "1.00", "9.00")


def test_budgets_of_the_file_count_all_whom_they_name(run: Run, stored: Stored, folder: Path) -> None:
    make(run)
    spend(run, stored, DOLLAR)
    (folder / "prometheus.toml").write_text(
        '[budgets.all]\nlimit = "10"\n[budgets.two]\nlimit = "2"\nteams = ["web", "later"]\n'
    )
    found = json.loads(run("budgets", "--json").stdout)[:2]
    assert [(line["name"], line["payer"], line["spent"]) for line in found] == [
        ("all", "everything", "1.00"),
        ("two", "team web, team later", "1.00"),
    ]
    assert len(json.loads(run("budgets", "--team", "later", "--json").stdout)) == 1


def test_those_near_their_limit_are_found(run: Run, stored: Stored) -> None:
    make(run)
    spend(run, stored, 7 * DOLLAR)
    assert [line["payer"] for line in json.loads(run("budgets", "--over", "80", "--json").stdout)] == ["key app"]
    assert "No budget passes" in run("budgets", "--over", "99").stderr


def test_without_a_store_there_are_none(run: Run, folder: Path) -> None:
    result = run("budgets")
    assert (result.exit_code, result.stdout, list(folder.iterdir())) == (0, "", [])
    assert "There are no budgets" in result.stderr
