"""The overview: its figures are those of the ledger, for admins of all keys and for an owner of one."""

import csv
import html
import io
import re

import httpx
import pytest

from tests.pages.browser import Browser, overflow, serious_faults
from tests.pages.dashboard.seeded import Dashboard


def test_an_admin_sees_all_keys(admin: httpx.Client) -> None:
    found = admin.get("/dashboard/overview.json?period=7d").json()
    assert found["totals"]["requests"] == 100
    assert found["totals"]["errors"] == 2
    assert found["totals"]["unpriced"] == 1
    assert found["totals"]["cost_usd"] == "311081.826"
    assert found["errors"] == {}


def test_an_owner_sees_the_own_key(owner: httpx.Client) -> None:
    found = owner.get("/dashboard/overview.json?period=7d").json()
    assert found["totals"]["requests"] == 60
    assert found["totals"]["cost_usd"] == "1.826"
    assert found["totals"]["target_cost_usd"] is None
    assert {line["group"] for line in found["table"]["lines"]} >= {"prometheus-core"}


@pytest.mark.parametrize("by", ["key", "team", "tag"])
def test_an_owner_has_no_charts_by_what_others_have(owner: httpx.Client, by: str) -> None:
    assert owner.get(f"/dashboard/overview.json?by={by}").status_code == 400


def test_a_chart_adds_up_to_the_totals(admin: httpx.Client) -> None:
    found = admin.get("/dashboard/overview.json?period=7d&by=key").json()
    assert sum(sum(line["requests"]) for line in found["chart"]["lines"]) == 100
    assert {line["name"] for line in found["chart"]["lines"]} == {"web-app", "secret-key"}


def test_the_file_has_the_table(admin: httpx.Client) -> None:
    response = admin.get("/dashboard/overview.csv?period=7d&by=key")
    rows = list(csv.DictReader(io.StringIO(response.text)))
    assert {(row["name"], row["totals.requests"]) for row in rows} == {("web-app", "60"), ("secret-key", "40")}


def test_what_is_not_priced_is_counted(admin: httpx.Client) -> None:
    assert "1 unpriced requests are not in it" in admin.get("/dashboard?period=7d").text


def test_the_first_paint_is_small(dashboard: Dashboard, browser: Browser) -> None:
    page = browser.open(dashboard.gateway, "/dashboard?period=7d", session=dashboard.admin)
    page.locator(".uplot canvas").wait_for()
    transferred: int = page.evaluate(
        "() => [...performance.getEntriesByType('resource'), ...performance.getEntriesByType('navigation')]"
        ".reduce((sum, one) => sum + one.transferSize, 0)"
    )
    assert 10_000 < transferred < 150_000


@pytest.mark.parametrize("phone", [False, True])
@pytest.mark.parametrize("dark", [False, True])
def test_the_page_has_no_serious_fault(dashboard: Dashboard, browser: Browser, phone: bool, dark: bool) -> None:
    page = browser.open(
        dashboard.gateway, "/dashboard?period=7d&by=key", session=dashboard.admin, phone=phone, dark=dark
    )
    page.locator(".uplot canvas").wait_for()
    assert serious_faults(page) == []
    assert overflow(page) == 0


def test_the_page_is_whole_without_scripts(dashboard: Dashboard, browser: Browser) -> None:
    page = browser.open(dashboard.gateway, "/dashboard?period=7d", session=dashboard.owner, javascript=False)
    assert page.locator("figure.chart rect").count() > 3
    page.locator("details.more summary").click()
    page.locator("select[name=status]").select_option("5xx")
    page.get_by_role("button", name="Apply").click()
    assert page.get_by_text("1 of 1 requests").count() or page.locator(".tile").nth(1).inner_text().startswith(
        "Requests"
    )
    assert "status=5xx" in page.url


def test_every_link_keeps_what_was_chosen(admin: httpx.Client) -> None:
    chosen = "zone=Asia%2FTokyo&by=key&metric=tokens&alias=prometheus-core"
    text = admin.get(f"/dashboard?{chosen}").text
    (bar,) = re.findall(r'<div class="periods".*?</div>', text, re.DOTALL)
    links = re.findall(r'href="([^"]+)"', bar)
    assert len(links) == 4
    for link in links:
        assert set(chosen.split("&")) <= set(html.unescape(link).partition("?")[2].split("&"))
