"""Requests as they end, to their own readers alone."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from proxy.pages.dashboard.live import MAX_STREAMS_PER_SESSION
from tests.exchange.samples import JSON_ANSWER
from tests.fakes import ScriptedUpstream, json_answer
from tests.pages.browser import Browser
from tests.pages.serving import reader, session_of
from tests.serving import ALIAS, KEY, RunningGateway, simple_config

SSE = "/dashboard/requests/live.sse"
OTHER = "prom_sk_another_key_that_is_long_enough_too"


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[RunningGateway]:
    with (
        ScriptedUpstream(lambda _: json_answer(JSON_ANSWER)) as upstream,
        RunningGateway(simple_config(tmp_path, upstream.base_url)) as running,
    ):
        running.add_key("other", OTHER)
        yield running


def chat(gateway: RunningGateway, key: str = KEY) -> str:
    """Send a request, and have it stored; its id."""
    body = {"model": ALIAS, "messages": [{"role": "user", "content": "hi"}]}
    response = httpx.post(f"{gateway.url}/v1/chat/completions", json=body, headers={"authorization": f"Bearer {key}"})
    assert response.status_code == 200
    gateway.rows()
    return response.headers["x-request-id"]


@contextmanager
def following(client: httpx.Client, **headers: str) -> Iterator[Iterator[str]]:
    """The lines of a stream, which has begun."""
    with client.stream("GET", SSE, headers=headers, timeout=30) as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        lines = response.iter_lines()
        assert next(lines) == ": begin"
        yield lines


def next_request(lines: Iterator[str]) -> dict[str, object]:
    for line in lines:
        if line.startswith("data: "):
            found: dict[str, object] = json.loads(line.removeprefix("data: "))
            return found
    raise AssertionError("the stream has ended")


def running(gateway: RunningGateway) -> int:
    return gateway.call(lambda inner: inner.site.services.live.total())


def until(gateway: RunningGateway, count: int) -> None:
    for _ in range(3_000):
        if running(gateway) == count:
            return
        gateway.rows()
    raise AssertionError(f"{running(gateway)} streams run, and not {count}")


def test_an_owner_s_stream_has_the_own_requests_alone(gateway: RunningGateway) -> None:
    first = chat(gateway)
    with reader(gateway, session_of(gateway, KEY)) as client, following(client, **{"last-event-id": first}) as lines:
        chat(gateway, OTHER)
        own = chat(gateway)
        found = next_request(lines)
    assert (found["id"], found["status"]) == (own, 200)


def test_a_reader_that_comes_back_gets_what_was_missed(gateway: RunningGateway) -> None:
    first, second = chat(gateway), chat(gateway)
    with reader(gateway, session_of(gateway)) as client, following(client, **{"last-event-id": first}) as lines:
        assert next_request(lines)["id"] == second


def test_another_key_s_id_is_no_place_to_go_on_from(gateway: RunningGateway) -> None:
    other = chat(gateway, OTHER)
    chat(gateway)
    with reader(gateway, session_of(gateway, KEY)) as client, following(client, **{"last-event-id": other}) as lines:
        last = chat(gateway)
        assert next_request(lines)["id"] == last


def test_what_ends_between_the_page_and_its_stream_is_not_missed(gateway: RunningGateway) -> None:
    first = chat(gateway)
    with reader(gateway, session_of(gateway)) as client:
        assert f'data-last="{first}"' in client.get("/dashboard/requests").text
        second = chat(gateway)
        with client.stream("GET", SSE, params={"last": first}, timeout=30) as response:
            assert next_request(response.iter_lines())["id"] == second


def test_more_than_one_look_sends_are_counted(gateway: RunningGateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("proxy.pages.dashboard.live._MAX_SENT", 1)
    first = chat(gateway)
    chat(gateway)
    last = chat(gateway)
    with reader(gateway, session_of(gateway)) as client, following(client, **{"last-event-id": first}) as lines:
        assert next_request(lines) == {"count": 1}
        assert next_request(lines)["id"] == last


def test_a_period_that_has_ended_is_not_followed(gateway: RunningGateway) -> None:
    chat(gateway)
    with reader(gateway, session_of(gateway)) as client:
        assert "live.sse" in client.get("/dashboard/requests?period=7d").text
        assert "live.sse" not in client.get("/dashboard/requests?period=custom&from=2026-01-01&to=2026-01-02").text


def test_it_ends_with_its_session(gateway: RunningGateway) -> None:
    session = session_of(gateway)
    with reader(gateway, session) as client, following(client) as lines:
        gateway.wait_for(gateway.gateway.site.services.sessions.end(session))
        found = next_request(lines)
    assert found == {"reason": "The session has ended. Sign in again.", "again": False}


def test_it_ends_with_the_gateway(gateway: RunningGateway) -> None:
    with reader(gateway, session_of(gateway)) as client, following(client) as lines:
        gateway.call(lambda inner: inner.drain())
        assert next_request(lines)["again"] is True


def test_a_reader_that_leaves_is_forgotten(gateway: RunningGateway) -> None:
    with reader(gateway, session_of(gateway)) as client, following(client):
        until(gateway, 1)
    until(gateway, 0)


def test_a_session_has_so_many_streams_and_no_more(gateway: RunningGateway) -> None:
    session = session_of(gateway)
    with reader(gateway, session) as client:
        open_ones = [client.send(client.build_request("GET", SSE), stream=True) for _ in range(MAX_STREAMS_PER_SESSION)]
        until(gateway, MAX_STREAMS_PER_SESSION)
        assert client.get(SSE).status_code == 503
        for one in open_ones:
            one.close()
    until(gateway, 0)


def test_a_browser_shows_a_request_as_it_ends(gateway: RunningGateway, browser: Browser) -> None:
    page = browser.open(gateway, "/dashboard/requests", session=session_of(gateway))
    page.get_by_text("Live", exact=True).wait_for()
    found = chat(gateway)
    page.locator(f"#rows tr#{found}").wait_for()
    page.get_by_role("button", name="Pause").click()
    until(gateway, 0)
    assert page.get_by_role("status").inner_text() == "Paused"
