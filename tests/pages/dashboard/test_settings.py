"""The time zone and the colours are kept in cookies; the form leads nowhere else."""

import httpx
import pytest

from tests.pages.dashboard.seeded import Dashboard


def csrf(client: httpx.Client) -> str:
    return client.get("/dashboard").text.partition('name="csrf" value="')[2].partition('"')[0]


def test_a_zone_and_colours_hold_for_the_next_pages(dashboard: Dashboard, admin: httpx.Client) -> None:
    form = {"csrf": csrf(admin), "zone": "Asia/Tokyo", "theme": "dark", "next": "/dashboard?period=7d"}
    response = admin.post("/dashboard/settings", data=form)
    assert response.status_code == 303
    assert response.headers["location"] == "/dashboard?period=7d"
    page = admin.get("/dashboard").text
    assert 'data-theme="dark"' in page
    assert "Times are Asia/Tokyo" in page


def test_a_zone_that_is_not_known_is_refused(admin: httpx.Client) -> None:
    response = admin.post("/dashboard/settings", data={"csrf": csrf(admin), "zone": "Mars", "theme": "dark"})
    assert response.status_code == 400
    assert "set-cookie" not in response.headers


@pytest.mark.parametrize(
    "zone", ["../../../etc/passwd", "/etc/passwd", "Europe", "UTC\0", "a" * 200, "é", ".", "UTC; a=b"]
)
def test_what_is_no_zone_names_no_file(admin: httpx.Client, zone: str) -> None:
    response = admin.post("/dashboard/settings", data={"csrf": csrf(admin), "zone": zone, "theme": "dark"})
    assert (response.status_code, "set-cookie" in response.headers) == (400, False)
    assert admin.get("/dashboard/overview.json", params={"zone": zone}).status_code == 400


def test_the_form_leads_nowhere_else(admin: httpx.Client) -> None:
    form = {"csrf": csrf(admin), "zone": "UTC", "theme": "dark", "next": "//evil.example"}
    assert admin.post("/dashboard/settings", data=form).headers["location"] == "/dashboard"
