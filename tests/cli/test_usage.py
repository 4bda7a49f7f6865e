"""`usage`: sums by group, exact money, and where there is more."""

import json
from collections.abc import Callable, Sequence

import pytest

from proxy.ledger.record import UsageRecord
from tests.cli.conftest import Run, row

Stored = Callable[[Sequence[UsageRecord]], None]


def test_sums_by_model_and_their_total(run: Run, stored: Stored) -> None:
    stored([row(1), row(2), row(3, alias="prometheus-lite", cost=1)])
    lines = run("usage").stdout.splitlines()
    assert " ".join(lines[0].split()) == "MODEL REQUESTS ERRORS INPUT OUTPUT COST USD TTFT P50 MS"
    assert [line.split()[:6] for line in lines[1:]] == [
        ["prometheus-core", "2", "0", "20", "10", "0.000066"],
        ["prometheus-lite", "1", "0", "10", "5", "0.000000001"],
        ["total", "3", "0", "30", "15", "0.000066001"],
    ]
    assert max(map(len, lines)) <= 80


def test_a_wide_terminal_has_all_columns(run: Run, stored: Stored) -> None:
    stored([row(1)])
    result = run("usage", COLUMNS="120")
    assert " ".join(result.stdout.splitlines()[0].split()) == (
        "MODEL REQUESTS ERRORS INPUT CACHED OUTPUT COST USD UNPRICED ESTIMATED TTFT P50 MS"
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
