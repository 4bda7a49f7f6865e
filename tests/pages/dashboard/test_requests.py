"""The list of requests, and the page of one."""

import csv
import io

import httpx
import pytest

from proxy.pages.dashboard.requests import PAGE
from tests.pages.browser import Browser, overflow, serious_faults
from tests.pages.dashboard.seeded import HOSTILE, Dashboard

ALL = "/dashboard/requests?period=30d"


def test_an_admin_sees_those_of_all_keys(admin: httpx.Client) -> None:
    text = admin.get(ALL).text
    assert "web-app" in text
    assert "secret-key" in text


def test_pages_have_each_request_once(admin: httpx.Client) -> None:
    seen: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        found = admin.get(f"/dashboard/requests.json?period=30d{f'&before={cursor}' if cursor else ''}").json()
        seen += [one["id"] for one in found["requests"]]
        cursor = found["cursor"]
    assert len(seen) == len(set(seen)) == 100


def test_the_page_leads_to_earlier_ones_and_back(dashboard: Dashboard, browser: Browser) -> None:
    page = browser.open(dashboard.gateway, ALL, session=dashboard.admin, javascript=False)
    assert page.locator("#rows tr").count() == PAGE
    page.get_by_role("link", name="Earlier ones").click()
    assert page.locator("#rows tr").count() == PAGE
    page.get_by_role("link", name="The last ones").click()
    assert "before" not in page.url


def test_filters_are_those_of_the_url(admin: httpx.Client) -> None:
    found = admin.get("/dashboard/requests.json?period=30d&status=5xx").json()["requests"]
    assert [one["status"] for one in found] == [502]


def test_what_is_no_cursor_is_said_in_the_place_of_the_table(admin: httpx.Client) -> None:
    assert "is not one of this page" in admin.get(f"{ALL}&before=x").text
    assert admin.get("/dashboard/requests.json?before=x").status_code == 400


def test_the_file_has_all_of_them_and_nothing_that_a_spreadsheet_calculates(admin: httpx.Client) -> None:
    response = admin.get("/dashboard/requests.csv?period=30d")
    rows = list(csv.DictReader(io.StringIO(response.text)))
    assert len(rows) == 100
    assert f"'{HOSTILE}" in {row["alias"] for row in rows}


@pytest.mark.parametrize("ending", ["", ".json"])
def test_another_key_s_request_is_like_none(dashboard: Dashboard, owner: httpx.Client, ending: str) -> None:
    of_other = owner.get(f"/dashboard/requests/{dashboard.of_other}{ending}")
    unknown = owner.get(f"/dashboard/requests/req_{'0' * 32}{ending}")
    assert of_other.status_code == unknown.status_code == 404


def test_an_owner_sees_no_upstream(dashboard: Dashboard, owner: httpx.Client) -> None:
    for path in (f"/dashboard/requests/{dashboard.request}", f"/dashboard/requests/{dashboard.request}.json"):
        response = owner.get(path)
        assert response.status_code == 200
        assert "hidden-" not in response.text
        assert "0.0005" not in response.text


def test_an_admin_sees_the_target_and_its_cost(dashboard: Dashboard, admin: httpx.Client) -> None:
    found = admin.get(f"/dashboard/requests/{dashboard.request}.json").json()
    assert found["request"]["target_cost_usd"] == "0.0005"
    assert found["attempts"] == [
        {"number": 1, "ended": 900, "failed": False, "target": "hidden-upstream/hidden-model", "cause": None}
    ]


def test_a_cost_that_is_not_known_is_not_zero(dashboard: Dashboard, admin: httpx.Client) -> None:
    found = admin.get("/dashboard/requests.json?period=30d&key=web-app").json()["requests"]
    assert None in {one["cost_usd"] for one in found}
    assert not {"0", "0.00"} & {one["cost_usd"] for one in found}


def test_back_closes_the_drawer_and_stays_on_the_list(dashboard: Dashboard, browser: Browser) -> None:
    page = browser.open(dashboard.gateway, ALL, session=dashboard.admin)
    page.locator("#rows a").first.dblclick()
    drawer = page.get_by_role("dialog")
    drawer.get_by_text("Gateway overhead").wait_for()
    page.go_back()
    drawer.wait_for(state="hidden")
    page.wait_for_url("**/dashboard/requests?period=30d*")


def test_a_request_opens_in_a_drawer_and_is_closed_by_the_keyboard(dashboard: Dashboard, browser: Browser) -> None:
    page = browser.open(dashboard.gateway, ALL, session=dashboard.admin)
    page.locator("#rows a").first.click()
    drawer = page.get_by_role("dialog")
    drawer.get_by_text("Gateway overhead").wait_for()
    assert "/dashboard/requests/req_" in page.url
    assert serious_faults(page) == []
    page.keyboard.press("Escape")
    drawer.wait_for(state="hidden")
    page.wait_for_url("**/dashboard/requests?period=30d*")


@pytest.mark.parametrize("path", ["/dashboard/requests?period=30d", "/dashboard/requests/REQUEST"])
@pytest.mark.parametrize("phone", [False, True])
def test_no_serious_fault(dashboard: Dashboard, browser: Browser, path: str, phone: bool) -> None:
    at = path.replace("REQUEST", dashboard.request)
    page = browser.open(dashboard.gateway, at, session=dashboard.admin, phone=phone, dark=phone)
    assert serious_faults(page) == []
    assert overflow(page) == 0
