"""Who may see what, for every row of the table of pages: the owner of one key sees no digit of another's.

The figures of the other key all have 7777 in them, and its names the word "secret" (`tests/pages/dashboard/seeded.py`).
"""

import re
from collections.abc import Iterator

import pytest

from proxy.pages.request import Access, Page
from proxy.pages.table import PAGES
from tests.pages.dashboard.seeded import Dashboard, seeded
from tests.pages.serving import reader, session_of

PRIVATE = [page for page in PAGES if page.access is not Access.OPEN]
#: Streams do not end; they have tests of their own.
READ = [page for page in PRIVATE if page.method == "GET" and not page.path.endswith(".sse")]
WRITTEN = [page for page in PRIVATE if page.method == "POST"]
#: Each way to name what is another's; {other} is its key, {of_other} one of its requests.
ASKED = (
    "",
    "period=30d&by=key",
    "period=30d&by=team",
    "period=30d&by=tag",
    "period=30d&key={other}",
    "period=30d&key=secret-key",
    "period=30d&key={own}&key={other}",
    "period=30d&tag=secret-tag",
    "period=30d&alias=secret-alias",
    "period=30d&cursor={of_other}",
    "period=30d&before={of_other}",
    "period=30d&q=secret",
)
FIGURES = re.compile(r"7[,.]?777|7\.78|secret-key|secret-tag|hidden-upstream|hidden-model")


def by_row(pages: list[Page]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("page", pages, ids=[f"{page.method} {page.path}" for page in pages])


@pytest.fixture(scope="module")
def dashboard(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dashboard]:
    with seeded(tmp_path_factory.mktemp("dashboard")) as one:
        yield one


def path_of(page: Page, dashboard: Dashboard) -> str:
    """The path of a page, of the other key's objects."""
    ids = {"key_id": dashboard.other, "id": dashboard.of_other, "request_id": dashboard.of_other}
    return re.sub(r"\{(\w+)\}", lambda match: ids[match.group(1)], page.path)


@by_row(READ)
@pytest.mark.parametrize("asked", ASKED)
def test_an_owner_sees_nothing_of_another_key(page: Page, asked: str, dashboard: Dashboard) -> None:
    query = asked.format(own=dashboard.key, other=dashboard.other, of_other=dashboard.of_other)
    with reader(dashboard.gateway, dashboard.owner) as client:
        response = client.get(f"{path_of(page, dashboard)}?{query}")
    assert response.status_code in (200, 303, 400, 403, 404)
    # What was asked for may be repeated.
    sent = {*re.findall(r"secret-\w+", query), dashboard.other if dashboard.other in query else ""} - {""}
    found = set(FIGURES.findall(response.text)) - sent
    assert not found
    if dashboard.other not in query and "{" not in page.path:
        assert dashboard.other not in response.text


@by_row(WRITTEN)
def test_an_owner_changes_nothing_of_another_key(page: Page, dashboard: Dashboard) -> None:
    session = session_of(dashboard.gateway, None)
    sessions = dashboard.gateway.gateway.site.services.sessions
    viewer = dashboard.gateway.wait_for(sessions.viewer(dashboard.owner))
    assert viewer is not None
    if page.path == "/dashboard/sign-out":
        pytest.skip("ends the owner's own session")
    form = {"csrf": viewer.csrf, "key": dashboard.other, "key_id": dashboard.other, "name": "taken"}
    with reader(dashboard.gateway, dashboard.owner) as client:
        response = client.post(path_of(page, dashboard), data=form)
    assert not FIGURES.search(response.text)
    if page.access is Access.ADMIN or "{" in page.path:
        assert response.status_code in (403, 404)
    with reader(dashboard.gateway, session) as client:
        text = client.get("/dashboard/overview.json?period=30d&by=key").text
    assert "secret-key" in text
    assert "taken" not in text


@by_row(PRIVATE)
def test_nothing_is_seen_or_done_without_a_session(page: Page, dashboard: Dashboard) -> None:
    with reader(dashboard.gateway, "x" * 43) as client:
        form = {"csrf": "x"} if page.method == "POST" else None
        response = client.request(page.method, path_of(page, dashboard), data=form)
    if response.status_code == 303:
        assert response.headers["location"].startswith("/dashboard/sign-in?next=")
    else:
        assert response.status_code == 401


@by_row([page for page in PRIVATE if page.access is Access.ADMIN])
def test_what_is_for_admins_is_refused_to_owners(page: Page, dashboard: Dashboard) -> None:
    sessions = dashboard.gateway.gateway.site.services.sessions
    viewer = dashboard.gateway.wait_for(sessions.viewer(dashboard.owner))
    assert viewer is not None
    with reader(dashboard.gateway, dashboard.owner) as client:
        response = client.request(
            page.method, path_of(page, dashboard), data={"csrf": viewer.csrf} if page.method == "POST" else None
        )
    assert response.status_code == 403


@by_row([page for page in PAGES if page.method == "POST"])
@pytest.mark.parametrize(
    "headers", [{"sec-fetch-site": "cross-site"}, {"sec-fetch-site": "", "origin": "https://a.example"}]
)
def test_no_form_is_taken_from_another_site(page: Page, headers: dict[str, str], dashboard: Dashboard) -> None:
    path = re.sub(r"\{code\}", "x" * 43, page.path)
    with reader(dashboard.gateway, dashboard.admin) as client:
        if not headers["sec-fetch-site"]:
            del client.headers["sec-fetch-site"]
        sent = {name: value for name, value in headers.items() if value}
        viewer = dashboard.gateway.wait_for(dashboard.gateway.gateway.site.services.sessions.viewer(dashboard.admin))
        assert viewer is not None
        target = path_of(Page(page.method, path, page.handler, page.help, page.part), dashboard)
        response = client.post(target, data={"csrf": viewer.csrf}, headers=sent)
    assert response.status_code == 403
