"""Estimates from bytes of text, and how they are learned."""

import pytest

from proxy.ledger.estimator import Estimator

KEY = "key_1"


def test_an_unknown_alias_has_a_quarter_token_a_byte() -> None:
    assert Estimator().estimate(KEY, "core", 400, 80) == (100, 20)


def test_any_text_is_at_least_one_token_and_no_text_is_none() -> None:
    assert Estimator().estimate(KEY, "core", 1, 0) == (1, 0)


def test_input_and_output_are_learned_apart_and_per_alias() -> None:
    estimator = Estimator()
    for _ in range(500):
        estimator.observe(KEY, "core", 1_000, 500, 1_000, 125)
    input_tokens, output_tokens = estimator.estimate(KEY, "core", 1_000, 1_000)
    assert input_tokens == pytest.approx(500, abs=5)
    assert output_tokens == pytest.approx(125, abs=5)
    assert estimator.estimate(KEY, "other", 1_000, 1_000) == (250, 250)


def test_the_present_outweighs_the_past() -> None:
    estimator = Estimator()
    for tokens in [500] * 300 + [100] * 600:
        estimator.observe(KEY, "core", 1_000, tokens, 0, 0)
    assert estimator.estimate(KEY, "core", 1_000, 0)[0] == pytest.approx(100, abs=5)


@pytest.mark.parametrize(("text", "tokens"), [(10, 5_000), (1_000, 1_001), (0, 100), (1_000, 62), (100_000, 1)])
def test_samples_that_are_not_about_the_text_teach_nothing(text: int, tokens: int) -> None:
    estimator = Estimator()
    estimator.observe(KEY, "core", text, tokens, text, tokens)
    assert estimator.estimate(KEY, "core", 400, 400) == (100, 100)


def test_what_one_key_sends_changes_no_estimate_of_another() -> None:
    estimator = Estimator()
    for _ in range(500):
        estimator.observe("key_2", "core", 1_000, 1_000, 1_000, 100)
    assert estimator.estimate(KEY, "core", 400, 400) == (100, 100)


def test_beyond_the_bound_nothing_is_learned() -> None:
    estimator = Estimator(max_pairs=1)
    for number in range(1_000):
        estimator.observe(KEY, "first", 1_000, 500, 0, 0)
        estimator.observe(KEY, f"later-{number}", 1_000, 1_000, 0, 0)
    assert estimator.estimate(KEY, "first", 1_000, 0)[0] == pytest.approx(500, abs=5)
    assert estimator.estimate(KEY, "later-0", 1_000, 0)[0] == 250
