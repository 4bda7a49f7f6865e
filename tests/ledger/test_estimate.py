"""Estimates from bytes of text, and how they are learned."""

import pytest

from proxy.ledger.estimate import Estimator


def test_an_unknown_alias_has_a_quarter_token_a_byte() -> None:
    assert Estimator().estimate("core", 400, 80) == (100, 20)


def test_any_text_is_at_least_one_token_and_no_text_is_none() -> None:
    assert Estimator().estimate("core", 1, 0) == (1, 0)


def test_input_and_output_are_learned_apart_and_per_alias() -> None:
    estimator = Estimator()
    for _ in range(500):
        estimator.observe("core", 1_000, 500, 1_000, 125)
    input_tokens, output_tokens = estimator.estimate("core", 1_000, 1_000)
    assert input_tokens == pytest.approx(500, abs=5)
    assert output_tokens == pytest.approx(125, abs=5)
    assert estimator.estimate("other", 1_000, 1_000) == (250, 250)


def test_the_present_outweighs_the_past() -> None:
    estimator = Estimator()
    for tokens in [500] * 300 + [100] * 600:
        estimator.observe("core", 1_000, tokens, 0, 0)
    assert estimator.estimate("core", 1_000, 0)[0] == pytest.approx(100, abs=5)


@pytest.mark.parametrize(("text", "tokens"), [(10, 5_000), (0, 100), (100_000, 1)])
def test_samples_that_are_not_about_the_text_teach_nothing(text: int, tokens: int) -> None:
    estimator = Estimator()
    estimator.observe("core", text, tokens, text, tokens)
    assert estimator.estimate("core", 400, 400) == (100, 100)


def test_aliases_beyond_the_bound_share_one_entry() -> None:
    estimator = Estimator(aliases=1)
    for number in range(1_000):
        estimator.observe("first", 1_000, 250, 0, 0)
        estimator.observe(f"later-{number}", 1_000, 1_000, 0, 0)
    assert estimator.estimate("first", 1_000, 0)[0] == 250
    assert estimator.estimate("never seen", 1_000, 0)[0] > 900
