"""The document of an organisation: what is applied, what is inert, and its secrets."""

from decimal import Decimal
from typing import Any

import msgspec
import pytest

from proxy.admin.org_config import OrgConfig, budgets_of, inert, limits_of, mask, masked, plain, unmasked
from proxy.config.tree import Limits
from proxy.errors import InvalidRequest


def document(**sections: Any) -> OrgConfig:
    return msgspec.convert(sections, OrgConfig)


def test_what_was_not_given_is_not_stored() -> None:
    given = {"budgets": {"org_limit": "5"}, "cache": {"any": ["thing", 1]}, "privacy": {"mode": "none"}}
    assert plain(document(**given)) == given


def test_what_is_not_acted_on_is_named() -> None:
    given = {"mcp": {}, "budgets": {"enabled": True, "teams": {}}, "rate_limiting": {"global_rpm": 1}}
    assert inert(given) == ["budgets.teams", "mcp"]


@pytest.mark.parametrize(
    ("section", "limits"),
    [
        ({"global_rpm": 5, "global_tpm": 100}, Limits(requests="5/min", tokens="100/min")),
        ({"global_rpm": 5, "enabled": False}, None),
        ({"global_rpm": 0}, None),
        ({"per_key_rpm": 5}, None),
    ],
)
def test_rates_of_the_whole_organisation_are_limits(section: Any, limits: Limits | None) -> None:
    assert limits_of(document(rate_limiting=section)) == limits


@pytest.mark.parametrize(
    ("section", "window", "warn", "on_exceed"),
    [
        ({"org_limit": "5"}, "month", [50, 80, 100], "refuse"),
        ({"org_limit": "5", "default_period": "daily"}, "day", [50, 80, 100], "refuse"),
        ({"org_limit": "5", "default_period": "daily", "org_period": "total"}, "total", [50, 80, 100], "refuse"),
        ({"org_limit": "5", "hard_limit": None, "warn_threshold": 0.9}, "month", [90, 100], "refuse"),
        ({"org_limit": "5", "hard_limit": False, "warn_threshold": 75}, "month", [75, 100], "warn"),
    ],
)
def test_the_organisations_budget(section: Any, window: str, warn: list[int], on_exceed: str) -> None:
    (budget,) = budgets_of(document(budgets=section))
    assert budget.limit == Decimal(5)
    assert (budget.window, budget.warn, budget.on_exceed) == (window, warn, on_exceed)


def test_a_document_without_a_budget_has_none() -> None:
    assert budgets_of(document()) == budgets_of(document(budgets={"enabled": False, "org_limit": "5"})) == []


def test_secrets_are_masked_at_any_depth_and_all_else_stays() -> None:
    given = {
        "providers": {"p": {"api_key": "sk-0123456789abc", "base_url": "https://h"}},
        "alerting": {"channels": [{"type": "slack", "bot_token": "xoxb-1"}]},
        "budgets": {"keys": {"web": {"limit": "5"}}},
    }
    found = masked(given)
    assert found["providers"]["p"] == {"api_key": "sk-01234****9abc", "base_url": "https://h"}
    assert found["alerting"]["channels"] == [{"type": "slack", "bot_token": "****"}]
    assert found["budgets"] == given["budgets"]


def test_a_masked_secret_is_what_it_was() -> None:
    before = {"providers": {"p": {"api_key": "sk-0123456789abc"}}, "alerting": {"channels": [{"token": "short"}]}}
    assert unmasked(masked(before), before) == before
    changed = {"providers": {"p": {"api_key": "sk-another"}}}
    assert unmasked(changed, before) == changed


def test_a_mask_of_another_secret_is_refused() -> None:
    before = {"providers": {"p": {"api_key": "sk-0123456789abc"}}}
    with pytest.raises(InvalidRequest):
        unmasked({"providers": {"q": {"api_key": mask("sk-0123456789abc")}}}, before)
    with pytest.raises(InvalidRequest):
        unmasked({"providers": {"p": {"api_key": "****"}}}, before)


def test_all_texts_below_the_name_of_a_secret_are_masked_and_stay() -> None:
    given = {
        "guardrails": {"credentials": {"user": "u", "pin": "0123456789abcdef"}, "headers": {"X-Auth": "abc"}},
        "alerting": {"channels": [{"webhook_url": "https://hooks.example/SECRET"}, {"api_key": ["a", {"v": "b"}]}]},
    }
    found = masked(given)
    assert found["guardrails"] == {
        "credentials": {"user": "****", "pin": "01234567****cdef"},
        "headers": {"X-Auth": "****"},
    }
    assert found["alerting"]["channels"][1] == {"api_key": ["****", {"v": "****"}]}
    assert "SECRET" not in str(found)
    assert unmasked(found, given) == given
