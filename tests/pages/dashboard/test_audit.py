"""Audit: who has changed what, filtered by the URL and page by page; for admins alone."""

import csv
import io

import httpx
import pytest

from proxy.auth.audit import AuditRow
from proxy.pages.dashboard.audit import Difference, differences
from tests.pages.browser import Browser, overflow, serious_faults
from tests.pages.dashboard.seeded import HOSTILE, Dashboard

AUDIT = "/dashboard/audit"


def change(before: dict[str, object] | None, after: dict[str, object] | None) -> AuditRow:
    return AuditRow(1, 0, "cli:ada", "key.update", "key_1", "app", before, after)


def test_only_what_has_changed_is_a_difference() -> None:
    row = change(
        {"name": "a", "tags": ["x"], "version": 1}, {"name": "a", "tags": ["x", "y"], "team": "t", "version": 2}
    )
    assert differences(row) == [Difference("tags", '["x"]', '["x","y"]'), Difference("team", None, "t")]


def test_of_what_was_made_all_that_is_not_empty_is_new() -> None:
    assert differences(change(None, {"name": "a", "tags": [], "team": None})) == [Difference("name", None, "a")]


def test_changes_come_the_newest_first(admin: httpx.Client) -> None:
    found = admin.get(f"{AUDIT}.json").json()["changes"]
    assert [one["id"] for one in found] == sorted((one["id"] for one in found), reverse=True)
    assert {"key.create", "team.create"} <= {one["action"] for one in found}


@pytest.mark.parametrize(
    ("query", "names"),
    [("object=web-app", {"web-app"}), ("action=team", {"research", "secret-team"}), ("actor=nobody", set())],
)
def test_a_filter_of_the_url_chooses(admin: httpx.Client, query: str, names: set[str]) -> None:
    assert {one["name"] for one in admin.get(f"{AUDIT}.json?{query}").json()["changes"]} == names


def test_pages_follow_each_other(admin: httpx.Client) -> None:
    changes = admin.get(f"{AUDIT}.json").json()["changes"]
    rest = admin.get(f"{AUDIT}.json?before={changes[0]['id']}").json()["changes"]
    assert rest == changes[1:]


def test_an_id_that_is_none_is_refused(admin: httpx.Client) -> None:
    assert admin.get(f"{AUDIT}.json?before=x").status_code == 400


def test_the_file_cannot_be_calculated(admin: httpx.Client) -> None:
    rows = list(csv.DictReader(io.StringIO(admin.get(f"{AUDIT}.csv").text)))
    assert f"'{HOSTILE}" in {row["name"] for row in rows}


def test_names_are_escaped(admin: httpx.Client) -> None:
    text = admin.get(AUDIT).text
    assert "<img src=x" not in text
    assert "&lt;img src=x" in text


@pytest.mark.parametrize("path", [AUDIT, f"{AUDIT}.json", f"{AUDIT}.csv"])
def test_an_owner_of_a_key_may_not_see_them(owner: httpx.Client, path: str) -> None:
    assert owner.get(path).status_code == 403


@pytest.mark.parametrize("phone", [False, True])
def test_no_serious_fault(dashboard: Dashboard, browser: Browser, phone: bool) -> None:
    page = browser.open(dashboard.gateway, AUDIT, session=dashboard.admin, phone=phone, dark=phone)
    assert serious_faults(page) == []
    assert overflow(page) == 0
