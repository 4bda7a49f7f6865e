"""Embeddings of the demo provider."""

import base64
import math
import struct
from typing import Any

import openai
import pytest

from proxy.demo.retrieval import FULL_DIMENSIONS, vector
from tests.demo.conftest import Provider


def embed(provider: Provider, given: Any, **body: Any) -> Any:
    answer = provider.post("/embeddings", **{"model": "demo-atlas-2026-05-20", "input": given, **body})
    assert answer.status_code == 200, answer.text
    return answer.json()


def likeness(one: str, other: str) -> float:
    pairs = zip(vector(one, FULL_DIMENSIONS), vector(other, FULL_DIMENSIONS), strict=True)
    return sum(left * right for left, right in pairs)


@pytest.mark.parametrize("dimensions", [1, 2, 256, FULL_DIMENSIONS])
def test_a_vector_has_length_one(dimensions: int) -> None:
    assert math.hypot(*vector("some words", dimensions)) == pytest.approx(1, abs=1e-5)


def test_a_vector_is_the_same_for_the_same_text() -> None:
    assert vector("some words", 64) == vector("some words", 64)


def test_texts_that_share_words_are_nearer() -> None:
    assert likeness("the red fox runs", "a red fox sleeps") > likeness("the red fox runs", "annual tax report") + 0.2


def test_the_answer_has_the_model_behind_the_data(provider: Provider) -> None:
    answer = embed(provider, "some words")
    assert list(answer) == ["object", "data", "model", "usage"]
    assert answer["model"] == "demo-atlas-2026-05-20"
    assert len(answer["data"][0]["embedding"]) == FULL_DIMENSIONS


def test_there_are_as_many_numbers_as_were_asked_for(provider: Provider) -> None:
    assert len(embed(provider, "some words", dimensions=16)["data"][0]["embedding"]) == 16


def test_base64_holds_the_same_numbers(provider: Provider) -> None:
    packed = base64.b64decode(embed(provider, "some words", encoding_format="base64")["data"][0]["embedding"])
    values = embed(provider, "some words", encoding_format="float")["data"][0]["embedding"]
    assert struct.unpack(f"<{FULL_DIMENSIONS}f", packed) == pytest.approx(values, abs=1e-7)


@pytest.mark.parametrize(
    ("given", "count", "tokens"),
    [("12345", 1, 2), (["12345", "1"], 2, 3), ([7, 8, 9], 1, 3), ([[7, 8], [9]], 2, 3)],
)
def test_each_kind_of_input_is_taken(provider: Provider, given: Any, count: int, tokens: int) -> None:
    answer = embed(provider, given, dimensions=8)
    assert [one["index"] for one in answer["data"]] == list(range(count))
    assert answer["usage"] == {"prompt_tokens": tokens, "total_tokens": tokens}


@pytest.mark.parametrize("given", ["", [], [""], ["a", 1], [[]], ["x"] * 2049])
def test_an_input_that_is_empty_mixed_or_too_large_is_refused(provider: Provider, given: Any) -> None:
    answer = provider.post("/embeddings", model="demo-atlas", input=given)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "input")


@pytest.mark.parametrize("body", [{"dimensions": 0}, {"dimensions": 1537}, {"encoding_format": "hex"}])
def test_a_wrong_option_is_refused_by_name(provider: Provider, body: dict[str, Any]) -> None:
    answer = provider.post("/embeddings", **{"model": "demo-atlas", "input": "x", **body})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, next(iter(body)))


def test_a_chat_model_is_refused(provider: Provider) -> None:
    assert provider.post("/embeddings", input="x").status_code == 404


def test_an_error_can_be_ordered(provider: Provider) -> None:
    assert provider.post("/embeddings", model="demo-atlas", input="demo:error=500").status_code == 500


def test_usage_can_be_left_out(provider: Provider) -> None:
    assert "usage" not in embed(provider, "demo:no-usage")


def test_the_sdk_reads_the_vectors(provider: Provider) -> None:
    with openai.OpenAI(base_url=provider.base_url, api_key=provider.settings.api_key) as client:
        answer = client.embeddings.create(model="demo-atlas", input=["some words"], dimensions=16)
    assert answer.data[0].embedding == pytest.approx(vector("some words", 16), abs=1e-7)
