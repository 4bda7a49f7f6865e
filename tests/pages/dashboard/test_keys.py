"""Keys on the dashboard: seen by their owners, changed by admins."""

import csv
import io
import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from proxy.errors import InvalidRequest
from proxy.pages.dashboard.keys import fields_of
from tests.pages.browser import Browser, overflow, serious_faults
from tests.pages.dashboard.seeded import Dashboard
from tests.pages.serving import reader, session_of
from tests.serving import RunningGateway, simple_config

KEYS = "/dashboard/keys"
#: A name that a page must escape.
NAME = "<img src=x onerror=alert(1)>"


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[RunningGateway]:
    with RunningGateway(simple_config(tmp_path, "http://127.0.0.1:9")) as running:
        yield running


@pytest.fixture
def editor(gateway: RunningGateway) -> Iterator[httpx.Client]:
    """A client of an admin, who may change what is there."""
    with reader(gateway, session_of(gateway)) as client:
        yield client


def csrf_of(text: str) -> str:
    return str(re.findall(r'name="csrf" value="([^"]+)"', text)[0])


def create(client: httpx.Client, **form: str) -> httpx.Response:
    return client.post(KEYS, data={"csrf": csrf_of(client.get(KEYS).text), **form})


def secret_in(text: str) -> str:
    return str(re.findall(r"prom_sk_\w+", text)[0])


def test_a_key_is_created_with_all_that_the_form_says(editor: httpx.Client) -> None:
    response = create(editor, name="web", tags="a, b", requests="600/min", budget="25.50", window="week")
    assert (response.status_code, response.headers["cache-control"]) == (201, "no-store")
    (line,) = editor.get("/dashboard/keys.json").json()["keys"]
    key = line["key"]
    assert (key["name"], key["tags"], key["limits"]) == ("web", ["a", "b"], {"requests": "600/min"})
    assert (key["budgets"][0]["limit"], key["budgets"][0]["window"]) == ("25.50", "week")


def test_the_secret_works_and_is_on_no_other_page(gateway: RunningGateway, editor: httpx.Client) -> None:
    secret = secret_in(create(editor, name="web").text)
    (line,) = editor.get("/dashboard/keys.json").json()["keys"]
    for path in (KEYS, f"{KEYS}/{line['key']['id']}", "/dashboard/keys.json", "/dashboard/keys.csv"):
        assert secret not in editor.get(path).text
    models = httpx.get(f"{gateway.url}/v1/models", headers={"authorization": f"Bearer {secret}"})
    assert models.status_code == 200


def test_the_file_has_the_columns_of_all_keys(editor: httpx.Client) -> None:
    create(editor, name="plain")
    create(editor, name="limited", requests="600/min")
    rows = list(csv.DictReader(io.StringIO(editor.get("/dashboard/keys.csv").text)))
    assert [(row["key.name"], row["key.limits.requests"]) for row in rows] == [("plain", ""), ("limited", "600/min")]


def test_a_form_that_is_sent_again_makes_no_second_key(editor: httpx.Client) -> None:
    create(editor, name="web")
    again = create(editor, name="web")
    assert again.status_code == 409
    assert "prom_sk_" not in again.text
    assert len(editor.get("/dashboard/keys.json").json()["keys"]) == 1


@pytest.mark.parametrize(
    ("form", "words"),
    [
        ({"budget": "much"}, "budget"),
        ({"concurrent": "-1"}, "concurrent"),
        ({"expires": "tomorrow"}, "expires"),
        ({"requests": "many"}, "requests"),
        ({"team": "nowhere"}, "nowhere"),
    ],
)
def test_what_is_wrong_is_said_at_the_form_and_the_rest_is_kept(
    editor: httpx.Client, form: dict[str, str], words: str
) -> None:
    response = create(editor, name="kept-name", **form)
    assert 400 <= response.status_code < 500
    (alert,) = re.findall(r'role="alert">(.*?)</p>', response.text, re.DOTALL)
    assert words in alert
    assert 'value="kept-name"' in response.text
    assert editor.get("/dashboard/keys.json").json()["keys"] == []


def test_an_expiry_is_the_end_of_the_day_in_the_zone_of_the_page() -> None:
    fields = fields_of({"name": "web", "expires": "2027-01-31"}, "Asia/Tokyo")
    assert str(fields.expires) == "2027-01-31 23:59:59+09:00"
    with pytest.raises(InvalidRequest):
        fields_of({"name": "web", "expires": "31.1.2027"}, "UTC")


def test_rotating_gives_another_secret_once(gateway: RunningGateway, editor: httpx.Client) -> None:
    old = secret_in(create(editor, name="web").text)
    (line,) = editor.get("/dashboard/keys.json").json()["keys"]
    at = f"{KEYS}/{line['key']['id']}"
    text = editor.get(at).text
    form = {"csrf": csrf_of(text), "version": re.findall(r'name="version" value="(\d+)"', text)[0], "grace": "0"}
    new = secret_in(editor.post(f"{at}/rotate", data=form).text)
    assert new != old
    again = editor.post(f"{at}/rotate", data=form)
    assert again.status_code == 412
    assert "prom_sk_" not in again.text


def test_a_revoked_key_is_refused_and_stays_in_the_list(gateway: RunningGateway, editor: httpx.Client) -> None:
    create(editor, name="web")
    (line,) = editor.get("/dashboard/keys.json").json()["keys"]
    at = f"{KEYS}/{line['key']['id']}"
    form = {"csrf": csrf_of(editor.get(at).text), "version": str(line["key"]["version"])}
    assert editor.post(f"{at}/revoke", data=form).status_code == 303
    (line,) = editor.get("/dashboard/keys.json").json()["keys"]
    assert line["key"]["revoked"]
    assert "Rotate" not in editor.get(at).text


def test_every_change_is_in_the_audit_table(gateway: RunningGateway, editor: httpx.Client) -> None:
    create(editor, name="web")
    token = gateway.gateway.admin.services.token.file.load_or_create()
    found = httpx.get(f"{gateway.url}/-/audit", headers={"authorization": f"Bearer {token}"}).json()["data"]
    assert [(one["action"], one["name"]) for one in found] == [("key.create", "web")]
    assert found[0]["actor"].startswith("admin:")


def test_an_owner_sees_the_own_key_and_no_form(dashboard: Dashboard, owner: httpx.Client) -> None:
    response = owner.get(KEYS, follow_redirects=True)
    assert response.url.path == f"{KEYS}/{dashboard.key}"
    assert "requests per minute" in response.text
    assert "Rotate" not in response.text
    assert owner.get(f"{KEYS}/{dashboard.other}").status_code == owner.get(f"{KEYS}/key_{'0' * 12}").status_code == 404


def test_an_owner_sees_no_cost_of_targets(owner: httpx.Client) -> None:
    (line,) = owner.get("/dashboard/keys.json?period=30d").json()["keys"]
    assert line["totals"]["requests"] > 0
    assert line["totals"]["target_cost_usd"] is None


def test_a_browser_creates_and_revokes_a_key(gateway: RunningGateway, browser: Browser) -> None:
    page = browser.open(gateway, KEYS, session=session_of(gateway))
    page.get_by_label("Name").fill(NAME)
    page.get_by_role("button", name="Create").click()
    secret = page.locator(".secret").inner_text()
    assert secret.startswith("prom_sk_")
    page.reload()
    assert page.locator(".secret").count() == 0
    assert secret not in page.content()
    page.get_by_role("button", name="Revoke").click()
    page.get_by_text("revoked").first.wait_for()
    page.goto(KEYS)
    assert page.get_by_role("link", name=NAME).count() == 1


@pytest.mark.parametrize("phone", [False, True])
def test_no_serious_fault(dashboard: Dashboard, browser: Browser, phone: bool) -> None:
    for path in (KEYS, f"{KEYS}/{dashboard.key}"):
        page = browser.open(dashboard.gateway, path, session=dashboard.admin, phone=phone, dark=phone)
        assert serious_faults(page) == []
        assert overflow(page) == 0
