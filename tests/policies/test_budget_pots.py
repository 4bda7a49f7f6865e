"""Which budgets are those of a key and an alias, and when a budget is a new one."""

from decimal import Decimal
from typing import Any

import pytest

from proxy.auth.accounts import Account
from proxy.auth.keys import Key
from proxy.config.tree import Budget
from proxy.limits.counters import SharedCounters
from proxy.policies.budget_pots import Pots, calendar_of, nanos_of


def key(**changes: Any) -> Key:
    return Key(id="key_1", name="web", models=None, created=0, expires=None, **changes)


def budget(limit: str = "1", **settings: Any) -> Budget:
    return Budget(limit=Decimal(limit), **settings)


def pots(budgets: dict[str, Budget]) -> Pots:
    made = Pots(SharedCounters(slots=64))
    made.reconfigure(budgets)
    return made


@pytest.mark.parametrize(
    ("settings", "is_for"),
    [
        ({}, True),
        ({"keys": ["web"]}, True),
        ({"keys": ["key_1"]}, True),
        ({"teams": ["shop"]}, True),
        ({"teams": ["team_1"]}, True),
        ({"orgs": ["acme"]}, True),
        ({"orgs": ["shop"]}, False),
        ({"teams": ["acme"]}, False),
        ({"keys": ["other"], "teams": ["other"]}, False),
        ({"keys": ["other"], "teams": ["shop"]}, True),
    ],
)
def test_a_budget_of_the_file_is_for_whom_it_names(settings: dict[str, Any], is_for: bool) -> None:
    accounts = (Account("team", "team_1", "shop"), Account("org", "org_1", "acme"))
    found = pots({"one": budget(**settings)}).of(key(accounts=accounts, team="team_1", org="org_1"), "core")
    assert bool(found) == is_for


def test_a_budget_for_some_models_is_left_out_of_others_and_where_no_model_is_known() -> None:
    made = pots({"one": budget(models=["core"]), "all": budget()})
    assert [pot.owner for pot in made.of(key(), "core")] == ["budget one", "budget all"]
    assert [pot.owner for pot in made.of(key(), "bolt")] == ["budget all"]
    assert [pot.owner for pot in made.of(key(), None)] == ["budget all"]


def test_accounts_bring_their_own_budgets_and_credits() -> None:
    accounts = (
        Account("key", "key_1", "web", budgets=(budget(), budget(window="day")), credits=5, credits_since=7),
        Account("team", "team_1", "shop", budgets=(budget(),)),
    )
    made = pots({})
    found = made.of(key(accounts=accounts), "core")
    assert [pot.owner for pot in found] == ["key web", "key web", "credits web", "team shop"]
    assert len({pot.name for pot in found}) == 4
    assert [grant.amount for grant in made.grants[found[2].name]] == [5]
    assert found[3].payers.teams == ("team_1",)


def test_a_key_that_has_changed_is_compiled_again_and_counts_where_it_did() -> None:
    made = pots({})
    before = made.of(key(accounts=(Account("key", "key_1", "web", budgets=(budget("1"),)),)), "core")
    after = made.of(key(accounts=(Account("key", "key_1", "web", budgets=(budget("2"),)),)), "core")
    assert (before[0].rule.limit, after[0].rule.limit) == (10**9, 2 * 10**9)
    assert before[0].spending(0).digest == after[0].spending(0).digest


def test_a_budget_that_counts_something_else_is_a_new_one() -> None:
    made = pots({"one": budget()})
    before = made.of_file["one"]
    made.reconfigure({"one": budget("2")})
    assert made.of_file["one"].spending(0).digest == before.spending(0).digest
    for other in (budget(window="day"), budget(zone="Asia/Kolkata"), budget(models=["core"]), budget(keys=["web"])):
        made.reconfigure({"one": other})
        assert made.of_file["one"].spending(0).digest != before.spending(0).digest


def test_a_budget_that_is_the_same_after_a_reload_stays() -> None:
    made = pots({"one": budget()})
    before = made.of_file["one"]
    made.reconfigure({"one": budget(), "two": budget()})
    assert made.of_file["one"] is before


def test_a_zone_that_has_gone_from_the_system_counts_for_ever_rather_than_not_at_all() -> None:
    assert calendar_of(budget(zone="Gone/Zone")).at(0).id == "total"


def test_limits_are_rounded_down() -> None:
    assert nanos_of(Decimal("0.0000000019")) == 1
