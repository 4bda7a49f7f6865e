"""Fields of another type are refused by the demo provider, as by a real one, and never shown again."""

import json
from typing import Any

import pytest

from proxy.demo import DemoSettings, demo_app
from tests.demo.conftest import Provider
from tests.demo.test_app import asked, http, sent_by

WRONG: list[tuple[str, dict[str, Any], str]] = [
    ("/threads", {"metadata": 5}, "metadata"),
    ("/vector_stores", {"metadata": {"year": 2026}}, "metadata"),
    ("/assistants", {"model": "demo-core", "name": ["a"]}, "name"),
    ("/assistants", {"model": "demo-core", "tools": [{"type": 0}]}, "tools"),
    ("/fine_tuning/jobs", {"model": "demo-core", "training_file": 1}, "training_file"),
    ("/videos", {"prompt": {}}, "prompt"),
]


@pytest.mark.parametrize(("path", "body", "field"), WRONG)
def test_a_field_of_another_type_is_a_400_that_names_it(
    provider: Provider, path: str, body: dict[str, Any], field: str
) -> None:
    response = provider.http.post(path, json=body)
    assert (response.status_code, response.json()["error"]["param"]) == (400, field)


def test_a_change_to_another_type_is_refused(provider: Provider) -> None:
    thread = provider.http.post("/threads", json={"metadata": {"a": "b"}}).json()
    assert provider.http.post(f"/threads/{thread['id']}", json={"metadata": True}).status_code == 400
    assert provider.http.get(f"/threads/{thread['id']}").json() == thread


def test_an_upload_of_less_than_nothing_is_refused() -> None:
    body = {"type": "http.request", "body": b'{"bytes": -1}'}
    assert sent_by(demo_app(DemoSettings(api_key="k")), http("POST", "/v1/uploads"), body)[0]["status"] == 400


def test_a_field_without_a_name_is_no_id(provider: Provider) -> None:
    assert provider.http.post("/threads", json={"": "mine"}).json()["id"].startswith("thread_")


@pytest.mark.parametrize("content", [1, [1], [{"text": "no type"}], [{"type": "input_text", "text": 1}]])
def test_an_item_with_another_content_is_refused(provider: Provider, content: Any) -> None:
    items = [{"role": "user", "content": content}]
    conversation = provider.http.post("/conversations", json={}).json()["id"]
    assert provider.http.post(f"/conversations/{conversation}/items", json={"items": items}).status_code == 400
    assert provider.post("/responses", input=items).status_code == 400


def test_a_stored_response_has_no_events_behind_its_last(provider: Provider) -> None:
    response = provider.post("/responses", input="hi").json()
    query = {"stream": "true", "starting_after": "10000"}
    refused = provider.http.get(f"/responses/{response['id']}", params=query)
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "starting_after")


def test_without_the_work_of_the_tests_a_message_has_its_text_as_a_part() -> None:
    app = demo_app(DemoSettings(api_key="k"))
    thread = json.loads(asked(app, "POST", "/v1/threads")[1]["body"])["id"]
    body = {"type": "http.request", "body": b'{"role": "user", "content": "hello"}'}
    message = json.loads(sent_by(app, http("POST", f"/v1/threads/{thread}/messages"), body)[1]["body"])
    assert (message["content"][0]["text"]["value"], message["thread_id"]) == ("hello", thread)
