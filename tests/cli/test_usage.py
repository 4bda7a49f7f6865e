"""`usage`: sums by group, exact money, and where there is more."""

import json
from collections.abc import Callable, Sequence

import pytest

from proxy.ledger.record import Final
from tests.cli.conftest import Run, row

Stored = Callable[[Sequence[Final]], None]


def test_sums_by_model_and_their_total(run: Run, stored: Stored) -> None:
    stored([row(1), row(2), row(3, alias="prometheus-lite", cost=1)])
    lines = run("usage").stdout.splitlines()
    assert " ".join(lines[0].split()) == (
        "MODEL REQUESTS ERRORS INPUT CACHED OUTPUT COST USD UNPRICED ESTIMATED TTFT P50 MS"
    )
    assert [line.split()[:7] for line in lines[1:]] == [
        ["prometheus-core", "2", "0", "20", "0", "10", "0.000066"],
        ["prometheus-lite", "1", "0", "10", "0", "5", "0.000000001"],
        ["total", "3", "0", "30", "0", "15", "0.000066001"],
    ]


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
    "args", [["--limit", "0"], ["--by", "moon"], ["--since", "soon"], ["--since", "1h", "--until", "2h"]]
)
def test_wrong_use(args: list[str], run: Run) -> None:
    assert run("usage", *args).exit_code == 2


def test_no_ledger_is_an_error_that_says_how_to_mend_it(run: Run) -> None:
    result = run("usage")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "--data-dir" in result.stderr
