"""What a page is about stands in its URL, and goes with its links."""

from datetime import UTC, datetime

import pytest
from starlette.datastructures import FormData, QueryParams

from proxy.auth.names import Names
from proxy.errors import InvalidRequest
from proxy.pages.dashboard.scope import Scope, read_scope
from proxy.pages.request import PageRequest
from proxy.pages.viewer import Viewer

NOW = datetime(2026, 11, 20, 10, 30, tzinfo=UTC).timestamp()
ADMIN = Viewer(None, "admin", "token")
OWNER = Viewer("key_aaaaaaaaaaaa", "key:web", "token")
NAMES = Names(
    keys={"key_aaaaaaaaaaaa": "web", "key_bbbbbbbbbbbb": "jobs"},
    live=frozenset({"key_aaaaaaaaaaaa", "key_bbbbbbbbbbbb"}),
    tags={"key_bbbbbbbbbbbb": ("batch",)},
    teams={"team_aaaaaaaaaaaa": "research"},
)


def scope(query: str = "", viewer: Viewer = ADMIN, cookie: str = "") -> Scope:
    headers = [(b"cookie", cookie.encode())] if cookie else []
    request = PageRequest(
        method="GET",
        path="/dashboard",
        ids={},
        query=QueryParams(query),
        form=FormData(),
        headers=headers,
        viewer=viewer,
        session="",
        takes_admins=True,
        origin="http://localhost",
        is_secure=False,
        client="127.0.0.1",
    )
    return read_scope(request, NAMES, NOW)


def at(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp())


@pytest.mark.parametrize(
    ("query", "since", "until", "before", "before_end"),
    [
        ("", "2026-11-19T11:00Z", "2026-11-20T11:00Z", "2026-11-18T11:00Z", "2026-11-19T11:00Z"),
        ("period=7d", "2026-11-14T00:00Z", "2026-11-20T11:00Z", "2026-11-07T00:00Z", "2026-11-13T11:00Z"),
        ("period=month", "2026-11-01T00:00Z", "2026-11-20T11:00Z", "2026-10-01T00:00Z", "2026-10-20T11:00Z"),
        (
            "period=custom&from=2026-11-02&to=2026-11-03",
            "2026-11-02T00:00Z",
            "2026-11-04T00:00Z",
            "2026-10-31T00:00Z",
            "2026-11-02T00:00Z",
        ),
        (
            "period=7d&zone=Asia/Tokyo",
            "2026-11-13T15:00Z",
            "2026-11-20T11:00Z",
            "2026-11-06T15:00Z",
            "2026-11-13T11:00Z",
        ),
    ],
)
def test_a_period_has_one_before_it_of_the_same_length(
    query: str, since: str, until: str, before: str, before_end: str
) -> None:
    found = scope(query)
    assert (found.range.since, found.range.until) == (at(since), at(until))
    assert (found.previous.since, found.previous.until) == (at(before), at(before_end))


def test_filters_are_kept_in_links_and_can_be_taken_away() -> None:
    found = scope("period=7d&alias=a&alias=b%26c&key=web&status=5xx")
    assert found.query() == "?period=7d&alias=a&alias=b%26c&key=web&status=5xx"
    assert found.without("alias", "a") == "?period=7d&alias=b%26c&key=web&status=5xx"
    assert found.having("alias", "z") == "?period=7d&key=web&status=5xx&alias=z"
    assert found.only.keys == ("key_aaaaaaaaaaaa",)
    assert found.only.statuses == ("5xx",)


def test_names_of_keys_teams_and_tags_become_ids() -> None:
    found = scope("key=jobs&tag=batch&team=research&metadata=project%3Dweb")
    assert found.only.keys == ("key_bbbbbbbbbbbb",)
    assert found.only.tagged == ("key_bbbbbbbbbbbb",)
    assert found.only.teams == ("team_aaaaaaaaaaaa",)
    assert found.only.metadata == (("project", "web"),)


def test_a_key_that_is_not_there_selects_nothing() -> None:
    assert scope("key=none").only.keys == ("-",)


@pytest.mark.parametrize("query", ["", "key=jobs", "key=key_bbbbbbbbbbbb", "tag=batch", "team=research", "upstream=x"])
def test_an_owner_selects_the_own_key_whatever_the_query_says(query: str) -> None:
    found = scope(query, OWNER)
    assert found.only.keys == ("key_aaaaaaaaaaaa",)
    assert not found.only.upstreams
    assert found.tags == {}


def test_the_time_zone_is_that_of_the_query_or_the_cookie() -> None:
    assert scope(cookie="prometheus_zone=Europe%2FBerlin; other=1").zone == "Europe/Berlin"
    assert scope("zone=Asia/Tokyo", cookie="prometheus_zone=Europe%2FBerlin").zone == "Asia/Tokyo"


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ("period=year", "period"),
        ("step=minute", "step"),
        ("zone=Mars", "zone"),
        ("period=custom", "from"),
        ("period=custom&from=2026-11-03&to=2026-11-02", "to"),
        ("period=custom&from=1960-01-01&to=2026-11-02", "from"),
        ("status=abc", "status"),
        ("metadata=web", "metadata"),
        ("user=" + "x" * 201, "user"),
        ("&".join("user=" + str(number) for number in range(51)), "user"),
    ],
)
def test_what_cannot_be_names_its_field(query: str, param: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        scope(query)
    assert caught.value.param == param
