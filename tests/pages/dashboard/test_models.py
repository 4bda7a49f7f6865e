"""Models, and for admins their targets and upstreams."""

import csv
import io

import httpx
import pytest

from tests.pages.browser import Browser, overflow, serious_faults
from tests.pages.dashboard.seeded import Dashboard
from tests.serving import ALIAS

MODELS = "/dashboard/models"


def test_an_admin_sees_targets_with_their_cost_and_the_state_of_upstreams(admin: httpx.Client) -> None:
    found = admin.get(f"{MODELS}.json?period=30d").json()
    assert "hidden-upstream/hidden-model" in {line["group"] for line in found["targets"]}
    assert [one["id"] for one in found["upstreams"]] == ["vendor1"]
    text = admin.get(f"{MODELS}?period=30d").text
    assert "Upstreams now" in text
    assert "available" in text


def test_an_owner_sees_the_own_models_and_no_upstream(owner: httpx.Client) -> None:
    found = owner.get(f"{MODELS}.json?period=30d").json()
    assert (found["targets"], found["upstreams"]) == ([], [])
    assert ALIAS in {line["group"] for line in found["models"]}
    assert {line["totals"]["target_cost_usd"] for line in found["models"]} == {None}
    text = owner.get(f"{MODELS}?period=30d").text
    for word in ("hidden-", "vendor1", "secret-alias", "Margin"):
        assert word not in text


def test_a_model_that_nothing_was_requested_of_is_there(admin: httpx.Client) -> None:
    text = admin.get(f"{MODELS}?period=custom&from=2026-01-01&to=2026-01-02").text
    assert ALIAS in text


def test_the_file_has_the_models(admin: httpx.Client) -> None:
    rows = list(csv.DictReader(io.StringIO(admin.get(f"{MODELS}.csv?period=30d").text)))
    assert ALIAS in {row["group"] for row in rows}


@pytest.mark.parametrize("phone", [False, True])
def test_no_serious_fault(dashboard: Dashboard, browser: Browser, phone: bool) -> None:
    page = browser.open(dashboard.gateway, f"{MODELS}?period=7d", session=dashboard.admin, phone=phone, dark=phone)
    assert serious_faults(page) == []
    assert overflow(page) == 0
