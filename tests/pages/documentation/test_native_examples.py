"""Examples of further formats are there where an alias has them."""

from proxy.pages.documentation.examples import examples
from tests.pages.documentation.serving import facts, model


def test_a_format_that_no_alias_has_has_no_example() -> None:
    found = {one.id for one in examples(facts({"a": model(translate="off")}, kinds=("anthropic",)))}
    assert found == {"example-models", "example-messages"}


def test_a_name_in_a_path_is_encoded() -> None:
    codes = {one.id: one.codes for one in examples(facts({"a/b?c": model()}, kinds=("gemini",)))}
    assert "/v1beta/models/a%2Fb%3Fc:generateContent" in codes["example-gemini"][0].text
