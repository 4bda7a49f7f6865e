"""Operators are warned once for each share of a budget, by log, metric and webhook; metrics say how a budget stands."""

import json
from pathlib import Path

import msgspec
import pytest

from proxy.auth.accounts import Account
from proxy.config.tree import Webhooks
from tests.exchange.samples import wait_until
from tests.fakes import ScriptedUpstream, json_answer
from tests.policies.budgeting import COST, ask, budget, budgeted, give_accounts, requests
from tests.serving import RunningGateway


def values(gateway: RunningGateway, name: str) -> dict[tuple[str, ...], float]:
    """What a metric has now."""

    def read(running: object) -> dict[tuple[str, ...], float]:
        family = gateway.gateway.admission.state.metrics.families[name]
        return dict(family.read()) if hasattr(family, "read") else dict(family.values)  # type: ignore[attr-defined]

    return gateway.call(read)


def test_each_share_is_warned_of_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with ScriptedUpstream(lambda _: json_answer({}, 204)) as hook, budgeted(tmp_path, {}) as (gateway, _):
        settings = Webhooks(url=f"{hook.base_url}/hook", secret="s", allow_private=True)
        budgets = {"web": budget(requests(4), window="total")}
        gateway.reload(msgspec.structs.replace(gateway.config, budgets=budgets, webhooks=settings))
        for _ in range(6):
            ask(gateway)
        wait_until(lambda: len(hook.requests) == 3, "all events")
        events = [json.loads(request.body) for request in hook.requests]
        assert sorted(event["data"]["percent"] for event in events) == [50, 80, 100]
        assert events[0]["type"] == "budget.warning"
        assert {event["data"]["budget"] for event in events} == {"budget web"}
        assert events[0]["data"]["limit_usd"] == "0.00004"
        assert caplog.text.count("% spent") == 3
        assert "budget web: 50 % spent: $0.00002 of $0.00004 (total)" in caplog.text
        assert values(gateway, "prometheus_gateway_budget_warnings_total") == {("web",): 3}
        assert values(gateway, "prometheus_gateway_budget_refusals_total") == {("web",): 2}


def test_a_restart_does_not_warn_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    budgets = {"web": budget(requests(4), warn=[50], window="total")}
    with budgeted(tmp_path, budgets) as (gateway, _):
        assert [ask(gateway)[0] for _ in range(2)] == [200, 200]
        wait_until(lambda: "50 % spent" in caplog.text, "the warning")
    caplog.clear()
    with budgeted(tmp_path, budgets) as (gateway, _):
        assert ask(gateway)[0] == 200
        assert "% spent" not in caplog.text


def test_metrics_say_how_the_budgets_of_the_configuration_stand(tmp_path: Path) -> None:
    with budgeted(tmp_path, {"web": budget(requests(4))}) as (gateway, _):
        ask(gateway)
        assert values(gateway, "prometheus_gateway_budget_limit_dollars") == {("web",): 4 * COST / 10**9}
        assert values(gateway, "prometheus_gateway_budget_spent_dollars") == {("web",): COST / 10**9}
        assert values(gateway, "prometheus_gateway_budget_reserved_dollars") == {("web",): 0}


def test_keys_teams_and_organisations_have_one_label_each(tmp_path: Path) -> None:
    with budgeted(tmp_path, {}) as (gateway, _):
        for number in range(3):
            account = Account("key", f"key_{number}", f"name-{number}", budgets=(budget("0"),))
            give_accounts(gateway, account)
            assert ask(gateway)[0] == 429
        assert values(gateway, "prometheus_gateway_budget_refusals_total") == {("key",): 3}
