"""Conversations of the demo provider, over a real socket."""

from typing import Any

import pytest

from tests.demo.conftest import Provider

HELLO = {"role": "user", "content": "hello"}


@pytest.fixture
def conversation(provider: Provider) -> str:
    return str(provider.http.post("/conversations", json={"items": [HELLO], "metadata": {"k": "v"}}).json()["id"])


def items(provider: Provider, conversation: str) -> list[Any]:
    found = provider.http.get(f"/conversations/{conversation}/items", params={"order": "asc"}).json()["data"]
    assert isinstance(found, list)
    return found


def test_a_conversation_is_kept_changed_and_deleted(provider: Provider, conversation: str) -> None:
    path = f"/conversations/{conversation}"
    assert provider.http.post(path, json={"metadata": {"k": "w"}}).json()["metadata"] == {"k": "w"}
    assert provider.http.get(path).json()["metadata"] == {"k": "w"}
    assert provider.http.delete(path).json()["object"] == "conversation.deleted"
    assert provider.http.get(path).status_code == 404


def test_items_are_added_found_and_taken_out(provider: Provider, conversation: str) -> None:
    path = f"/conversations/{conversation}/items"
    added = provider.http.post(path, json={"items": [{"role": "user", "content": "again"}]}).json()
    assert [item["content"] for item in items(provider, conversation)] == ["hello", "again"]
    one = f"{path}/{added['data'][0]['id']}"
    assert provider.http.get(one).json()["content"] == "again"
    assert provider.http.delete(one).json()["id"] == conversation
    assert provider.http.get(one).status_code == 404


@pytest.mark.parametrize("as_object", [False, True])
def test_an_answer_continues_its_conversation(provider: Provider, conversation: str, as_object: bool) -> None:
    named = {"id": conversation} if as_object else conversation
    plain = provider.post("/responses", input="and?").json()["usage"]["input_tokens"]
    answer = provider.post("/responses", input="and?", conversation=named).json()
    assert answer["conversation"] == {"id": conversation}
    assert answer["usage"]["input_tokens"] > plain
    assert [item["role"] for item in items(provider, conversation)] == ["user", "user", "assistant"]


def test_an_answer_in_a_conversation_that_is_not_there_is_a_404(provider: Provider) -> None:
    assert provider.post("/responses", input="hi", conversation="conv_none").status_code == 404
