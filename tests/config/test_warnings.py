"""Warnings: what is odd is told at its key with its mend, what is sound is not, and nothing keeps the gateway down."""

from pathlib import Path

import pytest

from proxy.config.load import examine, examine_text
from proxy.config.problems import Problem
from proxy.config.warnings import is_near

GEMINI = "https://generativelanguage.googleapis.com/v1beta"


def warned(text: str) -> list[Problem]:
    return list(examine_text(text, Path("p.toml"), {"KEY": "sk-secret"}).warnings)


def upstream(url: str, *lines: str) -> str:
    return "\n".join(("[upstreams.u]", f'base_url = "{url}"', *lines, ""))


def model(*targets: str, capability: str = "chat") -> str:
    return f'[models.m]\ncapability = "{capability}"\ntargets = {list(targets)}\n'


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.9.9.9", "::1", "10.1.2.3", "192.168.0.9", "172.16.0.1", "fd00::1", "169.254.1.1"]
)
def test_addresses_of_this_machine_and_of_private_networks_are_near(host: str) -> None:
    assert is_near(host)


@pytest.mark.parametrize(
    "host", ["localhost", "vllm", "gpu.local", "a.b.internal", "x.localhost", "llm.models.svc.cluster.local"]
)
def test_names_of_a_local_network_are_near(host: str) -> None:
    assert is_near(host)


@pytest.mark.parametrize("host", ["8.8.8.8", "2606:4700::1111", "api.openai.com", "local.example.com"])
def test_everything_else_is_not_near(host: str) -> None:
    assert not is_near(host)


@pytest.mark.parametrize("kind", ["openai", "anthropic", "cohere"])
def test_a_provider_without_a_credential_is_told(kind: str) -> None:
    (warning,) = warned(f'[upstreams.u]\nkind = "{kind}"\n')
    assert (warning.key, warning.hint) == ("upstreams.u", f'api_key = "${{{kind.upper()}_API_KEY}}"')


@pytest.mark.parametrize(
    "line",
    [
        'api_key = "k"',
        'headers = { X-API-Key = "k" }',
        'headers = { Authorization = "k" }',
        'base_url = "http://mock:1/v1"',
    ],
)
def test_a_credential_may_come_another_way_or_not_be_needed(line: str) -> None:
    assert warned(f'[upstreams.u]\nkind = "anthropic"\n{line}\n') == []


@pytest.mark.parametrize("line", ['api_key = "${KEY}"', 'headers = { Authorization = "Bearer ${KEY}" }'])
def test_a_credential_in_the_clear_is_told(line: str) -> None:
    (warning,) = warned(upstream("http://api.example.com/v1", line))
    assert (warning.line, warning.key) == (2, "upstreams.u.base_url")
    assert warning.message == "the credential goes to api.example.com in the clear"
    assert "secret" not in str(warning)


@pytest.mark.parametrize(
    ("url", "line"),
    [
        ("https://api.example.com/v1", 'api_key = "k"'),
        ("http://api.example.com/v1", ""),
        ("http://127.0.0.1:8000/v1", 'api_key = "k"'),
        ("http://vllm:8000/v1", 'api_key = "k"'),
    ],
)
def test_nothing_is_told_where_nothing_leaks(url: str, line: str) -> None:
    assert warned(upstream(url, line)) == []


@pytest.mark.parametrize(
    ("url", "kind", "message", "hint"),
    [
        ("https://api.openai.com", "openai", "below a path that is missing", 'base_url = "https://api.openai.com/v1"'),
        ("https://api.mistral.ai/v1", "compatible", "an address of Mistral, whose habits", 'kind = "mistral"'),
        ("https://api.cohere.ai/compatibility/v1", "openai", "an address of Cohere", 'kind = "cohere"'),
        ("https://api.x.ai/v1", "azure", "an address of xAI, not of Azure OpenAI", 'kind = "xai"'),
        (GEMINI, "compatible", "speaks its own format", f'kind = "gemini", or base_url = "{GEMINI}/openai"'),
        (f"{GEMINI}/openai", "gemini", "OpenAI-compatible", f'kind = "compatible", or base_url = "{GEMINI}"'),
    ],
)
def test_a_known_address_under_a_wrong_kind_is_told(url: str, kind: str, message: str, hint: str) -> None:
    (warning,) = warned(upstream(url, f'kind = "{kind}"', 'api_key = "k"'))
    assert message in warning.message
    assert warning.hint == hint


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("https://api.openai.com/v1", "compatible"),
        ("https://api.x.ai/v1", "compatible"),
        ("https://api.anthropic.com/v1", "compatible"),
        ("https://api.anthropic.com/v1", "anthropic"),
        (f"{GEMINI}/openai", "compatible"),
        (GEMINI, "gemini"),
        ("https://api.deepseek.com/v1", "deepseek"),
        ("https://r.openai.azure.com/openai/v1", "azure"),
    ],
)
def test_addresses_that_fit_their_kind_are_not_odd(url: str, kind: str) -> None:
    assert warned(upstream(url, f'kind = "{kind}"', 'api_key = "k"')) == []


@pytest.mark.parametrize(
    ("kind", "capability", "endpoint", "address"),
    [
        ("anthropic", "chat", "/v1/chat/completions", "https://api.anthropic.com/v1"),
        ("anthropic", "vision", "/v1/chat/completions", "https://api.anthropic.com/v1"),
        ("gemini", "embeddings", "/v1/embeddings", f"{GEMINI}/openai"),
    ],
)
def test_an_alias_that_openais_endpoints_cannot_use_is_told_with_the_mend(
    kind: str, capability: str, endpoint: str, address: str
) -> None:
    (warning,) = warned(f'[upstreams.u]\nkind = "{kind}"\napi_key = "k"\n' + model("u/x", capability=capability))
    assert (warning.line, warning.key) == (6, "models.m.targets")
    assert warning.message == f"all speak only the format of {kind}: {endpoint} refuses this alias"
    assert f'base_url = "{address}"' in warning.hint


@pytest.mark.parametrize("other", ["openai", "openrouter", "groq"])
def test_one_target_that_speaks_openais_format_is_enough(other: str) -> None:
    key = 'api_key = "k"\n'
    text = f'[upstreams.a]\nkind = "anthropic"\n{key}[upstreams.o]\nkind = "{other}"\n{key}' + model("a/x", "o/x")
    assert warned(text) == []


def test_warnings_come_in_the_order_of_the_file_with_the_configuration(tmp_path: Path) -> None:
    file = tmp_path / "p.toml"
    file.write_text(model("u/x") + upstream("https://api.anthropic.com", 'kind = "anthropic"', 'api_key = "k"'))
    loaded = examine(file, {})
    assert [warning.line for warning in loaded.warnings] == [3, 5]
    assert loaded.config.models["m"].targets == ["u/x"]


@pytest.mark.parametrize(
    ("price", "installed", "told"),
    [('minute = "0.006"', False, 1), ('minute = "0.006"', True, 0), ('input = "1", output = "2"', False, 0)],
)
def test_a_price_by_the_minute_without_the_library_that_measures_is_told(
    monkeypatch: pytest.MonkeyPatch, price: str, installed: bool, told: int
) -> None:
    monkeypatch.setattr("proxy.config.warnings.find_spec", lambda _: object() if installed else None)
    text = upstream("http://127.0.0.1:1/v1") + model("u/m", capability="audio") + f"price = {{ {price} }}\n"
    found = [problem for problem in warned(text) if problem.key == "models.m.price"]
    assert len(found) == told
    assert all("prometheus-gateway[audio]" in problem.hint for problem in found)
