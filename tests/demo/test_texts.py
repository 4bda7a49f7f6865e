"""Moderations, rerank, search and OCR of the demo provider, over a real socket."""

import openai
import pytest

from proxy.demo.words import similarity
from tests.demo.conftest import Provider

DOCUMENTS = ["The cat sleeps.", "A gateway relays streams.", "Bread and butter."]


@pytest.mark.parametrize(("text", "flagged"), [("I will kill the process", True), ("What a nice day", False)])
def test_a_text_is_judged_by_its_words(sdk: openai.OpenAI, text: str, flagged: bool) -> None:
    (result,) = sdk.moderations.create(model="demo-guard", input=text).results
    assert result.flagged is flagged
    assert result.categories.violence is flagged


def test_each_text_has_a_result_of_its_own(sdk: openai.OpenAI) -> None:
    results = sdk.moderations.create(input=["kill", "hello"]).results
    assert [result.flagged for result in results] == [True, False]


def test_parts_of_one_input_have_one_result(provider: Provider) -> None:
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "kill"}]
    (result,) = provider.http.post("/moderations", json={"input": parts}).json()["results"]
    assert result["flagged"]


def test_documents_are_ordered_by_what_they_share_with_the_question(provider: Provider) -> None:
    answer = provider.post("/rerank", model="demo-rank", query="What is a gateway?", documents=DOCUMENTS).json()
    assert answer["results"][0]["index"] == 1
    scores = [result["relevance_score"] for result in answer["results"]]
    assert scores == sorted(scores, reverse=True)
    assert answer["usage"]["total_tokens"] > 0


@pytest.mark.parametrize("given", [DOCUMENTS, [{"text": text} for text in DOCUMENTS]])
def test_the_best_documents_come_back_where_they_are_wanted(provider: Provider, given: list[object]) -> None:
    asked = {"query": "cat", "documents": given, "top_n": 1, "return_documents": True}
    (result,) = provider.post("/rerank", model="demo-rank", **asked).json()["results"]
    assert result["document"] == {"text": "The cat sleeps."}


def test_no_documents_are_a_400(provider: Provider) -> None:
    assert provider.post("/rerank", model="demo-rank", query="x", documents=[]).status_code == 400


@pytest.mark.parametrize("model", [{}, {"model": "demo-quest"}, {"model": "demo-core"}])
def test_a_search_finds_as_many_pages_as_are_wanted(provider: Provider, model: dict[str, str]) -> None:
    answer = provider.http.post("/search", json={"query": "gateway", "max_results": 2, **model}).json()
    assert [page["url"] for page in answer["results"]] == ["https://example.invalid/1", "https://example.invalid/2"]


@pytest.mark.parametrize(
    "document",
    [
        {"type": "document_url", "document_url": "https://example.com/a.pdf"},
        {"type": "image_url", "image_url": {"url": "https://example.com/a.pdf"}},
    ],
)
def test_a_document_becomes_a_page_that_names_it(provider: Provider, document: dict[str, object]) -> None:
    answer = provider.post("/ocr", model="demo-lens", document=document).json()
    assert "https://example.com/a.pdf" in answer["pages"][0]["markdown"]
    assert answer["usage_info"]["pages_processed"] == 1


def test_no_document_is_a_400(provider: Provider) -> None:
    assert provider.post("/ocr", model="demo-lens", document={}).status_code == 400


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/moderations", {"model": "demo-guard", "input": "demo:error=503"}),
        ("/rerank", {"model": "demo-rank", "query": "demo:error=503", "documents": ["x"]}),
        ("/search", {"model": "demo-quest", "query": "demo:error=503"}),
        ("/ocr", {"model": "demo-lens", "document": {"document_url": "x", "document_name": "demo:error=503"}}),
    ],
)
def test_an_ordered_error_has_its_status(provider: Provider, path: str, body: dict[str, object]) -> None:
    assert provider.post(path, **body).status_code == 503


def test_of_two_that_hold_the_words_the_shorter_is_more_alike() -> None:
    assert (
        similarity("red fox", "red fox")
        > similarity("red fox", "a red fox and much else")
        > similarity("red fox", "dog")
    )
