"""Answers, pieces and token counts of the demo provider."""

import pytest

from proxy.demo.words import count_tokens, filler_text, split_arguments, split_words, text_for


@pytest.mark.parametrize(("text", "tokens"), [("", 0), ("a", 1), ("four", 1), ("fives", 2), ("a" * 400, 100)])
def test_four_characters_are_a_token(text: str, tokens: int) -> None:
    assert count_tokens(text) == tokens


@pytest.mark.parametrize("tokens", [1, 2, 22, 23, 500])
def test_a_filler_has_as_many_tokens_as_pieces(tokens: int) -> None:
    assert count_tokens(filler_text(tokens)) == len(list(split_words(filler_text(tokens)))) == tokens


@pytest.mark.parametrize("text", ["", " ", "one", "one two", "  one\n\ntwo \n", "日本語 text"])
def test_pieces_are_the_text_again(text: str) -> None:
    assert "".join(split_words(text)) == text


def test_a_piece_is_a_word_with_the_blank_before_it() -> None:
    assert list(split_words("one two three")) == ["one", " two", " three"]


def test_fragments_are_the_text_again() -> None:
    assert list(split_arguments("abcdefg", 3)) == ["abc", "def", "g"]


@pytest.mark.parametrize(
    ("question", "word"),
    [
        ("What is a gateway?", "gateway"),
        ("Why is STREAMING / time to first token important?", "server-sent"),
        ("What does it cost?", "ledger"),
        ("How are keys kept?", "hashes"),
        ("Give me a deployment checklist.", "checklist"),
        ("hello!", "Hello"),
    ],
)
def test_known_subjects_have_answers_of_their_own(question: str, word: str) -> None:
    assert word in text_for(question)
    assert "You wrote" not in text_for(question)


def test_another_text_is_quoted_without_its_phrases() -> None:
    assert "You wrote “Tell me of whales”." in text_for("Tell me demo:cut=5 of whales")


def test_a_long_text_is_quoted_in_part() -> None:
    assert len(text_for("whale " * 10_000)) < 1000


def test_no_text_has_an_answer_too() -> None:
    assert "no text" in text_for("demo:no-done")
