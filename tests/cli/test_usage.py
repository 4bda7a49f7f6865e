"""`usage`: sums by group, exact money, and where there is more."""

import asyncio
import csv
import io
import json
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

import pytest

from proxy.auth.keys import KeyStore
from proxy.ledger.record import UsageRecord
from tests.cli.conftest import Run, row

Stored = Callable[[Sequence[UsageRecord]], None]


def test_sums_by_model_and_their_total(run: Run, stored: Stored) -> None:
    stored([row(1), row(2), row(3, alias="prometheus-lite", cost=1)])
    lines = run("usage").stdout.splitlines()
    assert " ".join(lines[0].split()) == "MODEL REQUESTS INPUT OUTPUT COST USD TTFT P50 MS TREND"
    assert [line.split()[:5] for line in lines[1:]] == [
        ["prometheus-core", "2", "20", "10", "0.000066"],
        ["prometheus-lite", "1", "10", "5", "0.000000001"],
        ["total", "3", "30", "15", "0.000066001"],
    ]
    assert max(map(len, lines)) <= 80


def test_a_wide_terminal_has_all_columns(run: Run, stored: Stored) -> None:
    stored([row(1)])
    result = run("usage", COLUMNS="140")
    assert " ".join(result.stdout.splitlines()[0].split()) == (
        "MODEL REQUESTS ERRORS INPUT CACHED OUTPUT COST USD UNPRICED ESTIMATED TTFT P50 MS TTFT P95 MS TREND"
    )
    assert result.stderr == ""


def test_what_tells_something_and_is_left_out_is_named(run: Run, stored: Stored) -> None:
    stored([row(1, cached_input_tokens=7, cost=None)])
    result = run("usage", COLUMNS="60")
    assert "cached" in result.stderr
    assert "--json" in result.stderr
    assert max(map(len, result.stdout.splitlines())) <= 60


@pytest.mark.parametrize("by", ["key", "model", "alias", "day", "hour"])
def test_no_line_is_wider_than_80_columns(by: str, run: Run, stored: Stored) -> None:
    big = {"input_tokens": 10**10, "cached_input_tokens": 10**9, "output_tokens": 10**9, "cost": 10**14}
    stored([row(1, alias="a" * 128, **big), row(2, usage_source="estimated", status=500, cost=None)])
    assert max(map(len, run("usage", "--by", by).stdout.splitlines())) <= 80


def test_by_alias_is_by_model(run: Run, stored: Stored) -> None:
    stored([row(1), row(2, alias="prometheus-lite")])
    by_alias, by_model = run("usage", "--by", "alias").stdout, run("usage", "--by", "model").stdout
    assert by_alias.startswith("ALIAS ")
    assert by_alias.splitlines()[1:] == by_model.splitlines()[1:]
    assert run("usage", "--by", "alias", "--json").stdout == run("usage", "--by", "model", "--json").stdout


def test_what_has_no_price_is_unpriced_and_not_0(run: Run, stored: Stored) -> None:
    stored([row(1, cost=None)])
    (line,) = json.loads(run("usage", "--json").stdout)["lines"]
    assert (line["cost_usd"], line["unpriced"]) == ("unpriced", 1)


def test_as_json_the_cost_is_exact(run: Run, stored: Stored) -> None:
    stored([row(1)])
    totals = json.loads(run("usage", "--json").stdout)["totals"]
    assert (totals["cost_nano_usd"], totals["cost_usd"]) == (33_000, "0.000033")


def test_keys_are_named(run: Run, stored: Stored) -> None:
    key = json.loads(run("keys", "create", "me", "--json").stdout)
    stored([row(1, key=key["id"]), row(2, key="key_ffffffffffff")])
    output = run("usage", "--by", "key").stdout
    assert f"\nme ({key['id']}) " in output
    assert "\nkey_ffffffffffff " in output
    lines = json.loads(run("usage", "--by", "key", "--json").stdout)["lines"]
    assert {line["group"]: line.get("name") for line in lines} == {key["id"]: "me", "key_ffffffffffff": None}


@pytest.mark.parametrize(("by", "group"), [("day", "2026-09-21"), ("hour", "2026-09-21T14:00Z")])
def test_by_time(by: str, group: str, run: Run, stored: Stored) -> None:
    stored([row(1)])
    assert json.loads(run("usage", "--by", by, "--json").stdout)["lines"][0]["group"] == group


def test_a_span_of_time(run: Run, stored: Stored) -> None:
    stored([row(1)])

    def requests(*args: str) -> int:
        return int(json.loads(run("usage", "--json", *args).stdout)["totals"]["requests"])

    assert requests("--since", "2026-09-21", "--until", "2026-09-22") == 1
    assert requests("--since", "2026-09-22") == 0


def test_a_limit_names_the_way_on(run: Run, stored: Stored) -> None:
    stored([row(1, alias="a"), row(2, alias="b")])
    result = run("usage", "--limit", "1")
    assert "--cursor 'a'" in result.stderr
    assert [line.split()[0] for line in run("usage", "--cursor", "a").stdout.splitlines()] == ["MODEL", "b", "total"]


@pytest.mark.parametrize(
    "args",
    [["--limit", "0"], ["--by", "moon"], ["--since", "soon"], ["--since", "1h", "--until", "2h"], ["--outcome", "odd"]],
)
def test_wrong_use(args: list[str], run: Run) -> None:
    assert run("usage", *args).exit_code == 2


def test_no_ledger_is_an_error_that_says_how_to_mend_it(run: Run) -> None:
    result = run("usage")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "--data-dir" in result.stderr


def test_the_demo_s_key_has_its_name(run: Run, stored: Stored) -> None:
    stored([row(1, key="key_2a97516c354b")])
    assert "\ndemo (key_2a97516c354b) " in run("usage", "--by", "key").stdout
    assert json.loads(run("usage", "--key", "demo", "--json").stdout)["totals"]["requests"] == 1


def lines_of(run: Run, *options: str) -> dict[str, int]:
    document = json.loads(run("usage", *options, "--json").stdout)
    return {line.get("name", line["group"]): line["requests"] for line in document["lines"]}


def keys_db(folder: Path) -> None:
    """Two keys with tags, one of them revoked, in a team of an organisation."""

    async def make() -> None:
        async with KeyStore(folder / "data"):
            pass

    asyncio.run(make())
    with closing(sqlite3.connect(folder / "data" / "keys.db")) as connection, connection:
        connection.execute("INSERT INTO orgs (id, name, created) VALUES ('org_1', 'acme', 0)")
        connection.execute("INSERT INTO teams (id, name, org, created) VALUES ('team_1', 'web', 'org_1', 0)")
        for number, revoked, tags in ((1, None, '["blue", "prod"]'), (2, 9, '["prod"]')):
            connection.execute(
                "INSERT INTO keys (id, name, models, created, revoked, revision, team, tags) "
                "VALUES (?, ?, NULL, 0, ?, ?, 'team_1', ?)",
                (f"key_00000000000{number}", f"app{number}", revoked, number, tags),
            )


EMBEDDING = {"endpoint": "/v1/embeddings"}
PAYERS = [
    row(1, team="team_1", org="org_1", session="s-1", user="ann", metadata='{"project":"x"}'),
    row(
        2, key="key_000000000002", team="team_1", org="org_1", status=429, outcome="refused", endpoint="/v1/embeddings"
    ),
    row(3, key="key_000000000003"),
]


@pytest.mark.parametrize(
    ("by", "lines"),
    [
        ("key", {"app1": 1, "app2": 1, "key_000000000003": 1}),
        ("team", {"": 1, "web": 2}),
        ("org", {"": 1, "acme": 2}),
        ("tag", {"": 1, "blue": 1, "prod": 2}),
        ("session", {"": 2, "s-1": 1}),
        ("user", {"": 2, "ann": 1}),
        ("metadata:project", {"": 2, "x": 1}),
        ("endpoint", {"/v1/embeddings": 1, "chat.completions": 2}),
        ("week", {"2026-W39": 3}),
        ("month", {"2026-09": 3}),
    ],
)
def test_lines_by_who_pays(by: str, lines: dict[str, int], run: Run, stored: Stored, folder: Path) -> None:
    stored(PAYERS)
    keys_db(folder)
    assert lines_of(run, "--by", by) == lines


@pytest.mark.parametrize(
    ("filters", "count"),
    [
        (("--team", "web"), 2),
        (("--team", "team_1"), 2),
        (("--team", "team_gone"), 0),
        (("--org", "acme", "--status", "4xx"), 1),
        (("--tag", "prod"), 2),
        (("--tag", "prod", "--tag", "blue"), 2),
        (("--tag", "blue", "--key", "app2"), 0),
        (("--session", "s-1"), 1),
        (("--user", "ann"), 1),
        (("--metadata", "project=x"), 1),
        (("--metadata", "project=y"), 0),
        (("--endpoint", "/v1/embeddings"), 1),
    ],
)
def test_filters_by_who_pays(filters: tuple[str, ...], count: int, run: Run, stored: Stored, folder: Path) -> None:
    stored(PAYERS)
    keys_db(folder)
    assert json.loads(run("usage", *filters, "--json").stdout)["totals"]["requests"] == count


@pytest.mark.parametrize(
    ("options", "hint"),
    [
        (("--team", "nope"), "Those that there are: web"),
        (("--tag", "nope"), "Tags that there are: blue, prod"),
        (("--metadata", "nope"), "project=web"),
        (("--status", "42"), "429"),
        (("--by", "day", "--zone", "Berlin"), "Europe/Berlin"),
        (("--by", "price"), "metadata:KEY"),
        (("--by", "metadata:"), "metadata:KEY"),
        (("--json", "--csv"), "exclude"),
    ],
)
def test_what_is_wrong_says_what_is_right(
    options: tuple[str, ...], hint: str, run: Run, stored: Stored, folder: Path
) -> None:
    stored(PAYERS)
    keys_db(folder)
    result = run("usage", *options)
    assert result.exit_code != 0
    assert hint in " ".join(result.stderr.split())


def test_each_row_has_a_trend(run: Run, stored: Stored) -> None:
    # The rows are ten seconds apart, on Monday, 21 September 2026.
    stored([row(1), row(2), row(3_000), row(4_000, alias="prometheus-lite")])
    lines = run("usage", "--by", "week").stdout.splitlines()
    assert lines[1].split()[-1] == "█▃·····"
    by_model = json.loads(run("usage", "--json").stdout)["lines"]
    assert [sum(line["trend"]) for line in by_model] == [3, 1]


def test_margin_is_there_where_the_cost_of_targets_is_known(run: Run, stored: Stored) -> None:
    stored([row(1, cost=3_000, target_cost=1_000), row(2, alias="prometheus-lite")])
    wide = run("usage", COLUMNS="200").stdout
    assert "MARGIN USD" in wide
    assert "0.000002" in wide
    document = json.loads(run("usage", "--json").stdout)
    assert [line["margin_usd"] for line in document["lines"]] == ["0.000002", None]
    assert document["totals"]["uncosted"] == 1


def test_no_margin_is_made_up_from_requests_that_reached_no_target(run: Run, stored: Stored) -> None:
    stored([row(1, cost=3_000), row(2, outcome="refused", cost=0, target_cost=0)])
    assert json.loads(run("usage", "--json").stdout)["totals"]["margin_usd"] is None


def test_csv_has_a_line_for_each_and_the_total(run: Run, stored: Stored) -> None:
    stored([row(1, user="=cmd()"), row(2, user="ann")])
    lines = list(csv.DictReader(io.StringIO(run("usage", "--by", "user", "--csv").stdout)))
    assert [line["group"] for line in lines] == ["'=cmd()", "ann", "total"]
    assert lines[-1]["requests"] == "2"
    assert lines[0]["cost_usd"] == "0.000033"
