"""Assistants, threads and runs of the demo provider, over a real socket."""

from typing import Any

import pytest

from tests.demo.conftest import Provider, named_events


def post(provider: Provider, path: str, **body: Any) -> Any:
    answer = provider.http.post(path, json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


@pytest.fixture
def assistant(provider: Provider) -> str:
    return str(post(provider, "/assistants", model="demo-core", name="Ada", instructions="Be kind.")["id"])


@pytest.fixture
def thread(provider: Provider) -> str:
    return str(post(provider, "/threads", messages=[{"role": "user", "content": "What is a gateway?"}])["id"])


def said(provider: Provider, thread: str) -> list[tuple[str, str]]:
    found = provider.http.get(f"/threads/{thread}/messages", params={"order": "asc"}).json()["data"]
    return [(message["role"], message["content"][0]["text"]["value"]) for message in found]


def test_an_assistant_is_kept_changed_and_deleted(provider: Provider, assistant: str) -> None:
    post(provider, f"/assistants/{assistant}", name="Grace")
    found = provider.http.get(f"/assistants/{assistant}").json()
    assert (found["name"], found["model"]) == ("Grace", "demo-core-2026-09-02")
    assert provider.http.delete(f"/assistants/{assistant}").json()["object"] == "assistant.deleted"
    assert provider.http.get(f"/assistants/{assistant}").status_code == 404


def test_messages_belong_to_their_thread(provider: Provider, thread: str) -> None:
    message = post(provider, f"/threads/{thread}/messages", role="user", content="And a proxy?")
    other = post(provider, "/threads")["id"]
    assert said(provider, thread) == [("user", "What is a gateway?"), ("user", "And a proxy?")]
    assert provider.http.get(f"/threads/{other}/messages/{message['id']}").status_code == 404


def test_a_run_writes_its_answer_into_the_thread(provider: Provider, assistant: str, thread: str) -> None:
    run = post(provider, f"/threads/{thread}/runs", assistant_id=assistant)
    assert (run["status"], run["model"]) == ("completed", "demo-core-2026-09-02")
    assert run["usage"]["total_tokens"] == run["usage"]["prompt_tokens"] + run["usage"]["completion_tokens"]
    role, text = said(provider, thread)[-1]
    assert (role, text.startswith("A model gateway")) == ("assistant", True)


def test_a_run_is_found_with_its_steps(provider: Provider, assistant: str, thread: str) -> None:
    run = post(provider, f"/threads/{thread}/runs", assistant_id=assistant)
    assert provider.http.get(f"/threads/{thread}/runs/{run['id']}").json() == run
    (step,) = provider.http.get(f"/threads/{thread}/runs/{run['id']}/steps").json()["data"]
    assert step["type"] == "message_creation"
    assert provider.http.get(f"/threads/{thread}/runs/{run['id']}/steps/{step['id']}").json() == step


def test_a_thread_and_its_run_are_made_together(provider: Provider, assistant: str) -> None:
    asked = {"messages": [{"role": "user", "content": "demo:tokens=3"}]}
    run = post(provider, "/threads/runs", assistant_id=assistant, thread=asked)
    assert said(provider, run["thread_id"])[-1] == ("assistant", "the sun was")


def test_a_stream_has_its_named_events_in_order(provider: Provider, assistant: str) -> None:
    asked = {"messages": [{"role": "user", "content": "demo:tokens=2"}]}
    body = {"assistant_id": assistant, "thread": asked, "stream": True}
    found = named_events(provider.http.post("/threads/runs", json=body).text)
    assert [name for name, _ in found] == [
        "thread.run.created",
        "thread.run.queued",
        "thread.run.in_progress",
        "thread.message.created",
        "thread.message.delta",
        "thread.message.delta",
        "thread.message.completed",
        "thread.run.completed",
        "done",
    ]
    assert found[-1][1] == "[DONE]"
    assert found[-2][1]["usage"]["completion_tokens"] == 2


def test_a_run_takes_tool_outputs_and_can_be_cancelled(provider: Provider, assistant: str, thread: str) -> None:
    run = post(provider, f"/threads/{thread}/runs", assistant_id=assistant)
    path = f"/threads/{thread}/runs/{run['id']}"
    assert post(provider, f"{path}/cancel")["status"] == "cancelled"
    assert post(provider, f"{path}/submit_tool_outputs", tool_outputs=[])["status"] == "completed"


@pytest.mark.parametrize(("path", "status"), [("/threads/none/runs", 404), ("/threads/runs", 404)])
def test_a_run_of_nothing_is_a_404(provider: Provider, path: str, status: int) -> None:
    assert provider.http.post(path, json={"assistant_id": "none"}).status_code == status


def test_an_ordered_error_has_its_status_and_leaves_no_run(provider: Provider, assistant: str) -> None:
    thread = post(provider, "/threads", messages=[{"role": "user", "content": "demo:error=503"}])["id"]
    answer = provider.http.post(f"/threads/{thread}/runs", json={"assistant_id": assistant})
    assert answer.status_code == 503
    assert provider.http.get(f"/threads/{thread}/runs").json()["data"] == []
