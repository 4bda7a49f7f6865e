"""What is left of the limits and budgets of a key: as the policies count, and nothing of what other keys use."""

from pathlib import Path
from typing import Any

import msgspec

from proxy.auth.accounts import Account
from proxy.auth.grants import Grant
from proxy.auth.keys import Key
from proxy.config.tree import Limits
from proxy.limits.budget import BASIS
from proxy.policies.standing import BudgetStanding, KeyStanding
from tests.policies.budgeting import COST, ask, budget, budgeted, give_accounts, requests
from tests.policies.limit_samples import answer, header_fields, served
from tests.serving import ALIAS, RunningGateway


def key_of(gateway: RunningGateway) -> Key:
    return next(key for key in gateway.gateway.keys._by_digest.values())


def budgets_of(gateway: RunningGateway) -> list[BudgetStanding]:
    standing = gateway.call(lambda one: KeyStanding(one.admission.state))
    return gateway.wait_for(standing.budgets(key_of(gateway), [ALIAS]))


def test_what_is_left_of_a_limit_is_what_the_next_request_may_take(tmp_path: Path) -> None:
    limits = Limits(requests="5/d", tokens="1000/d", concurrent=3, models={ALIAS: Limits(requests="3/d")})
    with served(tmp_path, answer, default=limits) as (gateway, _):
        standing = gateway.call(lambda one: KeyStanding(one.admission.state))
        before = standing.limits(key_of(gateway), [ALIAS])
        assert [(one.words, one.amount, one.left, one.reset) for one in before] == [
            ("requests per day of this key", 5, 5, 0.0),
            ("requests at once of this key", 3, 3, None),
            ("tokens per day of this key", 1000, 1000, 0.0),
            (f"requests per day of this key for the model `{ALIAS}`", 3, 3, 0.0),
        ]
        with gateway.client() as client:
            gateway.chat(client, {"model": ALIAS, "messages": [{"role": "user", "content": "hi"}]})
            head, _ = client.read_answer()
        after = standing.limits(key_of(gateway), [ALIAS])
        assert [one.left for one in after] == [4, 3, 988, 2]
        assert header_fields(head)["x-ratelimit-remaining-requests"] == "2"


def test_what_all_keys_use_together_is_named_and_not_counted_out(tmp_path: Path) -> None:
    limits = Limits(requests="5/d")
    with served(tmp_path, answer, model=limits, overall=limits) as (gateway, _):
        found = gateway.call(lambda one: KeyStanding(one.admission.state)).limits(key_of(gateway), [ALIAS])
        assert [(one.words, one.left, one.reset) for one in found] == [
            ("requests per day of this gateway", None, None),
            (f"requests per day of the model `{ALIAS}`", None, None),
        ]


def test_what_is_left_of_a_budget_is_the_same_before_and_after_it_is_loaded(tmp_path: Path) -> None:
    with budgeted(tmp_path, {"mine": budget(requests(5), keys=["test"]), "ours": budget("7")}) as (gateway, _):
        assert ask(gateway)[0] == 200
        gateway.rows()
        counted = budgets_of(gateway)
        assert [(one.label, one.spent, one.left) for one in counted] == [
            ("The budget `mine`", COST, 4 * COST),
            ("The budget `ours`", None, None),
        ]
        # As after a restart, or ten minutes without a request.
        gateway.call(lambda one: _unload(one.admission.state.counters))
        assert [msgspec.to_builtins(one) for one in budgets_of(gateway)] == [
            msgspec.to_builtins(one) for one in counted
        ]


def _unload(counters: Any) -> None:
    for at in range(0, len(counters.cells), counters.stride):
        counters.cells[at + BASIS] = 0


def test_credits_and_a_team_s_budget(tmp_path: Path) -> None:
    with budgeted(tmp_path, {}) as (gateway, _):
        grant = Grant(9 * COST, 1)
        own = Account("key", "key_1", "test", credits=9 * COST, credits_since=1, grants=(grant,))
        give_accounts(gateway, own, Account("team", "team_1", "web", budgets=(budget("3"),)), id="key_1")
        assert ask(gateway)[0] == 200
        found = {one.label: one for one in budgets_of(gateway)}
        credits, team = found["The prepaid credit of this key"], found["The budget of this key's team"]
        assert (credits.limit, credits.left, credits.window, credits.reset) == (9 * COST, 8 * COST, "credits", None)
        assert (team.limit, team.spent, team.left) == (3_000_000_000, None, None)
