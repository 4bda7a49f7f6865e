"""The presets: what is known of each kind, and what becomes of an upstream that names one."""

from pathlib import Path
from typing import get_args
from urllib.parse import urlsplit

import pytest

from proxy.config import rules
from proxy.config.load import parse
from proxy.config.presets import PRESETS
from proxy.config.problems import ConfigProblems
from proxy.config.tree import Kind

BEARER = ("authorization", "Bearer ")

#: kind, host and path (empty where the operator must say it), credential, formats, stream_options.
KINDS: tuple[tuple[Kind, str, tuple[str, str], set[str], bool], ...] = (
    ("openai", "api.openai.com/v1", BEARER, {"openai"}, True),
    ("azure", "", ("api-key", ""), {"openai"}, True),
    ("anthropic", "api.anthropic.com/v1", ("x-api-key", ""), {"anthropic"}, False),
    ("gemini", "generativelanguage.googleapis.com/v1beta", ("x-goog-api-key", ""), {"gemini"}, False),
    ("openrouter", "openrouter.ai/api/v1", BEARER, {"openai", "anthropic"}, True),
    ("groq", "api.groq.com/openai/v1", BEARER, {"openai"}, True),
    ("mistral", "api.mistral.ai/v1", BEARER, {"openai"}, False),
    ("together", "api.together.xyz/v1", BEARER, {"openai"}, False),
    ("fireworks", "api.fireworks.ai/inference/v1", BEARER, {"openai"}, True),
    ("deepseek", "api.deepseek.com", BEARER, {"openai"}, False),
    ("xai", "api.x.ai/v1", BEARER, {"openai"}, True),
    ("perplexity", "api.perplexity.ai", BEARER, {"openai"}, False),
    ("cohere", "api.cohere.ai/compatibility/v1", BEARER, {"openai"}, True),
    ("voyage", "api.voyageai.com/v1", BEARER, {"openai"}, False),
    ("jina", "api.jina.ai/v1", BEARER, {"openai"}, False),
    ("vllm", "", BEARER, {"openai", "anthropic"}, True),
    ("sglang", "", BEARER, {"openai", "anthropic"}, True),
    ("ollama", "", BEARER, {"openai", "anthropic"}, True),
    ("llamacpp", "", BEARER, {"openai", "anthropic"}, True),
    ("compatible", "", BEARER, {"openai"}, True),
)


def test_the_table_has_every_kind() -> None:
    assert [row[0] for row in KINDS] == list(get_args(Kind)) == list(PRESETS)


@pytest.mark.parametrize(("kind", "place", "credential", "dialects", "asks"), KINDS)
def test_a_preset_says_what_is_known_of_its_kind(
    kind: Kind, place: str, credential: tuple[str, str], dialects: set[str], asks: bool
) -> None:
    preset = PRESETS[kind]
    assert preset.base_url == (f"https://{place}" if place else "")
    assert (preset.auth_header, preset.auth_prefix) == credential
    assert preset.dialects == dialects
    assert preset.stream_options is asks


@pytest.mark.parametrize("kind", PRESETS)
def test_the_addresses_of_a_preset_are_good_ones(kind: Kind) -> None:
    preset = PRESETS[kind]
    assert preset.base_url or preset.example_url
    for url in filter(None, (preset.base_url, preset.example_url, preset.compatible_url)):
        assert list(rules.base_url(url)) == []
        assert not url.endswith("/")


@pytest.mark.parametrize("kind", PRESETS)
def test_the_headers_of_a_preset_are_good_ones_in_lower_case(kind: Kind) -> None:
    preset = PRESETS[kind]
    for name, value in (*preset.headers.items(), (preset.auth_header, preset.auth_prefix)):
        assert name == name.lower()
        assert [*rules.header_name(name, with_credential=False), *rules.header_value(value)] == []


@pytest.mark.parametrize("kind", [kind for kind, preset in PRESETS.items() if preset.base_url])
def test_a_known_address_may_be_left_out(kind: Kind) -> None:
    config = parse(f'[upstreams.u]\nkind = "{kind}"\n', Path("p.toml"), {})
    assert config.upstreams["u"].base_url == PRESETS[kind].base_url


@pytest.mark.parametrize("kind", [kind for kind, preset in PRESETS.items() if not preset.base_url])
def test_an_unknown_address_may_not_and_the_hint_shows_one(kind: Kind) -> None:
    with pytest.raises(ConfigProblems) as caught:
        parse(f'[upstreams.u]\nkind = "{kind}"\n', Path("p.toml"), {})
    (problem,) = caught.value.problems
    assert problem.message == 'the key "base_url" is missing'
    assert PRESETS[kind].example_url in problem.hint


def test_the_address_that_is_written_wins() -> None:
    text = '[upstreams.u]\nkind = "openai"\nbase_url = "https://mirror.example.com/v1"\n'
    assert parse(text, Path("p.toml"), {}).upstreams["u"].base_url == "https://mirror.example.com/v1"


def test_an_upstream_without_a_kind_never_goes_to_a_known_provider() -> None:
    with pytest.raises(ConfigProblems, match="base_url"):
        parse('[upstreams.u]\napi_key = "k"\n', Path("p.toml"), {})


@pytest.mark.parametrize(
    ("written", "meant"),
    [("openia", "openai"), ("Anthropic", "anthropic"), ("llama.cpp", "llamacpp"), ("azure-openai", "openai")],
)
def test_a_wrong_kind_is_reported_once_with_the_one_that_was_meant(written: str, meant: str) -> None:
    with pytest.raises(ConfigProblems) as caught:
        parse(f'[upstreams.u]\nkind = "{written}"\n', Path("p.toml"), {})
    (problem,) = caught.value.problems
    assert (problem.key, problem.hint) == ("upstreams.u.kind", f'did you mean "{meant}"?')


def test_compatible_paths_elsewhere_belong_to_the_same_provider() -> None:
    for preset in PRESETS.values():
        if preset.compatible_url:
            assert "openai" not in preset.dialects
            assert urlsplit(preset.compatible_url).hostname == urlsplit(preset.base_url).hostname
