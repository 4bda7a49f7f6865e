"""Teams and organisations, with what their keys have used; for admins alone."""

import csv
import io

import httpx
import pytest

from tests.pages.browser import Browser, overflow, serious_faults
from tests.pages.dashboard.seeded import Dashboard

TEAMS = "/dashboard/teams"


def test_a_team_has_its_keys_limits_and_organisation(admin: httpx.Client) -> None:
    found = admin.get(f"{TEAMS}.json?period=30d").json()
    (team,) = [one for one in found["teams"] if one["name"] == "research"]
    assert (team["keys"], team["org"], team["budgets"]) == (1, "acme", 1)
    assert ("acme", 1) in [(org["name"], org["teams"]) for org in found["orgs"]]


def test_the_page_links_to_what_a_team_has_used(admin: httpx.Client) -> None:
    assert 'href="/dashboard?period=7d&amp;team=research"' in admin.get(f"{TEAMS}?period=7d").text


def test_the_file_has_the_teams(admin: httpx.Client) -> None:
    rows = list(csv.DictReader(io.StringIO(admin.get(f"{TEAMS}.csv").text)))
    assert "research" in [row["name"] for row in rows]


@pytest.mark.parametrize("path", [TEAMS, f"{TEAMS}.json", f"{TEAMS}.csv"])
def test_an_owner_of_a_key_may_not_see_them(owner: httpx.Client, path: str) -> None:
    assert owner.get(path).status_code == 403


@pytest.mark.parametrize("phone", [False, True])
def test_no_serious_fault(dashboard: Dashboard, browser: Browser, phone: bool) -> None:
    page = browser.open(dashboard.gateway, f"{TEAMS}?period=7d", session=dashboard.admin, phone=phone, dark=phone)
    assert serious_faults(page) == []
    assert overflow(page) == 0
