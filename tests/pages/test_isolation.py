"""Who may see and do what, for every row of the table of pages, by every parameter that can name what is another's.

What the owner of a key is shown is compared with what a gateway shows that has no other key: it must be the same, byte
by byte. Besides, all names of the other key have the word "secret" in them (`tests/pages/dashboard/seeded.py`).
"""

import re
import shutil
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

import httpx
import pytest

from proxy.auth.values import KeyFields
from proxy.cli.dashboard import sign_in_link
from proxy.ledger.board_rows import cursor_of
from proxy.pages.cookies import COOKIE
from proxy.pages.dashboard import live
from proxy.pages.dashboard.scope import FILTERS
from proxy.pages.request import Access, Page
from proxy.pages.table import PAGES
from tests.ledger.samples import request_id
from tests.pages.dashboard.seeded import OTHER_ALIAS, Dashboard, seed, seeded
from tests.pages.serving import csrf_of, reader, session_of
from tests.serving import KEY, RunningGateway, simple_config

READ = [page for page in PAGES if page.method == "GET"]
PRIVATE = [page for page in PAGES if page.access is not Access.OPEN]
WRITTEN = [page for page in PAGES if page.method == "POST"]
#: What the other key alone has, as filters name it.
OTHERS = {
    "alias": OTHER_ALIAS,
    "key": "{other}",
    "team": "secret-team",
    "tag": "secret-tag",
    "endpoint": "/v1/secret",
    "status": "418",
    "outcome": "upstream_error",
    "upstream": "secret-upstream",
    "session": "secret-session",
    "user": "secret-user",
    "metadata": "project=secret-project",
}
#: What tables may be by, and what they might be by.
GROUPS = ("key", "team", "tag", "org", "upstream", "target", "session", "user", "metadata", "metadata:project", "id")
#: Names of cursors, and of what goes on where it was.
CURSORS = ("before", "after", "cursor", "last", "id")
#: Each way to name what is another's. {own} and {other} are keys, the others ids of requests and a cursor behind one.
ASKED = (
    *("", "last={first_of_own}", "key=secret-key", "key={own}&key={other}", "q=secret", "team={team}"),
    *(f"{name}={value}" for name, value in OTHERS.items()),
    *(f"by={by}" for by in GROUPS),
    *(f"{name}={value}" for name in CURSORS for value in ("{other}", "{of_other}", "{behind_other}")),
)
STREAMED = tuple(f"last={{first_of_own}}&{asked}" for asked in ASKED if not asked.startswith("last="))
#: Each row with each way; what is open takes none of them.
ALL = [
    (page, asked)
    for page in READ
    for asked in (("",) if page.access is Access.OPEN else ASKED + STREAMED if page.path.endswith(".sse") else ASKED)
]
NAMES = re.compile(r"secret-\w+|/v1/secret|hidden-\w+")
#: It has the aliases of the configuration, for everyone.
PUBLIC = "/openapi.json"


class Readers(NamedTuple):
    """Who reads: the owner of a key, beside another key and without one, an admin, and who has no session."""

    owner: httpx.Client
    alone: httpx.Client
    admin: httpx.Client
    stranger: httpx.Client


def by_row(pages: list[Page]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("page", pages, ids=[f"{page.method} {page.path}" for page in pages])


@pytest.fixture(scope="module")
def short_streams() -> Iterator[None]:
    """Live lists look at the ledger twice and end, so that they can be read as pages are."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(live, "_BEATS", 2)
        patch.setattr(live, "_INTERVAL", 0.001)
        yield


@pytest.fixture(scope="module")
def dashboards(tmp_path_factory: pytest.TempPathFactory, short_streams: None) -> Iterator[tuple[Dashboard, Dashboard]]:
    """Two gateways that have the same of one key, and the first of them what another key has too."""
    folder = tmp_path_factory.mktemp("dashboards")
    (folder / "alone").mkdir()
    own = seed(folder / "alone")
    shutil.copytree(folder / "alone", folder / "both")
    with seeded(folder / "both", own) as both, seeded(folder / "alone", own, has_other=False) as alone:
        yield both, alone


@pytest.fixture(scope="module")
def dashboard(dashboards: tuple[Dashboard, Dashboard]) -> Dashboard:
    return dashboards[0]


@pytest.fixture(scope="module")
def readers(dashboards: tuple[Dashboard, Dashboard]) -> Iterator[Readers]:
    both, alone = dashboards
    with (
        reader(both.gateway, both.owner) as owner,
        reader(alone.gateway, alone.owner) as without,
        reader(both.gateway, both.admin) as admin,
        reader(both.gateway) as stranger,
    ):
        yield Readers(owner, without, admin, stranger)


@pytest.fixture(scope="module")
def named(dashboard: Dashboard, readers: Readers) -> dict[str, str]:
    """What the parameters name."""
    newest = readers.admin.get("/dashboard/requests.json?period=30d&key=secret-key").json()["requests"][0]
    teams = readers.admin.get("/dashboard/overview.json?period=30d&by=team").json()["table"]["lines"]
    return {
        "own": dashboard.key,
        "other": dashboard.other,
        "team": next(line["group"] for line in teams if line["name"] == "secret-team"),
        "of_other": newest["id"],
        "first_of_own": request_id(60),
        "behind_other": behind(newest["started"], newest["id"]),
    }


def behind(started: str, id_: str) -> str:
    """The cursor behind a request, as the pages write it."""
    return cursor_of(int(datetime.fromisoformat(started).timestamp() * 1_000_000), id_)


def path_of(page: Page, key: str, request: str) -> str:
    """The path of a page, of these objects."""
    ids = {"key_id": key, "request_id": request, "code": "x" * 43}
    return re.sub(r"\{(\w+)\}", lambda match: ids[match[1]], page.path)


def told(response: httpx.Response) -> tuple[int, str, str]:
    """What a response says, without what is new in each: its id and its time, the address, the token of forms."""
    text = response.text.replace(response.headers["x-request-id"], "ID")
    text = text.replace(str(response.url.copy_with(path="/", query=None)).rstrip("/"), "ORIGIN")
    text = re.sub(r'name="csrf" value="[^"]+"', "CSRF", text)
    return response.status_code, response.headers.get("location", ""), re.sub(r'"timestamp":"[^"]+"', "TIME", text)


def get(
    client: httpx.Client, page: Page, asked: str, named: Mapping[str, str], *, is_own: bool = True
) -> httpx.Response:
    """A page of the owner's objects, or of the other key's, asked for with what is the other key's."""
    key, request = (named["own"], named["first_of_own"]) if is_own else (named["other"], named["of_other"])
    last = {"last-event-id": named["of_other"]} if asked.startswith("last={of_other}") else {}
    return client.get(path_of(page, key, request), params=f"period=30d&{asked.format(**named)}", headers=last)


def test_every_filter_has_something_of_the_other_key() -> None:
    assert list(OTHERS) == list(FILTERS)


@pytest.mark.parametrize(("page", "asked"), ALL, ids=[f"{page.path}?{asked}" for page, asked in ALL])
def test_an_owner_is_shown_the_same_whatever_other_keys_do(
    page: Page, asked: str, readers: Readers, named: dict[str, str]
) -> None:
    beside, alone = (get(client, page, asked, named) for client in (readers.owner, readers.alone))
    assert told(beside) == told(alone)
    # What was asked for may be repeated.
    known = set(NAMES.findall(asked.format(**named))) | ({OTHER_ALIAS} if page.path == PUBLIC else set())
    assert set(NAMES.findall(beside.text)) <= known


@by_row([page for page in READ if "{" in page.path])
def test_what_is_another_s_is_like_what_is_not_there(page: Page, readers: Readers, named: dict[str, str]) -> None:
    beside, alone = (get(client, page, "", named, is_own=False) for client in (readers.owner, readers.alone))
    assert told(beside) == told(alone)


@by_row([page for page in READ if page.access is not Access.OPEN])
def test_an_admin_sees_what_an_owner_must_not(page: Page, readers: Readers, named: dict[str, str]) -> None:
    """Else the tests above would say nothing."""
    response = get(readers.admin, page, "by=key&last=" + request_id(1), named, is_own=False)
    assert response.status_code == 200
    assert NAMES.search(response.text)


@by_row(PRIVATE)
def test_nothing_is_seen_or_done_without_a_session(page: Page, readers: Readers, named: dict[str, str]) -> None:
    path = path_of(page, named["other"], named["of_other"])
    for cookie in ("", f"{COOKIE}={'x' * 43}"):
        response = readers.stranger.request(page.method, path, headers={"cookie": cookie})
        if response.status_code == 303:
            assert response.headers["location"] == f"/dashboard/sign-in?next={quote(path, safe='')}"
        else:
            assert response.status_code == 401
        assert not NAMES.search(response.text)


@by_row([page for page in PRIVATE if page.access is Access.ADMIN or (page.method == "POST" and "{" in page.path)])
def test_an_owner_does_nothing_that_is_for_admins_or_of_another(
    page: Page, dashboard: Dashboard, readers: Readers, named: dict[str, str]
) -> None:
    path = path_of(page, named["other"], named["of_other"])
    response = readers.owner.request(page.method, path, data={"csrf": csrf_of(dashboard.gateway, dashboard.owner)})
    assert response.status_code in (403, 404)
    assert not NAMES.search(response.text)


# forms

#: A form for each row that it takes: {version} is that of the key.
FORMS = {
    "/dashboard/sign-in": {"secret": KEY},
    "/dashboard/sign-in/{code}": {},
    "/dashboard/sign-out": {},
    "/dashboard/keys": {"name": "made"},
    "/dashboard/keys/{key_id}/rotate": {"version": "{version}", "grace": "0"},
    "/dashboard/keys/{key_id}/revoke": {"version": "{version}"},
    "/dashboard/settings": {"zone": "Asia/Tokyo", "theme": "dark"},
}
#: Headers that browsers send with a form of another site, or of a page that has no site.
FOREIGN = (
    {"sec-fetch-site": "cross-site"},
    {"sec-fetch-site": "same-site"},
    {"sec-fetch-site": "none"},
    {"sec-fetch-site": "cross-site", "origin": "{origin}"},
    {"origin": "https://a.example"},
    {"origin": "null"},
    {"origin": "{origin}0"},
    {"origin": "{origin}.a.example"},
    {"origin": "http://a.example@{host}"},
)


class Sender:
    """Sends the form of a row with an admin's session, and says whether it has changed anything."""

    def __init__(self, gateway: RunningGateway, data_dir: Path) -> None:
        self.gateway = gateway
        self.session = session_of(gateway)
        self._data_dir = data_dir
        self._code = gateway.wait_for(sign_in_link(data_dir, "")).rpartition("/")[2]
        keys = gateway.gateway.admin.services.store.keys
        self._key, _ = gateway.wait_for(keys.add(KeyFields(name="web"), actor="test"))

    def changes(
        self, page: Page, headers: Mapping[str, str], csrf: str | None, query: Mapping[str, str] | None = None
    ) -> httpx.Response | None:
        """The response, where something has changed, or a cookie was set; else it must say no."""
        assert page.path in FORMS, f"a form for {page.path} is missing in FORMS"
        form = {name: value.format(version=self._key.version) for name, value in FORMS[page.path].items()}
        if csrf is not None:
            form["csrf"] = csrf
        host = f"127.0.0.1:{self.gateway.port}"
        sent = {name: value.format(origin=f"http://{host}", host=host) for name, value in headers.items()}
        path = path_of(page, self._key.id, "").replace("x" * 43, self._code)
        before = self._stored()
        with httpx.Client(base_url=self.gateway.url, cookies={COOKIE: self.session}) as client:
            response = client.post(path, data=form, headers=sent, params=query)
        if self._stored() != before or "set-cookie" in response.headers:
            return response
        assert response.status_code == 403
        assert "prom_sk_" not in response.text
        return None

    def _stored(self) -> list[str]:
        """All that the databases have."""
        found: list[str] = []
        for name in ("keys.db", "sessions.db"):
            with closing(sqlite3.connect(self._data_dir / name)) as connection:
                found += connection.iterdump()
        return found


@pytest.fixture(scope="module")
def sender(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sender]:
    """For forms that change nothing."""
    data_dir = tmp_path_factory.mktemp("forms")
    with RunningGateway(simple_config(data_dir, "http://127.0.0.1:9")) as gateway:
        yield Sender(gateway, data_dir)


@by_row(WRITTEN)
@pytest.mark.parametrize("headers", [{"sec-fetch-site": "same-origin"}, {"origin": "{origin}"}, {}], ids=str)
def test_a_form_of_this_site_and_session_is_taken(page: Page, headers: dict[str, str], tmp_path: Path) -> None:
    """Else the tests below would say nothing."""
    with RunningGateway(simple_config(tmp_path, "http://127.0.0.1:9")) as gateway:
        sender = Sender(gateway, tmp_path)
        response = sender.changes(page, headers, csrf_of(sender.gateway, sender.session))
    assert response is not None
    assert response.status_code < 400


@by_row(WRITTEN)
@pytest.mark.parametrize("headers", FOREIGN, ids=str)
def test_a_form_of_another_site_does_nothing(page: Page, headers: dict[str, str], sender: Sender) -> None:
    assert sender.changes(page, headers, csrf_of(sender.gateway, sender.session)) is None


@by_row(WRITTEN)
def test_a_form_without_the_token_of_the_session_does_nothing(page: Page, sender: Sender) -> None:
    own, here = csrf_of(sender.gateway, sender.session), {"sec-fetch-site": "same-origin"}
    others = [csrf_of(sender.gateway, session_of(sender.gateway, secret)) for secret in (None, KEY)]
    for csrf in (None, "", *others, own[:-1], f"{own} ", own.swapcase(), sender.session):
        assert sender.changes(page, here, csrf) is None
    assert sender.changes(page, {**here, "x-csrf-token": others[0]}, own) is None
    assert sender.changes(page, here, None, {"csrf": own}) is None
