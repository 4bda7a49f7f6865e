"""Lists: as if the others' objects did not exist, whatever the upstream's pages look like."""

import json
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.fakes import RecordedRequest, ScriptedUpstream, Step, json_answer
from tests.resources.samples import OTHER, ask_json, gateway_over, record_owner

#: Everybody's, the newest first; every third is ours.
EVERYBODYS = [f"batch_{number:03}" for number in range(250)]
OURS = EVERYBODYS[::3]


def lists(request: RecordedRequest) -> list[Step]:
    """An upstream that pages as OpenAI does."""
    query = parse_qs(urlsplit(request.target).query)
    ids = list(EVERYBODYS if query.get("order", ["desc"]) == ["desc"] else reversed(EVERYBODYS))
    limit = int(query["limit"][0])
    if "before" in query:
        rest = ids[: ids.index(query["before"][0])]
        page, more = rest[-limit:], len(rest) > limit
    else:
        begin = ids.index(query["after"][0]) + 1 if "after" in query else 0
        page, more = ids[begin : begin + limit], begin + limit < len(ids)
    data = [{"id": id_, "object": "batch", "model": None} for id_ in page]
    return json_answer(
        {"object": "list", "data": data, "first_id": page[0], "last_id": page[-1], "has_more": more}
        if page
        else {"object": "list", "data": [], "first_id": None, "last_id": None, "has_more": False}
    )


def own_ours(gateway: Any) -> None:
    gateway.add_key("other", OTHER)
    for id_ in EVERYBODYS:
        record_owner(gateway, id_, "batch", name="test" if id_ in OURS else "other")


def shown(page: Any) -> list[str]:
    return [one["id"] for one in page["data"]]


@pytest.mark.parametrize("order", ["desc", "asc"])
def test_the_pages_joined_are_the_keys_own_objects_in_order(tmp_path: Path, order: str) -> None:
    expected = OURS if order == "desc" else OURS[::-1]
    with ScriptedUpstream(lists) as upstream, gateway_over(tmp_path, upstream.base_url) as gateway:
        own_ours(gateway)
        found: list[str] = []
        query = f"?limit=30&order={order}"
        while True:
            status, page = ask_json(gateway, "GET", f"/v1/batches{query}")
            assert status == 200
            ids = shown(page)
            assert (page["first_id"], page["last_id"]) == (ids[0], ids[-1])
            found += ids
            if not page["has_more"]:
                break
            assert len(ids) == 30
            query = f"?limit=30&order={order}&after={ids[-1]}"
        assert found == expected


def test_the_pages_before_a_cursor_are_the_keys_own_too(tmp_path: Path) -> None:
    with ScriptedUpstream(lists) as upstream, gateway_over(tmp_path, upstream.base_url) as gateway:
        own_ours(gateway)
        _, page = ask_json(gateway, "GET", f"/v1/batches?limit=10&before={OURS[40]}")
        assert shown(page) == OURS[30:40]
        assert page["has_more"] is True
        _, page = ask_json(gateway, "GET", f"/v1/batches?limit=50&before={OURS[40]}")
        assert shown(page) == OURS[:40]
        assert page["has_more"] is False
        _, page = ask_json(gateway, "GET", f"/v1/batches?limit=50&after={OURS[3]}&before={OURS[10]}")
        assert shown(page) == OURS[4:10]


def test_without_a_limit_a_page_has_the_usual_number(tmp_path: Path) -> None:
    with ScriptedUpstream(lists) as upstream, gateway_over(tmp_path, upstream.base_url) as gateway:
        own_ours(gateway)
        _, page = ask_json(gateway, "GET", "/v1/batches")
        assert (shown(page), page["has_more"]) == (OURS[:20], True)


def test_a_key_without_objects_gets_an_empty_list_and_the_upstream_is_not_asked(tmp_path: Path) -> None:
    with ScriptedUpstream() as upstream, gateway_over(tmp_path, upstream.base_url) as gateway:
        gateway.add_key("other", OTHER)
        record_owner(gateway, "batch_1", "batch", name="other")
        status, page = ask_json(gateway, "GET", "/v1/batches")
        assert (status, page["data"], page["has_more"]) == (200, [], False)
        assert upstream.requests == []
        (row,) = gateway.rows()
        assert row.outcome == "complete"


def test_when_all_own_objects_are_found_nothing_more_is_asked(tmp_path: Path) -> None:
    with ScriptedUpstream(lists) as upstream, gateway_over(tmp_path, upstream.base_url) as gateway:
        record_owner(gateway, EVERYBODYS[0], "batch")
        record_owner(gateway, EVERYBODYS[1], "batch")
        _, page = ask_json(gateway, "GET", "/v1/batches")
        assert (shown(page), page["has_more"]) == (EVERYBODYS[:2], False)
        assert len(upstream.requests) == 1


@pytest.mark.parametrize("cursor", ["after", "before"])
def test_another_keys_object_is_no_cursor(tmp_path: Path, cursor: str) -> None:
    with ScriptedUpstream(lists) as upstream, gateway_over(tmp_path, upstream.base_url) as gateway:
        own_ours(gateway)
        theirs = ask_json(gateway, "GET", f"/v1/batches?{cursor}={EVERYBODYS[1]}")
        nobodys = ask_json(gateway, "GET", f"/v1/batches?{cursor}=batch_xxx")
        assert theirs[0] == nobodys[0] == 404
        assert json.dumps(theirs[1]["error"]).replace(EVERYBODYS[1], "batch_xxx") == json.dumps(nobodys[1]["error"])
        assert upstream.requests == []


def test_a_limit_out_of_range_is_refused(tmp_path: Path) -> None:
    with ScriptedUpstream(lists) as upstream, gateway_over(tmp_path, upstream.base_url) as gateway:
        record_owner(gateway, EVERYBODYS[0], "batch")
        for limit in ("0", "-1", "101", "x", "%D9%A3", "1e3", "", "9" * 400):
            assert ask_json(gateway, "GET", f"/v1/batches?limit={limit}")[0] == 400, limit


def test_only_known_parameters_go_on(tmp_path: Path) -> None:
    with ScriptedUpstream(lists) as upstream, gateway_over(tmp_path, upstream.base_url) as gateway:
        record_owner(gateway, EVERYBODYS[0], "batch")
        ask_json(gateway, "GET", "/v1/batches?order=asc&api_key=secret&limit=5&x=%0d%0aa")
        query = parse_qs(urlsplit(upstream.requests[0].target).query)
        assert query == {"limit": ["100"], "order": ["asc"]}


def test_an_error_of_the_upstream_is_passed_on(tmp_path: Path) -> None:
    error = {"error": {"message": "bad order", "type": "invalid_request_error", "param": "order", "code": None}}
    with ScriptedUpstream() as upstream, gateway_over(tmp_path, upstream.base_url) as gateway:
        record_owner(gateway, EVERYBODYS[0], "batch")
        upstream.script(json_answer(error, status=400))
        assert ask_json(gateway, "GET", "/v1/batches?order=up") == (400, error)


def test_a_search_that_takes_too_long_is_an_error_and_no_wrong_answer(tmp_path: Path) -> None:
    def endless(request: RecordedRequest) -> list[Step]:
        data = [{"id": f"batch_{len(upstream.requests)}_{number}"} for number in range(2)]
        return json_answer({"object": "list", "data": data, "has_more": True})

    with ScriptedUpstream(endless) as upstream, gateway_over(tmp_path, upstream.base_url) as gateway:
        record_owner(gateway, "batch_far", "batch")
        status, answer = ask_json(gateway, "GET", "/v1/batches")
        assert (status, answer["error"]["code"]) == (503, "list_too_long")


def test_an_upstream_that_repeats_its_page_for_ever_is_left(tmp_path: Path) -> None:
    page = {"object": "list", "data": [], "has_more": True}
    with ScriptedUpstream() as upstream, gateway_over(tmp_path, upstream.base_url) as gateway:
        record_owner(gateway, "batch_1", "batch")
        upstream.script(json_answer(page))
        status, answer = ask_json(gateway, "GET", "/v1/batches")
        assert (status, answer["data"], answer["has_more"]) == (200, [], False)
