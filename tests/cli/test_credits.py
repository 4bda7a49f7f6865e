"""`keys credits`: money in, once for each idempotency key, and its history."""

import json

from tests.cli.conftest import Run


def test_credits_are_added_once_and_corrected(run: Run) -> None:
    run("keys", "create", "app")
    added = ("keys", "credits", "add", "app", "25.5", "--note", "invoice 1", "--idempotency-key", "i1", "--json")
    first, again = (json.loads(run(*added).stdout) for _ in range(2))
    assert (first["amount"], first["added"], first["total"]) == ("25.50", True, "25.50")
    assert (again["id"], again["added"], again["total"]) == (first["id"], False, "25.50")
    assert run("keys", "credits", "add", "app", "-5").exit_code == 0
    found = json.loads(run("keys", "credits", "list", "app", "--json").stdout)
    assert [(one["amount"], one["note"]) for one in found] == [("-5.00", ""), ("25.50", "invoice 1")]
    table = run("keys", "credits", "list", "app")
    assert "invoice 1" in table.stdout
    assert "20.50 USD in all" in table.stderr
    assert json.loads(run("keys", "show", "app", "--json").stdout)["credits"] == "20.50"


def test_what_is_no_amount_is_wrong(run: Run) -> None:
    run("keys", "create", "app")
    assert run("keys", "credits", "add", "app", "much").exit_code == 2
    assert run("keys", "credits", "add", "app", "0").exit_code == 1
    assert run("keys", "credits", "add", "app", "0.0000000001").exit_code == 1


def test_a_key_without_credits_needs_none(run: Run) -> None:
    run("keys", "create", "app")
    assert "has no credits, and needs none" in run("keys", "credits", "list", "app").stderr
