"""Lists of the demo provider: pages, order and cursors, over a real socket."""

import json

import openai
import pytest

from tests.demo.conftest import Provider


@pytest.fixture(scope="module")
def files(sdk: openai.OpenAI) -> list[str]:
    """Five files of a purpose of their own, oldest first."""
    return [sdk.files.create(file=(f"{number}.txt", b"x"), purpose="evals").id for number in range(5)]


def test_the_newest_comes_first(sdk: openai.OpenAI, files: list[str]) -> None:
    assert [file.id for file in sdk.files.list(purpose="evals")] == files[::-1]


def test_the_order_can_be_turned(sdk: openai.OpenAI, files: list[str]) -> None:
    assert [file.id for file in sdk.files.list(purpose="evals", order="asc")] == files


def test_the_sdk_reads_all_pages(sdk: openai.OpenAI, files: list[str]) -> None:
    assert [file.id for file in sdk.files.list(purpose="evals", limit=2)] == files[::-1]


def test_a_page_says_where_it_begins_ends_and_whether_there_is_more(provider: Provider, files: list[str]) -> None:
    first = provider.http.get("/files", params={"purpose": "evals", "limit": 2}).json()
    assert (first["first_id"], first["last_id"], first["has_more"]) == (files[4], files[3], True)
    last = provider.http.get("/files", params={"purpose": "evals", "limit": 2, "after": files[1]}).json()
    assert (json.dumps(last["data"]).count('"file"'), last["has_more"]) == (1, False)


def test_a_page_may_end_before_a_thing(provider: Provider, files: list[str]) -> None:
    answer = provider.http.get("/files", params={"purpose": "evals", "before": files[3]}).json()
    assert [one["id"] for one in answer["data"]] == [files[4]]


@pytest.mark.parametrize("limit", ["0", "101", "x", "-1"])
def test_a_wrong_limit_is_a_400(provider: Provider, limit: str) -> None:
    assert provider.http.get("/files", params={"limit": limit}).status_code == 400
