"""Budgets over real sockets: what is served, what is refused, and what is left when everything has ended."""

import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import pytest

from proxy.auth.accounts import Account
from proxy.auth.grants import Grant
from tests.exchange.samples import wait_until
from tests.fakes import Close, Hang, RecordedRequest, Step, WaitFor, head, json_answer
from tests.policies.budgeting import (
    COST,
    TOKENS,
    answer,
    ask,
    budget,
    budgeted,
    config_of,
    counts,
    give_accounts,
    policy_of,
    post,
    requests,
)
from tests.serving import ALIAS, KEY


def test_a_budget_serves_what_it_has_and_refuses_the_rest(tmp_path: Path) -> None:
    with budgeted(tmp_path, {"all": budget(requests(3))}) as (gateway, upstream):
        assert [ask(gateway)[0] for _ in range(5)] == [200, 200, 200, 429, 429]
        assert counts(gateway, "all") == (3 * COST, 0)
        assert len(upstream.requests) == 3
        assert [row.outcome for row in gateway.rows()] == ["complete"] * 3 + ["refused"] * 2


def test_a_refusal_says_what_is_spent_and_when_that_ends(tmp_path: Path) -> None:
    with budgeted(tmp_path, {"web": budget(requests(1), window="total")}) as (gateway, _):
        ask(gateway)
        status, headers, body = ask(gateway)
        assert status == 429
        assert (body["error"]["type"], body["error"]["code"]) == ("budget_exceeded", "rate_limit_exceeded")
        assert body["error"]["message"] == (
            "The budget `web` does not cover this request: $0.00001 spent and $0.00 reserved of $0.00001. "
            "This request may cost up to $0.00001. It never resets."
        )
        assert headers["x-should-retry"] == "false"
        assert "retry-after" not in headers


@pytest.mark.parametrize(
    ("path", "find"),
    [
        ("/v1/chat/completions", lambda body: body["error"]["type"]),
        ("/v1/messages", lambda body: body["error"]["type"]),
        ("/v1beta/models/prometheus-core:generateContent", lambda body: body["error"]["status"]),
        ("/v1/responses", lambda body: body["error"]["type"]),
    ],
)
def test_each_dialect_has_the_refusal_in_its_own_form(tmp_path: Path, path: str, find: object) -> None:
    formats = {"formats": ["openai", "anthropic", "gemini"]}
    with budgeted(tmp_path, {"web": budget("0")}) as (gateway, upstream):
        config = gateway.config
        vendor = msgspec.structs.replace(config.upstreams["vendor1"], formats=formats["formats"])
        gateway.reload(msgspec.structs.replace(config, upstreams={"vendor1": vendor}))
        text = [{"role": "user", "content": "hi"}]
        body = {
            "model": ALIAS,
            "messages": text,
            "max_tokens": 5,
            "input": "hi",
            "contents": [{"parts": [{"text": "x"}]}],
        }
        if "generateContent" in path:
            body = {"contents": body["contents"], "generationConfig": {"maxOutputTokens": 5}}
        with gateway.client() as client:
            status, headers, answer_ = post(client, path, body)
        assert (status, headers["x-should-retry"]) == (429, "false")
        assert find(answer_)  # type: ignore[operator]
        assert "$0.00 spent and $0.00 reserved of $0.00" in str(answer_)
        assert not upstream.requests


def test_a_request_that_is_refused_reserves_nothing_in_the_budgets_that_would_have_it(tmp_path: Path) -> None:
    budgets = {"large": budget(requests(100)), "small": budget(requests(1))}
    with budgeted(tmp_path, budgets) as (gateway, _):
        assert [ask(gateway)[0] for _ in range(4)] == [200, 429, 429, 429]
        assert (counts(gateway, "large"), counts(gateway, "small")) == ((COST, 0), (COST, 0))


def test_the_worst_case_is_reserved_while_a_request_runs_and_what_it_cost_is_paid(tmp_path: Path) -> None:
    gate = threading.Event()

    def slow(_: RecordedRequest) -> list[Step]:
        return [WaitFor(gate), *json_answer(answer())]

    with budgeted(tmp_path, {"all": budget(requests(10))}, slow) as (gateway, upstream):
        with ThreadPoolExecutor(1) as pool:
            running = pool.submit(ask, gateway, max_tokens=3 * TOKENS, n=2)
            wait_until(lambda: len(upstream.requests) == 1, "the request")
            assert counts(gateway, "all") == (0, 6 * COST)
            # What is left, 4, is less than this may cost.
            assert ask(gateway, max_tokens=5 * TOKENS)[0] == 429
            gate.set()
            assert running.result()[0] == 200
        assert counts(gateway, "all") == (COST, 0)


@pytest.mark.parametrize("rounds", [2, pytest.param(20, marks=pytest.mark.slow)])
def test_fifty_clients_at_once_get_what_the_budget_has_and_no_more(tmp_path: Path, rounds: int) -> None:
    with budgeted(tmp_path, {"all": budget(requests(10))}) as (gateway, upstream), ThreadPoolExecutor(50) as pool:
        for round_ in range(1, rounds + 1):
            limit = budget(requests(10 * round_))
            gateway.reload(msgspec.structs.replace(gateway.config, budgets={"all": limit}))
            statuses = Counter(pool.map(lambda _: ask(gateway)[0], range(50)))
            assert statuses == {200: 10, 429: 40}
            assert len(upstream.requests) == 10 * round_
            assert counts(gateway, "all") == (10 * round_ * COST, 0)


@pytest.mark.parametrize("outcome", ["hang", "cut", "error", "refused"])
def test_no_end_of_a_request_keeps_its_reservation(tmp_path: Path, outcome: str) -> None:
    def fail(_: RecordedRequest) -> list[Step]:
        if outcome == "hang":
            return [Hang()]
        if outcome == "cut":
            return [head(200, {"content-type": "application/json", "content-length": "100"}), Close()]
        return json_answer({"error": {"message": "no"}}, 500 if outcome == "error" else 400)

    with budgeted(tmp_path, {"all": budget(requests(10))}, fail) as (gateway, upstream):
        with gateway.client() as client:
            gateway.chat(client, {"model": ALIAS, "messages": [], "max_tokens": TOKENS})
            wait_until(lambda: bool(upstream.requests), "the request")
            if outcome != "hang":
                client.read_answer()
        wait_until(lambda: counts(gateway, "all")[1] == 0, "the release")
        rows = gateway.rows()
        assert counts(gateway, "all")[0] == sum(row.cost if row.cost is not None else row.reserved or 0 for row in rows)


def test_a_cost_that_is_not_known_counts_as_what_was_reserved(tmp_path: Path) -> None:
    with budgeted(tmp_path, {"all": budget(requests(10))}) as (gateway, upstream):
        tiered = answer() | {"service_tier": "priority"}
        upstream.script(json_answer(tiered))
        assert ask(gateway)[0] == 200
        assert counts(gateway, "all") == (COST, 0)
        row = gateway.rows()[0]
        assert (row.cost, row.unpriced_parts, row.reserved) == (None, "tiers.priority", COST)


def test_a_restart_forgets_nothing_and_counts_nothing_twice(tmp_path: Path) -> None:
    budgets = {"all": budget(requests(5)), "mine": budget(requests(7), keys=["test"], window="day")}
    for served in (2, 4):
        with budgeted(tmp_path, budgets) as (gateway, _):
            assert [ask(gateway)[0] for _ in range(2)] == [200, 200]
            assert (counts(gateway, "all"), counts(gateway, "mine")) == ((served * COST, 0), (served * COST, 0))
    with budgeted(tmp_path, budgets) as (gateway, _):
        assert [ask(gateway)[0] for _ in range(3)] == [200, 429, 429]


def test_what_was_spent_before_there_was_a_budget_counts(tmp_path: Path) -> None:
    with budgeted(tmp_path, {}) as (gateway, _):
        assert [ask(gateway)[0] for _ in range(3)] == [200] * 3
        gateway.reload(msgspec.structs.replace(gateway.config, budgets={"all": budget(requests(4))}))
        assert [ask(gateway)[0] for _ in range(2)] == [200, 429]


def test_a_request_that_ran_when_the_budget_came_is_counted_once_it_has_ended(tmp_path: Path) -> None:
    gate = threading.Event()

    def slow(request: RecordedRequest) -> list[Step]:
        waits = [WaitFor(gate)] if b"first" in request.body else []
        return [*waits, *json_answer(answer())]

    with budgeted(tmp_path, {}, slow) as (gateway, upstream), ThreadPoolExecutor(1) as pool:
        running = pool.submit(ask, gateway, user="first")
        wait_until(lambda: len(upstream.requests) == 1, "the request")
        gateway.reload(msgspec.structs.replace(gateway.config, budgets={"all": budget(requests(4))}))
        assert ask(gateway)[0] == 200
        gate.set()
        assert running.result()[0] == 200
        wait_until(lambda: counts(gateway, "all") == (2 * COST, 0), "the ledger to be read again")


def test_a_budget_of_the_key_its_team_and_its_organisation_must_all_have_it(tmp_path: Path) -> None:
    with budgeted(tmp_path, {}) as (gateway, _):
        accounts = (
            Account("key", "key_1", "web", budgets=(budget(requests(9)),)),
            Account("team", "team_1", "shop", budgets=(budget(requests(9)), budget(requests(2), window="day"))),
            Account("org", "org_1", "acme", budgets=(budget(requests(9)),)),
        )
        give_accounts(gateway, *accounts, team="team_1", org="org_1")
        assert [ask(gateway)[0] for _ in range(2)] == [200, 200]
        status, _, body = ask(gateway)
        assert status == 429
        assert body["error"]["message"].startswith("The budget of this key's team does not cover this request")


def test_a_budget_of_the_file_is_for_the_keys_teams_and_organisations_that_it_names(tmp_path: Path) -> None:
    budgets = {"one": budget(requests(1), keys=["other"]), "two": budget(requests(2), teams=["shop"])}
    with budgeted(tmp_path, budgets) as (gateway, _):
        gateway.add_key("other", "prom_sk_other_key_that_is_long_enough")
        gateway.add_key("third", "prom_sk_third_key_that_is_long_enough")
        give_accounts(gateway, Account("team", "team_1", "shop"), team="team_1")
        others = [ask(gateway, key="prom_sk_other_key_that_is_long_enough")[0] for _ in range(2)]
        assert others == [200, 429]
        assert [ask(gateway)[0] for _ in range(3)] == [200, 200, 429]
        assert [ask(gateway, key="prom_sk_third_key_that_is_long_enough")[0] for _ in range(4)] == [200] * 4


def test_a_budget_for_some_models_counts_no_others(tmp_path: Path) -> None:
    with budgeted(tmp_path, {"one": budget(requests(1), models=["other"])}) as (gateway, _):
        assert [ask(gateway)[0] for _ in range(3)] == [200] * 3


def test_prepaid_credits_are_spent_and_refilled(tmp_path: Path) -> None:
    now = int(time.time())
    with budgeted(tmp_path, {}) as (gateway, _):
        account = Account("key", "key_9f86d081884c", "test", credits=2 * COST, grants=(Grant(2 * COST, now - 100),))
        give_accounts(gateway, account)
        statuses = [ask(gateway)[0] for _ in range(3)]
        assert statuses == [200, 200, 429]
        message = ask(gateway)[2]["error"]["message"]
        assert message == (
            "The prepaid credit of this key does not cover this request: $0.00 left of $0.00002, and $0.00 of it "
            "reserved. This request may cost up to $0.00001. Add credits to go on."
        )
        more = msgspec.structs.replace(account, grants=(*account.grants, Grant(COST, now - 10, now + 1_000)))
        give_accounts(gateway, more)
        assert [ask(gateway)[0] for _ in range(2)] == [200, 429]
    with budgeted(tmp_path, {}) as (gateway, _):
        # What expired took nothing along of what the other grant paid for.
        old = (Grant(2 * COST, now - 100), Grant(5 * COST, now - 90, now - 80), Grant(3 * COST, now))
        give_accounts(gateway, msgspec.structs.replace(account, grants=old))
        assert [ask(gateway)[0] for _ in range(3)] == [200, 200, 429]


def test_a_grant_counts_though_the_first_request_after_it_began_before(tmp_path: Path) -> None:
    with budgeted(tmp_path, {}) as (gateway, _):
        coming = int(time.time()) + 2
        give_accounts(gateway, Account("key", "key_9f86d081884c", "test", credits=COST, grants=(Grant(COST, coming),)))
        # As of its beginning there is nothing; for those that begin behind the grant there is.
        assert ask(gateway)[0] == 429
        wait_until(lambda: time.time() >= coming, "the time of the grant")
        assert ask(gateway)[0] == 200


def test_credits_of_one_sum_do_as_well(tmp_path: Path) -> None:
    with budgeted(tmp_path, {}) as (gateway, _):
        give_accounts(gateway, Account("key", "key_9f86d081884c", "test", credits=COST, credits_since=1_000))
        assert [ask(gateway)[0] for _ in range(2)] == [200, 429]


def test_a_soft_cap_serves_while_anything_is_left(tmp_path: Path) -> None:
    with budgeted(tmp_path, {"all": budget(requests(3), on_exceed="soft_cap")}) as (gateway, _):
        assert [ask(gateway, max_tokens=100 * TOKENS)[0] for _ in range(4)] == [200, 200, 200, 429]


def test_a_budget_that_only_warns_refuses_nothing(tmp_path: Path) -> None:
    with budgeted(tmp_path, {"all": budget(requests(1), on_exceed="warn")}) as (gateway, _):
        assert [ask(gateway)[0] for _ in range(3)] == [200] * 3
        assert counts(gateway, "all") == (3 * COST, 0)


def test_a_model_without_a_price_is_refused_with_what_to_do_about_it(tmp_path: Path) -> None:
    with budgeted(tmp_path, {"all": budget(requests(1))}, price=None) as (gateway, upstream):
        status, _, body = ask(gateway)
        assert (status, body["error"]["code"], body["error"]["param"]) == (400, "model_not_priced", "model")
        assert 'set a price for the model, or unpriced = "allow" in the budget' in body["error"]["message"]
        assert not upstream.requests
        allowed = budget(requests(1), unpriced="allow")
        gateway.reload(msgspec.structs.replace(gateway.config, budgets={"all": allowed}))
        assert ask(gateway)[0] == 200


def test_what_costs_nothing_is_served_when_all_is_spent(tmp_path: Path) -> None:
    with budgeted(tmp_path, {"all": budget(requests(1))}) as (gateway, _):
        assert [ask(gateway)[0] for _ in range(2)] == [200, 429]
        with gateway.client() as client:
            client.request("GET", "/v1/models", headers={"authorization": f"Bearer {KEY}"})
            assert client.read_answer()[0].status == 200


def test_without_budgets_the_policy_is_left_out(tmp_path: Path) -> None:
    with budgeted(tmp_path, {}) as (gateway, _):
        assert not policy_of(gateway).is_enabled()
        gateway.reload(config_of(tmp_path, gateway.config.upstreams["vendor1"].base_url, {"all": budget("1")}))
        assert policy_of(gateway).is_enabled()


def test_two_gateways_of_one_process_count_apart(tmp_path: Path) -> None:
    budgets = {"all": budget(requests(1))}
    with budgeted(tmp_path / "a", budgets) as (one, _), budgeted(tmp_path / "b", budgets) as (other, _):
        assert [ask(one)[0], ask(one)[0], ask(other)[0], ask(other)[0]] == [200, 429, 200, 429]
