"""The filters of reports: what passes all of them, and keys by their names."""

import json
from collections.abc import Callable, Sequence

import pytest

from proxy.ledger.record import UsageRecord
from tests.cli.conftest import Run, row

Stored = Callable[[Sequence[UsageRecord]], None]


OTHER = "key_ffffffffffff"


@pytest.mark.parametrize(
    ("filters", "numbers"),
    [
        (("--key", "key_000000000001"), {1, 2, 3}),
        (("--key", OTHER), {4, 5}),
        (("--key", OTHER, "--key", "key_000000000001"), {1, 2, 3, 4, 5}),
        (("--alias", "prometheus-lite"), {2, 5}),
        (("--model", "prometheus-lite"), {2, 5}),
        (("--alias", "prometheus-lite", "--key", OTHER), {5}),
        (("--upstream", "azure"), {3, 5}),
        (("--upstream", "azure", "--upstream", "openai"), {1, 2, 3, 4, 5}),
        (("--outcome", "upstream_cut"), {3}),
        (("--outcome", "upstream_cut", "--alias", "prometheus-core", "--upstream", "azure"), {3}),
        (("--upstream", "azure", "--key", OTHER), {5}),
        (("--alias", "no-such-alias"), set()),
        (("--upstream", "no-such-upstream"), set()),
        (("--alias", "prometheus-lite' OR 1=1 --"), set()),
    ],
)
@pytest.mark.parametrize("command", ["usage", "ledger export"])
def test_filters_take_what_passes_all_of_them(
    command: str, filters: tuple[str, ...], numbers: set[int], run: Run, stored: Stored
) -> None:
    rows = [
        row(1),
        row(2, alias="prometheus-lite"),
        row(3, upstream="azure", outcome="upstream_cut", usage_source="estimated", ttft=None),
        row(4, key=OTHER, cost=None),
        row(5, key=OTHER, alias="prometheus-lite", upstream="azure"),
    ]
    stored(rows)
    if command == "usage":
        totals = json.loads(run("usage", "--json", *filters).stdout)["totals"]
        taken = [final for final in rows if int(final.id[4:], 16) in numbers]
        assert totals["requests"] == len(taken)
        assert totals["cost_nano_usd"] == sum(final.cost or 0 for final in taken)
        assert totals["errors"] == sum(final.outcome != "complete" for final in taken)
        assert totals["estimated"] == sum(final.usage_source == "estimated" for final in taken)
        assert (totals["ttft"]["mean"] is None) is not any(final.ttft for final in taken)
        assert (totals["ttft"]["p50"] is None) is not any(final.ttft for final in taken)
    else:
        found = [json.loads(line) for line in run("ledger", "export", *filters).stdout.splitlines()]
        assert {int(final["id"][4:], 16) for final in found} == numbers


@pytest.mark.parametrize("by", ["key", "model", "day", "hour"])
def test_rows_and_rollups_tell_the_same(by: str, run: Run, stored: Stored) -> None:
    stored([row(number, alias=f"a{number % 3}", ttft=number * 100 or None) for number in range(50)])
    of_rows = run("usage", "--by", by, "--json", "--upstream", "openai").stdout
    assert of_rows == run("usage", "--by", by, "--json").stdout


def test_a_filter_by_upstream_has_pages(run: Run, stored: Stored) -> None:
    stored([row(1, alias="a"), row(2, alias="b")])
    result = run("usage", "--limit", "1", "--upstream", "openai")
    assert "--cursor 'a'" in result.stderr
    rest = run("usage", "--cursor", "a", "--upstream", "openai").stdout.splitlines()
    assert [line.split()[0] for line in rest] == ["MODEL", "b", "total"]


def test_a_key_is_named_as_people_name_it(run: Run, stored: Stored) -> None:
    key = json.loads(run("keys", "create", "alice", "--json").stdout)
    stored([row(1, key=key["id"]), row(2)])
    assert json.loads(run("usage", "--key", "alice", "--json").stdout)["totals"]["requests"] == 1
    run("keys", "revoke", "alice")
    assert json.loads(run("usage", "--key", "alice", "--json").stdout)["totals"]["requests"] == 1


def test_a_key_that_is_not_known_is_an_error(run: Run, stored: Stored) -> None:
    stored([row(1)])
    result = run("usage", "--key", "alic")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "keys list --all" in result.stderr


def test_nothing_found_is_said(run: Run, stored: Stored) -> None:
    stored([row(1)])
    assert "No request" in run("usage", "--alias", "prometheus-cor").stderr
