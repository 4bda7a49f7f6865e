"""How an alias serves the endpoints of text."""

import pytest

from proxy.config.translated import TEXT_ENDPOINTS, TRANSLATED, service
from proxy.config.tree import Model, Upstream
from proxy.dialects.translate import CONVERSATIONS

UPSTREAMS = {
    "o": Upstream(base_url="http://h/v1"),
    "a": Upstream(base_url="http://h/v1", kind="anthropic"),
    "g": Upstream(base_url="http://h/v1", kind="gemini"),
}


@pytest.mark.parametrize(
    ("targets", "endpoint", "expected"),
    [
        (["o/m"], "/v1/chat/completions", "native"),
        (["o/m"], "/v1/messages", "translated"),
        (["a/m"], "/v1/chat/completions", "translated"),
        (["a/m", "o/m"], "/v1/chat/completions", "native"),
        (["g/m"], "/v1beta/models/{model}:generateContent", "native"),
        (["a/m"], "/v1/responses", "refused"),
    ],
)
def test_an_alias_serves_by_its_targets_or_by_translation(targets: list[str], endpoint: str, expected: str) -> None:
    assert service(Model(capability="chat", targets=targets), UPSTREAMS, endpoint) == expected


def test_an_alias_that_translates_nothing_refuses_other_formats() -> None:
    assert service(Model(capability="chat", targets=["a/m"], translate="off"), UPSTREAMS, "/v1/chat/completions") == (
        "refused"
    )


def test_the_table_says_what_the_translations_say() -> None:
    found: dict[str, set[str]] = {}
    for conversation in CONVERSATIONS:
        for endpoint in set(conversation.endpoints) & set(TEXT_ENDPOINTS):
            found.setdefault(endpoint, set()).add(conversation.target)
    assert found == {endpoint: set(formats) for endpoint, formats in TRANSLATED.items()}
