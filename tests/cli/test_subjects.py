"""Limits and budgets as people type them, and that they read as they were typed."""

from decimal import Decimal

import click
import pytest

from proxy.cli.subjects import actor, budget_text, budgets_of, budgets_text, limits_of, limits_text
from proxy.config.tree import Budget, Limits
from tests.cli.conftest import Run

BUDGETS = [
    "500/month",
    "9.99/week:sun zone=Europe/Berlin warn=80,100 on_exceed=soft_cap models=core,mini unpriced=allow",
]


def test_limits_are_shown_as_they_are_typed() -> None:
    typed = ["requests=10/s,600/min", "concurrent=20", "core:tokens=5000/h", "a:b/c:requests=1/s"]
    limits = limits_of(typed)
    assert limits.models["a:b/c"] == Limits(requests="1/s")
    assert limits_of(limits_text(limits).split(", ")) == limits


def test_a_limit_changes_only_what_it_names() -> None:
    before = Limits(requests="1/s", tokens="5/d", models={"core": Limits(tokens="1/d", requests="2/d")})
    after = limits_of(["requests=", "core:tokens=9/d"], before)
    assert after == Limits(tokens="5/d", models={"core": Limits(tokens="9/d", requests="2/d")})


@pytest.mark.parametrize("text", BUDGETS)
def test_budgets_are_shown_as_they_are_typed(text: str) -> None:
    assert budget_text(budgets_of([text])[0]) == text


def test_a_budget_has_the_defaults_of_the_file() -> None:
    assert budgets_of(["$5/day"]) == [Budget(limit=Decimal(5), window="day")]
    assert budgets_text(budgets_of(["5/day", "6/year"])) == "5/day, 6/year"


@pytest.mark.parametrize("text", ["requests", "foo=1/s", "concurrent=x", "concurrent=-1", "concurrent=2000000", "=5"])
def test_what_is_no_limit_is_wrong_use(text: str) -> None:
    with pytest.raises(click.BadParameter):
        limits_of([text])


@pytest.mark.parametrize("text", ["5", "x/day", "5/day foo=1", "5/day zone", "5/day warn=x", "5/day on_exceed=x"])
def test_what_is_no_budget_is_wrong_use(text: str) -> None:
    with pytest.raises(click.BadParameter):
        budgets_of([text])


def test_the_actor_is_the_user_of_the_machine() -> None:
    assert actor().startswith("cli:")


@pytest.mark.parametrize("kind", ["keys", "teams", "orgs"])
def test_unknown_aliases_of_limits_and_budgets_are_noted(kind: str, run: Run) -> None:
    run("init")
    given = ("--limit", "prometheus-cor:requests=5/s", "--budget", "5/month models=prometheus-lit,prometheus-lite")
    created = run(kind, "create", "me", *given)
    assert created.exit_code == 0
    assert 'no alias is named "prometheus-cor"' in created.stderr
    assert 'no alias is named "prometheus-lit"' in created.stderr
    assert '"prometheus-lite" in' not in created.stderr


def test_a_wrong_setting_says_which_there_are(run: Run) -> None:
    result = run("keys", "create", "me", "--budget", "5/month on_exceed=bad")
    assert result.exit_code == 2
    assert 'on_exceed must be one of "refuse", "soft_cap", "stop_stream", "warn"' in result.stderr
