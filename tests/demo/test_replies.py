"""What the text endpoints of the demo provider have in common."""

import pytest

from proxy.demo.replies import Choice, cut_text, new_head, usage_of


@pytest.mark.parametrize(
    ("stops", "limit", "result"),
    [
        ([], None, ("one two three", "stop")),
        ([], 4, ("one two three", "stop")),
        ([], 3, ("one two thre", "length")),
        ([], 0, ("", "length")),
        ([" three", " two"], None, ("one", "stop")),
        ([" two"], 1, ("one", "stop")),
        (["four"], 1, ("one ", "length")),
    ],
)
def test_a_text_is_cut_at_the_first_stop_and_at_the_limit(
    stops: list[str], limit: int | None, result: tuple[str, str]
) -> None:
    assert cut_text("one two three", stops, limit) == result


def test_the_fingerprint_belongs_to_the_model() -> None:
    assert new_head("x-", "a").fingerprint == new_head("x-", "a").fingerprint != new_head("x-", "b").fingerprint


def test_each_answer_has_an_id_of_its_own() -> None:
    assert new_head("x-", "a").id != new_head("x-", "a").id


def test_usage_adds_up_over_the_choices_and_counts_the_name_of_a_called_function() -> None:
    usage = usage_of(10, [Choice("four", "stop"), Choice("{}", "tool_calls", "fives")])
    assert (usage["completion_tokens"], usage["total_tokens"]) == (1 + 1 + 2, 14)
