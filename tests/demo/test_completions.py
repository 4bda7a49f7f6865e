"""Plain completions of the demo provider."""

from typing import Any

import openai
import pytest

from tests.demo.conftest import Provider, events_of


def events(provider: Provider, **body: Any) -> list[Any]:
    return events_of(provider.post("/completions", stream=True, **body).text)


def test_an_answer_is_a_text_completion_of_sixteen_tokens(provider: Provider) -> None:
    answer = provider.post("/completions", prompt="What is a gateway?").json()
    assert answer["object"] == "text_completion"
    assert answer["choices"][0]["finish_reason"] == "length"
    assert answer["usage"]["completion_tokens"] == 16


def test_max_tokens_gives_the_answer_more_room(provider: Provider) -> None:
    answer = provider.post("/completions", prompt="What is a gateway?", max_tokens=500).json()
    assert answer["choices"][0]["finish_reason"] == "stop"


def test_each_prompt_gets_its_choices(provider: Provider) -> None:
    choices = provider.post("/completions", prompt=["One.", "Two."], n=2).json()["choices"]
    assert [choice["index"] for choice in choices] == [0, 1, 2, 3]


def test_a_stream_has_the_text_of_the_whole_answer(provider: Provider) -> None:
    text = "".join(event["choices"][0]["text"] for event in events(provider, prompt="hi")[:-1])
    assert text == provider.post("/completions", prompt="hi").json()["choices"][0]["text"]


def test_the_usage_chunk_has_no_choices(provider: Provider) -> None:
    *chunks, usage, done = events(provider, prompt="hi", stream_options={"include_usage": True})
    assert all(chunk["usage"] is None for chunk in chunks)
    assert usage["choices"] == []
    assert done == "[DONE]"


def test_without_include_usage_no_chunk_has_the_key(provider: Provider) -> None:
    assert not any("usage" in event for event in events(provider, prompt="hi")[:-1])


@pytest.mark.parametrize("prompt", [[], ["x"] * 21])
def test_too_few_or_too_many_prompts_are_refused(provider: Provider, prompt: list[str]) -> None:
    answer = provider.post("/completions", prompt=prompt)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "prompt")


def test_phrases_work_here_too(provider: Provider) -> None:
    assert provider.post("/completions", prompt="demo:error=503").headers["retry-after"] == "1"


def test_the_sdk_reads_a_stream(provider: Provider) -> None:
    with openai.OpenAI(base_url=provider.base_url, api_key=provider.settings.api_key) as client:
        stream = client.completions.create(model="demo-lite", prompt="demo:tokens=7", stream=True)
        assert sum(1 for chunk in stream if chunk.choices[0].text) == 7
