"""The one request with a new key: what it sends, and what its outcomes mean."""

import asyncio

import pytest

from proxy.admin.key_check import check_key
from proxy.config.tree import Upstream
from proxy.errors import InvalidRequest
from tests.fakes import RecordedRequest, ScriptedUpstream, Step, json_answer


def check(status: int) -> tuple[str, RecordedRequest]:
    def respond(_: RecordedRequest) -> list[Step]:
        return json_answer({"data": []}, status)

    with ScriptedUpstream(respond) as upstream:
        settings = Upstream(base_url=f"{upstream.base_url}/v1", api_key="sk-new-key-0001", warm_connections=0)
        try:
            note = asyncio.run(check_key("vendor", settings))
        finally:
            upstream.wait_for_open_connections(0)
        return note, upstream.requests[0]


def test_it_lists_models_with_the_new_key() -> None:
    note, request = check(200)
    assert (note, request.method, request.target) == ("", "GET", "/v1/models")
    assert request.header("authorization") == "Bearer sk-new-key-0001"


@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_key_is_an_error(status: int) -> None:
    with pytest.raises(InvalidRequest, match=f"status {status}") as caught:
        check(status)
    assert caught.value.code == "new_key_refused"


@pytest.mark.parametrize("status", [404, 500, 302])
def test_what_says_nothing_of_the_key_is_a_note(status: int) -> None:
    assert "could not be tried" in check(status)[0]


def test_an_upstream_that_is_away_is_a_note() -> None:
    note = asyncio.run(check_key("vendor", Upstream(base_url="http://127.0.0.1:9", api_key="sk-new")))
    assert "was not reached" in note
