"""Budgets: what is spent and left, and the forecast; for an owner those of the own key."""

import csv
import io
from typing import Any

import httpx
import pytest

from tests.pages.browser import Browser, overflow, serious_faults
from tests.pages.dashboard.seeded import Dashboard

BUDGETS = "/dashboard/budgets"


def budgets_of(client: httpx.Client) -> dict[str, dict[str, Any]]:
    return {one["payer"]: one for one in client.get(f"{BUDGETS}.json").json()["budgets"]}


def test_an_admin_sees_the_budgets_of_all(admin: httpx.Client) -> None:
    found = budgets_of(admin)
    assert {"team research", "key web-app", "key secret-key"} <= set(found)
    own = found["key web-app"]
    assert (own["limit_usd"], own["window"], own["on_exceed"]) == ("5.00", "month", "refuse")
    assert own["percent"] == round(float(own["spent_usd"]) * 20, 1)


def test_a_budget_whose_limit_is_reached_is_used_up(admin: httpx.Client) -> None:
    other = budgets_of(admin)["key secret-key"]
    assert (other["state"], other["left_usd"].startswith("-")) == ("used up", True)
    assert "used up" in admin.get(BUDGETS).text


def test_a_key_without_hours_to_look_back_on_has_no_forecast(admin: httpx.Client) -> None:
    # The keys were made a moment ago.
    assert budgets_of(admin)["key web-app"]["forecast"] == {
        "usd_per_hour": None,
        "projected_usd": None,
        "used_up": None,
    }
    assert "not known yet" in admin.get(BUDGETS).text


def test_an_owner_sees_the_own_budgets_and_no_digit_of_others(owner: httpx.Client) -> None:
    found = owner.get(f"{BUDGETS}.json").json()["budgets"]
    assert [one["limit_usd"] for one in found if one["spent_usd"] is not None] == ["5.00"]
    shared = [one for one in found if one["state"] == "shared"]
    assert [(one["spent_usd"], one["left_usd"], one["percent"]) for one in shared] == [(None, None, None)] * len(shared)
    for text in (owner.get(BUDGETS).text, owner.get(f"{BUDGETS}.csv").text):
        assert "7777" not in text
        assert "secret" not in text


def test_the_file_has_a_line_for_each(admin: httpx.Client) -> None:
    rows = list(csv.DictReader(io.StringIO(admin.get(f"{BUDGETS}.csv").text)))
    assert {"team research", "key web-app"} <= {row["payer"] for row in rows}


@pytest.mark.parametrize("after", ["999", "x", "-1", "9" * 40])
def test_a_page_that_is_not_there_is_empty_or_the_first(admin: httpx.Client, after: str) -> None:
    found = admin.get(f"{BUDGETS}.json", params={"after": after})
    assert (found.status_code, found.json()["cursor"]) == (200, None)


@pytest.mark.parametrize("phone", [False, True])
def test_no_serious_fault(dashboard: Dashboard, browser: Browser, phone: bool) -> None:
    page = browser.open(dashboard.gateway, BUDGETS, session=dashboard.admin, phone=phone, dark=phone)
    assert serious_faults(page) == []
    assert overflow(page) == 0
